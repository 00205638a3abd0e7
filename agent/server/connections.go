package server

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// connections knows which of the clients' connections are idle, and since when.
// A server that drains tells the busy ones with their next response; an idle one
// hears nothing and would carry its next request into a pod that is gone.
type connections struct {
	mu   sync.Mutex
	idle map[net.Conn]time.Time
}

// note is the http.Server's ConnState.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateIdle && state != http.StateNew {
		delete(c.idle, conn)
		return
	}
	if c.idle == nil {
		c.idle = map[net.Conn]time.Time{}
	}
	c.idle[conn] = time.Now()
}

// closeIdle closes those that have been idle for at least that long. A client
// that sends at this very moment loses the request; each one spared by the age
// would have been likelier to.
func (c *connections) closeIdle(now time.Time, least time.Duration) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for conn, since := range c.idle {
		if now.Sub(since) >= least {
			conn.Close()
			delete(c.idle, conn)
			n++
		}
	}
	return n
}
