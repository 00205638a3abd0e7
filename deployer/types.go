package deployer

import (
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	autoscalingv2ac "k8s.io/client-go/applyconfigurations/autoscaling/v2"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	rawservev1alpha1ac "github.com/rawserve/rawserve/api/client/applyconfiguration/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// Component is a part of an InferenceService that runs in pods of its own.
type Component = v1beta1.Component

// Predictor runs the model. It is the only component rendered so far.
const Predictor = v1beta1.ComponentPredictor

// RuntimeScope says where a runtime lives.
type RuntimeScope string

const (
	// Namespaced is the scope of a ServingRuntime.
	Namespaced RuntimeScope = "Namespaced"
	// Cluster is the scope of a ClusterServingRuntime.
	Cluster RuntimeScope = "Cluster"
)

// RuntimeRef is a choice of runtime as a revision records it. Format, Version
// and Protocol are what the model asked for when the choice was made: once the
// model asks for something else, the choice is made anew. Left empty, they
// match any model.
type RuntimeRef struct {
	Name     string                  `json:"name"`
	Scope    RuntimeScope            `json:"scope"`
	Format   string                  `json:"format,omitempty"`
	Version  string                  `json:"version,omitempty"`
	Protocol v1beta1.ProtocolVersion `json:"protocol,omitempty"`
	// Named is true where the model named the runtime. Such a choice ends with the
	// name. Records from before this field lack it, and count as not named.
	Named bool `json:"named,omitempty"`
}

// ChosenRuntime is the runtime that serves a model.
type ChosenRuntime struct {
	// Ref is what a revision records.
	Ref RuntimeRef
	// Spec is the runtime's specification as found in the cluster.
	Spec v1alpha1.ServingRuntimeSpec
	// Labels and Annotations are those of the runtime object's metadata.
	Labels, Annotations map[string]string
	// Protocol is the protocol that the model is served with: the one it asks
	// for or, where it asks for none, the runtime's first.
	Protocol v1beta1.ProtocolVersion
}

// Revision names the state of a component's pods.
type Revision struct {
	// Name is for example iris-predictor-00001.
	Name string
	// Number counts from 1.
	Number int64
}

// Input is everything that Render looks at.
type Input struct {
	// Service is the InferenceService after v1beta1.Default. It is never written to.
	Service *v1beta1.InferenceService
	// Component is what to render.
	Component Component
	// Runtime serves the model; nil for custom containers.
	Runtime *ChosenRuntime
	// Credentials are what the service account's secrets offer to downloads.
	Credentials Credentials
	// Revision names the pods' state. The caller finds it by RevisionHash.
	Revision Revision
	// Ports maps each port of the Service to the port on which activators listen
	// for it, as allocated by the caller for the ports that ServicePorts lists.
	Ports map[int32]int32
	// NarrowSelector makes the Service's selector match no pod, so that only the
	// activators' addresses remain behind it.
	NarrowSelector bool
	// AgentMissing is true while some ready pod of the component has no agent: one
	// that KServe made, or from before the component needed an agent. Requests then go
	// to the server's own port, which pods of both kinds have. Set too late, requests
	// to the old pods are refused; left on, concurrency is neither counted nor limited.
	AgentMissing bool
	// FormerPorts maps ports of the Service to those on which the ready pods of former
	// revisions listen, as long as these are the most that serve. Requests stay with
	// them: a Service has one number for all its pods, and where that is the new
	// server's too early, nothing answers until a new pod is ready.
	FormerPorts map[int32]int32
	// Config is the configuration of the controller.
	Config Config

	// onlyPorts skips what needs credentials.
	onlyPorts bool
}

// Objects is what an InferenceService's component consists of. A nil object is
// not wanted: the caller removes one that is there.
type Objects struct {
	// Name is the name of Deployment, Service, Route, Scaler and HPA.
	Name string
	// Deployment has no replicas, except with class none, where nobody
	// else writes them.
	Deployment *appsv1ac.DeploymentApplyConfiguration
	// InitialReplicas is what the Deployment is to be created with. It is never
	// applied to one that exists.
	InitialReplicas int32
	// Service carries the component's requests.
	Service *corev1ac.ServiceApplyConfiguration
	// RevisionService is headless and selects the pods of the revision only.
	RevisionService *corev1ac.ServiceApplyConfiguration
	// Route tells activators about the component. It is kept while stopped, so
	// that its listen ports stay the same and late requests learn why.
	Route *rawservev1alpha1ac.InferenceRouteApplyConfiguration
	// Scaler is set with Class AutoscalerOwn.
	Scaler *rawservev1alpha1ac.ScalerApplyConfiguration
	// HPA is set with class hpa.
	HPA *autoscalingv2ac.HorizontalPodAutoscalerApplyConfiguration
	// Class says who writes the Deployment's replicas.
	Class AutoscalerClass
	// Agent is true when the pods carry the agent.
	Agent bool
	// Stopped is true when the user stopped the InferenceService.
	Stopped bool
	// Warnings are what the user should know although everything was rendered.
	Warnings []Warning
}

// Warning is a remark on a field that was honoured in part or differently than
// its text suggests.
type Warning struct {
	// Field is its path, for example metadata.annotations[autoscaling.knative.dev/window].
	Field string `json:"field"`
	// Message says what is so and what to do.
	Message string `json:"message"`
}

// Unsupported is a field that is accepted but not acted on.
type Unsupported struct {
	// Field is its path, for example spec.transformer.
	Field string `json:"field"`
	// Message says what happens instead and what to do.
	Message string `json:"message"`
}

// AutoscalerClass says who writes the replicas of a Deployment: the values of
// the annotation, and AutoscalerOwn.
type AutoscalerClass = v1beta1.AutoscalerClass

// AutoscalerOwn is rawserve's own autoscaler, driven by a Scaler.
const AutoscalerOwn AutoscalerClass = "rawserve"

// ServicePort is a port of a component's Service and where it leads.
type ServicePort struct {
	// Name of the port; empty where a single port has none.
	Name string
	// Port is the Service's port number.
	Port int32
	// ServerPort is the port of the container that serves the requests.
	ServerPort int32
	// TargetPort is the pod's port: the agent's where all pods have one.
	TargetPort int32
	// AgentPort is the agent's port; 0 without agent.
	AgentPort int32
	// Protocol is TCP in nearly every case. Other protocols pass neither agent
	// nor activator, and need no listen port.
	Protocol string
	// AppProtocol is kubernetes.io/h2c for gRPC ports, empty otherwise.
	AppProtocol string
}

// Routed says whether requests of the port can pass an activator, so that the
// port needs a listen port.
func (p ServicePort) Routed() bool { return p.Protocol == "TCP" }
