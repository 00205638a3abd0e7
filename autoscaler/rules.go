package autoscaler

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// rule is one step of a decision.
type rule struct {
	// name appears in the decision's list of rules that moved the number.
	name string
	// apply takes the wanted number so far and may move it.
	apply func(*evaluation) verdict
}

// rules is the decision, in order. First what demand asks for, then how fast it
// may be followed, then what must not shrink yet, then the bounds, and last the
// way to zero, which is the only one that can lose a request and so has the last
// word.
var rules = []rule{
	{"demand", demand},
	{"missing-data", missingData},
	{"burst", burst},
	{"recent-demand", recentDemand},
	{"scale-up-rate", scaleUpRate},
	{"burst-hold", burstHold},
	{"scale-down-rate", scaleDownRate},
	{"activation", activation},
	{"scale-down-delay", scaleDownDelay},
	{"history", history},
	{"scale-down-pause", scaleDownPause},
	{"starting", starting},
	{"initial", initial},
	{"min", lowerBound},
	{"max", upperBound},
	{"start-failed", startFailed},
	{"zero", zero},
}

// Rules are the names of the rules in the order in which they are applied.
func Rules() []string {
	names := make([]string, len(rules))
	for i := range rules {
		names[i] = rules[i].name
	}
	return names
}

// demand wants the largest number over all signals that can be used:
// ceil(average over the stable window ÷ aim).
func demand(e *evaluation) verdict {
	var lead *Signal
	for i := range e.signals {
		if s := &e.signals[i]; s.HasData && (lead == nil || s.Wanted > lead.Wanted) {
			lead = s
		}
	}
	switch {
	case lead == nil:
		return verdict{}
	case lead.Wanted == 0 && e.current == 0:
		return verdict{0, ReasonAtZero, "Nothing runs and no request arrives; activators hold the next one and start a replica for it."}
	}
	reason := ReasonSteady
	if lead.Wanted > e.current {
		reason = ReasonDemandRose
	} else if lead.Wanted < e.current {
		reason = ReasonDemandFell
	}
	return verdict{lead.Wanted, reason, fmt.Sprintf("%s is %s on average over %s; at %s per replica that is %s.",
		title(lead.Name), number(lead.Stable), span(e.policy.StableWindow), number(lead.Target), replicas(lead.Wanted))}
}

// missingData keeps what is there while a signal is not known in full: absent is
// not zero.
func missingData(e *evaluation) verdict {
	var poor *Signal
	usable := 0
	for i := range e.signals {
		s := &e.signals[i]
		if s.HasData {
			usable++
		}
		if s.State != v1alpha1.SignalFresh && (poor == nil || poor.HasData) {
			poor = s
		}
	}
	if poor == nil || (e.want >= e.current && usable > 0) {
		return verdict{}
	}
	if poor.HasData {
		return verdict{e.current, ReasonPartialData, fmt.Sprintf("%s has data from some pods only (%s); %s, and fewer only once all report.",
			title(poor.Name), poor.Why, stay(e.current))}
	}
	return verdict{e.current, ReasonNoData, fmt.Sprintf("%s has no usable data (%s); %s until it has.", title(poor.Name), poor.Why, stay(e.current))}
}

// scaleUpRate bounds a step up: ceil(rate × ready), at rate 1.1 and 2 ready 3.
// Replicas asked for before stay asked for.
func scaleUpRate(e *evaluation) verdict {
	limit := max(e.current, bounded(math.Ceil(e.policy.UpRate*float64(max(1, e.seen.Ready))-1e-9)))
	if e.want <= limit {
		return verdict{}
	}
	return verdict{limit, ReasonScaleUpLimited, fmt.Sprintf("%s wanted, but maxScaleUpRate %s allows %d beside %d ready.",
		replicas(e.want), number(e.policy.UpRate), limit, e.seen.Ready)}
}

// scaleDownRate bounds a step down: floor(ready ÷ rate), at rate 2 and 5 ready
// replicas 2. What is not ready carries nothing and may go with the step. A revision
// that no request can reach may go at once.
func scaleDownRate(e *evaluation) verdict {
	limit := min(e.current, int32(math.Floor(float64(max(1, e.seen.Ready))/e.policy.DownRate+1e-9)))
	if e.want >= limit || e.seen.Unreachable {
		return verdict{}
	}
	return verdict{limit, ReasonScaleDownLimited, fmt.Sprintf("%s wanted, but maxScaleDownRate %s allows no fewer than %d with %d ready.",
		replicas(e.want), number(e.policy.DownRate), limit, e.seen.Ready)}
}

// activation starts a target that requests wait for, and lets demand have no fewer
// replicas than activationReplicas. Where nothing is demanded the steps of the way
// to zero pass below them.
func activation(e *evaluation) verdict {
	least := e.policy.Activation
	switch {
	case e.current == 0 && e.waiting() && e.want < least:
		return verdict{least, ReasonActivating, fmt.Sprintf("%s held by activators while nothing runs: %s to start.",
			waitingWords(e.seen.Waiting.Requests), replicas(least))}
	case e.want > 0 && e.want < least && e.demanded():
		return verdict{least, ReasonActivationReplicas, fmt.Sprintf("Demand asks for %d, and activationReplicas for no fewer than %d.", e.want, least)}
	}
	return verdict{}
}

