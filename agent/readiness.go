package agent

import "time"

// Reply is what came of asking the server once.
type Reply int

const (
	// Refused: nothing listens there.
	Refused Reply = iota
	// Unready: something listens, and it is not ready.
	Unready
	// Ready: the server says that it is ready.
	Ready
)

// Readiness follows the replies of one server. The zero value is a server that
// never was ready.
type Readiness struct {
	// Ready is whether requests may come.
	Ready bool
	// Since is when Ready last changed, or the first reply came.
	Since time.Time

	run int // replies in a row that speak against Ready
}

// Next returns the state after a reply. As with kubelet it takes as many in a
// row as the thresholds say, but a refused connection is believed at once: a
// server that does not listen serves nobody.
func (r Readiness) Next(p *Probe, reply Reply, now time.Time) Readiness {
	if r.Since.IsZero() {
		r.Since = now
	}
	if (reply == Ready) == r.Ready {
		r.run = 0
		return r
	}
	r.run++
	threshold := p.SuccessThreshold
	if r.Ready {
		threshold = p.FailureThreshold
		if reply == Refused {
			threshold = 1
		}
	}
	if r.run < threshold {
		return r
	}
	return Readiness{Ready: !r.Ready, Since: now}
}

// Pause is the time until the next question. A server that is ready is asked at
// the probe's own period. One that is not is asked every few milliseconds,
// because requests wait for it; less often once it answers, for then each
// question is work for a server that is busy loading.
func (r Readiness) Pause(p *Probe, reply Reply, now time.Time) time.Duration {
	waited := now.Sub(r.Since)
	switch {
	case r.Ready && r.run > 0:
		return min(p.Period(), time.Second)
	case r.Ready:
		return p.Period()
	case reply == Refused && waited < time.Minute:
		return 3 * time.Millisecond
	case waited < 10*time.Second:
		return 5 * time.Millisecond
	default:
		return 20 * time.Millisecond
	}
}
