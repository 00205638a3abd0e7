package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// InferenceService serves a model: a predictor, and optionally a transformer
// before it and an explainer beside it.
//
// The length of the name is judged where it is chosen: one that is too long already,
// as KServe allows, is for the deployer to report, whose status must be stored.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=isvc
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name="Prev",type=integer,JSONPath=`.status.components.predictor.traffic[?(@.tag=='prev')].percent`
// +kubebuilder:printcolumn:name="Latest",type=integer,JSONPath=`.status.components.predictor.traffic[?(@.latestRevision==true)].percent`
// +kubebuilder:printcolumn:name="PrevRolledoutRevision",type=string,JSONPath=`.status.components.predictor.traffic[?(@.tag=='prev')].revisionName`
// +kubebuilder:printcolumn:name="LatestReadyRevision",type=string,JSONPath=`.status.components.predictor.traffic[?(@.latestRevision==true)].revisionName`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must start with a lower-case letter and hold only lower-case letters, digits and hyphens: it becomes part of Service names"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() + (has(self.spec.predictor.name) ? self.spec.predictor.name.size() + 1 : 0) <= 47 || oldSelf.hasValue() && (has(self.spec.predictor.name) ? self.spec.predictor.name.size() + 1 : 0) <= (has(oldSelf.value().spec.predictor.name) ? oldSelf.value().spec.predictor.name.size() + 1 : 0)",optionalOldSelf=true,message="metadata.name, with -predictor-00001 or -predictor.name-predictor-00001 behind it, is the name of a revision and must have at most 63 characters: shorten metadata.name to 47, less what predictor.name takes"
type InferenceService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what is wanted.
	Spec InferenceServiceSpec `json:"spec"`
	// Status is what has been reached.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Status InferenceServiceStatus `json:"status,omitzero"`
}

// InferenceServiceList is a list of InferenceServices.
//
// +kubebuilder:object:root=true
type InferenceServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the InferenceServices.
	Items []InferenceService `json:"items"`
}

// InferenceServiceSpec is the wanted state of an InferenceService.
//
// +kubebuilder:validation:XValidation:rule="!has(self.canary) || self.canary.map(c, c.trafficPercent).sum() <= 100",message="the trafficPercent of all canary entries must add up to at most 100: lower one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.canary) || self.canary.all(c, has(c.predictor.name) && self.canary.exists_one(d, has(d.predictor.name) && d.predictor.name == c.predictor.name))",message="canary[].predictor.name is required and must be unique: name each entry differently"
// +kubebuilder:validation:XValidation:rule="!has(self.canary) || !has(self.predictor.name) || self.canary.all(c, !has(c.predictor.name) || c.predictor.name != self.predictor.name)",message="canary[].predictor.name must differ from predictor.name: rename the canary"
// +kubebuilder:validation:XValidation:rule="!has(self.canary) || self.canary.all(c, !has(c.predictor.minReplicas) || c.predictor.minReplicas <= (has(self.predictor.minReplicas) ? self.predictor.minReplicas : 1))",message="canary[].predictor.minReplicas must not be above predictor.minReplicas (1 when unset): lower it"
type InferenceServiceSpec struct {
	// Predictor serves the model.
	Predictor PredictorSpec `json:"predictor"`
	// Explainer answers explain requests.
	// +optional
	Explainer *ExplainerSpec `json:"explainer,omitempty"`
	// Transformer works on requests before and responses after the predictor.
	// +optional
	Transformer *TransformerSpec `json:"transformer,omitempty"`
	// Canary has further versions of the predictor, each with a share of its
	// traffic and a fixed number of replicas.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Canary []CanarySpec `json:"canary,omitempty"`
}

// CanarySpec is one further version of the predictor. Its predictor has an
// implementation of its own and is otherwise merged over the stable one.
//
// +kubebuilder:validation:XValidation:rule="!has(self.predictor.workerSpec)",message="canary[].predictor.workerSpec is not supported: remove it"
// +kubebuilder:validation:XValidation:rule="(!has(self.predictor.maxReplicas) || self.predictor.maxReplicas == 0) && !has(self.predictor.scaleTarget) && !has(self.predictor.scaleMetric) && !has(self.predictor.autoScaling)",message="canary[].predictor runs a fixed number of replicas: remove maxReplicas, scaleTarget, scaleMetric and autoScaling"
type CanarySpec struct {
	// Predictor is the further version. Its name is required and unique.
	Predictor PredictorSpec `json:"predictor"`
	// TrafficPercent is the share of the predictor's traffic, in percent, 0 to 100.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	TrafficPercent int32 `json:"trafficPercent"`
}
