package deployer

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// revisionHistoryLimit is Kubernetes' and KServe's.
const revisionHistoryLimit = 10

// deployment renders the Deployment. Its replicas belong to whoever scales, and
// to us only when nobody does.
func (w *workload) deployment() (*appsv1ac.DeploymentApplyConfiguration, error) {
	template, err := applied[corev1ac.PodTemplateSpecApplyConfiguration](w.template)
	if err != nil {
		return nil, fmt.Errorf("rendering the pods of %s: %w", w.name, err)
	}
	strategy, err := applied[appsv1ac.DeploymentStrategyApplyConfiguration](w.strategy())
	if err != nil {
		return nil, fmt.Errorf("rendering the strategy of %s: %w", w.name, err)
	}
	deadline := w.in.Config.ProgressDeadline.Duration
	if w.scaling.deadline != nil {
		deadline = *w.scaling.deadline
	}
	spec := appsv1ac.DeploymentSpec().
		WithSelector(metav1ac.LabelSelector().WithMatchLabels(w.selector())).
		WithRevisionHistoryLimit(revisionHistoryLimit).
		WithProgressDeadlineSeconds(int32(deadline / time.Second)).
		WithStrategy(strategy).
		WithTemplate(template)
	if w.scaling.class == v1beta1.AutoscalerClassNone {
		spec.WithReplicas(w.scaling.min)
	}
	return appsv1ac.Deployment(w.name, w.isvc.Namespace).
		WithLabels(w.revisionLabels()).
		WithAnnotations(w.annotations).
		WithOwnerReferences(w.ownerRef()).
		WithSpec(spec), nil
}

// selector is that of Deployment and Service.
func (w *workload) selector() map[string]string {
	return map[string]string{v1beta1.LabelApp: AppLabel(w.name)}
}

func (w *workload) strategy() appsv1.DeploymentStrategy {
	if s := w.predictor.DeploymentStrategy; s != nil {
		return *s
	}
	rollout := w.in.Config.Rollout
	return appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxSurge:       &rollout.MaxSurge,
			MaxUnavailable: &rollout.MaxUnavailable,
		},
	}
}
