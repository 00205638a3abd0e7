package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/budget"
	"github.com/rawserve/rawserve/internal/clientconn"
	"github.com/rawserve/rawserve/internal/strict"
)

const (
	// telling is how many connections may be told at a time that there is no room
	// for them, each for tellFor and while it lingers; more are closed without a word.
	telling = 64
	tellFor = time.Second
)

// crowd bounds the connections of all listeners.
type crowd struct {
	refused func()
	// malformed is told of connections on which something ambiguous came in.
	malformed func(*strict.Conn, strict.Reason)

	telling chan struct{}
	work    sync.WaitGroup
	closing strict.Closing
}

func newCrowd(refused func(), malformed func(*strict.Conn, strict.Reason)) *crowd {
	return &crowd{refused: refused, malformed: malformed, telling: make(chan struct{}, telling)}
}

// listener is ln with the bound that clients have who join.
func (c *crowd) listener(ln net.Listener, join func(addr string) *clientShare) net.Listener {
	return &crowdListener{ln, c, join}
}

// wait returns when nobody is being told any more. No listener may be open, nor
// any connection.
func (c *crowd) wait() {
	c.work.Wait()
	c.closing.Wait()
}

// note is for http.Server.ConnState.
func (c *crowd) note(nc net.Conn, state http.ConnState) {
	if conn, ok := nc.(*crowdConn); ok && state == http.StateHijacked {
		conn.Hijacked()
	}
}

type crowdListener struct {
	net.Listener
	crowd *crowd
	join  func(addr string) *clientShare
}

// Accept returns the next connection that there is room for.
func (l *crowdListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // http.Server looks at what it is
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			conn.Close()
			return nil, fmt.Errorf("accepting a connection: it is a %T", conn)
		}
		addr, _, _ := net.SplitHostPort(tcp.RemoteAddr().String())
		from := l.join(addr)
		if from == nil {
			tcp.Close() // the route has just gone
			continue
		}
		refusal := from.conns.Try(1)
		if refusal == budget.Granted {
			return &crowdConn{Conn: strict.Conn{TCPConn: tcp, Refused: l.crowd.malformed}, client: from, crowd: l.crowd}, nil
		}
		from.leave()
		l.crowd.refuse(tcp, refusal)
	}
}

// crowdConn gives its place back when it is closed. All else is the connection's
// own, for the server and the copying between connections use much of it.
type crowdConn struct {
	strict.Conn
	client *clientShare
	crowd  *crowd
	closed sync.Once
}

// Close closes the connection.
func (c *crowdConn) Close() error {
	err := net.ErrClosed
	c.closed.Do(func() {
		err = c.crowd.closing.Close(&c.Conn)
		c.client.conns.Give(1)
		c.client.leave()
	})
	return err //nolint:wrapcheck // the connection's own
}

// refuse tells a client that there is no room, if it speaks HTTP/1.1, and closes.
func (c *crowd) refuse(conn *net.TCPConn, why budget.Refusal) {
	c.refused()
	select {
	case c.telling <- struct{}{}:
	default:
		conn.Close()
		return
	}
	c.work.Go(func() {
		defer func() { <-c.telling }()
		_ = conn.SetWriteDeadline(time.Now().Add(tellFor))
		if _, err := io.WriteString(conn, noRoom[why]); err != nil {
			conn.Close()
			return
		}
		clientconn.Linger(conn)
	})
}

// noRoom is what they are told.
var noRoom = map[budget.Refusal]string{
	budget.Full:      refusalText(overloaded, "This activator has as many connections as it can take. Try again; another one may have room."),
	budget.OverShare: refusalText(overShare, "This client, or this model, has as many connections as it can have while others want some. Use fewer, or try again."),
}

func refusalText(a *answer.Answer, message string) string {
	body := fmt.Sprintf("{\"error\":%q}\n", message)
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\nRetry-After: 1\r\n%s: %s\r\n\r\n%s",
		a.Status(), http.StatusText(a.Status()), len(body), answer.Header, a.Reason, body)
}
