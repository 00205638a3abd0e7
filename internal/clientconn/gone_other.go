//go:build !linux

package clientconn

import "syscall"

// Gone reports whether the kernel knows that the client has hung up. It cannot
// be asked portably, so other systems have only what the body's reading shows.
func (c *Conn) Gone() bool { return false }

func unread(syscall.RawConn) bool { return false }
