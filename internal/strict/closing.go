package strict

import (
	"sync"
	"sync/atomic"

	"github.com/rawserve/rawserve/internal/clientconn"
)

// closings is how many connections may be closing at a time with care.
const closings = 64

// Closing closes connections on which something was refused. A connection that is
// closed while bytes of the client are unread is reset, and the answer that says
// why may be lost with it. So the client is read for a moment longer. The zero
// value is ready for use.
type Closing struct {
	now  atomic.Int64
	work sync.WaitGroup
}

// Close closes c, in the background if it has to take care. It is called once.
func (g *Closing) Close(c *Conn) error {
	if !c.refusing.Load() {
		return c.TCPConn.Close() //nolint:wrapcheck // the connection's own
	}
	if g.now.Add(1) > closings {
		g.now.Add(-1)
		return c.TCPConn.Close() //nolint:wrapcheck // the connection's own
	}
	g.work.Go(func() {
		defer g.now.Add(-1)
		clientconn.Linger(c.TCPConn)
	})
	return nil
}

// Wait returns when all are closed. Close must not be called any more.
func (g *Closing) Wait() { g.work.Wait() }