// demanded reports whether any signal asks for a replica.
func (e *evaluation) demanded() bool {
	return slices.ContainsFunc(e.signals, func(s Signal) bool { return s.HasData && s.Wanted > 0 })
}

// scaleDownDelay wants the largest number that was wanted within the delay, as far
// as it is there already.
func scaleDownDelay(e *evaluation) verdict {
	delay := e.policy.DownDelay
	if delay == 0 || e.seen.Unreachable {
		e.next.Delayed = nil
		return verdict{}
	}
	if len(e.next.Delayed) == 0 && e.current > 0 {
		// A new leader or a new delay: what was wanted before is not known, so what
		// is there counts as wanted now.
		e.next.Delayed = []Wanted{{At: instant(e.now), Replicas: e.current}}
	}
	kept := e.next.Delayed[:0]
	for _, w := range e.next.Delayed {
		if w.At.before(e.now) < delay && w.Replicas > e.want {
			kept = append(kept, w)
		}
	}
	e.next.Delayed = append(kept, Wanted{At: instant(e.now), Replicas: e.want})
	first := e.next.Delayed[0]
	hold := min(first.Replicas, e.current)
	if hold <= e.want {
		return verdict{}
	}
	return verdict{hold, ReasonScaleDownDelayed, fmt.Sprintf("%s wanted, but %s ago it was %d: fewer once demand is lower for scaleDownDelay %s.",
		replicas(e.want), span(first.At.before(e.now)), first.Replicas, span(delay))}
}

// history keeps what is there until the stable window is known without gaps, so
// that a new leader, or a start, is not judged by its first seconds.
func history(e *evaluation) verdict {
	if e.want >= e.current {
		return verdict{}
	}
	for i := range e.signals {
		s := &e.signals[i]
		if !s.HasData || windowKnown(e.next.window(s.Name, e.policy.StableWindow), e.policy.StableWindow) {
			continue
		}
		return verdict{e.current, ReasonNoHistory, fmt.Sprintf("%s is not known for the whole of the last %s yet; %s until then.",
			title(s.Name), span(e.policy.StableWindow), stay(e.current))}
	}
	return verdict{}
}

// downPause is the time between two steps down: Knative's tick of 2 s, less what
// one of ours may come early.
const downPause = 1900 * time.Millisecond

// scaleDownPause gives the down rate its time: it bounds one step, and our own
// write of that step would ask for the next one at once.
func scaleDownPause(e *evaluation) verdict {
	if e.want >= e.current || e.seen.Unreachable || e.next.SteppedDown == 0 || e.next.SteppedDown.before(e.now) >= downPause {
		return verdict{}
	}
	return verdict{e.current, ReasonScaleDownLimited, fmt.Sprintf("%s wanted; the next step down may follow %s after the last.", replicas(e.want), span(downPause))}
}

// starting keeps what was started from zero until it is ready or the progress
// deadline has passed: a long load must not be cut off because demand looks away.
func starting(e *evaluation) verdict {
	if e.current == 0 || e.seen.Ready > 0 || e.startFailed() {
		return verdict{}
	}
	floor := max(1, min(e.current, e.policy.Activation))
	if e.want > e.current {
		return verdict{}
	}
	return verdict{max(floor, e.want), ReasonStarting, fmt.Sprintf("%s starting for %s, none ready yet%s; given up after %s.",
		replicas(e.current), span(e.next.NoneReadySince.before(e.now)), because(e.seen.Trouble), span(e.policy.ProgressDeadline))}
}

// initial is the floor of a target that was never ready.
func initial(e *evaluation) verdict {
	if e.startFailed() {
		e.next.Initialized = true
	}
	if e.next.Initialized || e.want >= e.policy.Initial {
		return verdict{}
	}
	return verdict{e.policy.Initial, ReasonInitialReplicas, fmt.Sprintf("The target has not been ready yet; initialReplicas asks for %s until it was.", replicas(e.policy.Initial))}
}

func lowerBound(e *evaluation) verdict {
	if e.want >= e.policy.Min || e.seen.Unreachable && e.policy.HasRoute {
		return verdict{}
	}
	return verdict{e.policy.Min, ReasonMinReplicas, fmt.Sprintf("%s wanted, and minReplicas is %d.", replicas(e.want), e.policy.Min)}
}

func upperBound(e *evaluation) verdict {
	if e.policy.Max == 0 || e.want <= e.policy.Max {
		return verdict{}
	}
	return verdict{e.policy.Max, ReasonMaxReplicas, fmt.Sprintf("%s wanted, and maxReplicas is %d; raise it to serve more at a time.", replicas(e.want), e.policy.Max)}
}

func bounded(n float64) int32 { return int32(min(n, math.MaxInt32)) }
