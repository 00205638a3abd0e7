package server

import (
	"context"
	"net"
	"sync"

	"github.com/rawserve/rawserve/internal/budget"
	"github.com/rawserve/rawserve/internal/clientconn"
)

// clients are a route's, as long as they are connected or have bodies held. Each gets
// a part of what the route has, so that the others find room while one floods.
type clients struct {
	mu    sync.Mutex
	parts map[clientKey]*clientShare
}

// clientKey tells clients apart.
type clientKey struct {
	// name is the address that connections come from, or what a header says.
	name string
	// byHeader keeps what a header says apart from what the kernel says.
	byHeader bool
}

// clientShare is one client's part of a route. Places in the queue are no part of it:
// there who has many makes room for who has few.
type clientShare struct {
	conns  *budget.Budget // open connections
	inside *budget.Budget // requests inside, held or not
	memory *budget.Budget // what they may take
	bytes  *budget.Budget // memory of held bodies

	of   *clients
	key  clientKey
	uses int // guarded by of.mu
}

// join returns the client's part of the route's shares, which are the same each time,
// until leave has been called as often.
func (c *clients) join(key clientKey, of shares) *clientShare {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[key]
	if p == nil {
		part := func(of *budget.Budget) *budget.Budget { return budget.NewPart(of, shareOf) }
		p = &clientShare{part(of.conns), part(of.inside), part(of.memory), part(of.bytes), c, key, 0}
		if c.parts == nil {
			c.parts = map[clientKey]*clientShare{}
		}
		c.parts[key] = p
	}
	p.uses++
	return p
}

func (p *clientShare) leave() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.uses--; p.uses == 0 {
		delete(p.of.parts, p.key)
	}
	if len(p.of.parts) == 0 {
		p.of.parts = nil // a map keeps the room for all it ever had
	}
}

// join is who connects to a port, nil where no route has it any more.
func (s *Server) join(port int, addr string) *clientShare {
	entry, ok := (*s.ports.Load())[port]
	if !ok {
		return nil
	}
	return entry.route.clients.join(clientKey{name: addr}, entry.route.shares)
}

type clientContext struct{}

// connContext is for http.Server.ConnContext.
func connContext(ctx context.Context, nc net.Conn) context.Context {
	ctx = clientconn.Context(ctx, nc)
	if conn, ok := nc.(*crowdConn); ok {
		ctx = context.WithValue(ctx, clientContext{}, conn.client)
	}
	return ctx
}

// clientFrom is whose connection a request has come in on; nil for one of no listener's.
func clientFrom(ctx context.Context) *clientShare {
	c, _ := ctx.Value(clientContext{}).(*clientShare)
	return c
}
