package v1beta1

// PredictorSpec describes the component that serves the model. Exactly one
// implementation is given: a framework shorthand, model, or custom containers.
//
// +kubebuilder:validation:XValidation:rule="[has(self.model), has(self.sklearn), has(self.xgboost), has(self.tensorflow), has(self.pytorch), has(self.triton), has(self.onnx), has(self.huggingface), has(self.pmml), has(self.lightgbm), has(self.paddle), has(self.containers) && self.containers.exists(c, c.name == 'kserve-container')].filter(b, b).size() <= 1",message="predictor must have exactly one implementation, and several are set: keep one of model, a framework shorthand, or a container named kserve-container"
// +kubebuilder:validation:XValidation:rule="has(self.model) || has(self.sklearn) || has(self.xgboost) || has(self.tensorflow) || has(self.pytorch) || has(self.triton) || has(self.onnx) || has(self.huggingface) || has(self.pmml) || has(self.lightgbm) || has(self.paddle) || (has(self.containers) && self.containers.size() > 0)",message="predictor must have exactly one implementation, and none is set: set model, a framework shorthand such as sklearn, or containers"
// +kubebuilder:validation:XValidation:rule="!has(self.storageUris) || ![has(self.model) && has(self.model.storageUri), has(self.sklearn) && has(self.sklearn.storageUri), has(self.xgboost) && has(self.xgboost.storageUri), has(self.tensorflow) && has(self.tensorflow.storageUri), has(self.pytorch) && has(self.pytorch.storageUri), has(self.triton) && has(self.triton.storageUri), has(self.onnx) && has(self.onnx.storageUri), has(self.huggingface) && has(self.huggingface.storageUri), has(self.pmml) && has(self.pmml.storageUri), has(self.lightgbm) && has(self.lightgbm.storageUri), has(self.paddle) && has(self.paddle.storageUri)].exists(b, b)",message="storageUri and storageUris exclude each other: move storageUri into storageUris"
// +kubebuilder:validation:XValidation:rule="!has(self.storageUris) || !has(self.containers) || has(self.model) || has(self.sklearn) || has(self.xgboost) || has(self.tensorflow) || has(self.pytorch) || has(self.triton) || has(self.onnx) || has(self.huggingface) || has(self.pmml) || has(self.lightgbm) || has(self.paddle) || (self.containers.all(c, c.name != 'kserve-container' || (!has(c.env) || c.env.all(e, e.name != 'STORAGE_URI' || !has(e.value) || e.value.size() == 0))) && (self.containers.size() == 0 || self.containers.exists(c, c.name == 'kserve-container') || (self.containers[0].name != 'transformer-container' ? (!has(self.containers[0].env) || self.containers[0].env.all(e, e.name != 'STORAGE_URI' || !has(e.value) || e.value.size() == 0)) : self.containers.size() == 1 || (!has(self.containers[1].env) || self.containers[1].env.all(e, e.name != 'STORAGE_URI' || !has(e.value) || e.value.size() == 0)))))",message="the server's env STORAGE_URI and storageUris exclude each other: move it into storageUris"
// +kubebuilder:validation:XValidation:rule="!has(self.model) || has(self.model.modelFormat)",message="model.modelFormat is required: set modelFormat.name, for example sklearn"
// +kubebuilder:validation:XValidation:rule="!has(self.containers) || self.containers.all(c, c.name != 'transformer-container' || !has(c.env) || c.env.all(e, e.name != 'STORAGE_URI'))",message="a transformer-container beside the server must not set STORAGE_URI: set it on the server, or storageUri on the model"
// +kubebuilder:validation:XValidation:rule="!has(self.workerSpec) || [has(self.model) ? (has(self.model.storageUri) ? self.model.storageUri : 'none') : 'oci://', has(self.sklearn) ? (has(self.sklearn.storageUri) ? self.sklearn.storageUri : 'none') : 'oci://', has(self.xgboost) ? (has(self.xgboost.storageUri) ? self.xgboost.storageUri : 'none') : 'oci://', has(self.tensorflow) ? (has(self.tensorflow.storageUri) ? self.tensorflow.storageUri : 'none') : 'oci://', has(self.pytorch) ? (has(self.pytorch.storageUri) ? self.pytorch.storageUri : 'none') : 'oci://', has(self.triton) ? (has(self.triton.storageUri) ? self.triton.storageUri : 'none') : 'oci://', has(self.onnx) ? (has(self.onnx.storageUri) ? self.onnx.storageUri : 'none') : 'oci://', has(self.huggingface) ? (has(self.huggingface.storageUri) ? self.huggingface.storageUri : 'none') : 'oci://', has(self.pmml) ? (has(self.pmml.storageUri) ? self.pmml.storageUri : 'none') : 'oci://', has(self.lightgbm) ? (has(self.lightgbm.storageUri) ? self.lightgbm.storageUri : 'none') : 'oci://', has(self.paddle) ? (has(self.paddle.storageUri) ? self.paddle.storageUri : 'none') : 'oci://'].all(u, u.startsWith('pvc://') || u.startsWith('oci://'))",message="storageUri must be a pvc:// or oci:// URI with workerSpec: all nodes must see the same model"
// +kubebuilder:validation:XValidation:rule="!has(self.workerSpec) || (!has(self.model) || !has(self.model.env) || self.model.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.sklearn) || !has(self.sklearn.env) || self.sklearn.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.xgboost) || !has(self.xgboost.env) || self.xgboost.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.tensorflow) || !has(self.tensorflow.env) || self.tensorflow.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.pytorch) || !has(self.pytorch.env) || self.pytorch.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.triton) || !has(self.triton.env) || self.triton.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.onnx) || !has(self.onnx.env) || self.onnx.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.huggingface) || !has(self.huggingface.env) || self.huggingface.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.pmml) || !has(self.pmml.env) || self.pmml.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.lightgbm) || !has(self.lightgbm.env) || self.lightgbm.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE']))) && (!has(self.paddle) || !has(self.paddle.env) || self.paddle.env.all(e, !(e.name in ['PIPELINE_PARALLEL_SIZE', 'TENSOR_PARALLEL_SIZE'])))",message="env PIPELINE_PARALLEL_SIZE and TENSOR_PARALLEL_SIZE are set from workerSpec: set pipelineParallelSize and tensorParallelSize there"
type PredictorSpec struct {
	// Name is an optional name of this version of the predictor. The Deployment and
	// Service are then named {isvc}-{name}-predictor.
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Name string `json:"name,omitempty"`
	// SKLearn serves a scikit-learn model. Short for model with that format.
	// +optional
	SKLearn *PredictorExtensionSpec `json:"sklearn,omitempty"`
	// XGBoost serves an XGBoost model. Short for model with that format.
	// +optional
	XGBoost *PredictorExtensionSpec `json:"xgboost,omitempty"`
	// Tensorflow serves a TensorFlow SavedModel. Short for model with that format.
	// +optional
	Tensorflow *PredictorExtensionSpec `json:"tensorflow,omitempty"`
	// PyTorch serves a TorchServe archive. Short for model with that format.
	// +optional
	PyTorch *PredictorExtensionSpec `json:"pytorch,omitempty"`
	// Triton serves a Triton model repository. Short for model with that format;
	// the protocol defaults to v2.
	// +optional
	Triton *PredictorExtensionSpec `json:"triton,omitempty"`
	// ONNX serves an ONNX model. Short for model with that format; the protocol
	// defaults to v2.
	// +optional
	ONNX *PredictorExtensionSpec `json:"onnx,omitempty"`
	// HuggingFace serves a Hugging Face model. Short for model with that format;
	// the protocol defaults to v2.
	// +optional
	HuggingFace *PredictorExtensionSpec `json:"huggingface,omitempty"`
	// PMML serves a PMML model. Short for model with that format.
	// +optional
	PMML *PredictorExtensionSpec `json:"pmml,omitempty"`
	// LightGBM serves a LightGBM model. Short for model with that format.
	// +optional
	LightGBM *PredictorExtensionSpec `json:"lightgbm,omitempty"`
	// Paddle serves a PaddlePaddle model. Short for model with that format.
	// +optional
	Paddle *PredictorExtensionSpec `json:"paddle,omitempty"`
	// Model serves a model of any format that a runtime knows.
	// +optional
	Model *ModelSpec `json:"model,omitempty"`
	// StorageURIs are downloaded, each to its own path. Excludes storageUri.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	StorageURIs []StorageURI `json:"storageUris,omitempty"`
	// StorageContainerName names the ClusterStorageContainer that downloads the
	// model. Default: the first one that knows the URI.
	// +optional
	StorageContainerName *string `json:"storageContainerName,omitempty"`
	// WorkerSpec asks for a predictor that spans several nodes and describes its workers.
	// +optional
	WorkerSpec *WorkerSpec `json:"workerSpec,omitempty"`
	// PodSpec holds custom containers and settings of the pod.
	PodSpec `json:",inline"`
	// ComponentExtensionSpec holds scaling, logging, batching and rollout.
	ComponentExtensionSpec `json:",inline"`
}

