package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"sync"
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
	// Refused: a process of ours before the server said that it passed nothing on.
	// Nothing was sent to the client; the exchange may be tried again if Replayable.
	Refused
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
	errIdle      = errors.New("no byte of the response moved for too long")
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
	// Refusals are the values of the Reserved field that mean Refused.
	Refusals []string
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
	body    *source
	// wired: the last attempt took the wire.
	wired bool
}

// Begin prepares the forwarding of r. It changes r's header in place, so that r
// is of no other use afterwards.
func (f *Forwarder) Begin(w http.ResponseWriter, r *http.Request) *Exchange {
	x := &Exchange{f: f, w: w, in: r, upgrade: prepareRequest(r, f.o.Forwarded)}
	x.out = *r
	x.url = *r.URL
	x.url.Scheme = "http"
	x.out.URL = &x.url
	x.out.RequestURI = ""
	x.out.Close = false
	if r.ContentLength != 0 {
		x.body = newSource(r.Body, r.ProtoMajor == 2, f.o.Replay, f.o.ReplayBudget)
	}
	return x
}

// Body replaces the request's body by one of the same content, read already. It
// is called before the first Try that could read the body.
func (x *Exchange) Body(src io.Reader) {
	if x.body == nil || x.body.r == src {
		return
	}
	x.body = newSource(src, x.in.ProtoMajor == 2, x.f.o.Replay, x.f.o.ReplayBudget)
	// Reading it has told the client to go on.
	delete(x.in.Header, "Expect")
}

// BodyRead reports whether the client's whole body has been read.
func (x *Exchange) BodyRead() bool { return x.body == nil || x.body.whole() }

// Untouched reports whether nobody has read the client's body yet.
func (x *Exchange) Untouched() bool { return x.body == nil || x.body.untouched() }

// Replayable reports whether another attempt can send the whole body.
func (x *Exchange) Replayable() bool { return x.body == nil || x.body.replayable() }

// End gives back what the exchange holds. The handler calls it last.
func (x *Exchange) End() {
	if x.body != nil {
		x.body.end()
	}
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
	if x.refused(res) {
		res.Body.Close()
		return Outcome{Result: Refused, Code: res.StatusCode, Err: fmt.Errorf("%s: %s", x.f.o.Reserved, res.Header.Get(x.f.o.Reserved))}
	}
	if !x.f.o.FromPeer && x.f.o.Reserved != "" {
		delete(res.Header, x.f.o.Reserved)
	}
	x.HeaderAt = time.Now()
	if x.wired {
		// Nobody will send it again, and a response may take long.
		x.body.settle()
	}
	upgraded := res.StatusCode == http.StatusSwitchingProtocols
	limits.headerIn(upgraded)
	if upgraded {
		return x.join(ctx, res)
	}
	defer res.Body.Close()
	return x.relay(ctx, res, limits)
}

func (x *Exchange) refused(res *http.Response) bool {
	if !x.f.o.FromPeer {
		return false
	}
	values := res.Header[x.f.o.Reserved]
	return len(values) == 1 && slices.Contains(x.Refusals, values[0])
}

func (x *Exchange) roundTrip(ctx context.Context, addr string) (*http.Response, error) {
	x.url.Host = addr
	var body []byte
	if body, x.wired = x.whole(); x.wired {
		return x.sendWhole(ctx, addr, body)
	}
	if x.body != nil {
		if err := x.body.failure(); err != nil {
			return nil, err
		}
	}
	out := &x.out
	ctx, hinted := x.trace(ctx)
	defer hinted()
	if ctx != x.in.Context() {
		out = x.out.WithContext(ctx)
	}
	out.Body, out.GetBody = nil, nil
	if x.body != nil {
		body := x.body.attempt()
		if body == nil {
			return nil, errAttemptOver
		}
		// With it the transport itself repeats what a server provably has not
		// looked at: a stream after a GOAWAY, a connection that was closed unused.
		out.Body, out.GetBody = body, x.getBody
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

// trace has a transport say when it has a connection, and pass on informational
// responses until the function that it returns is called.
func (x *Exchange) trace(ctx context.Context) (context.Context, func()) {
	if x.Connected == nil && x.in.ProtoMajor == 2 {
		return ctx, func() {} // gRPC has no informational responses
	}
	trace := &httptrace.ClientTrace{}
	if x.Connected != nil {
		trace.GotConn = func(httptrace.GotConnInfo) { x.Connected() }
	}
	var mu sync.Mutex
	over := false
	trace.Got1xxResponse = func(code int, header textproto.MIMEHeader) error {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			x.inform(code, http.Header(header))
		}
		return nil
	}
	return httptrace.WithClientTrace(ctx, trace), func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
	}
}

func (x *Exchange) getBody() (io.ReadCloser, error) {
	if body := x.body.attempt(); body != nil {
		return body, nil
	}
	return nil, errAttemptOver
}

// unblock ends a read of the client that nobody waits for any more.
func (x *Exchange) unblock() {
	if !x.BodyRead() && x.in.ProtoMajor == 1 {
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Unix(1, 0))
	}
}

// giveUp prepares an answer that is not the server's. Go's server reads an unread
// body to its end before it answers, and would hang on a client that has stalled.
func (x *Exchange) giveUp() {
	if !x.BodyRead() && x.in.ProtoMajor == 1 {
		x.unblock()
		x.w.Header()["Connection"] = closeConn
	}
}

// judge says what a failed attempt means.
func (x *Exchange) judge(ctx context.Context, err error) Outcome {
	if cause := context.Cause(ctx); errors.Is(cause, errFirstByte) || errors.Is(cause, errTotal) {
		x.giveUp()
		return Outcome{Result: TimedOut, Err: cause}
	}
	if x.in.Context().Err() != nil {
		return Outcome{Result: ClientGone, Err: err}
	}
	if x.body != nil {
		if bodyErr := x.body.failure(); bodyErr != nil {
			if HungUp(bodyErr) {
				return Outcome{Result: ClientGone, Err: bodyErr}
			}
			return Outcome{Result: BadRequest, Err: bodyErr}
		}
	}
	var dial *dialError
	if errors.As(err, &dial) && x.Replayable() {
		return Outcome{Result: Unreachable, Err: err}
	}
	x.giveUp()
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
