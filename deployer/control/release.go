package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// formerFinalizer is what KServe's controller puts on every InferenceService, to
// clean up before it goes. Where KServe has been removed nobody else takes it off,
// and the InferenceService could never be deleted.
const formerFinalizer = "inferenceservice.finalizers"

// release lets an InferenceService that is being deleted go, as far as KServe held
// it. Finalizers of others are theirs to remove. The objects made for it are
// collected by Kubernetes.
func (c *Controller) release(ctx context.Context, isvc *v1beta1.InferenceService) error {
	i := slices.Index(isvc.Finalizers, formerFinalizer)
	if i < 0 {
		return nil
	}
	// The cache may lag behind: only what is still there at that place is removed.
	path := fmt.Sprintf("/metadata/finalizers/%d", i)
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": path, "value": formerFinalizer},
		{"op": "remove", "path": path},
	})
	if err != nil {
		return fmt.Errorf("encoding the removal of a finalizer: %w", err)
	}
	_, err = c.Rawserve.ServingV1beta1().InferenceServices(isvc.Namespace).Patch(ctx, isvc.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: deployer.FieldManager})
	c.metrics.wrote(isvcMetricsKind, "patch", err)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing KServe's finalizer from %s/%s: %w", isvc.Namespace, isvc.Name, err)
	}
	if err == nil {
		c.Logger.Info("removed KServe's finalizer", "model", isvc.Name, "namespace", isvc.Namespace)
	}
	return nil
}
