package store

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrOutOfOrder is returned for a reading that is not newer than the one known.
	ErrOutOfOrder = errors.New("reading is not newer than the one before it")
	// ErrTooSoon is returned for a reading less than MinInterval after the one known.
	ErrTooSoon = errors.New("reading follows too soon after the one before it")
	// ErrUnknown is returned for a reading of a pod that the store does not know, or
	// knows as another pod of the same name.
	ErrUnknown = errors.New("no such pod")
)

// stamp is when a reading was made: on its maker's clock, from which intervals
// are computed, and on ours, by which it grows old. The two are never compared,
// so a node whose clock is off by an hour is read like any other.
type stamp struct {
	startedAt, now int64
	at             time.Time
}

// fresh says whether a reading stamped so may be used. Also one from the future
// is, by less than MaxAge: a query may carry a time taken just before.
func (s stamp) fresh(now time.Time) bool {
	if s.at.IsZero() {
		return false
	}
	age := now.Sub(s.at)
	return age <= MaxAge && age >= -MaxAge
}

// step says how a reading continues what was known.
type step struct {
	// sinceStart: the counters are compared with 0 at startedAt, not with the last reading.
	sinceStart bool
	// window is the interval to compute a mean over; 0 means that the reading can
	// only serve as the start of the next interval.
	window time.Duration
}

// follow compares the stamps of two readings in a row; the first may be zero.
//
// A process that started within MaxInterval needs no earlier reading: its
// counters were 0 at startedAt. So the first reading of a pod that has just come
// up already yields a mean, and a scale-up from zero is seen a second sooner.
func follow(last, next stamp) (step, error) {
	known := !last.at.IsZero()
	quiet := known && next.at.Sub(last.at) > MaxAge
	if !known || next.startedAt != last.startedAt {
		if known && next.startedAt < last.startedAt && !quiet {
			return step{}, ErrOutOfOrder // from the process before the restart
		}
		if age := time.Duration(next.now - next.startedAt); age >= MinInterval && age <= MaxInterval {
			return step{sinceStart: true, window: age}, nil
		}
		return step{}, nil
	}
	window := time.Duration(next.now - last.now)
	switch {
	case window == 0: // the same answer again: its maker hangs, let it grow old
		return step{}, ErrOutOfOrder
	case window < 0 && quiet: // its clock was set back; after MaxAge believe it
		return step{}, nil
	case window < 0:
		return step{}, ErrOutOfOrder
	case window < MinInterval:
		return step{}, ErrTooSoon
	case window > MaxInterval, next.at.Sub(last.at) > MaxInterval:
		return step{}, nil
	}
	return step{window: window}, nil
}

// rate is the mean of an integral and of a counter over a window. A zero window
// means that there is none.
type rate struct {
	concurrency float64
	perSecond   float64
	window      time.Duration
}

// mean divides what was added by the window. Counters that run backwards
// although their process is the same give no rate, and neither do absurd ones.
//
//	inflightSeconds 12.5 → 14.5 and requests 100 → 103 in 1 s: 2 concurrent, 3 per second
func mean(area, count float64, window time.Duration) (rate, error) {
	if area < 0 || count < 0 {
		return rate{}, errors.New("counters run backwards")
	}
	r := rate{concurrency: area / window.Seconds(), perSecond: count / window.Seconds(), window: window}
	if r.concurrency > MaxConcurrency {
		return rate{}, fmt.Errorf("mean concurrency of %g is more than %g", r.concurrency, float64(MaxConcurrency))
	}
	if r.perSecond > MaxRate {
		return rate{}, fmt.Errorf("%g requests per second are more than %g", r.perSecond, float64(MaxRate))
	}
	return r, nil
}

// agentTrack is what is known of one agent: its last reading and the rate up to it.
type agentTrack struct {
	stamp stamp
	last  AgentReading
	rate  rate
}

// next returns the track after a reading. On an error the track that is returned
// is the one to keep.
func (t agentTrack) next(r AgentReading, at time.Time) (agentTrack, error) {
	if err := r.Validate(); err != nil {
		return t, err
	}
	n := agentTrack{stamp: stamp{startedAt: r.StartedAt, now: r.Now, at: at}, last: r}
	st, err := follow(t.stamp, n.stamp)
	if err != nil {
		return t, err
	}
	if st.window == 0 {
		return n, nil
	}
	var from AgentReading
	if !st.sinceStart {
		from = t.last
	}
	n.rate, err = mean(r.InflightSeconds-from.InflightSeconds, float64(r.Requests-from.Requests), st.window)
	return n, err
}

// routeTrack is one route of an activator's track.
type routeTrack struct {
	last RouteReading
	rate rate
}

// activatorTrack is what is known of one activator. It is replaced, never changed.
type activatorTrack struct {
	stamp  stamp
	window time.Duration
	routes map[Key]routeTrack
}

// next returns the track after a reading. On an error the track that is returned
// is the one to keep. A route that the reading before did not have began at 0.
func (t activatorTrack) next(r ActivatorReading, at time.Time) (activatorTrack, error) {
	if err := r.Validate(); err != nil {
		return t, err
	}
	n := activatorTrack{stamp: stamp{startedAt: r.StartedAt, now: r.Now, at: at}}
	st, err := follow(t.stamp, n.stamp)
	if err != nil {
		return t, err
	}
	n.window = st.window
	n.routes = make(map[Key]routeTrack, len(r.Routes))
	var odd error
	for _, route := range r.Routes {
		track := routeTrack{last: route}
		if st.window > 0 {
			var from RouteReading
			if !st.sinceStart {
				from = t.routes[Key{route.Namespace, route.Name}].last
			}
			if track.rate, err = held(from, route, st.window); err != nil {
				odd = fmt.Errorf("route %s/%s: %w", route.Namespace, route.Name, err)
			}
		}
		n.routes[Key{route.Namespace, route.Name}] = track
	}
	return n, odd
}

// held is the mean waiting, and the rate of requests that arrived and that no
// agent has counted since: forwarded ones are counted by the pod's agent,
// abandoned ones are nobody's demand.
//
// A route that was deleted and made again counts from 0 again; its counters are
// then taken as they are.
func held(from, to RouteReading, window time.Duration) (rate, error) {
	if to.Arrivals < from.Arrivals || to.WaitingSeconds < from.WaitingSeconds {
		from = RouteReading{}
	}
	gone := max(0, to.Forwarded-from.Forwarded) + max(0, to.Abandoned-from.Abandoned)
	return mean(to.WaitingSeconds-from.WaitingSeconds, float64(max(0, to.Arrivals-from.Arrivals-gone)), window)
}
