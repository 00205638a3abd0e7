package control

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// wake brings a Deployment up that is at zero when its replicas pass to somebody who
// would leave it there: an HPA takes zero for being switched off, and activators do
// not raise a scale that is not rawserve's. It is done before the Scaler goes and the
// HPA comes, and not again: a zero of later is meant.
func (c *Controller) wake(ctx context.Context, isvc *v1beta1.InferenceService, have owned, o deployer.Objects) error {
	d := have.own(deploymentKind, o.Name)
	if d == nil || d.deployment.Spec.Replicas == nil || *d.deployment.Spec.Replicas != 0 || o.Stopped || o.Route == nil ||
		o.Deployment.Spec.Replicas != nil {
		return nil
	}
	keep := o.Route.Spec.Targets[0].KeepScale
	fresh := o.HPA != nil && have.own(hpaKind, o.Name) == nil
	if keep == nil || !*keep || !fresh && have.own(scalerKind, o.Name) == nil {
		return nil
	}
	deployments := c.Kubernetes.AppsV1().Deployments(isvc.Namespace)
	scale, err := deployments.GetScale(ctx, o.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the scale of deployment %s/%s: %w", isvc.Namespace, o.Name, err)
	}
	if scale.Spec.Replicas != 0 || scale.UID != d.UID {
		return nil
	}
	scale.Spec.Replicas = o.InitialReplicas
	_, err = deployments.UpdateScale(ctx, o.Name, scale, metav1.UpdateOptions{FieldManager: deployer.FieldManager})
	c.metrics.wrote(deploymentKind, "scale", err)
	if err != nil {
		return fmt.Errorf("raising deployment %s/%s from zero: %w", isvc.Namespace, o.Name, err)
	}
	c.Logger.Info("raised from zero for another autoscaler", "model", isvc.Name, "namespace", isvc.Namespace, "replicas", o.InitialReplicas)
	return nil
}
