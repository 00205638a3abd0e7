package server

import (
	"net"
	"net/http"
	"time"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/bodyhold"
	"github.com/rawserve/rawserve/internal/clientconn"
	"github.com/rawserve/rawserve/internal/deadline"
	"github.com/rawserve/rawserve/internal/forward"
)

// call is one request on its way through the activator.
type call struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	conn    *clientconn.Conn
	route   *route
	port    string
	plan    *plan
	target  *target
	arrived time.Time
	// deadline is when the client has given up by its own words; zero without any.
	deadline time.Time
	// shortened is how much of the time that it gives has been taken off in what is
	// passed on.
	shortened time.Duration

	grant activator.Grant
	// who is set once the request is held, waiter is its place in the queue then.
	who    activator.Who
	waiter *activator.Waiter
	// body is set once the request's body is read ahead, and bodyOf then to the client
	// whose memory it takes.
	body   *bodyhold.Body
	bodyOf *clientShare
	// exchange is set once the request is being forwarded.
	exchange *forward.Exchange
	// sent is set once the request counts as forwarded.
	sent bool
	seen sight
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, conn *clientconn.Conn, entry portEntry) {
	c := call{s: s, w: w, r: r, conn: conn, route: entry.route, port: entry.targetPort, arrived: time.Now()}
	c.seen.trace = s.tracing.begin(&c)
	code := c.serve()
	c.finish(code)
	if code == codeCut || code == codeGone {
		// Returning would send an empty 200 to a client that has closed only its side.
		panic(http.ErrAbortHandler)
	}
}

var (
	stopped = &answer.Answer{Reason: answer.Stopped, Message: "The InferenceService is stopped. Remove its stop annotation to start it."}
	deleted = &answer.Answer{Reason: answer.Stopped, Message: "The InferenceService has been deleted."}
)

// ends is when the request must be over, and whether it is the client that says so.
// Zero: there is no limit.
func (c *call) ends() (at time.Time, byClient bool) {
	if total := c.plan.timeouts.total; total > 0 {
		at = c.arrived.Add(total)
	}
	if !c.deadline.IsZero() && (at.IsZero() || c.deadline.Before(at)) {
		return c.deadline, true
	}
	return at, false
}

// Codes for requests that got no status.
const (
	codeGone = 499 // the client has hung up
	codeCut  = 599 // the response broke off
)

// serve answers the request and returns the status sent.
func (c *call) serve() int {
	if c.r.Method == http.MethodConnect {
		return c.answer(&answer.Answer{Reason: answer.BadRequest, Message: "CONNECT is not served here: send the request itself."})
	}
	if d, given := deadline.Of(c.r.Header); given {
		if d <= 0 {
			return c.answer(answer.TooLate)
		}
		c.deadline = c.arrived.Add(d)
	}
	defer c.end()
	for {
		c.plan = c.route.plan.Load()
		c.target = c.plan.pick()
		if a := c.refusal(); a != nil {
			return c.answer(a)
		}
		grant, ok := c.target.pool.TryAcquire()
		if ok {
			c.grant = grant
			break
		}
		v := c.hold(nil)
		if v.again {
			continue
		}
		if v.code != 0 {
			return v.code
		}
		break
	}
	return c.forward()
}

// refusal is the answer of a target that takes no requests.
func (c *call) refusal() *answer.Answer {
	switch {
	case c.target.spec.Load().Stopped:
		return stopped
	case c.target.dropped.Load() && c.route.deleted.Load():
		return deleted
	}
	return c.target.answer.Load()
}

func (c *call) end() {
	if c.body != nil {
		c.body.Close()
		c.bodyOf.leave()
	}
	if c.sent {
		c.route.forwarded.Leave(time.Now())
	}
}

// refusals are an agent's words that nothing has reached the server behind it.
var refusals = []string{string(answer.ServerDown), string(answer.Draining)}

