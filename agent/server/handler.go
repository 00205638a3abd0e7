package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/rawserve/rawserve/agent"
	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/bodyhold"
	"github.com/rawserve/rawserve/internal/clientconn"
	"github.com/rawserve/rawserve/internal/deadline"
	"github.com/rawserve/rawserve/internal/forward"
)

// A request whose turn has come waits for the rest of its body until nothing has
// come in for stall, and no longer than slowest, for it has a slot meanwhile.
// Then the rest is streamed.
const (
	stall   = 200 * time.Millisecond
	slowest = time.Second
)

// call is one request on its way through the agent.
type call struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	conn    *clientconn.Conn
	arrived time.Time
	// deadline is when the client has given up by its own words; zero without any.
	deadline time.Time
	body     *bodyhold.Body
}

// ServeHTTP forwards a request to the server's port that belongs to the one it came in on.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn := clientconn.From(r.Context())
	if conn == nil {
		panic(http.ErrAbortHandler)
	}
	c := call{s: s, w: w, r: r, conn: conn, arrived: time.Now()}
	s.traffic.enter(c.arrived)
	if r.ProtoMajor == 2 && s.draining.Load() != nil {
		s.conns.sayGoodbye(r)
	}
	code := codeCut
	defer func() {
		now := time.Now()
		s.traffic.leave(code, now.Sub(c.arrived), now)
	}()
	code = c.serve()
	switch code {
	case codeGone, codeCut:
		// A return would make an answer of nothing, an empty 200, or of half a response
		// a whole one. Who counts as gone may be there still: a client that has closed
		// its sending side looks the same.
		panic(http.ErrAbortHandler)
	}
}

func (c *call) serve() int {
	if c.r.Method == http.MethodConnect {
		return c.answer(answer.BadRequest, "CONNECT is not served here: send the request itself.")
	}
	if d, given := deadline.Of(c.r.Header); given {
		if d <= 0 {
			return c.answer(answer.TooLate.Reason, answer.TooLate.Message)
		}
		c.deadline = c.arrived.Add(d)
	}
	in, ticket := c.s.limiter.Enter()
	switch {
	case in:
	case ticket == nil:
		return c.answer(answer.QueueFull, "Too many requests wait for the model already.")
	default:
		defer c.closeBody()
		if code := c.wait(ticket); code != 0 {
			return code
		}
		deadline.Shorten(c.r.Header, time.Since(c.arrived))
	}
	defer c.s.limiter.Leave()
	return c.forward()
}

func (c *call) closeBody() {
	if c.body != nil {
		c.body.Close()
	}
}

// wait waits for the request's turn. With a code it has none, and no slot.
func (c *call) wait(ticket *agent.Ticket) int {
	var settled <-chan struct{}
	if c.r.ContentLength != 0 {
		c.body = c.startBody()
		settled = c.body.Settled()
	}
	var over <-chan time.Time
	if !c.deadline.IsZero() {
		timer := time.NewTimer(time.Until(c.deadline))
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case <-ticket.Turn:
			c.s.traffic.waited.Observe(time.Since(c.arrived))
			code := c.checkClient()
			if code != 0 {
				c.s.limiter.Leave()
			}
			return code
		case <-settled:
			settled = nil
			if err := c.body.Err(); err != nil {
				c.s.limiter.Cancel(ticket)
				return c.bodyFailed(err)
			}
		case <-c.r.Context().Done():
			c.s.limiter.Cancel(ticket)
			return codeGone
		case <-over:
			c.s.limiter.Cancel(ticket)
			return c.answer(answer.TooLate.Reason, answer.TooLate.Message)
		case <-c.s.cutoff:
			c.s.limiter.Cancel(ticket)
			return c.answer(answer.Draining, "The pod is shutting down.")
		}
	}
}

func (c *call) startBody() *bodyhold.Body {
	return bodyhold.StartRequest(c.w, c.r, bodyhold.Options{MaxMemory: bodyMemory, Memory: c.s.memory, Spool: c.s.spool})
}

// checkClient makes sure, before anything is executed for it, that the client
// is still there.
func (c *call) checkClient() int {
	if c.body != nil {
		if c.r.ProtoMajor == 1 {
			c.body.Await(c.r.Context().Done(), stall, slowest)
		}
		c.body.Release()
		if err := c.body.Err(); err != nil {
			return c.bodyFailed(err)
		}
	}
	if c.conn.Left(c.r) {
		return codeGone
	}
	return 0
}

func (c *call) bodyFailed(err error) int {
	switch {
	case errors.Is(err, bodyhold.ErrNoMemory):
		return c.answer(answer.QueueFull, "Too many bytes wait for the model already.")
	case forward.HungUp(err):
		return codeGone
	default:
		return c.answer(answer.BadRequest, "The request's body cannot be read: "+err.Error())
	}
}

func (c *call) forward() int {
	x := c.s.forward.Begin(c.w, c.r)
	defer x.End()
	if c.body != nil {
		x.Body(c.body)
	}
	if d := c.s.draining.Load(); d != nil {
		// To HTTP/2 this would be the farewell that drops what is on its way.
		x.CloseClient = c.r.ProtoMajor == 1
		if d.answered.Load() {
			// The server may end at any moment. A new connection shows that it has, before
			// the request is sent; a kept one fails after.
			c.s.forward.CloseIdle()
		}
	}
	x.Cutoff, x.Deadline = c.s.cutoff, c.deadline
	out := x.Try(c.s.upstreams[c.conn.Port])
	if !x.HeaderAt.IsZero() {
		c.s.traffic.firstByte.Observe(x.HeaderAt.Sub(c.arrived))
	}
	switch out.Result {
	case forward.Done:
		return out.Code
	case forward.ClientGone:
		return codeGone
	case forward.Cut:
		return codeCut
	case forward.TimedOut:
		return c.answer(answer.TooLate.Reason, answer.TooLate.Message)
	case forward.BadRequest:
		return c.answer(answer.BadRequest, "The request's body cannot be read: "+out.Err.Error())
	case forward.Unreachable:
		if c.s.prober != nil {
			c.s.prober.refused()
		}
		if c.s.draining.Load() != nil {
			// Kubelet has stopped it, or will.
			return c.answer(answer.Draining, "The pod is shutting down.")
		}
		return c.answer(answer.ServerDown, "The model server does not take connections.")
	default:
		c.s.log.Debug("request failed", "error", out.Err)
		return c.answer(answer.UpstreamUnreachable, "The connection to the model server broke before it answered.")
	}
}

func (c *call) answer(reason answer.Reason, message string) int {
	c.s.traffic.rejected.Add(reason)
	a := answer.Answer{Reason: reason, Message: message}
	switch reason {
	case answer.QueueFull, answer.ServerDown, answer.Draining:
		// Nothing has reached the server. A second later another pod, or this one, may
		// take the request.
		a.RetryAfter = time.Second
	}
	cut := c.body != nil && !c.body.Whole()
	if cut {
		c.body.Close()
	}
	// Over HTTP/2 what is not read concerns only its stream. Of a malformed body nobody
	// knows the end, so nothing can follow it.
	broken := reason == answer.BadRequest
	if c.r.ProtoMajor == 1 && (cut || broken || c.s.draining.Load() != nil) {
		c.w.Header().Set("Connection", "close")
	}
	a.Write(c.w, c.r)
	return a.Status()
}
