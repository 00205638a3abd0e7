package deployer

import (
	"fmt"
	"strings"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// UnsupportedFields lists what an InferenceService asks for that is accepted but
// not acted on, so that nothing is dropped in silence.
func UnsupportedFields(isvc *v1beta1.InferenceService) []Unsupported {
	var list []Unsupported
	for _, row := range unsupported {
		if row.asked(isvc) {
			list = append(list, Unsupported{Field: row.field, Message: row.message})
		}
	}
	return list
}

// unsupported are the fields in question. Remove a row when its field is honoured.
var unsupported = []unsupportedRow{
	{"spec.transformer", func(i *v1beta1.InferenceService) bool { return i.Spec.Transformer != nil },
		"transformers are not served yet: requests go to the predictor unchanged. Use a transformer-container in the predictor, which is."},
	{"spec.explainer", func(i *v1beta1.InferenceService) bool { return i.Spec.Explainer != nil },
		"explainers are not served yet: explain requests are not answered."},
	{"spec.canary", func(i *v1beta1.InferenceService) bool { return len(i.Spec.Canary) > 0 },
		"further versions are not served yet: all requests go to the predictor."},
	{"spec.predictor.canaryTrafficPercent", func(i *v1beta1.InferenceService) bool { return i.Spec.Predictor.CanaryTrafficPercent != nil },
		"traffic is not split yet: an update takes all requests as soon as it is ready."},
	{"spec.predictor.workerSpec", func(i *v1beta1.InferenceService) bool { return i.Spec.Predictor.WorkerSpec != nil },
		"workers are not made yet: the predictor is not served."},
	{"spec.predictor.logger", func(i *v1beta1.InferenceService) bool { return i.Spec.Predictor.Logger != nil },
		"requests and responses are not logged yet."},
	{"spec.predictor.batcher", func(i *v1beta1.InferenceService) bool { return i.Spec.Predictor.Batcher != nil },
		"requests are not batched yet: each is sent on alone."},
	{"spec.predictor.storageContainerName", func(i *v1beta1.InferenceService) bool {
		return i.Spec.Predictor.StorageContainerName != nil && *i.Spec.Predictor.StorageContainerName != ""
	}, "ClusterStorageContainers are not used: the configured storage initializer downloads the model."},
	{"spec.predictor.scaleMetricType", func(i *v1beta1.InferenceService) bool { return i.Spec.Predictor.ScaleMetricType != nil },
		"it is not used, by KServe neither: use autoScaling.metrics to say how a target is read."},
	{"spec.predictor.model.confidential", func(i *v1beta1.InferenceService) bool {
		m := i.Spec.Predictor.Model
		return m != nil && m.Confidential != nil && m.Confidential.Enabled
	}, "models are not decrypted: the server gets the file as it is stored."},
	{"spec.predictor.model.storage.schemaPath", func(i *v1beta1.InferenceService) bool {
		m := i.Spec.Predictor.Model
		return m != nil && m.Storage != nil && m.Storage.SchemaPath != nil && *m.Storage.SchemaPath != ""
	}, "schemas are ModelMesh's and not used."},
	{"spec.predictor.model.storageUri", withoutModel,
		"it is empty and the container is told of no model either: the server starts without one. Multi-model serving is not supported yet; set storageUri."},
	{"spec.predictor.containers[kserve-container].env[MULTI_MODEL_SERVER]", func(i *v1beta1.InferenceService) bool {
		for _, c := range i.Spec.Predictor.Containers {
			for _, e := range c.Env {
				if e.Name == "MULTI_MODEL_SERVER" && strings.EqualFold(e.Value, "true") {
					return true
				}
			}
		}
		return false
	}, "multi-model serving is not supported yet: TrainedModels are not loaded."},
	{"spec.predictor.autoScaling.metrics", func(i *v1beta1.InferenceService) bool {
		a := i.Spec.Predictor.AutoScaling
		if a == nil {
			return false
		}
		for _, m := range a.Metrics {
			if m.Type != v1beta1.SourceResource {
				return true
			}
		}
		return false
	}, "metrics of the types External and PodMetric need KEDA, which is not supported yet: only those of the type Resource are followed."},
	{"spec.predictor.autoScaling.behavior", func(i *v1beta1.InferenceService) bool {
		a := i.Spec.Predictor.AutoScaling
		return a != nil && a.Behavior != nil && !usesHPA(i)
	}, "only a HorizontalPodAutoscaler follows it: set the annotation serving.kserve.io/autoscalerClass to hpa, or use autoscaling.knative.dev/scale-down-delay and autoscaling.knative.dev/window."},
	{annotationField(v1beta1.AnnotationAutoscalerClass), func(i *v1beta1.InferenceService) bool {
		return annotation(i, v1beta1.AnnotationAutoscalerClass) == string(v1beta1.AutoscalerClassKEDA)
	}, "KEDA is not supported yet: nobody makes a ScaledObject. Delete the one that KServe made, which would go on scaling the component, and remove the annotation for rawserve's own autoscaler."},
	{annotationField(v1beta1.AnnotationDeploymentMode), func(i *v1beta1.InferenceService) bool {
		switch v1beta1.DeploymentMode(annotation(i, v1beta1.AnnotationDeploymentMode)) {
		case "", v1beta1.ModeStandard, v1beta1.ModeRawDeployment:
			return false
		}
		return true
	}, "only Standard is made: Deployments and Services, which scale to zero and on concurrency as in Knative mode. Remove the annotation, or set it to Standard."},
	deadAnnotation(v1beta1.AnnotationMetrics, "scaleMetric"),
	deadAnnotation(v1beta1.AnnotationMetric, "scaleMetric"),
	deadAnnotation(v1beta1.AnnotationTargetUtilizationPercentage, "scaleTarget"),
	dropped(v1beta1.AnnotationEnableMetricAggregation, "metrics of agent and server are not merged: scrape both."),
	dropped(v1beta1.AnnotationEnablePrometheusScraping, "no annotations for Prometheus are added: use those of the runtime, or your own."),
	dropped(v1beta1.AnnotationNodeGroup, "models are not cached on nodes yet."),
}

type unsupportedRow struct {
	field   string
	asked   func(*v1beta1.InferenceService) bool
	message string
}

// deadAnnotation is one that KServe defines, and never reads.
func deadAnnotation(name, field string) unsupportedRow {
	return dropped(name, fmt.Sprintf("it is not read, by KServe neither: set spec.predictor.%s.", field))
}

// dropped is an annotation that asks for something when it is neither empty nor false.
func dropped(name, message string) unsupportedRow {
	return unsupportedRow{annotationField(name), func(i *v1beta1.InferenceService) bool {
		v := annotation(i, name)
		return v != "" && !strings.EqualFold(v, "false")
	}, message}
}

// annotation returns the component's, else the InferenceService's.
func annotation(isvc *v1beta1.InferenceService, name string) string {
	if v, ok := isvc.Spec.Predictor.Annotations[name]; ok {
		return v
	}
	return isvc.Annotations[name]
}

func usesHPA(isvc *v1beta1.InferenceService) bool {
	w := &workload{isvc: isvc, predictor: &isvc.Spec.Predictor, allAnnotations: mergedAnnotations(isvc, nil)}
	err := w.readScaling()
	return err == nil && w.scaling.class == v1beta1.AutoscalerClassHPA
}

// withoutModel says whether a server would start without any model. Servers that
// fetch models themselves are told which one by arguments or variables.
func withoutModel(isvc *v1beta1.InferenceService) bool {
	p := &isvc.Spec.Predictor
	m := p.Model
	return m != nil && (m.StorageURI == nil || *m.StorageURI == "") && m.Storage == nil && len(p.StorageURIs) == 0 &&
		len(m.Args) == 0 && len(m.Env) == 0 && len(m.EnvFrom) == 0 && len(m.Command) == 0 && m.Image == ""
}
