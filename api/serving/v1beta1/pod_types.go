package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
)

// PodSpec is corev1.PodSpec with optional containers: a predictor with a model
// gets them from its runtime. The fields are the same in the same order, so that
// corev1.PodSpec(p) converts it and the compiler tells when the two drift apart.
//
// +kubebuilder:validation:XValidation:rule="!has(self.containers) || self.containers.all(c, !has(c.env) || c.env.all(e, e.name != 'PYTHONPATH'))",message="env PYTHONPATH is not allowed in containers: build the path into the image"
// +kubebuilder:validation:XValidation:rule="!has(self.initContainers) || self.initContainers.all(c, !has(c.env) || c.env.all(e, e.name != 'PYTHONPATH'))",message="env PYTHONPATH is not allowed in initContainers: build the path into the image"
type PodSpec struct {
	// Volumes that containers may mount.
	// +listType=map
	// +listMapKey=name
	// +optional
	Volumes []corev1.Volume `json:"volumes,omitempty"`
	// InitContainers run before the containers; with restartPolicy Always beside them.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	InitContainers []corev1.Container `json:"initContainers,omitempty"`
	// Containers are custom containers. The one named kserve-container, or the only
	// one, is the server; transformer-container is a transformer in the same pod.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Containers []corev1.Container `json:"containers,omitempty"`
	// EphemeralContainers never come from a manifest: pod templates do not allow them.
	EphemeralContainers []corev1.EphemeralContainer `json:"-"`
	// RestartPolicy is Always, the default; Deployments allow nothing else.
	// +optional
	RestartPolicy corev1.RestartPolicy `json:"restartPolicy,omitempty"`
	// TerminationGracePeriodSeconds is the time between the request to stop and the kill. Default 30 s.
	// +optional
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`
	// ActiveDeadlineSeconds is the longest life of a pod, in seconds.
	// +optional
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`
	// DNSPolicy says how names are resolved. Default ClusterFirst.
	// +optional
	DNSPolicy corev1.DNSPolicy `json:"dnsPolicy,omitempty"`
	// NodeSelector has labels that the node must have.
	// +mapType=atomic
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// ServiceAccountName names the service account, whose secrets give storage credentials.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// DeprecatedServiceAccount is the old name of ServiceAccountName.
	// +optional
	DeprecatedServiceAccount string `json:"serviceAccount,omitempty"`
	// AutomountServiceAccountToken says whether the token is mounted.
	// +optional
	AutomountServiceAccountToken *bool `json:"automountServiceAccountToken,omitempty"`
	// NodeName puts the pod on that node, past the scheduler.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// HostNetwork puts the pod into the node's network.
	// +optional
	HostNetwork bool `json:"hostNetwork,omitempty"`
	// HostPID puts the pod among the node's processes.
	// +optional
	HostPID bool `json:"hostPID,omitempty"`
	// HostIPC gives the pod the node's IPC.
	// +optional
	HostIPC bool `json:"hostIPC,omitempty"`
	// ShareProcessNamespace lets the containers see each other's processes.
	// +optional
	ShareProcessNamespace *bool `json:"shareProcessNamespace,omitempty"`
	// SecurityContext is that of the pod.
	// +optional
	SecurityContext *corev1.PodSecurityContext `json:"securityContext,omitempty"`
	// ImagePullSecrets name secrets for pulling images.
	// +listType=map
	// +listMapKey=name
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// Hostname of the pod. Default: its name.
	// +optional
	Hostname string `json:"hostname,omitempty"`
	// Subdomain of the pod's name.
	// +optional
	Subdomain string `json:"subdomain,omitempty"`
	// Affinity to nodes and other pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// SchedulerName names the scheduler. Default: default-scheduler.
	// +optional
	SchedulerName string `json:"schedulerName,omitempty"`
	// Tolerations of node taints.
	// +listType=atomic
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// HostAliases are lines of the pod's hosts file.
	// +listType=map
	// +listMapKey=ip
	// +optional
	HostAliases []corev1.HostAlias `json:"hostAliases,omitempty"`
	// PriorityClassName names the priority class.
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// Priority follows from PriorityClassName.
	// +optional
	Priority *int32 `json:"priority,omitempty"`
	// DNSConfig adds to what DNSPolicy gives.
	// +optional
	DNSConfig *corev1.PodDNSConfig `json:"dnsConfig,omitempty"`
	// ReadinessGates are further conditions of readiness.
	// +listType=atomic
	// +optional
	ReadinessGates []corev1.PodReadinessGate `json:"readinessGates,omitempty"`
	// RuntimeClassName names the runtime class.
	// +optional
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`
	// EnableServiceLinks puts Services into the environment. Default true.
	// +optional
	EnableServiceLinks *bool `json:"enableServiceLinks,omitempty"`
	// PreemptionPolicy says whether pods of lower priority may be evicted.
	// +optional
	PreemptionPolicy *corev1.PreemptionPolicy `json:"preemptionPolicy,omitempty"`
	// Overhead of the runtime class.
	// +optional
	Overhead corev1.ResourceList `json:"overhead,omitempty"`
	// TopologySpreadConstraints spread the pods.
	// +listType=map
	// +listMapKey=topologyKey
	// +listMapKey=whenUnsatisfiable
	// +optional
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	// SetHostnameAsFQDN makes the host name fully qualified.
	// +optional
	SetHostnameAsFQDN *bool `json:"setHostnameAsFQDN,omitempty"`
	// OS of the containers.
	// +optional
	OS *corev1.PodOS `json:"os,omitempty"`
	// HostUsers puts the pod into the node's user namespace. Default true.
	// +optional
	HostUsers *bool `json:"hostUsers,omitempty"`
	// SchedulingGates hold the pod back from the scheduler.
	// +listType=map
	// +listMapKey=name
	// +optional
	SchedulingGates []corev1.PodSchedulingGate `json:"schedulingGates,omitempty"`
	// ResourceClaims are claims on devices.
	// +listType=map
	// +listMapKey=name
	// +optional
	ResourceClaims []corev1.PodResourceClaim `json:"resourceClaims,omitempty"`
	// Resources of the pod as a whole.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// HostnameOverride replaces the pod's host name inside it.
	// +optional
	HostnameOverride *string `json:"hostnameOverride,omitempty"`
	// SchedulingGroup names the group that is scheduled together.
	// +optional
	SchedulingGroup *corev1.PodSchedulingGroup `json:"schedulingGroup,omitempty"`
	// EvictionResponders are asked before an eviction.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=10
	// +optional
	EvictionResponders []corev1.EvictionResponder `json:"evictionResponders,omitempty"`
}

// Core returns the pod specification as the core API has it, sharing its parts.
func (p PodSpec) Core() corev1.PodSpec { return corev1.PodSpec(p) }
