// Package netns makes, enters and removes network namespaces. They are named
// by files in /run/netns, as `ip netns` names them, but without the mount on
// that folder itself, which `ip` would leave behind.
package netns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Ensure makes a namespace with its loopback up, unless the path names one.
func Ensure(path string) error {
	if Exists(path) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making namespace folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o444)
	if err != nil {
		return fmt.Errorf("making namespace file: %w", err)
	}
	_ = file.Close()
	err = onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making network namespace: %w", err)
		}
		own := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		if err := unix.Mount(own, path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("naming network namespace %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// Exists says whether the path names a network namespace. A file that was left
// when its mount went away does not.
func Exists(path string) bool {
	var fsInfo unix.Statfs_t
	return unix.Statfs(path, &fsInfo) == nil && fsInfo.Type == unix.NSFS_MAGIC
}

// ID is the inode number of the namespace, by which the kernel knows it.
func ID(path string) (uint64, error) {
	var info unix.Stat_t
	if err := unix.Stat(path, &info); err != nil {
		return 0, fmt.Errorf("reading namespace %s: %w", path, err)
	}
	return info.Ino, nil
}

// Remove takes the name away. The namespace ends with its last process.
func Remove(path string) error {
	for Exists(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("removing namespace %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing namespace file: %w", err)
	}
	return nil
}

// Do calls fn on a thread that is in the namespace. Processes started by fn and
// sockets opened by it belong to the namespace; goroutines started by it do not.
func Do(path string, fn func() error) error {
	return onOwnThread(func() error {
		if err := Enter(path); err != nil {
			return err
		}
		return fn()
	})
}

// Enter moves the calling thread into the namespace. The caller has locked the
// goroutine to its thread and does not give the thread back.
func Enter(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening namespace %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering namespace %s: %w", path, err)
	}
	return nil
}

// onOwnThread calls fn on a thread that nothing else uses, and that ends with
// the call: a goroutine that ends while locked takes its thread along, so a
// thread in a foreign namespace never returns to the pool.
func onOwnThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- fn()
	}()
	return <-done
}

// DialContext dials from inside the namespace. Names are not resolved there:
// an address is a number.
func DialContext(ctx context.Context, path, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", address, err)
	}
	if net.ParseIP(host) == nil {
		// The resolver would use goroutines of its own, outside the namespace.
		return nil, fmt.Errorf("dialling %s: want a numeric address, as the cluster's names are not known outside it", address)
	}
	var conn net.Conn
	err = Do(path, func() error {
		dialer := net.Dialer{
			// A second family would be tried from another goroutine.
			FallbackDelay: -1,
		}
		var err error
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
