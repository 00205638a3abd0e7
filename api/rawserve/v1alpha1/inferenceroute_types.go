package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PathMode says how requests for a Service reach its pods.
//
// +kubebuilder:validation:Enum=Direct;Activator;ActivatorOnly
type PathMode string

const (
	// PathDirect sends requests to the pods that the Service selects; nothing of
	// rawserve's is between them but the pod's own agent.
	PathDirect PathMode = "Direct"
	// PathActivator adds the activators to the endpoints of the Service. With no
	// ready pod they are its only endpoints and hold what arrives.
	PathActivator PathMode = "Activator"
	// PathActivatorOnly sends every request through the activators: the selector
	// of the Service is narrowed so that only their addresses remain.
	PathActivatorOnly PathMode = "ActivatorOnly"
)

// InferenceRoute describes how requests for one component of an
// InferenceService reach its pods. The deployer writes the specification except
// for the path, which the autoscaler writes; activators acknowledge in the status.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=iroute
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.serviceName`
// +kubebuilder:printcolumn:name="Wanted",type=string,JSONPath=`.spec.path`
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.status.path.mode`
// +kubebuilder:printcolumn:name="Confirmed",type=boolean,JSONPath=`.status.path.confirmed`
// +kubebuilder:printcolumn:name="Port",type=integer,JSONPath=`.spec.ports[0].listenPort`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type InferenceRoute struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what is wanted.
	Spec InferenceRouteSpec `json:"spec"`
	// Status is what has been reached.
	// +optional
	Status InferenceRouteStatus `json:"status,omitempty"`
}

// InferenceRouteList is a list of InferenceRoutes.
//
// +kubebuilder:object:root=true
type InferenceRouteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []InferenceRoute `json:"items"`
}

// InferenceRouteSpec is the wanted state of a route.
type InferenceRouteSpec struct {
	// ServiceName is the Service of the same namespace whose requests the route carries.
	// +kubebuilder:validation:MinLength=1
	ServiceName string `json:"serviceName"`
	// Ports has one entry for each port of the Service.
	// +listType=map
	// +listMapKey=servicePort
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(p, self.exists_one(q, q.listenPort == p.listenPort))",message="each port needs a listenPort of its own, because it is all that tells an activator which port a request is for: change one of them"
	Ports []RoutePort `json:"ports"`
	// Targets are the revisions that may receive requests.
	// +listType=map
	// +listMapKey=revision
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.map(t, t.weight).sum() == 100",message="the weights of all targets must add up to 100: change one of them"
	Targets []RouteTarget `json:"targets"`
	// Path is the wanted path. Absent means Direct.
	// +optional
	Path PathMode `json:"path,omitempty"`
	// ContainerConcurrency is the hard limit of requests in one pod at a time.
	// 0, the default, means no limit.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ContainerConcurrency int64 `json:"containerConcurrency,omitempty"`
	// Queue bounds and orders what an activator holds for this route.
	// +optional
	Queue RouteQueue `json:"queue,omitempty"`
	// Timeouts bound the parts of a request's life.
	// +optional
	Timeouts RouteTimeouts `json:"timeouts,omitempty"`
	// TrafficDistribution says which pods an activator prefers. Absent means none.
	// +optional
	TrafficDistribution TrafficDistribution `json:"trafficDistribution,omitempty"`
}

// TrafficDistribution says which pods come first, as the field of Services does.
//
// +kubebuilder:validation:Enum=PreferSameZone
type TrafficDistribution string

// PreferSameZone prefers pods of the activator's own zone, unless they are full or
// clearly busier than others. Zones are those of the label topology.kubernetes.io/zone
// that Kubernetes gives pods from 1.35 on; what has none is preferred to nothing.
const PreferSameZone TrafficDistribution = "PreferSameZone"

// RoutePort ties a port of the Service to a port of the pods and to the
// listener that every activator opens for it.
type RoutePort struct {
	// ServicePort is the port number of the Service.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ServicePort int32 `json:"servicePort"`
	// Name is the name of the Service's port; empty where it has none.
	// +optional
	Name string `json:"name,omitempty"`
	// TargetPort is the port of the pod that requests go to: the agent's where the
	// pod has one, the server's otherwise.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	TargetPort int32 `json:"targetPort"`
	// ListenPort is the port on which every activator listens for this route. It
	// names the route, is unique in the cluster and stays the same for life, but for
	// the younger of two routes that came to have the same one, as by a restored
	// backup: the deployer gives it another. So no rule makes the field immutable.
	// +kubebuilder:validation:Minimum=10000
	// +kubebuilder:validation:Maximum=31999
	ListenPort int32 `json:"listenPort"`
	// AppProtocol is that of the Service's port, for example kubernetes.io/h2c.
	// +optional
	AppProtocol string `json:"appProtocol,omitempty"`
}