// PredictorExtensionSpec describes a model and overrides of the container that
// serves it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.name) || self.name.size() == 0",message="the container's name is fixed for a model: remove name"
// +kubebuilder:validation:XValidation:rule="!has(self.env) || self.env.all(e, e.name != 'PYTHONPATH')",message="env PYTHONPATH is not allowed: build the path into the image"
// +kubebuilder:validation:XValidation:rule="!has(self.confidential) || !self.confidential.enabled || has(self.storageUri)",message="confidential needs a model to decrypt: set storageUri"
type PredictorExtensionSpec struct {
	// StorageURI is where the model is downloaded from, for example
	// gs://bucket/model, s3://bucket/model, pvc://claim/path or hf://owner/model.
	// +optional
	StorageURI *string `json:"storageUri,omitempty"`
	// RuntimeVersion replaces the tag of the runtime's image.
	// +optional
	RuntimeVersion *string `json:"runtimeVersion,omitempty"`
	// ProtocolVersion is the inference protocol. Default: v2 for triton, onnx,
	// huggingface and vLLM, v1 for others.
	// +kubebuilder:validation:Enum=v1;v2;grpc-v1;grpc-v2
	// +optional
	ProtocolVersion *ProtocolVersion `json:"protocolVersion,omitempty"`
	// Storage describes the model's place through an entry of the storage secret.
	// +optional
	Storage *StorageSpec `json:"storage,omitempty"`
	// Confidential asks for an encrypted model that is decrypted in a trusted environment.
	// +optional
	Confidential *ConfidentialSpec `json:"confidential,omitempty"`
	// Container overrides fields of the runtime's server container.
	Container `json:",inline"`
}

