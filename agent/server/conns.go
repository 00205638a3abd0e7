package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rawserve/rawserve/internal/clientconn"
	"github.com/rawserve/rawserve/internal/strict"
)

// conns are the connections of the data ports. They are known so that a drain can
// end them: a client that keeps one open, and does not use it while the drain lasts,
// would send its next request to a server that is gone.
//
// What costs no request differs. HTTP/2 has a farewell, which is said when the drain
// begins; streams that are on their way are served. HTTP/1.1 can only be told with
// a response, so one that is answered during the drain ends with that. What is left
// are connections that were idle all the time. To close one is a race: its client
// may be about to send. So they are closed at the very end, when as many as possible
// have had a response and those that are left are the least likely to be used, and
// when a client that comes back is no longer led here by the Service. The client of
// a closed connection sees its end before it sends, in all but one round trip's
// time; left open, each next request would be lost for certain, as far as a client
// does not repeat what was answered 503.
type conns struct {
	mu  sync.Mutex
	all map[*conn]struct{}
	// goodbyes are being said. Some wait for clients that do not read.
	goodbyes sync.WaitGroup
	closing  strict.Closing
	// malformed is told of those on which something ambiguous came in.
	malformed func(*strict.Conn, strict.Reason)
}

// conn is one connection.
type conn struct {
	strict.Conn
	frames  frameWriter
	closing *strict.Closing
	closed  sync.Once
	// busy: a request is inside.
	busy atomic.Bool
	// heard is when the client sent something or got the end of a response, in Unix
	// nanoseconds.
	heard atomic.Int64
	// leaving: it has been told, or is being told, to go.
	leaving atomic.Bool
}

// Read reads from the client and notes when.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Close closes the connection.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closed.Do(func() { err = c.closing.Close(&c.Conn) })
	return err
}

// Write writes to the client.
func (c *conn) Write(p []byte) (int, error) { return c.frames.Write(p) }

// listener makes what it accepts known.
type listener struct {
	net.Listener
	conns *conns
}

// Accept waits for a connection.
func (l listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := accepted.(*net.TCPConn)
	if !ok {
		return accepted, nil
	}
	c := &conn{Conn: strict.Conn{TCPConn: tcp, Refused: l.conns.malformed}, closing: &l.conns.closing}
	c.frames.w = tcp
	c.heard.Store(time.Now().UnixNano())
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	if l.conns.all == nil {
		l.conns.all = map[*conn]struct{}{}
	}
	l.conns.all[c] = struct{}{}
	return c, nil
}

// note is for http.Server.ConnState.
func (s *conns) note(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	switch state {
	case http.StateActive:
		c.busy.Store(true)
	case http.StateIdle:
		c.heard.Store(time.Now().UnixNano())
		c.busy.Store(false)
	case http.StateClosed, http.StateHijacked:
		if state == http.StateHijacked {
			c.Hijacked()
		}
		s.mu.Lock()
		delete(s.all, c)
		s.mu.Unlock()
	}
}

type connKey struct{}

// withConn is for http.Server.ConnContext.
func withConn(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, nc)
}

// sayGoodbye tells the client of an HTTP/2 request to open another connection.
func (s *conns) sayGoodbye(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		s.goodbye(c)
	}
}

// sayGoodbyeToAll tells the clients of all HTTP/2 connections.
func (s *conns) sayGoodbyeToAll() {
	for _, c := range s.list() {
		s.goodbye(c)
	}
}

// goodbye does not wait for the client, which may be slow to read.
func (s *conns) goodbye(c *conn) {
	if c.leaving.CompareAndSwap(false, true) {
		s.goodbyes.Go(c.frames.goAway)
	}
}

// wait waits for goodbyes and closings. Those end at the latest with their connections.
func (s *conns) wait() {
	s.goodbyes.Wait()
	s.closing.Wait()
}

// closeIdle closes the connections without a request on which nothing has come in
// since the given time, nor a response ended.
func (s *conns) closeIdle(since time.Time) {
	for _, c := range s.list() {
		// Closing one whose bytes nobody has read yet would answer them with a reset.
		if !c.busy.Load() && c.heard.Load() < since.UnixNano() && !clientconn.Unread(c.TCPConn) {
			c.Close()
		}
	}
}

func (s *conns) list() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*conn, 0, len(s.all))
	for c := range s.all {
		all = append(all, c)
	}
	return all
}