// RouteTarget is one revision that may receive requests of a route.
type RouteTarget struct {
	// Revision is the name of the revision, for example iris-predictor-00001.
	// +kubebuilder:validation:MinLength=1
	Revision string `json:"revision"`
	// DeploymentName is the Deployment that runs the revision, whose scale an
	// activator raises from zero unless KeepScale is set.
	// +kubebuilder:validation:MinLength=1
	DeploymentName string `json:"deploymentName"`
	// PodSelector selects the pods of the revision by their labels.
	// +kubebuilder:validation:MinProperties=1
	PodSelector map[string]string `json:"podSelector"`
	// Weight is the share of new requests in percent. The weights of a route add up to 100.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`
	// AgentPort is the port on which the pod's agent answers whether the server is
	// ready. 0 means that the pod has no agent; readiness is then kubelet's.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	AgentPort int32 `json:"agentPort,omitempty"`
	// ActivationScale is the number of replicas that the first held request asks for.
	// 0 means 1.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ActivationScale int32 `json:"activationScale,omitempty"`
	// KeepScale is true where the replicas are somebody else's alone, such as a
	// HorizontalPodAutoscaler's or the user's: activators hold requests while no pod is
	// ready and leave the scale as it is.
	// +optional
	KeepScale bool `json:"keepScale,omitempty"`
	// ProgressDeadline is how long a start from zero may take before held requests
	// are answered with the reason why nothing came up. 0 means 10 minutes.
	// +optional
	ProgressDeadline metav1.Duration `json:"progressDeadline,omitempty"`
	// Stopped is true when the user stopped the component: nothing is started for
	// its requests, they are answered 503.
	// +optional
	Stopped bool `json:"stopped,omitempty"`
}

// RouteQueue bounds and orders what one activator holds for one route. What is
// beyond the bounds is answered 503 with a Retry-After, or 429 where its client is
// over its share.
type RouteQueue struct {
	// MaxRequests is the largest number of requests held at a time. 0 means the
	// activator's own default, 10000.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MaxRequests int32 `json:"maxRequests,omitempty"`
	// MaxBytes is the largest number of bytes of request bodies held at a time.
	// Absent means the activator's own default, 256Mi.
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : !self.startsWith('-')",message="must not be negative: use a size, for example 64Mi, or remove maxBytes for the activator's default"
	// +optional
	MaxBytes *resource.Quantity `json:"maxBytes,omitempty"`
	// ClientHeader is the header of a request that tells clients apart, for a route
	// whose requests come through a gateway; without it clients are told apart by the
	// address that the connection comes from, which then is the gateway's for all of
	// them. The header is trusted: name one only where a gateway sets it and removes
	// what clients send in it, or a client takes another share with each value.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[0-9A-Za-z][0-9A-Za-z._-]*$') && !(self.lowerAscii() in ['connection', 'content-length', 'host', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'])",message="must be the name of a header that says who asks, for example X-Consumer-Id: use letters, digits, - _ and . only, and none that belongs to the connection, such as Host; without clientHeader clients are told apart by their address"
	// +optional
	ClientHeader string `json:"clientHeader,omitempty"`
	// Priority says which held requests are released first and which are shed first.
	// Absent means that all are alike.
	// +optional
	Priority *RoutePriority `json:"priority,omitempty"`
}

