package autoscaler

import (
	"math"
	"time"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// Observation is what is known of one target at one moment.
type Observation struct {
	// Now is the time of the decision.
	Now time.Time
	// Unknown says why the target could not be read; then nothing is decided about
	// its replicas. Empty when Replicas and Ready hold.
	Unknown string
	// Replicas is the number asked of the target at present.
	Replicas int32
	// Ready is the number of ready replicas that are to stay.
	Ready int32
	// Trouble says why replicas do not become ready, as far as their pods tell.
	Trouble string
	// Unreachable is true when the route leads to other revisions only.
	Unreachable bool
	// Readings has the present value of each signal. One that is missing is absent.
	Readings []Reading
	// Waiting is the number of requests that activators hold.
	Waiting Waiting
	// Path is the state of the route; ignored by policies without one.
	Path Path
}

// Reading is the present value of a signal.
type Reading struct {
	// Metric is the signal.
	Metric v1alpha1.MetricName
	// State says whether Value may be used: Fresh and Partial may.
	State v1alpha1.SignalState
	// Value is the sum over all replicas: a mean over the time before At.
	Value float64
	// At is when the value was measured.
	At time.Time
	// Over is the time that the value is a mean of.
	Over time.Duration
	// Why says why a signal is not Fresh.
	Why string
}

// Waiting is the number of requests that activators hold for the target.
type Waiting struct {
	// Known is false while an activator has not reported.
	Known bool
	// Requests is the number.
	Requests float64
	// Why says why it is not known.
	Why string
}

// Path is what has been asked and reached of a route.
type Path struct {
	// Wanted is the mode in the route's specification. Empty means Direct.
	Wanted v1alpha1.PathMode
	// Mode and Confirmed are those of the route's status.
	Mode      v1alpha1.PathMode
	Confirmed bool
	// Split is true when weights divide the requests between revisions, which only
	// activators can do.
	Split bool
}

// throughActivators reports whether every new request reaches an activator or a
// pod, whichever of the two is left.
func (p Path) throughActivators() bool {
	return p.Confirmed && (p.Mode == v1alpha1.PathActivator || p.Mode == v1alpha1.PathActivatorOnly)
}

// cleaned returns the observation without counts that make no sense.
func (o Observation) cleaned() Observation {
	o.Ready = max(0, o.Ready)
	if n := o.Waiting.Requests; o.Waiting.Known && !(n >= 0 && n <= math.MaxInt32) {
		o.Waiting = Waiting{Why: "its value makes no sense"}
	}
	return o
}

// Decision is what is to be done, and why.
type Decision struct {
	// Replicas is the number to ask of the target; nil leaves it as it is.
	Replicas *int32
	// Path is the mode to ask of the route; empty without a route.
	Path v1alpha1.PathMode
	// PathMessage says why, in a sentence.
	PathMessage string
	// Reason is the decision in one word.
	Reason Reason
	// Message is the decision in a sentence.
	Message string
	// Because lists every rule that moved the number, in order.
	Because []v1alpha1.RuleTrace
	// Signals are the values that the decision was based on.
	Signals []Signal
	// Burst is true in burst mode.
	Burst bool
	// NextLook is when to decide again, if nothing changes before.
	NextLook time.Duration
}

// Signal is a reading with its averages.
type Signal struct {
	// Name of the signal.
	Name v1alpha1.MetricName
	// State says whether it could be used.
	State v1alpha1.SignalState
	// Why says why it is not Fresh.
	Why string
	// HasData is false when nothing is known; Stable, Burst and Wanted are then zero.
	HasData bool
	// Stable and Burst are the averages over the two windows.
	Stable, Burst float64
	// Target is the value per replica aimed for; 0 for a signal that is watched only.
	Target float64
	// Wanted is the number of replicas that this signal alone asks for.
	Wanted int32
}
