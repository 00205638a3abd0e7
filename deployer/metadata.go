package deployer

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// neverCopied are annotations that stay on the InferenceService, as in KServe.
var neverCopied = []string{
	"autoscaling.knative.dev/min-scale",
	"autoscaling.knative.dev/max-scale",
	"internal.serving.kserve.io/storage-initializer-sourceuri",
	"kubectl.kubernetes.io/last-applied-configuration",
	v1beta1.AnnotationModelFormat,
}

// notOnPods are annotations that say how pods are scaled, updated or stopped. They
// are copied to the objects but not to the pods, because otherwise turning one of
// these knobs would restart every pod.
var notOnPods = []string{
	"autoscaling.knative.dev/",
	"serving.knative.dev/",
	"rawserve.dev/",
	corev1.AnnotationTopologyMode,
	v1beta1.AnnotationAutoscalerClass,
	v1beta1.AnnotationDeploymentMode,
	v1beta1.AnnotationDisableAutoUpdate,
	v1beta1.AnnotationMetric,
	v1beta1.AnnotationMetrics,
	v1beta1.AnnotationStop,
	v1beta1.AnnotationTargetUtilizationPercentage,
}

// mergeMetadata joins labels and annotations: the runtime's, the
// InferenceService's and the component's, later ones winning.
func (w *workload) mergeMetadata() error {
	labels, annotations := map[string]string{}, mergedAnnotations(w.isvc, w.in.Runtime)
	if r := w.in.Runtime; r != nil {
		maps.Copy(labels, r.Spec.Labels)
	}
	maps.Copy(labels, w.isvc.Labels)
	maps.Copy(labels, w.predictor.Labels)
	w.allAnnotations = copyMap(annotations)

	for _, name := range slices.Concat(neverCopied, w.in.Config.ServiceAnnotationDisallowedList) {
		delete(annotations, name)
	}
	for _, name := range w.in.Config.ServiceLabelDisallowedList {
		delete(labels, name)
	}
	// A pod with this label would be selected by a narrowed Service.
	delete(labels, LabelPath)
	delete(labels, LabelRevision)
	labels[v1beta1.LabelInferenceService] = w.isvc.Name
	labels[v1beta1.LabelComponent] = string(w.in.Component)
	labels[v1beta1.LabelApp] = AppLabel(w.name)

	w.labels, w.annotations = labels, annotations
	w.template.Labels = copyMap(labels)
	w.template.Annotations = copyMap(annotations)
	maps.DeleteFunc(w.template.Annotations, func(name, _ string) bool {
		return slices.ContainsFunc(notOnPods, func(prefix string) bool {
			return name == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(name, prefix)
		})
	})
	return nil
}

// mergedAnnotations are the runtime's, the InferenceService's and the predictor's,
// later ones winning. runtime is nil for custom containers.
func mergedAnnotations(isvc *v1beta1.InferenceService, runtime *ChosenRuntime) map[string]string {
	annotations := map[string]string{}
	if runtime != nil {
		maps.Copy(annotations, runtime.Spec.Annotations)
	}
	maps.Copy(annotations, isvc.Annotations)
	maps.Copy(annotations, isvc.Spec.Predictor.Annotations)
	return annotations
}

// setLabel adds a label to the objects and pods that the user did not set.
func (w *workload) setLabel(name, value string) {
	if _, ok := w.labels[name]; !ok {
		w.labels[name] = value
		w.template.Labels[name] = value
	}
}

// owner makes the InferenceService the controller of an object.
func (w *workload) owner() metav1.OwnerReference {
	return *metav1.NewControllerRef(w.isvc, v1beta1.SchemeGroupVersion.WithKind("InferenceService"))
}

// copyMap is maps.Clone that never returns nil.
func copyMap(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	maps.Copy(c, m)
	return c
}