// RoutePriority ranks requests by the value of a header: one that High has is
// released first, one that Low has is released last and shed first, and all
// others, those without the header too, are in between. Within a rank the order
// is that of arrival. Values are compared without regard to case.
//
// +kubebuilder:validation:XValidation:rule="has(self.high) && self.high.size() > 0 || has(self.low) && self.low.size() > 0",message="needs at least one value in high or low, because all requests are alike without: add one, or remove priority"
// +kubebuilder:validation:XValidation:rule="!has(self.high) || !has(self.low) || !self.high.exists(h, self.low.exists(l, l.lowerAscii() == h.lowerAscii()))",message="a value must not be in both high and low, also when written in another case: remove it from one of them"
type RoutePriority struct {
	// Header is the name of the header. It is trusted as ClientHeader is.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Za-z][0-9A-Za-z._-]*$') && !(self.lowerAscii() in ['connection', 'content-length', 'host', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'])",message="must be the name of a header that says how urgent a request is, for example X-Priority: use letters, digits, - _ and . only, and none that belongs to the connection, such as Host"
	Header string `json:"header"`
	// High has the values of requests that are released first.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.all(v, v.matches('^[!-~]([ -~]*[!-~])?$'))",message="a value must be what a header can have: use letters, digits and signs of ASCII, with no space before or after"
	// +optional
	High []string `json:"high,omitempty"`
	// Low has the values of requests that are released last and shed first.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.all(v, v.matches('^[!-~]([ -~]*[!-~])?$'))",message="a value must be what a header can have: use letters, digits and signs of ASCII, with no space before or after"
	// +optional
	Low []string `json:"low,omitempty"`
}

// RouteTimeouts bound the parts of a request's life. 0 means the activator's default.
type RouteTimeouts struct {
	// Queue is the longest time a request is held. Default 10 minutes.
	// +optional
	Queue metav1.Duration `json:"queue,omitempty"`
	// FirstByte is the longest time from forwarding to the response's header. Default: none.
	// +optional
	FirstByte metav1.Duration `json:"firstByte,omitempty"`
	// Idle is the longest pause between two bytes of a response. Default: none.
	// +optional
	Idle metav1.Duration `json:"idle,omitempty"`
	// Total is the longest time from arrival to the response's end. Default: none.
	// +optional
	Total metav1.Duration `json:"total,omitempty"`
}

// InferenceRouteStatus is what has been reached of a route.
type InferenceRouteStatus struct {
	// ObservedGeneration is the generation that Path describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Path is the path in force. The controller writes it.
	// +optional
	Path PathStatus `json:"path,omitempty"`
	// Activators has the acknowledgement of each activator. Each writes its own entry.
	// +listType=map
	// +listMapKey=name
	// +optional
	Activators []ActivatorAck `json:"activators,omitempty"`
	// Conditions are the latest observations of the route.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PathReason says how far a path is from being in force.
type PathReason string

// Reasons of a path.
const (
	// PathInForce: every request takes the path.
	PathInForce PathReason = "InForce"
	// PathNoActivator: no activator listens for the route.
	PathNoActivator PathReason = "NoActivator"
	// PathWaitingForActivators: ready activators have not acknowledged the route.
	PathWaitingForActivators PathReason = "WaitingForActivators"
	// PathWaitingForNodes: the nodes may not have learned of the endpoints yet.
	PathWaitingForNodes PathReason = "WaitingForNodes"
	// PathSelectorNarrowed: the Service's selector has to be restored first.
	PathSelectorNarrowed PathReason = "SelectorNarrowed"
	// PathNoEndpoint: the Service has no ready endpoint of its own.
	PathNoEndpoint PathReason = "NoEndpoint"
	// PathRemovingActivators: the activators' addresses are taken out.
	PathRemovingActivators PathReason = "RemovingActivators"
)

// PathStatus is the path that requests take now.
type PathStatus struct {
	// Mode is the path in force or being entered.
	// +optional
	Mode PathMode `json:"mode,omitempty"`
	// Confirmed is true once every request can take the path of Mode: activators have
	// acknowledged, the EndpointSlice is written and has had time to reach the nodes.
	// +optional
	Confirmed bool `json:"confirmed,omitempty"`
	// NarrowSelector is true while the Service's selector is to match no pod.
	// +optional
	NarrowSelector bool `json:"narrowSelector,omitempty"`
	// Reason says in a word how far the path is.
	// +optional
	Reason PathReason `json:"reason,omitempty"`
	// Since is when Mode, Confirmed or Reason last changed.
	// +optional
	Since metav1.MicroTime `json:"since,omitempty"`
	// Message says what the switch waits for, in words.
	// +optional
	Message string `json:"message,omitempty"`
}

// ActivatorAck is one activator's word that it listens for the route.
type ActivatorAck struct {
	// Name is the name of the activator's pod.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Generation is the generation of the route that the activator has applied.
	Generation int64 `json:"generation"`
	// Message says why an activator cannot serve the route, for example a taken port.
	// Empty when it can.
	// +optional
	Message string `json:"message,omitempty"`
}