// forward sends the request to the granted pod, and to others as long as the
// pods cannot be reached.
func (c *call) forward() int {
	f := c.s.agents
	if c.target.spec.Load().AgentPort == 0 {
		f = c.s.bare
	}
	x := f.Begin(c.w, c.r)
	defer x.End()
	c.exchange = x
	x.Refusals = refusals
	x.FirstByte, x.Idle, x.Cutoff = c.plan.timeouts.firstByte, c.plan.timeouts.idle, c.s.cutoff
	x.Deadline, _ = c.ends()
	for {
		if c.waiter != nil {
			past := time.Since(c.arrived)
			deadline.Shorten(c.r.Header, past-c.shortened)
			c.shortened = past
		}
		if !c.sent {
			c.sent = true
			c.route.forwarded.Enter(time.Now())
		}
		if c.body != nil {
			x.Body(c.body)
		}
		x.CloseClient = c.s.draining.Load() || c.route.deleted.Load()
		x.Connected = nil
		if c.grant.Paced() {
			x.Connected = func() { c.target.pool.Connected(&c.grant) }
		}
		pod := c.grant.Pod
		c.seen.attempt(c, pod)
		out := x.Try(net.JoinHostPort(c.grant.Addr, c.port))
		c.seen.trace.attempted(out, x.HeaderAt)
		again := out.Result == forward.Unreachable || out.Result == forward.Refused && x.Replayable()
		if !again {
			c.target.pool.Release(&c.grant)
			c.checkPod(pod, out)
			return c.conclude(out)
		}
		if c.target.pool.ConnectFailed(&c.grant) {
			c.s.ejected(c.target, pod, ejectionOf(out), out.Err)
		}
		if v := c.holdAgain(); v.code != 0 {
			return v.code
		}
	}
}

// checkPod takes a pod out whose agent says that the server behind it is away.
func (c *call) checkPod(pod string, out forward.Outcome) {
	broke := out.Code == http.StatusBadGateway && c.w.Header().Get(answer.Header) == string(answer.UpstreamUnreachable)
	if out.Result != forward.Refused && !broke {
		return
	}
	if c.target.pool.SetUnready(pod) {
		c.s.ejected(c.target, pod, ejectionOf(out), out.Err)
	}
}

// conclude answers where no response came.
func (c *call) conclude(out forward.Outcome) int {
	switch out.Result {
	case forward.Done:
		return out.Code
	case forward.ClientGone:
		return codeGone
	case forward.Cut:
		return codeCut
	case forward.TimedOut:
		if at, byClient := c.ends(); byClient && !time.Now().Before(at) {
			return c.answer(answer.TooLate)
		}
		return c.answer(&answer.Answer{Reason: answer.UpstreamTimeout, Message: "No response in the time that the route allows."})
	case forward.BadRequest:
		return c.answer(&answer.Answer{Reason: answer.BadRequest, Message: "The request's body cannot be read: " + out.Err.Error()})
	case forward.Refused:
		return c.answer(&answer.Answer{Reason: answer.ServerDown, Message: "The model server in the chosen replica is down, and the request is too long to be sent again.", RetryAfter: time.Second})
	default:
		c.s.log.Debug("request failed", "namespace", c.route.key.Namespace, "route", c.route.key.Name, "error", out.Err)
		return c.answer(&answer.Answer{Reason: answer.UpstreamUnreachable, Message: "The connection to the replica broke before it answered."})
	}
}

// answer is the activator's own answer. A body that was not read to its end
// makes the connection unusable for the next request, so it is closed.
func (c *call) answer(a *answer.Answer) int {
	if c.body != nil && !c.body.Whole() {
		c.body.Close()
		c.w.Header().Set("Connection", "close")
	}
	// Nor can anything follow a malformed body, of which nobody knows the end.
	broken := a.Reason == answer.BadRequest && c.r.ProtoMajor == 1
	if broken || c.s.draining.Load() || c.route.deleted.Load() {
		c.w.Header().Set("Connection", "close")
	}
	c.seen.reason = a.Reason
	a.Write(c.w, c.r)
	return a.Status()
}
