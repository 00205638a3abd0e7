package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Scaler says between which bounds and by which signals the replicas of one
// Deployment follow demand, and reports each decision with its reasons.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=scl
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.scaleTargetRef.name`
// +kubebuilder:printcolumn:name="Min",type=integer,JSONPath=`.spec.minReplicas`
// +kubebuilder:printcolumn:name="Max",type=integer,JSONPath=`.spec.maxReplicas`
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.desiredReplicas`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.status.path`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Scaler struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the policy.
	Spec ScalerSpec `json:"spec"`
	// Status is the latest decision.
	// +optional
	Status ScalerStatus `json:"status,omitempty"`
}

// ScalerList is a list of Scalers.
//
// +kubebuilder:object:root=true
type ScalerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Scaler `json:"items"`
}

// ScaleTargetRef names the object whose /scale is written.
type ScaleTargetRef struct {
	// APIVersion of the target. Only apps/v1 is supported.
	// +kubebuilder:default="apps/v1"
	// +kubebuilder:validation:Enum=apps/v1
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the target. Only Deployment is supported.
	// +kubebuilder:default=Deployment
	// +kubebuilder:validation:Enum=Deployment
	// +optional
	Kind string `json:"kind,omitempty"`
	// Name of the target, in the Scaler's namespace.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// MetricName names a signal.
//
// +kubebuilder:validation:Enum=concurrency;rps
type MetricName string

const (
	// MetricConcurrency is the time-weighted number of requests in the pods and
	// waiting for them. Default target 100.
	MetricConcurrency MetricName = "concurrency"
	// MetricRPS is the rate of arriving requests per second. Default target 200.
	MetricRPS MetricName = "rps"
)

// ScalerMetric is one signal and the value of it that one replica is to carry.
//
// The rules on quantities look at the exponent first: rules run beside the pattern
// that refuses a long one, and quantity('1e2147483647') keeps the API server busy
// until the request times out.
type ScalerMetric struct {
	// Name of the signal.
	Name MetricName `json:"name"`
	// Target is the value per replica that counts as full. Default 100 for
	// concurrency, 200 for rps; at least 0.01.
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 1000000000 : !self.matches('[eE][+-]?[0-9]{4}') && !quantity(self).isLessThan(quantity('10m')) && !quantity(self).isGreaterThan(quantity('1G'))",message="must be at least 0.01 and at most 1e9"
	// +optional
	Target *resource.Quantity `json:"target,omitempty"`
	// TargetUtilizationPercentage is the share of Target to aim for. Default 70.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	TargetUtilizationPercentage *int32 `json:"targetUtilizationPercentage,omitempty"`
}

// ScalerSpec is a scaling policy. The names and defaults are those of Knative's
// autoscaler, with burst in place of panic. The ranges are the autoscaler's own: a
// test compares the two.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.maxReplicas) || self.maxReplicas == 0 || self.minReplicas <= self.maxReplicas",message="minReplicas must not be above maxReplicas; lower minReplicas or raise maxReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.activationReplicas) || !has(self.maxReplicas) || self.maxReplicas == 0 || self.activationReplicas <= self.maxReplicas",message="activationReplicas must not be above maxReplicas; lower activationReplicas or raise maxReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || self.minReplicas > 0 || has(self.routeName) && self.routeName.size() > 0",message="minReplicas 0 needs routeName, because something has to hold requests while no replica runs"
type ScalerSpec struct {
	// ScaleTargetRef is the Deployment to scale.
	ScaleTargetRef ScaleTargetRef `json:"scaleTargetRef"`
	// RouteName is the InferenceRoute that carries the target's requests. Needed for zero.
	// +kubebuilder:validation:MinLength=1
	// +optional
	RouteName string `json:"routeName,omitempty"`
	// MinReplicas is the lower bound. Default 1; 0 lets the target go to zero.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// MaxReplicas is the upper bound. 0, the default, means none.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MaxReplicas int32 `json:"maxReplicas,omitempty"`
	// InitialReplicas is the floor until the target was ready for the first time. Default 1.
	// +kubebuilder:validation:Minimum=0
	// +optional
	InitialReplicas *int32 `json:"initialReplicas,omitempty"`
	// ActivationReplicas is the smallest number of replicas other than zero. Default 1.
	// +kubebuilder:validation:Minimum=1
	// +optional
	ActivationReplicas *int32 `json:"activationReplicas,omitempty"`
	// Metrics are the signals, at most one of each; the largest wanted scale wins.
	// Default: concurrency.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=2
	// +optional
	Metrics []ScalerMetric `json:"metrics,omitempty"`
	// ContainerConcurrency is the hard limit of requests in one pod. A concurrency
	// target is never above it. 0, the default, means none.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ContainerConcurrency int64 `json:"containerConcurrency,omitempty"`
	// StableWindow is the time over which demand is averaged. Default 60s, 6s to 1h.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('6s') && duration(self) <= duration('1h') && duration(self).getMilliseconds() % 1000 == 0",message="must be whole seconds from 6s to 1h"
	// +optional
	StableWindow *metav1.Duration `json:"stableWindow,omitempty"`
	// BurstWindowPercentage is the burst window as a share of the stable one. Default 10.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	BurstWindowPercentage *int32 `json:"burstWindowPercentage,omitempty"`
	// BurstThresholdPercentage is the number of replicas that the demand over the burst
	// window asks for, as a share of those that are ready (at least 1), at which burst
	// mode starts. Default 200, 110 to 1000.
	// +kubebuilder:validation:Minimum=110
	// +kubebuilder:validation:Maximum=1000
	// +optional
	BurstThresholdPercentage *int32 `json:"burstThresholdPercentage,omitempty"`
	// MaxScaleUpRate is the largest factor by which replicas grow in one decision. Default 1000, above 1.
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self > 1 && self <= 1000000000 : !self.matches('[eE][+-]?[0-9]{4}') && quantity(self).isGreaterThan(quantity('1')) && !quantity(self).isGreaterThan(quantity('1G'))",message="must be above 1, for example 2 to double or halve at most, and at most 1e9"
	// +optional
	MaxScaleUpRate *resource.Quantity `json:"maxScaleUpRate,omitempty"`
	// MaxScaleDownRate is the largest factor by which replicas shrink in one step, from
	// those that are ready; steps are two seconds apart. Default 2, above 1.
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self > 1 && self <= 1000000000 : !self.matches('[eE][+-]?[0-9]{4}') && quantity(self).isGreaterThan(quantity('1')) && !quantity(self).isGreaterThan(quantity('1G'))",message="must be above 1, for example 2 to double or halve at most, and at most 1e9"
	// +optional
	MaxScaleDownRate *resource.Quantity `json:"maxScaleDownRate,omitempty"`
	// ScaleDownDelay is how long demand must stay lower before replicas shrink. Default 0s, at most 1h.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h') && duration(self).getMilliseconds() % 1000 == 0",message="must be whole seconds from 0s to 1h"
	// +optional
	ScaleDownDelay *metav1.Duration `json:"scaleDownDelay,omitempty"`
	// ScaleToZeroGracePeriod is how long the path through the activators may take to
	// be confirmed before the reason becomes PathUnconfirmed. The last replica stays
	// until it is confirmed, however long that takes. Default 30s, 1s to 1h.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h') && duration(self).getMilliseconds() % 1000 == 0",message="must be whole seconds from 1s to 1h"
	// +optional
	ScaleToZeroGracePeriod *metav1.Duration `json:"scaleToZeroGracePeriod,omitempty"`
	// ScaleToZeroPodRetentionPeriod is how long the last replica stays once the stable
	// window has passed without demand. Default 0s, at most 1h.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h') && duration(self).getMilliseconds() % 1000 == 0",message="must be whole seconds from 0s to 1h"
	// +optional
	ScaleToZeroPodRetentionPeriod *metav1.Duration `json:"scaleToZeroPodRetentionPeriod,omitempty"`
	// TargetBurstCapacity is the number of requests beyond present demand that the ready
	// replicas must be able to take for the path to be direct; below it, requests go
	// through the activators only. A replica takes its concurrency target, but no more
	// than ContainerConcurrency; where replicas follow rps alone, all of it is in requests
	// per second. -1 means always through the activators, 0 never but at zero.
	// Default: one replica's ContainerConcurrency where that is set, each taking as much;
	// 0 otherwise.
	// +kubebuilder:validation:Minimum=-1
	// +optional
	TargetBurstCapacity *int64 `json:"targetBurstCapacity,omitempty"`
	// ProgressDeadline is how long a start from zero may take before it is given up. Default 10m, 1s to 24h.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h') && duration(self).getMilliseconds() % 1000 == 0",message="must be whole seconds from 1s to 24h"
	// +optional
	ProgressDeadline *metav1.Duration `json:"progressDeadline,omitempty"`
	// Paused keeps the replicas as they are.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// ScalerStatus is the latest decision and what it was based on.
type ScalerStatus struct {
	// ObservedGeneration is the generation of the policy that was used.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// DesiredReplicas is the number of replicas decided on. Absent before the first decision.
	// +optional
	DesiredReplicas *int32 `json:"desiredReplicas,omitempty"`
	// CurrentReplicas is the number of replicas asked of the target when the decision was made.
	// +optional
	CurrentReplicas int32 `json:"currentReplicas,omitempty"`
	// ReadyReplicas is the number of ready replicas when the decision was made.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`
	// Path is the path decided on.
	// +optional
	Path PathMode `json:"path,omitempty"`
	// Reason is the decision in one CamelCase word.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message is the decision in a sentence.
	// +optional
	Message string `json:"message,omitempty"`
	// Because lists every rule that moved the number, in order.
	// +listType=atomic
	// +optional
	Because []RuleTrace `json:"because,omitempty"`
	// Signals are the values that the decision was based on.
	// +listType=map
	// +listMapKey=name
	// +optional
	Signals []SignalStatus `json:"signals,omitempty"`
	// LastScaleTime is when the replicas were last changed by this Scaler.
	// +optional
	LastScaleTime *metav1.Time `json:"lastScaleTime,omitempty"`
	// State is what a new leader needs to go on, as JSON. Not for users.
	// +optional
	State string `json:"state,omitempty"`
	// Conditions are the latest observations: Active (requests are served or will be
	// at once), AbleToScale (target found and writable), SignalsFresh.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RuleTrace is one rule that moved the wanted number of replicas.
