// Package clientconn keeps the accepted connection within reach of a request's
// handler: which port it came in on, and whether its client has hung up.
//
// Go's HTTP/1.1 server notices a hang-up only once the request's body is read.
// The kernel knows earlier, and Gone asks it.
package clientconn

import (
	"context"
	"net"
	"net/http"
	"syscall"
)

type contextKey struct{}

// Conn is one accepted connection.
type Conn struct {
	// Port is the local port of the connection; 0 where the address has none.
	Port int
	// Client is the address that the connection comes from, without a port; empty where
	// there is none.
	Client string
	raw    syscall.RawConn
}

// Context is for http.Server.ConnContext.
func Context(ctx context.Context, c net.Conn) context.Context {
	conn := &Conn{}
	if addr, ok := c.LocalAddr().(*net.TCPAddr); ok {
		conn.Port = addr.Port
	}
	if addr, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		conn.Client = addr.IP.String()
	}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			conn.raw = raw
		}
	}
	return context.WithValue(ctx, contextKey{}, conn)
}

// Left reports whether the client of a request that came in over the connection is
// known to have gone. Over HTTP/2 it says so itself, or its connection ends.
func (c *Conn) Left(r *http.Request) bool {
	return r.Context().Err() != nil || r.ProtoMajor == 1 && c.Gone()
}

// Unread reports whether the client has sent bytes that have not been read yet. Only
// Linux can say so.
func (c *Conn) Unread() bool { return c != nil && c.raw != nil && unread(c.raw) }

// Unread is the same for a connection itself.
func Unread(c syscall.Conn) bool {
	raw, err := c.SyscallConn()
	return err == nil && unread(raw)
}

// From returns the connection of a request's context, nil without one.
func From(ctx context.Context) *Conn {
	c, _ := ctx.Value(contextKey{}).(*Conn)
	return c
}
