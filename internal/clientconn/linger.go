package clientconn

import (
	"io"
	"net"
	"time"
)

const (
	// lingerFor and lingerBytes are how long, and for how much, a client is read that
	// has had its last answer.
	lingerFor   = time.Second
	lingerBytes = 64 << 10
)

// Linger closes a connection on which an answer has been written while bytes of the
// client may be unread. Closed at once it would be reset, and the answer might be lost
// with it. It takes a second at most.
func Linger(c *net.TCPConn) {
	defer c.Close()
	if err := c.CloseWrite(); err != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerFor))
	_, _ = io.Copy(io.Discard, io.LimitReader(c, lingerBytes))
}
