package v1beta1

import (
	appsv1 "k8s.io/api/apps/v1"
)

// ComponentExtensionSpec holds what predictors, transformers and explainers
// have in common: scaling, logging, batching and rollout.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.maxReplicas) || self.maxReplicas == 0 || self.minReplicas <= self.maxReplicas",message="minReplicas must not be above maxReplicas: raise maxReplicas, or remove it for no upper bound"
type ComponentExtensionSpec struct {
	// MinReplicas is the lower bound of replicas. 0 allows scale to zero. Default 1.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// MaxReplicas is the upper bound of replicas. 0, the default, means unset.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MaxReplicas int32 `json:"maxReplicas,omitempty"`
	// ScaleTarget is what each replica should have of ScaleMetric: requests at a
	// time, requests per second, or percent of the requested CPU or memory.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	ScaleTarget *int32 `json:"scaleTarget,omitempty"`
	// ScaleMetric is what replicas follow. Default: concurrency; with class hpa, cpu.
	// +optional
	ScaleMetric *ScaleMetric `json:"scaleMetric,omitempty"`
	// ScaleMetricType says how ScaleTarget is read. Accepted, but not used by KServe either.
	// +optional
	ScaleMetricType *MetricTargetType `json:"scaleMetricType,omitempty"`
	// AutoScaling lists several metrics, and the pace of scaling.
	// +optional
	AutoScaling *AutoScalingSpec `json:"autoScaling,omitempty"`
	// ContainerConcurrency is the hard limit of requests in one replica at a time.
	// 0, the default, means no limit.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ContainerConcurrency *int64 `json:"containerConcurrency,omitempty"`
	// TimeoutSeconds is the longest time that a request may take, in seconds.
	// Default: the route's, 60 s behind an HTTPRoute.
	// +kubebuilder:validation:Minimum=0
	// +optional
	TimeoutSeconds *int64 `json:"timeout,omitempty"`
	// CanaryTrafficPercent is the share of traffic, in percent, 0 to 100, of the
	// latest revision; the last one rolled out gets the rest. Unset promotes the
	// latest, 0 pins the former.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	CanaryTrafficPercent *int64 `json:"canaryTrafficPercent,omitempty"`
	// Logger sends requests and responses to a sink.
	// +optional
	Logger *LoggerSpec `json:"logger,omitempty"`
	// Batcher joins requests into larger ones.
	// +optional
	Batcher *BatcherSpec `json:"batcher,omitempty"`
	// Labels are put on the component's objects and pods; they win over the
	// InferenceService's own.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are put on the component's objects and pods; they win over the
	// InferenceService's own.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// DeploymentStrategy is that of the Deployment. Default: rolling update, 25 %
	// surge, 25 % unavailable.
	// +optional
	DeploymentStrategy *appsv1.DeploymentStrategy `json:"deploymentStrategy,omitempty"`
}

// LoggerMode says what a logger sends.
//
// +kubebuilder:validation:Enum=all;request;response
type LoggerMode string

// Logger modes.
const (
	// LogAll sends requests and responses.
	LogAll LoggerMode = "all"
	// LogRequest sends requests only.
	LogRequest LoggerMode = "request"
	// LogResponse sends responses only.
	LogResponse LoggerMode = "response"
)

// LoggerSpec describes the sink of requests and responses.
//
// +kubebuilder:validation:XValidation:rule="has(self.mode)",message="logger.mode is required: set all, request or response"
type LoggerSpec struct {
	// URL of the sink. Default: the configured one.
	// +optional
	URL *string `json:"url,omitempty"`
	// Mode says what is sent: all, request or response. Required.
	// +optional
	Mode LoggerMode `json:"mode,omitempty"`
	// MetadataHeaders are request headers to send along.
	// +optional
	MetadataHeaders []string `json:"metadataHeaders,omitempty"`
	// MetadataAnnotations are annotations of the InferenceService to send along.
	// +optional
	MetadataAnnotations []string `json:"metadataAnnotations,omitempty"`
	// Storage describes an object store as the sink.
	// +optional
	Storage *LoggerStorageSpec `json:"storage,omitempty"`
	// MarshallerURL is where entries are turned into files. Default http://localhost:9083/marshal.
	// +optional
	MarshallerURL *string `json:"marshallerUrl,omitempty"`
	// BatchSize is the number of entries of one file.
	// +optional
	BatchSize *int `json:"batchSize,omitempty"`
	// BatchInterval is the longest time to wait for BatchSize entries, for example 30s.
	// +optional
	BatchInterval *string `json:"batchInterval,omitempty"`
}

// LoggerStorageSpec describes an object store as the sink of a logger.
//
// +kubebuilder:validation:XValidation:rule="has(self.path) && self.path.size() > 0 && has(self.parameters) && has(self.key) && self.key.size() > 0",message="logger.storage needs path, parameters and key: set all three"
type LoggerStorageSpec struct {
	// Path within the store.
	// +optional
	Path *string `json:"path,omitempty"`
	// Parameters override those of the storage secret.
	// +optional
	Parameters *map[string]string `json:"parameters,omitempty"`
	// StorageKey is the entry of the storage secret.
	// +optional
	StorageKey *string `json:"key,omitempty"`
	// ServiceAccountName is the service account whose credentials are used.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// BatcherSpec describes how requests are joined.
type BatcherSpec struct {
	// MaxBatchSize is the number of instances that closes a batch. Default 32.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MaxBatchSize *int `json:"maxBatchSize,omitempty"`
	// MaxLatency is the age in milliseconds that closes a batch. Default 5000.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MaxLatency *int `json:"maxLatency,omitempty"`
	// Timeout is accepted, but not used by KServe either.
	// +optional
	Timeout *int `json:"timeout,omitempty"`
}
