package autoscaler

// Reason is a decision in one word.
type Reason string

// The reasons of decisions. The one of a decision is that of the last rule that
// had something to say.
const (
	// ReasonSteady: the replicas carry the demand.
	ReasonSteady Reason = "Steady"
	// ReasonDemandRose: demand asks for more replicas.
	ReasonDemandRose Reason = "DemandRose"
	// ReasonDemandFell: demand asks for fewer replicas.
	ReasonDemandFell Reason = "DemandFell"
	// ReasonAtZero: nothing runs and nothing is asked for.
	ReasonAtZero Reason = "AtZero"
	// ReasonNoData: a signal has no usable data, so nothing shrinks.
	ReasonNoData Reason = "NoData"
	// ReasonPartialData: a signal has data from some pods only, so nothing shrinks.
	ReasonPartialData Reason = "PartialData"
	// ReasonNoHistory: the stable window is not known yet, so nothing shrinks.
	ReasonNoHistory Reason = "NoHistory"
	// ReasonBurst: demand jumped; replicas follow the short window and do not shrink.
	ReasonBurst Reason = "Burst"
	// ReasonRecentDemand: the short window still needs what the stable one does not.
	ReasonRecentDemand Reason = "RecentDemand"
	// ReasonScaleUpLimited: maxScaleUpRate bounds the step.
	ReasonScaleUpLimited Reason = "ScaleUpLimited"
	// ReasonScaleDownLimited: maxScaleDownRate bounds the step.
	ReasonScaleDownLimited Reason = "ScaleDownLimited"
	// ReasonScaleDownDelayed: demand has not been lower for scaleDownDelay.
	ReasonScaleDownDelayed Reason = "ScaleDownDelayed"
	// ReasonActivating: requests wait and nothing ran.
	ReasonActivating Reason = "Activating"
	// ReasonActivationReplicas: activationReplicas is the smallest number but zero.
	ReasonActivationReplicas Reason = "ActivationReplicas"
	// ReasonStarting: the first replica has not become ready yet.
	ReasonStarting Reason = "Starting"
	// ReasonStartFailed: no replica became ready within progressDeadline.
	ReasonStartFailed Reason = "StartFailed"
	// ReasonInitialReplicas: initialReplicas holds until the target was ready once.
	ReasonInitialReplicas Reason = "InitialReplicas"
	// ReasonMinReplicas: minReplicas bounds the number.
	ReasonMinReplicas Reason = "MinReplicas"
	// ReasonMaxReplicas: maxReplicas bounds the number.
	ReasonMaxReplicas Reason = "MaxReplicas"
	// ReasonRequestsWaiting: requests wait for a replica, so the last one stays.
	ReasonRequestsWaiting Reason = "RequestsWaiting"
	// ReasonIdle: nothing to serve, but not for long enough to go to zero.
	ReasonIdle Reason = "Idle"
	// ReasonRetained: scaleToZeroPodRetentionPeriod keeps the last replica.
	ReasonRetained Reason = "Retained"
	// ReasonSwitchingPath: the last replica may go once activators take the requests.
	ReasonSwitchingPath Reason = "SwitchingPath"
	// ReasonPathUnconfirmed: that took longer than scaleToZeroGracePeriod.
	ReasonPathUnconfirmed Reason = "PathUnconfirmed"
	// ReasonScaledToZero: the last replica goes now.
	ReasonScaledToZero Reason = "ScaledToZero"
	// ReasonPaused: the policy is paused.
	ReasonPaused Reason = "Paused"
	// ReasonTargetUnknown: the scale target could not be read.
	ReasonTargetUnknown Reason = "TargetUnknown"
)
