package server

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/durations"
)

// codeClasses are the values of the label code, which stays this short.
var codeClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx", "gone", "cut"}

// ended counts requests by the class of their status.
type ended [len(codeClasses)]atomic.Int64

func (e *ended) count(code int) { e[codeClass(code)].Add(1) }

func codeClass(code int) int {
	class := code/100 - 1
	switch {
	case code == codeGone:
		return len(codeClasses) - 2
	case code == codeCut:
		return len(codeClasses) - 1
	case class < 0 || class > 4:
		return 4
	}
	return class
}

// ejection says why a pod was taken out before its readiness told.
type ejection int

const (
	ejectedUnreachable ejection = iota // no connection to it came about
	ejectedRefused                     // its agent passed nothing on: the server is down, or the pod goes
	ejectedBroken                      // its server broke the connection before it answered
	ejectedSilent                      // it has not acknowledged for a second what was sent to it
)

// ejectionCauses are the values of the label cause.
var ejectionCauses = [...]string{"unreachable", "refused", "broken", "silent"}

func (e ejection) String() string { return ejectionCauses[e] }

// targetCounters are a target's own. They are plain counters: one and a
// histogram cost 44 ns, and all of them 0.6 KiB a target; those of Prometheus' library
// cost 73 ns and 16 KiB.
type targetCounters struct {
	ended     ended
	duration  durations.Histogram
	firstByte durations.Histogram
	queued    durations.Histogram

	retries   atomic.Int64
	ejections [len(ejectionCauses)]atomic.Int64
	started   atomic.Int64 // starts that brought a pod
	failed    atomic.Int64 // starts that were given up
	raised    atomic.Int64 // raises of the scale
	unraised  atomic.Int64 // and those that failed
}

// routeCounters are a route's.
type routeCounters struct {
	// early are the requests that were answered before a target was chosen.
	early ended
	// rejected are those that the activator answered itself.
	rejected answer.Counts
}

// holdings are the requests that a route holds now, so that one can see how long
// the oldest has waited: the histogram has only those whose wait is over.
type holdings struct {
	mu  sync.Mutex
	set map[*call]struct{}
}

func (h *holdings) add(c *call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil {
		h.set = map[*call]struct{}{}
	}
	h.set[c] = struct{}{}
}

func (h *holdings) remove(c *call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.set, c)
	if len(h.set) == 0 {
		// A map keeps the room for all it ever had.
		h.set = nil
	}
}

// oldest is when the request that has been held longest arrived; zero if none is held.
func (h *holdings) oldest() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	var oldest time.Time
	for c := range h.set {
		if oldest.IsZero() || c.arrived.Before(oldest) {
			oldest = c.arrived
		}
	}
	return oldest
}
