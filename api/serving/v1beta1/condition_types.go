package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionType names a condition.
type ConditionType string

// Conditions of an InferenceService. Ready follows PredictorReady and IngressReady.
const (
	// ConditionReady is true when the service can be used.
	ConditionReady ConditionType = "Ready"
	// ConditionPredictorReady is true when the predictor serves.
	ConditionPredictorReady ConditionType = "PredictorReady"
	// ConditionTransformerReady is true when the transformer serves.
	ConditionTransformerReady ConditionType = "TransformerReady"
	// ConditionExplainerReady is true when the explainer serves.
	ConditionExplainerReady ConditionType = "ExplainerReady"
	// ConditionIngressReady is true when the service is reached from outside, or is not to be.
	ConditionIngressReady ConditionType = "IngressReady"
	// ConditionPredictorConfigurationReady is true when the predictor's latest revision is ready.
	ConditionPredictorConfigurationReady ConditionType = "PredictorConfigurationReady"
	// ConditionTransformerConfigurationReady is true when the transformer's latest revision is ready.
	ConditionTransformerConfigurationReady ConditionType = "TransformerConfigurationReady"
	// ConditionExplainerConfigurationReady is true when the explainer's latest revision is ready.
	ConditionExplainerConfigurationReady ConditionType = "ExplainerConfigurationReady"
	// ConditionPredictorRouteReady is true when the predictor's route is in force.
	ConditionPredictorRouteReady ConditionType = "PredictorRouteReady"
	// ConditionTransformerRouteReady is true when the transformer's route is in force.
	ConditionTransformerRouteReady ConditionType = "TransformerRouteReady"
	// ConditionExplainerRouteReady is true when the explainer's route is in force.
	ConditionExplainerRouteReady ConditionType = "ExplainerRouteReady"
	// ConditionRoutesReady is true when all routes are in force.
	ConditionRoutesReady ConditionType = "RoutesReady"
	// ConditionLatestDeploymentReady is true when the latest revisions of all components are ready.
	ConditionLatestDeploymentReady ConditionType = "LatestDeploymentReady"
	// ConditionCanaryPredictorReady is true when all canaries are ready.
	ConditionCanaryPredictorReady ConditionType = "CanaryPredictorReady"
	// ConditionStopped is true when the user stopped the service.
	ConditionStopped ConditionType = "Stopped"
	// ConditionOCIImageVolumeCompatible says whether the cluster can mount images as volumes.
	ConditionOCIImageVolumeCompatible ConditionType = "OciImageVolumeCompatible"
)

// Reasons that KServe gives, kept so that scripts which read them go on working.
const (
	// ReasonPredictorIngressNotCreated means that the predictor is not ready for an ingress.
	ReasonPredictorIngressNotCreated = "Predictor ingress not created"
	// ReasonTransformerIngressNotCreated means that the transformer is not ready for an ingress.
	ReasonTransformerIngressNotCreated = "Transformer ingress not created"
	// ReasonExplainerIngressNotCreated means that the explainer is not ready for an ingress.
	ReasonExplainerIngressNotCreated = "Explainer ingress not created"
	// ReasonReconcileFailed means that the objects could not be made.
	ReasonReconcileFailed = "ReconcileFailed"
	// ReasonStopped means that the user stopped the service.
	ReasonStopped = "Stopped"
	// ReasonAllCanariesReady means that all canaries are ready.
	ReasonAllCanariesReady = "AllCanariesReady"
	// ReasonCanariesNotReady means that some canary is not ready.
	ReasonCanariesNotReady = "CanariesNotReady"
)

// ConditionSeverity says how much a condition matters.
type ConditionSeverity string

// Severities. Empty, the default, is an error.
const (
	// SeverityError means that the condition keeps the service from being ready.
	SeverityError ConditionSeverity = ""
	// SeverityWarning means that something is degraded.
	SeverityWarning ConditionSeverity = "Warning"
	// SeverityInfo means that the condition only informs.
	SeverityInfo ConditionSeverity = "Info"
)

// Condition is one observation of an InferenceService.
type Condition struct {
	// Type names the condition.
	Type ConditionType `json:"type"`
	// Status is True, False or Unknown.
	Status corev1.ConditionStatus `json:"status"`
	// Severity says how much it matters. Empty means error.
	// +optional
	Severity ConditionSeverity `json:"severity,omitempty"`
	// LastTransitionTime is when Status last changed.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitzero"`
	// Reason is why, in one word.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message is why, for people.
	// +optional
	Message string `json:"message,omitempty"`
}

// FindCondition returns the condition of that type, or nil. It shares memory
// with the list.
func FindCondition(conditions []Condition, t ConditionType) *Condition {
	for i := range conditions {
		if conditions[i].Type == t {
			return &conditions[i]
		}
	}
	return nil
}

// WithCondition returns a copy of conditions with c in place of the one of its
// type. The transition time moves to now only when the status changes: with it
// moving at every pass, every pass would write.
func WithCondition(conditions []Condition, c Condition, now metav1.Time) []Condition {
	out := append([]Condition(nil), conditions...)
	c.LastTransitionTime = now
	if old := FindCondition(out, c.Type); old != nil {
		if old.Status == c.Status && !old.LastTransitionTime.IsZero() {
			c.LastTransitionTime = old.LastTransitionTime
		}
		*old = c
		return out
	}
	return append(out, c)
}
