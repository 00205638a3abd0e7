package autoscaler

import "fmt"

// burst starts, extends and ends burst mode, in which the short window counts too.
//
// It starts as in Knative when the demand over the burst window asks for threshold
// times the ready replicas: with 1 ready, aim 10 and threshold 2 above a demand of
// 10, which asks for 2. It ends when that has not been so for a stable window.
// Replicas that are starting are not asked for twice by it: the wanted number is
// that of the demand, however many there are.
func burst(e *evaluation) verdict {
	ready := max(1, e.seen.Ready)
	var lead *Signal
	over := false
	for i := range e.signals {
		s := &e.signals[i]
		if !s.HasData {
			continue
		}
		if float64(replicasFor(s.Burst, s.Target)) >= e.policy.BurstThreshold*float64(ready)-1e-9 {
			over = true
		}
		if lead == nil || replicasFor(s.Burst, s.Target) > replicasFor(lead.Burst, lead.Target) {
			lead = s
		}
	}
	switch b := e.next.Burst; {
	case over && b == nil:
		e.next.Burst = &Burst{Last: instant(e.now)}
	case over:
		b.Last = instant(e.now)
	case b != nil && b.Last.before(e.now) >= e.policy.StableWindow:
		e.next.Burst = nil
	}
	if e.next.Burst == nil || lead == nil {
		return verdict{}
	}
	want := replicasFor(lead.Burst, lead.Target)
	if want <= e.want {
		return verdict{}
	}
	return verdict{want, ReasonBurst, fmt.Sprintf("Burst: %s is %s on average over %s, %.0f%% of what %s at %s each.",
		lead.Name, number(lead.Burst), span(e.policy.BurstWindow), 100*lead.Burst/(float64(ready)*lead.Target), carries(ready), number(lead.Target))}
}

// recentDemand lets replicas shrink only as far as the burst window agrees: the
// stable one lags behind demand that rose a moment ago, and what it gave away
// would be asked for again at once.
func recentDemand(e *evaluation) verdict {
	if e.want >= e.current {
		return verdict{}
	}
	var lead *Signal
	for i := range e.signals {
		if s := &e.signals[i]; s.HasData && (lead == nil || replicasFor(s.Burst, s.Target) > replicasFor(lead.Burst, lead.Target)) {
			lead = s
		}
	}
	if lead == nil {
		return verdict{}
	}
	keep := min(e.current, replicasFor(lead.Burst, lead.Target))
	if keep <= e.want {
		return verdict{}
	}
	return verdict{keep, ReasonRecentDemand, fmt.Sprintf("%s is %s on average over %s, more than over %s; %s.",
		title(lead.Name), number(lead.Burst), span(e.policy.BurstWindow), span(e.policy.StableWindow), stay(keep))}
}

// burstHold keeps the largest number of a burst until it is over.
func burstHold(e *evaluation) verdict {
	b := e.next.Burst
	if b == nil {
		return verdict{}
	}
	b.Peak = max(b.Peak, e.want, e.current)
	if e.want >= b.Peak {
		return verdict{}
	}
	return verdict{b.Peak, ReasonBurst, fmt.Sprintf("Burst mode keeps %s until demand has been below the threshold for %s; the last time it was not is %s ago.",
		replicas(b.Peak), span(e.policy.StableWindow), span(b.Last.before(e.now)))}
}
