package autoscaler

import (
	"math"
	"time"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler/window"
)

// How long after a decision the next one is due if nothing changes before.
const (
	lookSoon = time.Second
	lookRest = 10 * time.Second
)

// Decide says how many replicas there are to be, which path requests take, and
// why. It returns the state for the next decision and changes none of its
// arguments. Equal arguments give equal results.
func Decide(policy Policy, state State, observation Observation) (Decision, State) {
	e := &evaluation{
		policy:  policy,
		now:     observation.Now,
		seen:    observation.cleaned(),
		next:    state.clone(),
		current: max(0, observation.Replicas),
		want:    max(0, observation.Replicas),
	}
	e.observe()
	switch {
	case observation.Unknown != "":
		e.leave = true
		e.say(ReasonTargetUnknown, "The scale target could not be read: "+observation.Unknown+".")
	case policy.Paused:
		e.leave = true
		e.say(ReasonPaused, "The policy is paused: "+replicas(e.current)+" stay as they are. Set paused to false to go on.")
	default:
		for i := range rules {
			e.pass(&rules[i])
		}
		if e.want < e.current {
			e.next.SteppedDown = instant(e.now)
		}
		if e.want == 0 && e.current == 0 {
			e.next.forget()
		}
	}
	return e.decision(), e.next
}

// evaluation is one decision in the making.
type evaluation struct {
	policy Policy
	now    time.Time
	seen   Observation
	next   State

	signals []Signal
	// watched is the concurrency, which decides about idleness and the path also
	// where no replicas are asked for by it.
	watched Signal

	current int32
	want    int32
	leave   bool
	reason  Reason
	message string
	because []v1alpha1.RuleTrace
	// toZero is true when only the path is between the last replica and zero.
	toZero bool
}

// verdict is what a rule makes of the wanted number. One without a message has
// nothing to say and moves nothing.
type verdict struct {
	to      int32
	reason  Reason
	message string
}

func (e *evaluation) pass(r *rule) {
	v := r.apply(e)
	if v.message == "" {
		return
	}
	if v.to != e.want {
		e.because = append(e.because, v1alpha1.RuleTrace{Rule: r.name, From: e.want, To: v.to, Message: v.message})
	}
	e.want = v.to
	e.say(v.reason, v.message)
}

func (e *evaluation) say(reason Reason, message string) { e.reason, e.message = reason, message }

// observe brings the state up to the observation: windows, idleness, start-up.
func (e *evaluation) observe() {
	e.next.keepWindows(e.policy)
	e.signals = make([]Signal, 0, len(e.policy.Metrics)+1)
	watched := false
	for _, m := range e.policy.Metrics {
		s := e.signal(m)
		e.signals = append(e.signals, s)
		if m.Name == v1alpha1.MetricConcurrency {
			e.watched, watched = s, true
		}
	}
	if !watched {
		e.watched = e.signal(Metric{Name: v1alpha1.MetricConcurrency})
	}
	e.observeIdleness()
	if e.seen.Unknown == "" {
		e.observeStart()
	}
}

// signal records the present reading and averages what is known.
func (e *evaluation) signal(m Metric) Signal {
	s := Signal{Name: m.Name, State: v1alpha1.SignalAbsent, Why: "no reading", Target: m.Aim}
	w := e.next.window(m.Name, e.policy.StableWindow)
	for _, r := range e.seen.Readings {
		if r.Metric != m.Name {
			continue
		}
		s.State, s.Why = r.State, r.Why
		if !s.usable() {
			break
		}
		if !(r.Value >= 0) || math.IsInf(r.Value, 1) || r.At.Unix() <= 0 {
			s.State, s.Why = v1alpha1.SignalAbsent, "its value or time makes no sense"
			break
		}
		s.HasData = true
		// Seconds in which nothing ran and nothing was asked for say nothing about
		// the demand of the start to come; they would only dilute it.
		if r.Value == 0 && e.current == 0 && e.seen.Unknown == "" {
			w.Reset()
			break
		}
		at := r.At
		if at.After(e.now) {
			at = e.now
		}
		w.Record(at, r.Over, r.Value)
		s.Stable, _ = w.Average(e.policy.StableWindow)
		s.Burst, _ = w.Average(e.policy.BurstWindow)
		s.Wanted = replicasFor(s.Stable, m.Aim)
		break
	}
	return s
}

