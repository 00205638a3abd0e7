package deployer

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rawservev1alpha1ac "github.com/rawserve/rawserve/api/client/applyconfiguration/rawserve/v1alpha1"
)

// scaler renders the Scaler. What the user did not say is left out, so that the
// autoscaler's defaults apply and show in one place only.
func (w *workload) scaler() *rawservev1alpha1ac.ScalerApplyConfiguration {
	s := w.scaling
	spec := rawservev1alpha1ac.ScalerSpec().
		WithScaleTargetRef(rawservev1alpha1ac.ScaleTargetRef().WithAPIVersion("apps/v1").WithKind("Deployment").WithName(w.name)).
		WithRouteName(w.name).
		WithMinReplicas(s.min).
		WithMaxReplicas(s.max).
		WithInitialReplicas(s.initial)
	metric := rawservev1alpha1ac.ScalerMetric().WithName(s.scalerMetric())
	if s.target != nil {
		metric.WithTarget(*s.target)
	}
	if s.utilization != nil {
		metric.WithTargetUtilizationPercentage(*s.utilization)
	}
	spec.WithMetrics(metric)
	set(s.activation, spec.WithActivationReplicas)
	set(s.burstWindow, spec.WithBurstWindowPercentage)
	set(s.burstLevel, spec.WithBurstThresholdPercentage)
	set(s.burstCapacity, spec.WithTargetBurstCapacity)
	set(duration(s.window), spec.WithStableWindow)
	set(duration(s.downDelay), spec.WithScaleDownDelay)
	set(duration(s.retention), spec.WithScaleToZeroPodRetentionPeriod)
	set(duration(s.deadline), spec.WithProgressDeadline)
	if s.concurrency > 0 {
		spec.WithContainerConcurrency(s.concurrency)
	}
	return rawservev1alpha1ac.Scaler(w.name, w.isvc.Namespace).
		WithLabels(w.labels).
		WithOwnerReferences(w.ownerRef()).
		WithSpec(spec)
}

// set calls with on what was said.
func set[T, R any](value *T, with func(T) R) {
	if value != nil {
		with(*value)
	}
}

func duration(d *time.Duration) *metav1.Duration {
	if d == nil {
		return nil
	}
	return &metav1.Duration{Duration: *d}
}
