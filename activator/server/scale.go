package server

import (
	"context"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Scales reads and writes the scale of Deployments.
type Scales interface {
	GetScale(ctx context.Context, namespace, name string) (*autoscalingv1.Scale, error)
	UpdateScale(ctx context.Context, namespace, name string, scale *autoscalingv1.Scale) error
}

// raiseScale raises a Deployment from zero and reports whether it did. A scale
// that is not zero is left alone, and so is one that somebody else changes at
// the same moment: the conflict makes us look again.
func raiseScale(ctx context.Context, scales Scales, namespace, name string, to int32) (bool, error) {
	for {
		scale, err := scales.GetScale(ctx, namespace, name)
		if err != nil {
			return false, fmt.Errorf("reading the scale of deployment %s/%s: %w", namespace, name, err)
		}
		if scale.Spec.Replicas != 0 {
			return false, nil
		}
		scale = scale.DeepCopy()
		scale.Spec.Replicas = to
		err = scales.UpdateScale(ctx, namespace, name, scale)
		switch {
		case err == nil:
			return true, nil
		case !apierrors.IsConflict(err):
			return false, fmt.Errorf("raising the scale of deployment %s/%s to %d: %w", namespace, name, to, err)
		case ctx.Err() != nil:
			return false, fmt.Errorf("raising the scale of deployment %s/%s: %w", namespace, name, ctx.Err())
		}
	}
}

// KubeScales is Scales on a cluster. Its client should have no rate limit worth
// speaking of: a start must not wait behind other requests.
type KubeScales struct{ Client kubernetes.Interface }

// fieldManager signs what the activator writes.
const fieldManager = "rawserve-activator"

// GetScale reads the scale of a Deployment.
func (k KubeScales) GetScale(ctx context.Context, namespace, name string) (*autoscalingv1.Scale, error) {
	return k.Client.AppsV1().Deployments(namespace).GetScale(ctx, name, metav1.GetOptions{})
}

// UpdateScale writes the scale of a Deployment.
func (k KubeScales) UpdateScale(ctx context.Context, namespace, name string, scale *autoscalingv1.Scale) error {
	_, err := k.Client.AppsV1().Deployments(namespace).UpdateScale(ctx, name, scale, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}
