package server

import (
	"net"

	"golang.org/x/sys/unix"
)

// unread reports whether bytes have come that nobody has read yet. Closing the
// connection then would answer them with a reset.
func unread(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	waiting := 0
	if err := raw.Control(func(fd uintptr) { waiting, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }); err != nil {
		return false
	}
	return waiting > 0
}
