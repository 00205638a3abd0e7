package v1beta1

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ScaleMetric is a metric that replicas may follow.
//
// +kubebuilder:validation:Enum=cpu;memory;concurrency;rps
type ScaleMetric string

// Scale metrics.
const (
	// MetricCPU is the use of CPU in percent of what is requested.
	MetricCPU ScaleMetric = "cpu"
	// MetricMemory is the use of memory in percent of what is requested.
	MetricMemory ScaleMetric = "memory"
	// MetricConcurrency is the number of requests at a time.
	MetricConcurrency ScaleMetric = "concurrency"
	// MetricRPS is the number of requests per second.
	MetricRPS ScaleMetric = "rps"
)

// MetricTargetType says how a target is read.
//
// +kubebuilder:validation:Enum=Utilization;Value;AverageValue
type MetricTargetType string

// Metric target types.
const (
	// TargetUtilization is a percentage of what is requested.
	TargetUtilization MetricTargetType = "Utilization"
	// TargetValue is a total over all replicas.
	TargetValue MetricTargetType = "Value"
	// TargetAverageValue is a value per replica.
	TargetAverageValue MetricTargetType = "AverageValue"
)

// AutoScalingSpec lists several metrics, and the pace of scaling. The wanted
// scale is the largest over all metrics.
type AutoScalingSpec struct {
	// Metrics are what replicas follow.
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Metrics []MetricsSpec `json:"metrics,omitempty"`
	// Behavior is the pace of scaling up and down, as in a HorizontalPodAutoscaler.
	// +optional
	Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior,omitempty"`
}

// MetricSourceType says where a metric comes from.
//
// +kubebuilder:validation:Enum=Resource;External;PodMetric
type MetricSourceType string

// Metric source types.
const (
	// SourceResource is the resource metrics API.
	SourceResource MetricSourceType = "Resource"
	// SourceExternal is a monitoring system.
	SourceExternal MetricSourceType = "External"
	// SourcePodMetric is the pods themselves.
	SourcePodMetric MetricSourceType = "PodMetric"
)

// MetricsSpec is one metric. The field that type names is required.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Resource' ? has(self.resource) : self.type == 'External' ? has(self.external) : has(self.podmetric)",message="the field that type names is required: set resource for Resource, external for External, podmetric for PodMetric"
type MetricsSpec struct {
	// Type is Resource, External or PodMetric.
	Type MetricSourceType `json:"type"`
	// Resource is CPU or memory.
	// +optional
	Resource *ResourceMetricSource `json:"resource,omitempty"`
	// External is a query to a monitoring system.
	// +optional
	External *ExternalMetricSource `json:"external,omitempty"`
	// PodMetric is a metric of the pods themselves.
	// +optional
	PodMetric *PodMetricSource `json:"podmetric,omitempty"`
}

// ResourceMetric is the name of a resource metric.
//
// +kubebuilder:validation:Enum=cpu;memory
type ResourceMetric string

// Resource metrics.
const (
	// ResourceMetricCPU is CPU.
	ResourceMetricCPU ResourceMetric = "cpu"
	// ResourceMetricMemory is memory.
	ResourceMetricMemory ResourceMetric = "memory"
)

// ResourceMetricSource follows the use of CPU or memory.
type ResourceMetricSource struct {
	// Name is cpu or memory.
	Name ResourceMetric `json:"name"`
	// Target is the use to aim at.
	Target MetricTarget `json:"target"`
}

// ExternalMetricSource follows a query to a monitoring system.
type ExternalMetricSource struct {
	// Metric is the query.
	Metric ExternalMetrics `json:"metric"`
	// Target is the result to aim at.
	Target MetricTarget `json:"target"`
	// Authentication says how to authenticate.
	// +optional
	Authentication *ExternalMetricAuthentication `json:"authenticationRef,omitempty"`
}

// ExternalMetricAuthentication says how to authenticate to a monitoring system.
type ExternalMetricAuthentication struct {
	// AuthenticationRef names the object with the credentials.
	AuthenticationRef AuthenticationRef `json:"authenticationRef"`
	// AuthModes lists the modes, separated by commas: basic, bearer, tls or custom.
	// +optional
	AuthModes string `json:"authModes,omitempty"`
}

// AuthenticationRef names an object with credentials.
type AuthenticationRef struct {
	// Name of the object, in the same namespace.
	Name string `json:"name"`
}

// MetricsBackend is a monitoring system.
//
// +kubebuilder:validation:Enum=prometheus;graphite
type MetricsBackend string

// Monitoring systems.
const (
	// BackendPrometheus speaks PromQL.
	BackendPrometheus MetricsBackend = "prometheus"
	// BackendGraphite speaks Graphite's render API.
	BackendGraphite MetricsBackend = "graphite"
)

// ExternalMetrics is a query to a monitoring system.
type ExternalMetrics struct {
	// Backend is prometheus or graphite.
	// +optional
	Backend MetricsBackend `json:"backend,omitempty"`
	// ServerAddress is the URL of the system.
	// +optional
	ServerAddress string `json:"serverAddress,omitempty"`
	// Query is what is asked.
	// +optional
	Query string `json:"query,omitempty"`
	// Namespace narrows the query on systems that have namespaces.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// PodMetricSource follows a metric of the pods themselves.
type PodMetricSource struct {
	// Metric is the query.
	Metric PodMetrics `json:"metric"`
	// Target is the result to aim at.
	Target MetricTarget `json:"target"`
}

// PodMetricsBackend is what collects pod metrics.
//
// +kubebuilder:validation:Enum=opentelemetry
type PodMetricsBackend string

// BackendOpenTelemetry is an OpenTelemetry collector.
const BackendOpenTelemetry PodMetricsBackend = "opentelemetry"

// PodMetrics is a query on metrics of the pods themselves.
type PodMetrics struct {
	// Backend is opentelemetry.
	// +optional
	Backend PodMetricsBackend `json:"backend,omitempty"`
	// ServerAddress is the address of the scaler.
	// +optional
	ServerAddress string `json:"serverAddress,omitempty"`
	// MetricNames are the metrics to collect.
	// +optional
	MetricNames []string `json:"metricNames,omitempty"`
	// Query is what is asked.
	// +optional
	Query string `json:"query,omitempty"`
	// OperationOverTime joins the values of a window, for example last_one or avg.
	// +optional
	OperationOverTime string `json:"operationOverTime,omitempty"`
}

// MetricTarget is the value of a metric to aim at.
type MetricTarget struct {
	// Type says which field is read.
	// +optional
	Type MetricTargetType `json:"type,omitempty"`
	// Value is the total over all replicas.
	// +optional
	Value *resource.Quantity `json:"value,omitempty"`
	// AverageUtilization is percent of what is requested, the mean over all replicas.
	// +optional
	AverageUtilization *int32 `json:"averageUtilization,omitempty"`
	// AverageValue is the mean over all replicas.
	// +optional
	AverageValue *resource.Quantity `json:"averageValue,omitempty"`
}
