package server

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/durations"
	"github.com/rawserve/rawserve/internal/inflight"
	"github.com/rawserve/rawserve/internal/strict"
)

// traffic is what is measured of the requests.
type traffic struct {
	inside    inflight.Counter
	codes     [len(codeClasses)]atomic.Int64
	malformed [len(strict.Reasons)]atomic.Int64 // connections
	duration  durations.Histogram
	firstByte durations.Histogram
	waited    durations.Histogram
	rejected  answer.Counts

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
