package deployer

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// zoneAnnotation asks for the field trafficDistribution of a Service, which an
// InferenceService has no place for.
const zoneAnnotation = "rawserve.dev/traffic-distribution"

// readZone reads whether requests are to stay in the zone they come from. Besides
// our own annotation it follows Kubernetes', which is copied to the Service, as in
// KServe: there kube-proxy follows it, and activators do the same.
func (w *workload) readZone() error {
	if text, ok := w.allAnnotations[zoneAnnotation]; ok {
		switch text = strings.TrimSpace(text); text {
		case string(rawservev1alpha1.PreferSameZone), corev1.ServiceTrafficDistributionPreferClose:
			w.sameZone, w.zoneField = true, true
		case "":
		default:
			w.warn(annotationField(zoneAnnotation), "%q is ignored; use %s, or remove the annotation for no preference", text, rawservev1alpha1.PreferSameZone)
		}
		return nil
	}
	w.sameZone = strings.EqualFold(w.annotations[corev1.AnnotationTopologyMode], "auto")
	return nil
}
