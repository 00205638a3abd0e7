package v1beta1

// Annotations that users put on an InferenceService. Annotations that KServe
// defines but never reads are listed too, because existing manifests carry them.
const (
	// AnnotationDeploymentMode selects Standard (formerly RawDeployment) or
	// Knative (formerly Serverless).
	AnnotationDeploymentMode = "serving.kserve.io/deploymentMode"
	// AnnotationAutoscalerClass selects who scales a component; see [AutoscalerClass].
	AnnotationAutoscalerClass = "serving.kserve.io/autoscalerClass"
	// AnnotationMetrics named the scale metric before the field scaleMetric existed.
	AnnotationMetrics = "serving.kserve.io/metrics"
	// AnnotationMetric is how some manifests spell AnnotationMetrics.
	AnnotationMetric = "serving.kserve.io/metric"
	// AnnotationTargetUtilizationPercentage set the scale target before the field
	// scaleTarget existed.
	AnnotationTargetUtilizationPercentage = "serving.kserve.io/targetUtilizationPercentage"
	// AnnotationStop stops the service when it is "true", in any case.
	AnnotationStop = "serving.kserve.io/stop"
	// AnnotationDisableAutoUpdate freezes a ready service against changes of its runtime.
	AnnotationDisableAutoUpdate = "serving.kserve.io/disable-auto-update"
	// AnnotationGPUResourceTypes is a JSON list of further resource names that count as GPUs.
	AnnotationGPUResourceTypes = "serving.kserve.io/gpu-resource-types"
	// AnnotationGKEAccelerator names the accelerator of GKE nodes to run on.
	AnnotationGKEAccelerator = "serving.kserve.io/gke-accelerator"
	// AnnotationStorageSecretName names the secret with storage credentials.
	AnnotationStorageSecretName = "serving.kserve.io/storageSecretName"
	// AnnotationEnablePrometheusScraping asks for Prometheus annotations on the pods.
	AnnotationEnablePrometheusScraping = "serving.kserve.io/enable-prometheus-scraping"
	// AnnotationEnableMetricAggregation asks for merged metrics of agent and server.
	AnnotationEnableMetricAggregation = "serving.kserve.io/enable-metric-aggregation"
	// AnnotationModelFormat holds the model format's name, for use in runtime
	// templates as {{.Annotations.modelFormat}}.
	AnnotationModelFormat = "modelFormat"
	// AnnotationNodeGroup names the node group whose local model cache is used.
	AnnotationNodeGroup = "serving.kserve.io/nodegroup"
	// AnnotationDisableLocalModel opts a service out of the local model cache.
	AnnotationDisableLocalModel = "serving.kserve.io/disable-localmodel"
	// AnnotationStorageReadonly is "false" where the server may write to the model's volume.
	AnnotationStorageReadonly = "storage.kserve.io/readonly"
)

// Labels on InferenceServices and on the objects and pods made for them.
const (
	// LabelInferenceService names the InferenceService that an object belongs to.
	LabelInferenceService = "serving.kserve.io/inferenceservice"
	// LabelComponent is the component that an object belongs to; see [Component].
	LabelComponent = "component"
	// LabelApp is "isvc." plus the Deployment's name. Selectors consist of it alone.
	LabelApp = "app"
	// LabelVisibility keeps a service off the ingress when it is "cluster-local".
	LabelVisibility = "networking.kserve.io/visibility"
	// VisibilityClusterLocal is the value of LabelVisibility that keeps a service off the ingress.
	VisibilityClusterLocal = "cluster-local"
)

// Names within pods.
const (
	// ContainerServer is the container that serves the component.
	ContainerServer = "kserve-container"
	// ContainerTransformer is a transformer in the predictor's own pod.
	ContainerTransformer = "transformer-container"
	// ContainerWorker is the container of a multi-node predictor's workers.
	ContainerWorker = "worker-container"
	// ModelMountPath is where a model is found by the server.
	ModelMountPath = "/mnt/models"
	// EnvStorageURI on a custom container's server asks for a download.
	EnvStorageURI = "STORAGE_URI"
	// EnvProtocol on a custom container's server declares its protocol.
	EnvProtocol = "PROTOCOL"
	// EnvPipelineParallelSize is set by the controller on multi-node servers.
	EnvPipelineParallelSize = "PIPELINE_PARALLEL_SIZE"
	// EnvTensorParallelSize is set by the controller on multi-node servers.
	EnvTensorParallelSize = "TENSOR_PARALLEL_SIZE"
	// EnvPythonPath must not be set by users: it would let a manifest replace the server's code.
	EnvPythonPath = "PYTHONPATH"
)

// DeploymentMode says which kind of objects an InferenceService becomes.
type DeploymentMode string

// Deployment modes, with the legacy spellings that [Default] rewrites.
const (
	// ModeStandard makes Deployments and Services.
	ModeStandard DeploymentMode = "Standard"
	// ModeKnative makes Knative Services. rawserve does not, but accepts the word.
	ModeKnative DeploymentMode = "Knative"
	// ModeModelMesh hands the model to ModelMesh.
	ModeModelMesh DeploymentMode = "ModelMesh"
	// ModeRawDeployment is the old name of ModeStandard.
	ModeRawDeployment DeploymentMode = "RawDeployment"
	// ModeServerless is the old name of ModeKnative.
	ModeServerless DeploymentMode = "Serverless"
)

// AutoscalerClass says who scales the Deployments of an InferenceService.
type AutoscalerClass string

// Values of the autoscaler class annotation. Absent means rawserve's own autoscaler.
const (
	// AutoscalerClassHPA makes a HorizontalPodAutoscaler.
	AutoscalerClassHPA AutoscalerClass = "hpa"
	// AutoscalerClassKEDA makes a KEDA ScaledObject.
	AutoscalerClassKEDA AutoscalerClass = "keda"
	// AutoscalerClassExternal leaves the scale to somebody else.
	AutoscalerClassExternal AutoscalerClass = "external"
	// AutoscalerClassNone keeps minReplicas replicas.
	AutoscalerClassNone AutoscalerClass = "none"
)

// Component is one part of an InferenceService.
type Component string

// The components, also keys of the status and values of the component label.
const (
	// ComponentPredictor serves the model.
	ComponentPredictor Component = "predictor"
	// ComponentTransformer works on requests before and responses after the predictor.
	ComponentTransformer Component = "transformer"
	// ComponentExplainer answers explain requests.
	ComponentExplainer Component = "explainer"
)