type RuleTrace struct {
	// Rule is the rule's name.
	Rule string `json:"rule"`
	// From is the number before the rule.
	From int32 `json:"from"`
	// To is the number after the rule.
	To int32 `json:"to"`
	// Message is the rule in a sentence, with its numbers.
	// +optional
	Message string `json:"message,omitempty"`
}

// SignalState says whether a signal could be used.
//
// +kubebuilder:validation:Enum=Fresh;Partial;Stale;Absent
type SignalState string

const (
	// SignalFresh is a signal with current data from every pod.
	SignalFresh SignalState = "Fresh"
	// SignalPartial is a signal with current data from some pods only.
	SignalPartial SignalState = "Partial"
	// SignalStale is a signal whose data is too old to be used.
	SignalStale SignalState = "Stale"
	// SignalAbsent is a signal without data.
	SignalAbsent SignalState = "Absent"
)

// SignalStatus is one signal as the decision saw it.
type SignalStatus struct {
	// Name of the signal.
	Name string `json:"name"`
	// State says whether it could be used.
	State SignalState `json:"state"`
	// Stable is the average over the stable window, absent without data.
	// +optional
	Stable *resource.Quantity `json:"stable,omitempty"`
	// Burst is the average over the burst window, absent without data.
	// +optional
	Burst *resource.Quantity `json:"burst,omitempty"`
	// Target is the value per replica aimed for.
	// +optional
	Target *resource.Quantity `json:"target,omitempty"`
	// Wanted is the number of replicas that this signal alone asks for.
	// +optional
	Wanted *int32 `json:"wanted,omitempty"`
}
