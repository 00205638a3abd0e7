package v1beta1

// TransformerSpec describes the component that works on requests before and on
// responses after the predictor. It is always made of custom containers.
//
// +kubebuilder:validation:XValidation:rule="has(self.containers) && self.containers.size() > 0",message="transformer.containers is required: add one container with the transformer's image"
// +kubebuilder:validation:XValidation:rule="!has(self.storageUris) || !has(self.containers) || (self.containers.all(c, c.name != 'kserve-container' || (!has(c.env) || c.env.all(e, e.name != 'STORAGE_URI' || !has(e.value) || e.value.size() == 0))) && (self.containers.size() == 0 || self.containers.exists(c, c.name == 'kserve-container') || (self.containers[0].name != 'transformer-container' ? (!has(self.containers[0].env) || self.containers[0].env.all(e, e.name != 'STORAGE_URI' || !has(e.value) || e.value.size() == 0)) : self.containers.size() == 1 || (!has(self.containers[1].env) || self.containers[1].env.all(e, e.name != 'STORAGE_URI' || !has(e.value) || e.value.size() == 0)))))",message="the server's env STORAGE_URI and storageUris exclude each other: move it into storageUris"
type TransformerSpec struct {
	// StorageURIs are downloaded, each to its own path.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	StorageURIs []StorageURI `json:"storageUris,omitempty"`
	// PodSpec holds the containers and settings of the pod.
	PodSpec `json:",inline"`
	// ComponentExtensionSpec holds scaling, logging, batching and rollout.
	ComponentExtensionSpec `json:",inline"`
}

// ExplainerSpec describes the component that answers explain requests: art or
// custom containers.
//
// +kubebuilder:validation:XValidation:rule="has(self.art) != (has(self.containers) && self.containers.size() > 0)",message="explainer must have exactly one implementation: set either art or containers"
// +kubebuilder:validation:XValidation:rule="!has(self.storageUris) || !has(self.art) || !has(self.art.storageUri)",message="storageUri and storageUris exclude each other: move art.storageUri into storageUris"
// +kubebuilder:validation:XValidation:rule="!has(self.storageUris) || !has(self.containers) || (self.containers.all(c, c.name != 'kserve-container' || (!has(c.env) || c.env.all(e, e.name != 'STORAGE_URI' || !has(e.value) || e.value.size() == 0))) && (self.containers.size() == 0 || self.containers.exists(c, c.name == 'kserve-container') || (self.containers[0].name != 'transformer-container' ? (!has(self.containers[0].env) || self.containers[0].env.all(e, e.name != 'STORAGE_URI' || !has(e.value) || e.value.size() == 0)) : self.containers.size() == 1 || (!has(self.containers[1].env) || self.containers[1].env.all(e, e.name != 'STORAGE_URI' || !has(e.value) || e.value.size() == 0)))))",message="the server's env STORAGE_URI and storageUris exclude each other: move it into storageUris"
type ExplainerSpec struct {
	// ART explains by the Adversarial Robustness Toolbox.
	// +optional
	ART *ARTExplainerSpec `json:"art,omitempty"`
	// StorageURIs are downloaded, each to its own path.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	StorageURIs []StorageURI `json:"storageUris,omitempty"`
	// PodSpec holds the containers and settings of the pod.
	PodSpec `json:",inline"`
	// ComponentExtensionSpec holds scaling, logging, batching and rollout.
	ComponentExtensionSpec `json:",inline"`
}

// ARTExplainerSpec describes an explainer of the Adversarial Robustness Toolbox.
//
// +kubebuilder:validation:XValidation:rule="!has(self.env) || self.env.all(e, e.name != 'PYTHONPATH')",message="env PYTHONPATH is not allowed: build the path into the image"
type ARTExplainerSpec struct {
	// Type is the kind of adversary, for example SquareAttack.
	// +optional
	Type ARTExplainerType `json:"type,omitempty"`
	// ExplainerExtensionSpec holds the explainer's storage, settings and container.
	ExplainerExtensionSpec `json:",inline"`
}

// ARTExplainerType is a kind of adversary.
type ARTExplainerType string

// ARTSquareAttack is the only adversary that the stock image knows.
const ARTSquareAttack ARTExplainerType = "SquareAttack"

// ExplainerExtensionSpec holds what explainers have in common.
type ExplainerExtensionSpec struct {
	// StorageURI is where the explainer is downloaded from.
	// +optional
	StorageURI string `json:"storageUri,omitempty"`
	// RuntimeVersion is the tag of the explainer's image. Default: the configured one.
	// +optional
	RuntimeVersion *string `json:"runtimeVersion,omitempty"`
	// Config becomes arguments --key value of the explainer, sorted by key.
	// +optional
	Config map[string]string `json:"config,omitempty"`
	// Storage describes the explainer's place through an entry of the storage secret.
	// +optional
	Storage *StorageSpec `json:"storage,omitempty"`
	// Container overrides fields of the explainer's container.
	Container `json:",inline"`
}
