package deployer

import (
	"fmt"
	"math"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	autoscalingv2ac "k8s.io/client-go/applyconfigurations/autoscaling/v2"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// Names of our metrics in custom.metrics.k8s.io.
const (
	// MetricInferenceConcurrency is the number of requests at a time.
	MetricInferenceConcurrency = "inference_concurrency"
	// MetricInferenceRPS is the number of requests per second.
	MetricInferenceRPS = "inference_requests_per_second"
)

// The autoscaler's own defaults: an HPA on our metrics aims at the same load.
const (
	defaultConcurrency        = 100
	defaultRPS                = 200
	defaultUtilizationPercent = 70
	// defaultCPUPercent is KServe's.
	defaultCPUPercent = 80
)

// hpa renders the HorizontalPodAutoscaler.
func (w *workload) hpa() (*autoscalingv2ac.HorizontalPodAutoscalerApplyConfiguration, error) {
	s := w.scaling
	metrics, err := w.hpaMetrics()
	if err != nil {
		return nil, err
	}
	spec, err := applied[autoscalingv2ac.HorizontalPodAutoscalerSpecApplyConfiguration](autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: w.name},
		MinReplicas:    &s.min,
		MaxReplicas:    s.hpaMax(),
		Metrics:        metrics,
		Behavior:       s.behavior,
	})
	if err != nil {
		return nil, fmt.Errorf("rendering the HorizontalPodAutoscaler of %s: %w", w.name, err)
	}
	return autoscalingv2ac.HorizontalPodAutoscaler(w.name, w.isvc.Namespace).
		WithLabels(w.labels).
		WithAnnotations(w.annotations).
		WithOwnerReferences(w.ownerRef()).
		WithSpec(spec), nil
}

// hpaMax is the bound that an HPA cannot do without. Where none is given it is the
// least number, as in KServe, and no bound at all where Knative's annotations ask
// for the HPA, as in Knative.
func (s scaling) hpaMax() int32 {
	if s.max == 0 && s.unbounded {
		return math.MaxInt32
	}
	return max(s.max, s.min)
}

// hpaMetrics are what the HPA follows. With none it follows Kubernetes' default.
func (w *workload) hpaMetrics() ([]autoscalingv2.MetricSpec, error) {
	s := w.scaling
	if len(s.resources) > 0 {
		var metrics []autoscalingv2.MetricSpec
		for i, m := range s.resources {
			target, err := resourceTarget(m.Resource, fmt.Sprintf("spec.predictor.autoScaling.metrics[%d].resource.target", i))
			if err != nil {
				return nil, err
			}
			metrics = append(metrics, resourceMetric(corev1.ResourceName(m.Resource.Name), target))
		}
		return metrics, nil
	}
	switch s.metric {
	case v1beta1.MetricConcurrency:
		return []autoscalingv2.MetricSpec{podsMetric(MetricInferenceConcurrency, w.aim(defaultConcurrency, s.concurrency))}, nil
	case v1beta1.MetricRPS:
		return []autoscalingv2.MetricSpec{podsMetric(MetricInferenceRPS, w.aim(defaultRPS, 0))}, nil
	case v1beta1.MetricMemory:
		switch {
		case s.target == nil:
			w.warn("spec.predictor.scaleTarget", "it is not set, so memory is not followed, as in KServe: the HorizontalPodAutoscaler follows Kubernetes' default, 80 %% of the requested CPU; set the percent of the requested memory to aim at")
			return nil, nil
		case s.inMi:
			average := resource.NewQuantity(s.target.Value()<<20, resource.BinarySI)
			return []autoscalingv2.MetricSpec{resourceMetric(corev1.ResourceMemory, autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: average})}, nil
		}
		return []autoscalingv2.MetricSpec{resourceMetric(corev1.ResourceMemory, percentOf(s.target))}, nil
	}
	target := resource.NewQuantity(defaultCPUPercent, resource.DecimalSI)
	if s.target != nil {
		target = s.target
	}
	return []autoscalingv2.MetricSpec{resourceMetric(corev1.ResourceCPU, percentOf(target))}, nil
}

// aim is the average to aim at: a share of the target, and of the hard limit where
// that is lower. So the same manifest gets the same replicas from both classes:
// target 10 at 70 % is an average of 7.
func (w *workload) aim(target, limit int64) resource.Quantity {
	milli := target * 1000
	if t := w.scaling.target; t != nil {
		milli = t.MilliValue()
	}
	// Rounded up, so that a limit of 10 is below a target of 10.5 too.
	if limit > 0 && limit < (milli+999)/1000 {
		milli = limit * 1000
	}
	percent := int64(defaultUtilizationPercent)
	if u := w.scaling.utilization; u != nil {
		percent = int64(*u)
	}
	// At least 10m, the autoscaler's least target, however small the parts are.
	return *resource.NewMilliQuantity(max(milli*percent/100, 10), resource.DecimalSI)
}

// resourceTarget is a metric's target, by default KServe's for CPU.
func resourceTarget(m *v1beta1.ResourceMetricSource, field string) (autoscalingv2.MetricTarget, error) {
	t := m.Target
	switch {
	case t.AverageUtilization != nil:
		return autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: t.AverageUtilization}, nil
	case t.AverageValue != nil:
		return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: t.AverageValue}, nil
	case m.Name == v1beta1.ResourceMetricCPU && t.Value == nil:
		return percentOf(resource.NewQuantity(defaultCPUPercent, resource.DecimalSI)), nil
	}
	return autoscalingv2.MetricTarget{}, invalid(field, "a HorizontalPodAutoscaler follows no totals; set averageUtilization or averageValue")
}

func percentOf(q *resource.Quantity) autoscalingv2.MetricTarget {
	percent := int32(min(q.Value(), 1<<30))
	return autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}
}

func resourceMetric(name corev1.ResourceName, target autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type:     autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: name, Target: target},
	}
}

func podsMetric(name string, average resource.Quantity) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.PodsMetricSourceType,
		Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: name},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &average},
		},
	}
}
