package v1beta1

// InferenceServiceStatus is the observed state of an InferenceService.
type InferenceServiceStatus struct {
	// ObservedGeneration is the generation that the status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are the latest observations.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []Condition `json:"conditions,omitempty"`
	// Annotations are further observations that have no field.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// Address is where the service is reached within the cluster.
	// +optional
	Address *Address `json:"address,omitempty"`
	// URL is where the service is reached from outside.
	// +optional
	URL string `json:"url,omitempty"`
	// Components has the state of predictor, transformer and explainer.
	// +optional
	Components map[Component]ComponentStatus `json:"components,omitempty"`
	// ModelStatus is the state of the model.
	// +optional
	ModelStatus ModelStatus `json:"modelStatus,omitzero"`
	// CanaryStatuses has the state of each canary.
	// +listType=atomic
	// +optional
	CanaryStatuses []CanaryStatus `json:"canaryStatuses,omitempty"`
	// DeploymentMode is the mode in force. It does not change during a service's life.
	// +optional
	DeploymentMode string `json:"deploymentMode,omitempty"`
	// ServingRuntimeName names the ServingRuntime in use.
	// +optional
	ServingRuntimeName string `json:"servingRuntimeName,omitempty"`
	// ClusterServingRuntimeName names the ClusterServingRuntime in use.
	// +optional
	ClusterServingRuntimeName string `json:"clusterServingRuntimeName,omitempty"`
}

// Address is where something is reached.
type Address struct {
	// Name tells several addresses apart.
	// +optional
	Name *string `json:"name,omitempty"`
	// URL is the address.
	// +optional
	URL string `json:"url,omitempty"`
	// CACerts are the authorities, as PEM, that vouch for the address.
	// +optional
	CACerts *string `json:"CACerts,omitempty"`
	// Audience is that of tokens for the address.
	// +optional
	Audience *string `json:"audience,omitempty"`
}

// ComponentStatus is the state of one component.
type ComponentStatus struct {
	// LatestReadyRevision is the latest revision that became ready.
	// +optional
	LatestReadyRevision string `json:"latestReadyRevision,omitempty"`
	// LatestCreatedRevision is the latest revision.
	// +optional
	LatestCreatedRevision string `json:"latestCreatedRevision,omitempty"`
	// PreviousRolledoutRevision had all traffic before LatestRolledoutRevision.
	// +optional
	PreviousRolledoutRevision string `json:"previousRolledoutRevision,omitempty"`
	// LatestRolledoutRevision is the latest revision that had all traffic.
	// +optional
	LatestRolledoutRevision string `json:"latestRolledoutRevision,omitempty"`
	// Traffic says which revisions get which share.
	// +optional
	Traffic []TrafficTarget `json:"traffic,omitempty"`
	// URL is where the component is reached from outside.
	// +optional
	URL string `json:"url,omitempty"`
	// RestURL is where the component is reached by HTTP.
	// +optional
	RestURL string `json:"restUrl,omitempty"`
	// GrpcURL is where the component is reached by gRPC.
	// +optional
	GrpcURL string `json:"grpcUrl,omitempty"`
	// Address is where the component is reached within the cluster.
	// +optional
	Address *Address `json:"address,omitempty"`
}

// TrafficTarget is a revision's share of traffic.
type TrafficTarget struct {
	// Tag names the share: latest or prev.
	// +optional
	Tag string `json:"tag,omitempty"`
	// RevisionName is the revision.
	// +optional
	RevisionName string `json:"revisionName,omitempty"`
	// ConfigurationName is Knative's, and unused here.
	// +optional
	ConfigurationName string `json:"configurationName,omitempty"`
	// LatestRevision is true when the revision is the latest ready one.
	// +optional
	LatestRevision *bool `json:"latestRevision,omitempty"`
	// Percent is the share in percent.
	// +optional
	Percent *int64 `json:"percent,omitempty"`
	// URL reaches the revision by its tag.
	// +optional
	URL string `json:"url,omitempty"`
}

// CanaryStatus is the state of one canary.
type CanaryStatus struct {
	// Name is that of the canary's predictor.
	Name string `json:"name"`
	// Ready is true when at least one replica is available.
	Ready bool `json:"ready"`
	// TrafficPercent is the canary's share of traffic, in percent.
	TrafficPercent int32 `json:"trafficPercent"`
	// ModelStatus is the state of the canary's model.
	// +optional
	ModelStatus *ModelStatus `json:"modelStatus,omitempty"`
}
