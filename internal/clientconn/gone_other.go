//go:build !linux

package clientconn

// Gone reports whether the kernel knows that the client has hung up. It cannot
// be asked portably, so other systems have only what the body's reading shows.
func (c *Conn) Gone() bool { return false }

// Unread reports whether the client has sent bytes that have not been read yet,
// as far as is known: on other systems nothing is.
func (c *Conn) Unread() bool { return false }