func (s Signal) usable() bool {
	return s.State == v1alpha1.SignalFresh || s.State == v1alpha1.SignalPartial
}

// replicasFor is the number of replicas that carry the demand: 14 at 7 each is 2.
func replicasFor(demand, aim float64) int32 {
	if aim <= 0 || demand <= 0 {
		return 0
	}
	// 0.7 × 3 is 2.0999999999999996: without the slack 2.1 would ask for 2.
	n := max(1, math.Ceil(demand/aim-1e-9))
	return int32(min(n, math.MaxInt32))
}

// observeIdleness counts from the first ready replica on: a start that nobody
// asked for any more is idle once it could have served.
func (e *evaluation) observeIdleness() {
	known := e.watched.State == v1alpha1.SignalFresh && e.seen.Waiting.Known && e.seen.Ready > 0
	if !known || e.reading(v1alpha1.MetricConcurrency) > 0 || e.waiting() {
		e.next.IdleSince = 0
	} else if e.next.IdleSince == 0 {
		e.next.IdleSince = instant(e.now)
	}
}

func (e *evaluation) observeStart() {
	switch {
	case e.current == 0 || e.seen.Ready >= e.current:
		e.next.StartingSince = 0
	case e.next.StartingSince == 0:
		e.next.StartingSince = instant(e.now)
	}
	switch {
	case e.current == 0 || e.seen.Ready > 0:
		e.next.NoneReadySince = 0
	case e.next.NoneReadySince == 0:
		e.next.NoneReadySince = instant(e.now)
	}
	floor := e.policy.Initial
	if e.policy.Max > 0 {
		floor = min(floor, e.policy.Max)
	}
	if e.seen.Ready >= floor {
		e.next.Initialized = true
	}
	// After a start that was given up the target rests at zero until the requests
	// that waited for it have had their answer; a pause later a request that waits
	// is worth another try. Somebody else may start it at any time.
	quiet := e.seen.Waiting.Known && !e.waiting()
	switch {
	case e.next.GaveUp == 0:
	case e.seen.Ready > 0 || e.current > 0 && !e.startFailed():
		e.next.GaveUp, e.next.GaveUpWhy, e.next.Retry = 0, "", false
	case quiet || e.next.GaveUp.before(e.now) >= max(e.policy.StableWindow, 30*time.Second):
		e.next.Retry = true
	}
}

// reading is the present value of a signal that can be used.
func (e *evaluation) reading(name v1alpha1.MetricName) float64 {
	for _, r := range e.seen.Readings {
		if r.Metric == name {
			return r.Value
		}
	}
	return 0
}

func (e *evaluation) waiting() bool { return e.seen.Waiting.Known && e.seen.Waiting.Requests > 0 }

// mayBeZero reports whether the bounds allow no replica at all.
func (e *evaluation) mayBeZero() bool {
	return e.policy.HasRoute && (e.policy.Min == 0 || e.seen.Unreachable)
}

// startFailed reports whether nothing has been ready for the progress deadline.
// Replicas that never start beside one that serves are no failed start.
func (e *evaluation) startFailed() bool {
	return e.next.NoneReadySince.before(e.now) >= e.policy.ProgressDeadline
}

// windowKnown reports whether the signal's stable window has no gap that demand
// could hide in: 3 seconds, or a quarter of a short window.
func windowKnown(w *window.Window, over time.Duration) bool {
	return w.LongestGap(over) <= min(3*time.Second, over/4)
}

func (e *evaluation) decision() Decision {
	d := Decision{
		Reason:   e.reason,
		Message:  e.message,
		Because:  e.because,
		Signals:  e.signals,
		Burst:    e.next.Burst != nil,
		NextLook: lookSoon,
	}
	if !e.leave {
		want := e.want
		d.Replicas = &want
	}
	if resting := e.want == 0 && e.current == 0 && e.seen.Waiting.Known && !e.waiting(); resting || e.policy.Paused {
		d.NextLook = lookRest
	}
	d.Path, d.PathMessage = e.path()
	return d
}
