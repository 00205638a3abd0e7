package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"
)

// Result says how far an attempt came.
type Result int

const (
	// Done: the server's response went to the client.
	Done Result = iota
	// Unreachable: no connection to the server came about. Nothing was sent to
	// anybody; the exchange may be tried again.
	Unreachable
	// Failed: the connection broke before a response. Nothing was sent to the client.
	Failed
	// TimedOut: no response within the time given. Nothing was sent to the client.
	TimedOut
	// BadRequest: the client's body is malformed. Nothing was sent to the client.
	BadRequest
	// ClientGone: the client has hung up.
	ClientGone
	// Cut: the response broke off after its header had gone to the client. The
	// handler must panic with http.ErrAbortHandler so that the client can tell.
	Cut
)

var (
	errFirstByte = errors.New("the server sent no response in time")
	errIdle      = errors.New("the server paused for too long in its response")
	errTotal     = errors.New("the request took too long")
)

// Outcome is the end of an attempt.
type Outcome struct {
	// Result says how far it came.
	Result Result
	// Code is the status sent to the client, 0 without one.
	Code int
	// Err is the cause unless Result is Done.
	Err error
}

// Exchange is one request on its way. Its exported fields are set before Try.
type Exchange struct {
	// FirstByte is the longest time from an attempt's start to the response's header. 0: no limit.
	FirstByte time.Duration
	// Idle is the longest pause within the response. 0: no limit.
	Idle time.Duration
	// Deadline is when the whole exchange must be over. Zero: no limit.
	Deadline time.Time
	// CloseClient ends the client's connection with the response.
	CloseClient bool
	// Connected is called once an attempt has its connection. May be nil.
	Connected func()
	// Cutoff, when closed, ends upgraded connections, which a server's shutdown
	// does not know of. May be nil.
	Cutoff <-chan struct{}

	// HeaderAt is when the last attempt's response began; zero before. Try sets it.
	HeaderAt time.Time

	f       *Forwarder
	w       http.ResponseWriter
	in      *http.Request
	upgrade string
	out     http.Request
	url     url.URL
	body    body
}

// Begin prepares the forwarding of r. It changes r's header in place, so that r
// is of no other use afterwards.
func (f *Forwarder) Begin(w http.ResponseWriter, r *http.Request) *Exchange {
	x := &Exchange{f: f, w: w, in: r, upgrade: prepareRequest(r, f.forwarded)}
	x.out = *r
	x.url = *r.URL
	x.url.Scheme = "http"
	x.out.URL = &x.url
	x.out.RequestURI = ""
	x.out.Close = false
	x.body.src = r.Body
	return x
}

// Body replaces the request's body by one of the same content, read already.
func (x *Exchange) Body(src io.Reader) {
	x.body.src = src
	// Reading it has told the client to go on.
	delete(x.in.Header, "Expect")
}

// BodyRead reports whether the client's whole body has been read.
func (x *Exchange) BodyRead() bool {
	return x.in.ContentLength == 0 || x.body.eof.Load()
}

// Try sends the request to addr, a host with its port, and the response to the client.
func (x *Exchange) Try(addr string) Outcome {
	ctx := x.in.Context()
	var limits *limits
	if x.FirstByte > 0 || x.Idle > 0 || !x.Deadline.IsZero() {
		limits = x.limit(ctx)
		defer limits.end()
		ctx = limits.ctx
	}
	res, err := x.roundTrip(ctx, addr)
	if err != nil {
		return x.judge(ctx, err)
	}
	x.HeaderAt = time.Now()
	upgraded := res.StatusCode == http.StatusSwitchingProtocols
	limits.headerIn(upgraded)
	if upgraded {
		return x.join(ctx, res)
	}
	defer res.Body.Close()
	if x.in.ProtoMajor == 2 {
		// A response may end before its request: a stream that is refused. Over HTTP/2
		// its Close waits until no more of the request is being sent.
		defer x.body.end()
	}
	return x.relay(ctx, res, limits)
}

func (x *Exchange) roundTrip(ctx context.Context, addr string) (*http.Response, error) {
	x.url.Host = addr
	out := &x.out
	if x.Connected != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { x.Connected() }})
	}
	if ctx != x.in.Context() {
		out = x.out.WithContext(ctx)
	}
	switch {
	case x.in.ContentLength == 0:
		out.Body = nil
	default:
		out.Body = &x.body
	}
	if x.in.ProtoMajor == 2 {
		return x.f.h2.RoundTrip(out)
	}
	if x.in.ContentLength < 0 {
		// A body of unknown length may be one half of a conversation: without this
		// Go's server reads it to its end before it sends the first byte back.
		_ = http.NewResponseController(x.w).EnableFullDuplex()
	}
	return x.f.h1.RoundTrip(out)
}

// judge says what a failed attempt means.
func (x *Exchange) judge(ctx context.Context, err error) Outcome {
	if cause := context.Cause(ctx); errors.Is(cause, errFirstByte) || errors.Is(cause, errTotal) {
		return Outcome{Result: TimedOut, Err: cause}
	}
	if x.in.Context().Err() != nil {
		return Outcome{Result: ClientGone, Err: err}
	}
	if bodyErr := x.body.failure(); bodyErr != nil {
		if HungUp(bodyErr) {
			return Outcome{Result: ClientGone, Err: bodyErr}
		}
		return Outcome{Result: BadRequest, Err: bodyErr}
	}
	var dial *dialError
	if errors.As(err, &dial) {
		return Outcome{Result: Unreachable, Err: err}
	}
	return Outcome{Result: Failed, Err: err}
}

// HungUp reports whether an error from reading a client's body means that the
// connection ended, as opposed to a body that is malformed.
func HungUp(err error) bool {
	var netErr net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, context.Canceled) || errors.As(err, &netErr) || isStreamReset(err)
}

// body is the outgoing request's body. Closing it leaves the client's alone,
// because a failed attempt closes its body and the next one still needs it.
type body struct {
	src io.Reader
	eof atomic.Bool
	err atomic.Pointer[error]
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.eof.Store(true)
	default:
		b.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (b *body) Close() error { return nil }

// end makes a Read that waits for the client return: nothing more is to be sent.
func (b *body) end() {
	switch src := b.src.(type) {
	case io.Closer:
		_ = src.Close()
	case interface{ Close() }:
		src.Close()
	}
}

func (b *body) failure() error {
	if p := b.err.Load(); p != nil {
		return *p
	}
	return nil
}
