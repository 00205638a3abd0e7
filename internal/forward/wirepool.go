package forward

import (
	"context"
	"net"
	"sync"
	"time"
)

// maxIdle is how many unused connections to one server are kept.
const maxIdle = 4096

// wire keeps the connections that are not in use. The zero value keeps none; its
// fields are set before.
type wire struct {
	dial        func(ctx context.Context, addr string) (net.Conn, error)
	idleTimeout time.Duration

	mu sync.Mutex
	// idle has the connections of each server, the last used one last: as many as
	// possible of the others reach their time.
	idle map[string][]*wireConn
	// swept is the timer that closes those whose time has come; nil while there are none.
	sweep *time.Timer
}

// get returns a connection to addr, a kept one if there is any.
func (w *wire) get(ctx context.Context, addr string) (*wireConn, error) {
	for {
		c := w.take(addr)
		if c == nil {
			break
		}
		if time.Since(c.idleAt) < w.idleTimeout && c.alive() {
			c.reused = true
			return c, nil
		}
		c.Close()
	}
	conn, err := w.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return newWireConn(conn, addr), nil
}

func (w *wire) take(addr string) *wireConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.idle[addr]
	if len(list) == 0 {
		return nil
	}
	last := len(list) - 1
	c := list[last]
	list[last] = nil
	w.idle[addr] = list[:last]
	return c
}

// put keeps a connection that has answered its last request.
func (w *wire) put(c *wireConn) {
	c.idleAt = time.Now()
	w.mu.Lock()
	list := w.idle[c.addr]
	full := len(list) >= maxIdle
	if !full {
		if w.idle == nil {
			w.idle = map[string][]*wireConn{}
		}
		w.idle[c.addr] = append(list, c)
		if w.sweep == nil {
			w.sweep = time.AfterFunc(w.idleTimeout, w.closeOld)
		}
	}
	w.mu.Unlock()
	if full {
		c.Close()
	}
}

// closeOld closes the connections that have been unused for too long.
func (w *wire) closeOld() {
	w.close(time.Now().Add(-w.idleTimeout))
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.idle) == 0 {
		w.sweep = nil
		return
	}
	w.sweep.Reset(w.idleTimeout / 2)
}

// close closes the connections that have not been used since then.
func (w *wire) close(since time.Time) {
	var old []*wireConn
	w.mu.Lock()
	for addr, list := range w.idle {
		n := 0
		for n < len(list) && !list[n].idleAt.After(since) {
			n++
		}
		old = append(old, list[:n]...)
		if n == len(list) {
			delete(w.idle, addr)
		} else {
			w.idle[addr] = append([]*wireConn(nil), list[n:]...)
		}
	}
	w.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

func (w *wire) closeIdle() { w.close(time.Now()) }
