package deployer

import (
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// scaling is how a component is to be scaled, read from its fields and
// annotations. A nil pointer means that the user said nothing.
type scaling struct {
	class    AutoscalerClass
	min, max int32
	// initial is the number of replicas to create the Deployment with.
	initial    int32
	activation *int32
	metric     v1beta1.ScaleMetric
	target     *resource.Quantity
	// inMi says that a target for memory is in Mi, as Knative's are, and not in
	// percent of what is requested, as KServe's are.
	inMi bool
	// unbounded says that a max of 0 is no bound to an HPA either.
	unbounded bool
	// utilization is the share of target to aim for, in percent.
	utilization   *int32
	concurrency   int64
	resources     []v1beta1.MetricsSpec
	behavior      *autoscalingv2.HorizontalPodAutoscalerBehavior
	window        *time.Duration
	burstWindow   *int32
	burstLevel    *int32
	downDelay     *time.Duration
	retention     *time.Duration
	burstCapacity *int64
	deadline      *time.Duration
}

// byRequests says whether replicas follow requests, which the agent counts.
func (s scaling) byRequests() bool {
	switch s.class {
	case AutoscalerOwn:
		return true
	case v1beta1.AutoscalerClassHPA:
		return len(s.resources) == 0 && s.ofRequests()
	case v1beta1.AutoscalerClassExternal:
		// Whoever scales may read our metrics, or go to zero.
		return s.ofRequests() || s.min == 0
	}
	return false
}

// ofRequests says whether the user named a metric that counts requests.
func (s scaling) ofRequests() bool {
	return s.metric == v1beta1.MetricConcurrency || s.metric == v1beta1.MetricRPS
}

// keepScale says whether activators leave the scale alone while requests wait: it
// is an HPA's, a fixed number's, or that of somebody who did not say that it may be
// zero, and then means something by it.
func (s scaling) keepScale() bool {
	switch s.class {
	case v1beta1.AutoscalerClassExternal, v1beta1.AutoscalerClassKEDA:
		return s.min > 0
	}
	return s.class != AutoscalerOwn
}

// readScaling reads the fields and annotations. A field wins over an annotation.
// Bad fields are errors; a bad annotation is ignored with a warning, because
// KServe ignores all of them without Knative.
func (w *workload) readScaling() error {
	ext := &w.predictor.ComponentExtensionSpec
	a := knative{w: w}
	metric, byAnnotation := w.scaleMetric(ext, a)
	s := scaling{
		metric:        metric,
		utilization:   a.percent("target-utilization-percentage", 1, 100),
		window:        a.duration("window", 6*time.Second, time.Hour),
		burstWindow:   a.percent("panic-window-percentage", 1, 100),
		burstLevel:    a.percent("panic-threshold-percentage", 110, 1000),
		downDelay:     a.duration("scale-down-delay", 0, time.Hour),
		retention:     a.duration("scale-to-zero-pod-retention-period", 0, time.Hour),
		burstCapacity: a.burstCapacity(),
		activation:    a.replicas("activation-scale", 1),
		deadline:      a.deadline(),
	}
	a.refuseAggregation()
	var err error
	if s.class, err = w.autoscalerClass(ext, s.metric); err != nil {
		return err
	}
	if ext.ContainerConcurrency != nil {
		if s.concurrency = *ext.ContainerConcurrency; s.concurrency < 0 {
			return invalid("spec.predictor.containerConcurrency", "%d is negative; use 0 for no limit", s.concurrency)
		}
	}
	knativeHPA := w.knativeClass() || byAnnotation && !s.ofRequests()
	s.unbounded = knativeHPA && w.allAnnotations[v1beta1.AnnotationAutoscalerClass] == ""
	if err := w.scaleTarget(ext, a, &s, knativeHPA); err != nil {
		return err
	}
	if err := w.scaleBounds(ext, a, &s); err != nil {
		return err
	}
	if ext.AutoScaling != nil {
		s.behavior = ext.AutoScaling.Behavior
		for _, m := range ext.AutoScaling.Metrics {
			if m.Type == v1beta1.SourceResource && m.Resource != nil {
				s.resources = append(s.resources, m)
			}
		}
	}
	w.scaling = s
	return nil
}

// scaleMetric is empty when the user names none. It says too whether an annotation
// of Knative's named it.
func (w *workload) scaleMetric(ext *v1beta1.ComponentExtensionSpec, a knative) (metric v1beta1.ScaleMetric, byAnnotation bool) {
	if ext.ScaleMetric != nil && *ext.ScaleMetric != "" {
		return *ext.ScaleMetric, false
	}
	name, text, ok := a.get("metric")
	if !ok {
		return "", false
	}
	switch m := v1beta1.ScaleMetric(text); m {
	case v1beta1.MetricConcurrency, v1beta1.MetricRPS, v1beta1.MetricCPU, v1beta1.MetricMemory:
		return m, true
	}
	w.warn(annotationField(name), "the metric %q is not known and the annotation is ignored; use concurrency, rps, cpu or memory", text)
	return "", false
}

// knativeClass says whether an annotation asks for Knative's HPA class.
func (w *workload) knativeClass() bool {
	return strings.HasPrefix(w.allAnnotations[knativePrefix+"class"], "hpa")
}

// autoscalerClass is the annotation's, else the one that fits the metrics:
// KServe's HPA for CPU and memory, our own for the rest.
func (w *workload) autoscalerClass(ext *v1beta1.ComponentExtensionSpec, metric v1beta1.ScaleMetric) (AutoscalerClass, error) {
	text := w.allAnnotations[v1beta1.AnnotationAutoscalerClass]
	switch class := AutoscalerClass(text); class {
	case v1beta1.AutoscalerClassHPA, v1beta1.AutoscalerClassKEDA, v1beta1.AutoscalerClassExternal, v1beta1.AutoscalerClassNone:
		return class, nil
	case "":
	default:
		return "", invalid(annotationField(v1beta1.AnnotationAutoscalerClass), "%q is no autoscaler class; use hpa, keda, external or none, or remove the annotation for rawserve's own", text)
	}
	if metric == v1beta1.MetricCPU || metric == v1beta1.MetricMemory {
		return v1beta1.AutoscalerClassHPA, nil
	}
	if ext.AutoScaling != nil {
		for _, m := range ext.AutoScaling.Metrics {
			if m.Type == v1beta1.SourceResource {
				return v1beta1.AutoscalerClassHPA, nil
			}
		}
	}
	if w.knativeClass() {
		return v1beta1.AutoscalerClassHPA, nil
	}
	return AutoscalerOwn, nil
}

// scaleTarget reads what one replica is to carry. An annotation's target counts
// requests unless Knative's annotations ask for the HPA: a target of 10 that was
// left over from them must not become 10 % of the CPU.
func (w *workload) scaleTarget(ext *v1beta1.ComponentExtensionSpec, a knative, s *scaling, knativeHPA bool) error {
	if ext.ScaleTarget == nil {
		if s.class == v1beta1.AutoscalerClassHPA && !knativeHPA && !s.ofRequests() {
			if name, text, ok := a.get("target"); ok {
				w.warn(annotationField(name), "%q is not read, because it may be meant for requests and the HorizontalPodAutoscaler follows CPU or memory; set scaleTarget, or remove the annotation", text)
			}
			return nil
		}
		s.target, s.inMi = a.target(), true
		return nil
	}
	target := *ext.ScaleTarget
	if target < 1 {
		return invalid("spec.predictor.scaleTarget", "%d is below 1; raise it", target)
	}
	if s.class == AutoscalerOwn && s.metric == "" {
		w.warn("spec.predictor.scaleTarget", "%d is read as requests at a time in each replica, because scaleMetric is not set; set scaleMetric to cpu to have it read as percent of the requested CPU", target)
	}
	s.target = resource.NewQuantity(int64(target), resource.DecimalSI)
	return nil
}

// scaleBounds reads the least, greatest and first number of replicas.
func (w *workload) scaleBounds(ext *v1beta1.ComponentExtensionSpec, a knative, s *scaling) error {
	s.min = 1
	switch n := a.replicas("min-scale", 0); {
	case ext.MinReplicas != nil:
		s.min = *ext.MinReplicas
	case n != nil:
		s.min = *n
	}
	switch n := a.replicas("max-scale", 0); {
	case ext.MaxReplicas != 0:
		s.max = ext.MaxReplicas
	case n != nil:
		s.max = *n
	}
	switch {
	case s.min < 0:
		return invalid("spec.predictor.minReplicas", "%d is negative; use 0 to allow scale to zero", s.min)
	case s.max < 0:
		return invalid("spec.predictor.maxReplicas", "%d is negative; use 0 for no bound", s.max)
	case s.max != 0 && s.min > s.max:
		if ext.MinReplicas != nil && ext.MaxReplicas != 0 {
			return invalid("spec.predictor.minReplicas", "%d is above maxReplicas %d; lower it, or raise maxReplicas", s.min, s.max)
		}
		w.warn("spec.predictor.minReplicas", "the least number of replicas, %d, is above the greatest, %d, one of them being an annotation's; the greatest is raised to it", s.min, s.max)
		s.max = s.min
	}
	s.initial = 1
	if n := a.replicas("initial-scale", 0); n != nil {
		s.initial = *n
	}
	if s.max != 0 && s.initial > s.max {
		w.warn(annotationField(knativePrefix+"initial-scale"), "%d is above the greatest number of replicas; %d is used", s.initial, s.max)
		s.initial = s.max
	}
	s.initial = max(s.initial, s.min)
	switch s.class {
	case v1beta1.AutoscalerClassNone:
		s.initial = s.min
	case v1beta1.AutoscalerClassHPA:
		// An HPA leaves a Deployment at zero alone.
		if s.min == 0 {
			w.warn("spec.predictor.minReplicas", "0 is raised to 1, because a HorizontalPodAutoscaler cannot start from zero here; to scale to zero, remove scaleMetric, autoScaling and the annotation %s", v1beta1.AnnotationAutoscalerClass)
		}
		s.min = max(s.min, 1)
		s.initial = max(s.initial, 1)
	}
	if s.activation != nil && s.max != 0 && *s.activation > s.max {
		w.warn(annotationField(knativePrefix+"activation-scale"), "%d is above the greatest number of replicas; %d is used", *s.activation, s.max)
		bound := s.max
		s.activation = &bound
	}
	return nil
}

// scalerMetric is the signal that a Scaler follows.
func (s scaling) scalerMetric() rawservev1alpha1.MetricName {
	if s.metric == v1beta1.MetricRPS {
		return rawservev1alpha1.MetricRPS
	}
	return rawservev1alpha1.MetricConcurrency
}
