package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
)

// Container is corev1.Container with an optional name: a model's container gets
// its name from the runtime. The fields are the same in the same order, so that
// corev1.Container(c) converts it and the compiler tells when the two drift apart.
type Container struct {
	// Name must be empty.
	// +optional
	Name string `json:"name,omitempty"`
	// Image replaces the runtime's image.
	// +optional
	Image string `json:"image,omitempty"`
	// Command replaces the runtime's command.
	// +listType=atomic
	// +optional
	Command []string `json:"command,omitempty"`
	// Args are appended to the runtime's arguments.
	// +listType=atomic
	// +optional
	Args []string `json:"args,omitempty"`
	// WorkingDir is the working directory of the command.
	// +optional
	WorkingDir string `json:"workingDir,omitempty"`
	// Ports are the server's ports. The first one becomes the Service's port 80.
	// +listType=map
	// +listMapKey=containerPort
	// +listMapKey=protocol
	// +optional
	Ports []corev1.ContainerPort `json:"ports,omitempty"`
	// EnvFrom are sources of environment variables.
	// +listType=atomic
	// +optional
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`
	// Env are environment variables, merged over the runtime's by name.
	// +listType=map
	// +listMapKey=name
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`
	// Resources are merged over the runtime's requests and limits.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
	// ResizePolicy says how resources may be resized in place.
	// +listType=atomic
	// +optional
	ResizePolicy []corev1.ContainerResizePolicy `json:"resizePolicy,omitempty"`
	// RestartPolicy is that of this container alone.
	// +optional
	RestartPolicy *corev1.ContainerRestartPolicy `json:"restartPolicy,omitempty"`
	// RestartPolicyRules refine RestartPolicy by exit codes.
	// +listType=atomic
	// +optional
	RestartPolicyRules []corev1.ContainerRestartRule `json:"restartPolicyRules,omitempty"`
	// VolumeMounts are mounted into the container.
	// +listType=map
	// +listMapKey=mountPath
	// +optional
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`
	// VolumeDevices are block devices of the container.
	// +listType=map
	// +listMapKey=devicePath
	// +optional
	VolumeDevices []corev1.VolumeDevice `json:"volumeDevices,omitempty"`
	// LivenessProbe restarts the container when it fails.
	// +optional
	LivenessProbe *corev1.Probe `json:"livenessProbe,omitempty"`
	// ReadinessProbe says when the server takes requests. Default: a TCP connect
	// to the first port.
	// +optional
	ReadinessProbe *corev1.Probe `json:"readinessProbe,omitempty"`
	// StartupProbe holds the other probes back until it succeeds.
	// +optional
	StartupProbe *corev1.Probe `json:"startupProbe,omitempty"`
	// Lifecycle has actions after start and before stop.
	// +optional
	Lifecycle *corev1.Lifecycle `json:"lifecycle,omitempty"`
	// TerminationMessagePath is the file whose content is shown after termination.
	// +optional
	TerminationMessagePath string `json:"terminationMessagePath,omitempty"`
	// TerminationMessagePolicy says where the termination message comes from.
	// +optional
	TerminationMessagePolicy corev1.TerminationMessagePolicy `json:"terminationMessagePolicy,omitempty"`
	// ImagePullPolicy says when the image is pulled.
	// +optional
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	// SecurityContext is that of the container.
	// +optional
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`
	// Stdin keeps a standard input open.
	// +optional
	Stdin bool `json:"stdin,omitempty"`
	// StdinOnce closes the standard input after the first client.
	// +optional
	StdinOnce bool `json:"stdinOnce,omitempty"`
	// TTY gives the container a terminal; needs Stdin.
	// +optional
	TTY bool `json:"tty,omitempty"`
}

// Core returns the container as the core API has it, sharing its parts.
func (c Container) Core() corev1.Container { return corev1.Container(c) }
