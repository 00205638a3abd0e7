package server

import (
	"net/http"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/forward"
)

// sight is what a request leaves behind for those who look at it afterwards:
// metrics, the access log, traces.
type sight struct {
	// reason is that of the activator's own answer, empty without one.
	reason answer.Reason
	// pod is the last that the request was sent to, attempts how many it was.
	pod      string
	attempts int
	// holds is how often the request was held, queued for how long in all.
	holds  int
	queued time.Duration
	// trace is set where the request is traced.
	trace *callTrace
}

// attempt notes that the request goes to a pod.
func (v *sight) attempt(c *call, pod string) {
	v.pod = pod
	if v.attempts++; v.attempts > 1 {
		c.target.counters.retries.Add(1)
	}
	v.trace.attempt(c, pod)
}

// beginHold notes that the request begins to be held; what it returns, that it ends.
func (c *call) beginHold() func() {
	begun := time.Now()
	c.route.holdings.add(c)
	return func() {
		c.route.holdings.remove(c)
		c.seen.holds++
		c.seen.queued += time.Since(begun)
		c.seen.trace.held(c.target, begun)
	}
}

// finish counts a request that has ended.
func (c *call) finish(code int) {
	took := time.Since(c.arrived)
	c.s.access.note(c, code, took)
	c.seen.trace.finish(c, code)
	if c.seen.reason != "" {
		c.route.counters.rejected.Add(c.seen.reason)
	}
	if c.target == nil {
		c.route.counters.early.count(code)
		return
	}
	k := &c.target.counters
	k.ended.count(c.meaning(code))
	k.duration.Observe(took)
	if c.seen.holds > 0 {
		k.queued.Observe(c.seen.queued)
	}
	if at := c.headerAt(); !at.IsZero() {
		k.firstByte.Observe(at.Sub(c.arrived))
	}
}

// headerAt is when the pod's response began; zero without one.
func (c *call) headerAt() time.Time {
	if c.exchange == nil {
		return time.Time{}
	}
	return c.exchange.HeaderAt
}

// meaning is the status that a response is counted as. In gRPC each has 200, and
// says in a trailer what came of it: a model that fails every call must not look
// like one that serves.
func (c *call) meaning(code int) int {
	if code != http.StatusOK {
		return code
	}
	if status, ok := c.grpcStatus(); ok {
		return grpcMeaning(status)
	}
	return code
}

// grpcStatus is the status of gRPC that the client got, and whether it got one.
func (c *call) grpcStatus() (int, bool) {
	if !answer.IsGRPC(c.r) {
		return 0, false
	}
	h := c.w.Header()
	text := h["Grpc-Status"]
	if len(text) == 0 {
		text = h[http.TrailerPrefix+"Grpc-Status"]
	}
	if len(text) == 0 {
		return 0, false
	}
	status, err := strconv.Atoi(text[0])
	if err != nil {
		status = -1
	}
	return status, true
}

// grpcMeaning puts a status of gRPC into one of HTTP's classes. Those that are the
// server's fault are the ones that OpenTelemetry's conventions call its errors.
func grpcMeaning(status int) int {
	switch status {
	case 0: // OK
		return http.StatusOK
	case 2, 4, 12, 13, 14, 15: // Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable, DataLoss
		return http.StatusInternalServerError
	default:
		if status > 16 || status < 0 {
			return http.StatusInternalServerError
		}
		return http.StatusBadRequest
	}
}

func ejectionOf(out forward.Outcome) ejection {
	switch out.Result {
	case forward.Unreachable:
		return ejectedUnreachable
	case forward.Refused:
		return ejectedRefused
	default:
		return ejectedBroken
	}
}

// ejected notes that a pod was taken out, and has it asked when it is back.
func (s *Server) ejected(t *target, pod string, cause ejection, err error) {
	t.counters.ejections[cause].Add(1)
	e := Ejection{At: time.Now(), Revision: t.revision, Pod: pod, Cause: cause.String()}
	if err != nil {
		e.Error = err.Error()
	}
	t.route.ejections.add(e)
	s.log.Info("pod taken out", "namespace", t.route.key.Namespace, "route", t.route.key.Name, "pod", pod, "cause", e.Cause, "error", err)
	s.probeAgain(t, pod)
}

// routeLimits keep one route from using up what is logged and traced of all.
type routeLimits struct {
	errors, parents *rate.Limiter
}

func (s *Server) newRouteLimits() routeLimits {
	return routeLimits{
		errors:  perSecond(s.config.AccessLog.ErrorsPerSecond * routeErrors),
		parents: perSecond(s.config.Tracing.ParentsPerSecond),
	}
}