// ProtocolVersion is an inference protocol.
type ProtocolVersion string

// Inference protocols.
const (
	// ProtocolV1 is KServe's V1 protocol over HTTP.
	ProtocolV1 ProtocolVersion = "v1"
	// ProtocolV2 is the Open Inference Protocol over HTTP.
	ProtocolV2 ProtocolVersion = "v2"
	// ProtocolGRPCV1 is TensorFlow Serving's gRPC protocol.
	ProtocolGRPCV1 ProtocolVersion = "grpc-v1"
	// ProtocolGRPCV2 is the Open Inference Protocol over gRPC.
	ProtocolGRPCV2 ProtocolVersion = "grpc-v2"
)

// ModelSpec describes a model of any format.
type ModelSpec struct {
	// ModelFormat is the format of the model, by which a runtime is found.
	// +optional
	ModelFormat ModelFormat `json:"modelFormat,omitzero"`
	// Runtime names the ServingRuntime or ClusterServingRuntime to use. Default:
	// the best one that supports the format and protocol.
	// +optional
	Runtime *string `json:"runtime,omitempty"`
	// PredictorExtensionSpec holds the model's place and the container's overrides.
	PredictorExtensionSpec `json:",inline"`
}

// ModelFormat is a model's format.
type ModelFormat struct {
	// Name of the format, for example sklearn or vLLM.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Version of the format; must equal a version of the runtime exactly. Default: any.
	// +optional
	Version *string `json:"version,omitempty"`
}

// WorkerSpec describes the workers of a predictor that spans several nodes.
//
// +kubebuilder:validation:XValidation:rule="!has(self.containers) || self.containers.size() <= 1",message="workerSpec.containers must hold at most one container: remove the others"
type WorkerSpec struct {
	// PodSpec holds the workers' container, at most one, and settings of their pods.
	PodSpec `json:",inline"`
	// PipelineParallelSize is the number of nodes. Default: the runtime's.
	// +kubebuilder:validation:Minimum=1
	// +optional
	PipelineParallelSize *int `json:"pipelineParallelSize,omitempty"`
	// TensorParallelSize is the number of GPUs in each node. Default: the runtime's.
	// +kubebuilder:validation:Minimum=1
	// +optional
	TensorParallelSize *int `json:"tensorParallelSize,omitempty"`
}
