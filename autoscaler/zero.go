package autoscaler

import (
	"fmt"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// startFailed gives a start up that has brought nothing within the progress
// deadline, and keeps the target at zero until what waited has had its answer.
func startFailed(e *evaluation) verdict {
	switch {
	case e.startFailed() && !e.mayBeZero():
		return verdict{e.want, ReasonStartFailed, fmt.Sprintf("No replica is ready since %s%s; %s because minReplicas is %d.",
			span(e.next.NoneReadySince.before(e.now)), because(e.seen.Trouble), stay(e.want), e.policy.Min)}
	case e.startFailed():
		e.next.GaveUp, e.next.GaveUpWhy, e.next.Retry = instant(e.now), e.seen.Trouble, false
		return verdict{0, ReasonStartFailed, fmt.Sprintf("No replica became ready within %s%s; held requests are answered with that, and the next one starts a new attempt.",
			span(e.policy.ProgressDeadline), because(e.seen.Trouble))}
	case e.next.GaveUp == 0 || e.current > 0 || !e.mayBeZero():
	case !e.next.Retry:
		return verdict{0, ReasonStartFailed, fmt.Sprintf("The last start was given up at %s%s; the next one waits until the requests of then are answered.",
			e.next.GaveUp.clock(), because(e.next.GaveUpWhy))}
	case e.want == 0:
		return verdict{0, ReasonStartFailed, fmt.Sprintf("Nothing runs: the last start was given up at %s, because no replica became ready within %s%s. The next request starts a new attempt.",
			e.next.GaveUp.clock(), span(e.policy.ProgressDeadline), because(e.next.GaveUpWhy))}
	}
	return verdict{}
}

// zero lets the last replica go only when nothing can be lost by it. Its
// conditions are asked in order, and the first that fails keeps the replica.
func zero(e *evaluation) verdict {
	if e.want > 0 || e.current == 0 || e.reason == ReasonStartFailed {
		e.next.PathAsked = 0
		return verdict{}
	}
	for _, condition := range zeroConditions {
		reason, message := condition(e)
		if message == "" {
			continue
		}
		if !e.toZero {
			e.next.PathAsked = 0
		}
		return verdict{max(1, min(e.current, e.policy.Activation)), reason, message}
	}
	return verdict{0, ReasonScaledToZero, fmt.Sprintf("Nothing to serve for %s and activators take the next request: the last replica goes.",
		span(e.next.IdleSince.before(e.now)))}
}

// zeroConditions are what stands between the last replica and zero. A condition
// that holds says nothing.
var zeroConditions = []func(*evaluation) (Reason, string){
	nothingWaits, nothingStarts, idleLongEnough, retained, pathSwitched,
}

func nothingWaits(e *evaluation) (Reason, string) {
	switch {
	case !e.seen.Waiting.Known:
		return ReasonNoData, fmt.Sprintf("Whether requests wait is not known (%s); the last replica stays until it is.", orUnknown(e.seen.Waiting.Why))
	case e.waiting():
		return ReasonRequestsWaiting, waitingWords(e.seen.Waiting.Requests) + " held by activators; the last replica stays."
	}
	return "", ""
}

func nothingStarts(e *evaluation) (Reason, string) {
	since := e.next.StartingSince.before(e.now)
	if e.current <= e.seen.Ready || since >= e.policy.ProgressDeadline {
		return "", ""
	}
	return ReasonStarting, fmt.Sprintf("%d of %s starting for %s; it may go once it is ready.", e.current-e.seen.Ready, replicas(e.current), span(since))
}

// idleLongEnough looks at the concurrency also where replicas follow the request
// rate: a stream of an hour is one request, and the rate behind it zero.
func idleLongEnough(e *evaluation) (Reason, string) {
	idle := e.next.IdleSince.before(e.now)
	over := e.policy.StableWindow
	switch {
	case e.watched.State != v1alpha1.SignalFresh:
		return ReasonNoData, fmt.Sprintf("Whether requests are in progress is not known (concurrency: %s); the last replica stays until it is.", orUnknown(e.watched.Why))
	case e.next.IdleSince == 0:
		return ReasonIdle, "A request is in progress; the last replica stays."
	case idle < over || !windowKnown(e.next.window(v1alpha1.MetricConcurrency, over), over):
		return ReasonIdle, fmt.Sprintf("Nothing to serve for %s; the last replica stays until it is %s without a gap in the data.", span(idle), span(over))
	}
	return "", ""
}

// retained counts from the moment at which the target became inactive, as in
// Knative: when the stable window had passed without anything to serve.
func retained(e *evaluation) (Reason, string) {
	idle, until := e.next.IdleSince.before(e.now), e.policy.StableWindow+e.policy.Retention
	if idle >= until || e.policy.Retention == 0 || e.seen.Unreachable {
		return "", ""
	}
	return ReasonRetained, fmt.Sprintf("Nothing to serve for %s; scaleToZeroPodRetentionPeriod keeps the last replica for %s after the stable window of %s.",
		span(idle), span(e.policy.Retention), span(e.policy.StableWindow))
}

// pathSwitched asks for the path through the activators and waits until it is
// confirmed. It never goes on without: a request that found neither replica nor
// activator would be lost, and a replica too long only costs.
func pathSwitched(e *evaluation) (Reason, string) {
	if e.seen.Unreachable {
		return "", ""
	}
	e.toZero = true
	if e.seen.Path.throughActivators() {
		return "", ""
	}
	if e.next.PathAsked == 0 {
		e.next.PathAsked = instant(e.now)
	}
	if waited := e.next.PathAsked.before(e.now); waited >= e.policy.ZeroGrace {
		return ReasonPathUnconfirmed, fmt.Sprintf("Activators have not confirmed the route for %s, longer than scaleToZeroGracePeriod %s; the last replica stays. Check that activators are ready.",
			span(waited), span(e.policy.ZeroGrace))
	}
	return ReasonSwitchingPath, "Nothing to serve; the last replica goes once activators have confirmed the route."
}
