// Package forward sends a request on to a server and its response back, as a
// proxy must: hop-by-hop fields dropped, trailers kept, both directions
// streamed, upgrades joined. It differs from the standard library's proxy in
// what its callers need: an attempt that reached nobody can be made again
// elsewhere, and it copies no headers, for both callers live on the hot path.
//
// Which server, how often, and what to answer when all fails is the caller's.
package forward

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/rawserve/rawserve/internal/budget"
)

// Options describe a Forwarder. The zero value is usable.
type Options struct {
	// DialTimeout is the longest wait for a connection. Default 1s.
	DialTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept. It must be below that
	// of the server, or a request may meet a connection that the server is just
	// closing. Default 60s.
	IdleTimeout time.Duration
	// StreamBuffer is how much of an HTTP/2 response is taken from the server before
	// the client takes it, in bytes. Default Go's, 4 MiB.
	StreamBuffer int
	// Forwarded adds the X-Forwarded fields.
	Forwarded bool
	// Reserved is a response field that only processes of ours may set, in its
	// canonical form: with it an exchange is Refused, and what a server sends in it goes
	// no further unless FromPeer is set. Empty: there is none.
	Reserved string
	// FromPeer says that the other side is a process of ours, whose Reserved field counts.
	FromPeer bool
	// Replay is how much of a body is kept so that an attempt that came to nothing
	// can be made again, and ReplayBudget the room for all of them; nil is unlimited.
	// A body of which more has been sent is not sent again. Default 64 KiB.
	Replay       int
	ReplayBudget *budget.Budget
	// Suspect is told, again and again, the address of a server that has not
	// acknowledged for a second what was sent to it. With it a connection is ended,
	// and its requests fail with ErrVanished, when that lasts 5 s. It is called from
	// any goroutine. nil: only the kernel's own limits apply.
	Suspect func(addr string)
}

// replayBytes holds nearly every inference request; images and long uploads are
// beyond it and are sent once.
const replayBytes = 64 << 10

// keepAlive finds out that a server has vanished while it is waited for: nothing
// is on its way to it then whose acknowledgement could be missed.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 3 * time.Second, Count: 3}

// Forwarder forwards requests. HTTP/1.1 goes on as HTTP/1.1 and HTTP/2 as
// HTTP/2 without TLS, by prior knowledge.
//
// A request of HTTP/1.1 that is there as a whole takes the wire, all others the
// standard library's transports.
type Forwarder struct {
	wire   wire
	h1, h2 *http.Transport
	o      Options
}

// New returns a Forwarder.
func New(o Options) *Forwarder {
	if o.DialTimeout <= 0 {
		o.DialTimeout = time.Second
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 60 * time.Second
	}
	if o.Replay <= 0 {
		o.Replay = replayBytes
	}
	dial := dialer(o)
	return &Forwarder{
		wire: wire{dial: dial, idleTimeout: o.IdleTimeout},
		h1:   newTransport(o, dial, false), h2: newTransport(o, dial, true), o: o,
	}
}

// CloseIdle closes the connections that no request uses.
func (f *Forwarder) CloseIdle() {
	f.wire.closeIdle()
	f.h1.CloseIdleConnections()
	f.h2.CloseIdleConnections()
}

// dialFunc connects to a server.
type dialFunc func(ctx context.Context, addr string) (net.Conn, error)

func dialer(o Options) dialFunc {
	d := &net.Dialer{Timeout: o.DialTimeout, KeepAliveConfig: keepAlive}
	var w *watch
	if o.Suspect != nil {
		w = &watch{suspect: o.Suspect}
	}
	return func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, &dialError{err}
		}
		if w != nil {
			c = w.follow(c, addr)
		}
		return c, nil
	}
}

func newTransport(o Options, dial dialFunc, h2 bool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	return &http.Transport{
		Protocols:   &protocols,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, addr) },
		// No limit of idle connections over all hosts: their number follows the
		// requests in flight, which are bounded elsewhere.
		MaxIdleConnsPerHost:   maxIdle,
		IdleConnTimeout:       o.IdleTimeout,
		DisableCompression:    true,
		ExpectContinueTimeout: time.Second,
		// A server that has vanished without closing shows by unanswered pings.
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second,
			MaxReceiveBufferPerStream: o.StreamBuffer,
		},
	}
}

// dialError marks that no connection came about, so that no byte of the
// request can have reached anybody.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }
