package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// ServingRuntime is a template of pods that serve models of some formats, for
// the models of its own namespace.
//
// +genclient
// +genclient:noStatus
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Disabled",type=boolean,JSONPath=`.spec.disabled`
// +kubebuilder:printcolumn:name="ModelType",type=string,JSONPath=`.spec.supportedModelFormats[*].name`
// +kubebuilder:printcolumn:name="Containers",type=string,JSONPath=`.spec.containers[*].name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ServingRuntime struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the template.
	Spec ServingRuntimeSpec `json:"spec"`
	// Status is empty.
	// +optional
	Status ServingRuntimeStatus `json:"status,omitzero"`
}

// ServingRuntimeList is a list of ServingRuntimes.
//
// +kubebuilder:object:root=true
type ServingRuntimeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the runtimes.
	Items []ServingRuntime `json:"items"`
}

// ClusterServingRuntime is a template of pods that serve models of some
// formats, for the models of all namespaces.
//
// +genclient
// +genclient:nonNamespaced
// +genclient:noStatus
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Disabled",type=boolean,JSONPath=`.spec.disabled`
// +kubebuilder:printcolumn:name="ModelType",type=string,JSONPath=`.spec.supportedModelFormats[*].name`
// +kubebuilder:printcolumn:name="Containers",type=string,JSONPath=`.spec.containers[*].name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterServingRuntime struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the template.
	Spec ServingRuntimeSpec `json:"spec"`
	// Status is empty.
	// +optional
	Status ServingRuntimeStatus `json:"status,omitzero"`
}

// ClusterServingRuntimeList is a list of ClusterServingRuntimes.
//
// +kubebuilder:object:root=true
type ClusterServingRuntimeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the runtimes.
	Items []ClusterServingRuntime `json:"items"`
}

// ServingRuntimeStatus is empty: a runtime has no state.
type ServingRuntimeStatus struct{}

// ServingRuntimeSpec says which models a runtime serves, and how.
//
// +kubebuilder:validation:XValidation:rule="has(self.disabled) && self.disabled || !has(self.supportedModelFormats) || self.supportedModelFormats.all(f, !has(f.autoSelect) || !f.autoSelect || !has(f.priority) || self.supportedModelFormats.all(g, g.name != f.name || !has(g.autoSelect) || !g.autoSelect || !has(g.priority) || g.priority == f.priority))",message="supportedModelFormats gives two priorities to one auto-selected format name: use the same priority for all its versions"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.workerSpec) || has(self.workerSpec)",message="workerSpec cannot be removed: make another runtime for a single node"
type ServingRuntimeSpec struct {
	// SupportedModelFormats are the formats that the runtime serves.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	SupportedModelFormats []SupportedModelFormat `json:"supportedModelFormats,omitempty"`
	// MultiModel is true when the runtime serves several models at a time. Default false.
	// +optional
	MultiModel *bool `json:"multiModel,omitempty"`
	// Disabled takes the runtime out of use. Default false.
	// +optional
	Disabled *bool `json:"disabled,omitempty"`
	// ProtocolVersions are the protocols that the runtime speaks. Empty means any.
	// +optional
	ProtocolVersions []v1beta1.ProtocolVersion `json:"protocolVersions,omitempty"`
	// WorkerSpec describes the workers of a runtime that spans several nodes.
	// +optional
	WorkerSpec *WorkerSpec `json:"workerSpec,omitempty"`
	// ServingRuntimePodSpec is the template of the pods.
	ServingRuntimePodSpec `json:",inline"`

	// GRPCEndpoint is ModelMesh's, and unused here.
	// +optional
	GRPCEndpoint *string `json:"grpcEndpoint,omitempty"`
	// GRPCDataEndpoint is ModelMesh's, and unused here.
	// +optional
	GRPCDataEndpoint *string `json:"grpcDataEndpoint,omitempty"`
	// HTTPDataEndpoint is ModelMesh's, and unused here.
	// +optional
	HTTPDataEndpoint *string `json:"httpDataEndpoint,omitempty"`
	// Replicas is ModelMesh's, and unused here.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// StorageHelper is ModelMesh's, and unused here.
	// +optional
	StorageHelper *StorageHelper `json:"storageHelper,omitempty"`
	// BuiltInAdapter is ModelMesh's, and unused here.
	// +optional
	BuiltInAdapter *BuiltInAdapter `json:"builtInAdapter,omitempty"`
}

// SupportedModelFormat is one format that a runtime serves.
type SupportedModelFormat struct {
	// Name of the format, at most 63 characters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Version of the format, compared as a string. Default: none.
	// +optional
	Version *string `json:"version,omitempty"`
	// AutoSelect is true when models that name no runtime may get this one. Default false.
	// +optional
	AutoSelect *bool `json:"autoSelect,omitempty"`
	// Priority of the runtime among those that may be selected; the highest wins.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Priority *int32 `json:"priority,omitempty"`
}

// ServingRuntimePodSpec is the part of a pod that a runtime may give.
//
// +kubebuilder:validation:XValidation:rule="self.containers.all(c, !has(c.env) || c.env.all(e, e.name != 'PYTHONPATH'))",message="env PYTHONPATH is not allowed in containers: build the path into the image"
type ServingRuntimePodSpec struct {
	// Containers of the pod. The one named kserve-container is the server.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Containers []corev1.Container `json:"containers"`
	// Volumes that containers may mount.
	// +listType=map
	// +listMapKey=name
	// +optional
	Volumes []corev1.Volume `json:"volumes,omitempty"`
	// NodeSelector has labels that the node must have.
	// +mapType=atomic
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Affinity to nodes and other pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// Tolerations of node taints.
	// +listType=atomic
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// Labels are put on the objects and pods; the InferenceService's win over them.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are put on the objects and pods; the InferenceService's win over them.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// ImagePullSecrets name secrets for pulling images.
	// +listType=map
	// +listMapKey=name
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// HostIPC gives the pod the node's IPC.
	// +optional
	HostIPC bool `json:"hostIPC,omitempty"`
	// SchedulerName names the scheduler. Default: default-scheduler.
	// +optional
	SchedulerName string `json:"schedulerName,omitempty"`
	// ResourceClaims are claims on devices.
	// +listType=map
	// +listMapKey=name
	// +optional
	ResourceClaims []corev1.PodResourceClaim `json:"resourceClaims,omitempty"`
}

// WorkerSpec describes the workers of a runtime that spans several nodes.
//
// +kubebuilder:validation:XValidation:rule="self.containers.size() <= 1",message="workerSpec.containers must hold at most one container: move the others into the image or the head's containers"
type WorkerSpec struct {
	// ServingRuntimePodSpec is the template of the workers' pods.
	ServingRuntimePodSpec `json:",inline"`
	// PipelineParallelSize is the number of nodes. Default 1.
	// +kubebuilder:validation:Minimum=1
	// +optional
	PipelineParallelSize *int `json:"pipelineParallelSize,omitempty"`
	// TensorParallelSize is the number of GPUs in each node. Default 1.
	// +kubebuilder:validation:Minimum=1
	// +optional
	TensorParallelSize *int `json:"tensorParallelSize,omitempty"`
}

// StorageHelper is ModelMesh's, and unused here.
type StorageHelper struct {
	// Disabled leaves the model's download to the runtime.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
}

// BuiltInAdapter is ModelMesh's, and unused here.
type BuiltInAdapter struct {
	// ServerType names the server that the adapter drives.
	// +optional
	ServerType string `json:"serverType,omitempty"`
	// RuntimeManagementPort is the port by which models are loaded.
	// +optional
	RuntimeManagementPort int `json:"runtimeManagementPort,omitempty"`
	// MemBufferBytes is memory, in bytes, kept free of models.
	// +optional
	MemBufferBytes int `json:"memBufferBytes,omitempty"`
	// ModelLoadingTimeoutMillis is the longest time that a load may take, in milliseconds.
	// +optional
	ModelLoadingTimeoutMillis int `json:"modelLoadingTimeoutMillis,omitempty"`
	// Env are environment variables of the adapter.
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`
}
