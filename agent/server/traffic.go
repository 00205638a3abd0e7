package server

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rawserve/rawserve/agent"
	"github.com/rawserve/rawserve/internal/inflight"
	"github.com/rawserve/rawserve/internal/strict"
)

// traffic is what is measured of the requests.
type traffic struct {
	inside    inflight.Counter
	codes     [len(codeClasses)]atomic.Int64
	malformed [len(strict.Reasons)]atomic.Int64 // connections
	duration  agent.Histogram
	firstByte agent.Histogram
	waited    agent.Histogram

	mu   sync.Mutex
	n    int
	idle time.Time // since when nobody is inside; zero while somebody is
}

// codeClasses are the values of the label code.
var codeClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx", "gone", "cut"}

// Codes for requests that got no status.
const (
	codeGone = 499
	codeCut  = 599
)

func (t *traffic) enter(now time.Time) {
	t.inside.Enter(now)
	t.mu.Lock()
	t.n++
	t.idle = time.Time{}
	t.mu.Unlock()
}

func (t *traffic) leave(code int, took time.Duration, now time.Time) {
	t.inside.Leave(now)
	t.mu.Lock()
	if t.n--; t.n == 0 {
		t.idle = now
	}
	t.mu.Unlock()
	class := code/100 - 1
	switch {
	case code == codeGone:
		class = len(codeClasses) - 2
	case code == codeCut:
		class = len(codeClasses) - 1
	case class < 0 || class > 4:
		class = 4
	}
	t.codes[class].Add(1)
	t.duration.Observe(took)
}

// idleSince is since when nobody is inside, zero while somebody is. start stands
// for the time before the first request.
func (t *traffic) idleSince(start time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 && t.idle.IsZero() {
		return start
	}
	return t.idle
}

func (t *traffic) write(w io.Writer, queued int) {
	r := t.inside.Read(time.Now())
	fmt.Fprintf(w, "# HELP rawserve_agent_requests_total Requests that ended, by the class of their status; gone: the client has hung up, cut: the response broke off.\n# TYPE rawserve_agent_requests_total counter\n")
	for i, class := range codeClasses {
		fmt.Fprintf(w, "rawserve_agent_requests_total{code=%q} %d\n", class, t.codes[i].Load())
	}
	fmt.Fprintf(w, "# HELP rawserve_agent_inflight_requests Requests in the pod, those that wait included.\n# TYPE rawserve_agent_inflight_requests gauge\nrawserve_agent_inflight_requests %d\n", r.InFlight)
	fmt.Fprintf(w, "# HELP rawserve_agent_inflight_request_seconds_total Integral of the requests in the pod over time.\n# TYPE rawserve_agent_inflight_request_seconds_total counter\nrawserve_agent_inflight_request_seconds_total %g\n", r.InFlightSeconds)
	fmt.Fprintf(w, "# HELP rawserve_agent_queued_requests Requests that wait for a slot.\n# TYPE rawserve_agent_queued_requests gauge\nrawserve_agent_queued_requests %d\n", queued)
	fmt.Fprintf(w, "# HELP rawserve_agent_malformed_total Connections ended with 400 because servers would not agree on what came in on them, by what was wrong.\n# TYPE rawserve_agent_malformed_total counter\n")
	for i, reason := range strict.Reasons {
		fmt.Fprintf(w, "rawserve_agent_malformed_total{reason=%q} %d\n", string(reason), t.malformed[i].Load())
	}
	t.duration.Write(w, "rawserve_agent_request_duration_seconds", "Time from a request's arrival in the pod to its end.")
	t.firstByte.Write(w, "rawserve_agent_first_byte_seconds", "Time from a request's arrival in the pod to the response's header.")
	t.waited.Write(w, "rawserve_agent_queue_duration_seconds", "Time that requests waited for a slot.")
}
