package storage

import "syscall"

func getAttribute(file, name string) (string, error) {
	buf := make([]byte, 256)
	n, err := syscall.Getxattr(file, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func setAttribute(file, name, value string) error {
	return syscall.Setxattr(file, name, []byte(value), 0)
}
