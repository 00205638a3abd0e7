// Package strict lets only such HTTP/1 requests through that everybody reads alike.
//
// Where two servers in a row disagree on what a request is or where it ends, a
// client can hide one request within another. Go's server is careful, but takes
// some of what RFC 9112 wants refused: Content-Length beside Transfer-Encoding,
// lines that go on in the next one or end in a bare LF, a coding in HTTP/1.0, a
// target that contradicts Host. And it reads on after a body that broke off in the
// middle, if the handler reads and writes at the same time.
//
// Conn looks at the bytes on their way to the server, in place, and remembers only
// what the end of the present request depends on. Nothing is kept from the server
// but the byte from which a request is wrong: up to there it is no whole request,
// and what the server is given instead is none either. So it answers 400 itself,
// after all that was asked before, and closes. A wrong body is broken off the same
// way; its end never comes.
//
// HTTP/2 and what a connection is upgraded to are passed on as they are.
package strict

import (
	"io"
	"net"
	"sync/atomic"
)

// Conn is the connection of a client. It is read by one goroutine at a time, as
// http.Server does it, and closed by Closing.
type Conn struct {
	*net.TCPConn
	// Refused is told, once, why the rest of what the client sends is not read. May be nil.
	Refused func(*Conn, Reason)

	in reader
	// refusing is for who closes the connection, which may be anybody.
	refusing atomic.Bool
}

// Read reads what may go on to the server.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(c.TCPConn, p)
	if c.in.untold {
		c.in.untold = false
		c.refusing.Store(true)
		if c.Refused != nil {
			c.Refused(c, c.in.reason)
		}
	}
	return n, err
}

// Hijacked is called when the connection speaks another protocol from now on, and
// nobody reads. What follows is passed on as it is.
func (c *Conn) Hijacked() { c.in.passOn() }

// WriteTo passes on what is read. Without it io.Copy would use that of the TCP
// connection, and look at nothing.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	if c.in.through() {
		return c.TCPConn.WriteTo(w) //nolint:wrapcheck // the connection's own
	}
	return io.Copy(w, struct{ io.Reader }{c}) //nolint:wrapcheck // the connection's own
}
