package control

import (
	"context"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/revision"
)

// apply writes what differs, in order, and stops at the first that cannot be
// written. It returns the objects that are to be there.
func (c *Controller) apply(ctx context.Context, isvc *v1beta1.InferenceService, have owned, objects deployer.Objects) (map[objectKey]bool, error) {
	list, err := wantedObjects(objects)
	if err != nil {
		return nil, err
	}
	if objects.Deployment != nil && have.named(deploymentKind, isvc.Namespace, *objects.Deployment.Name) != nil {
		list = deploymentFirst(list)
	}
	if err := c.wake(ctx, isvc, have, objects); err != nil {
		return nil, err
	}
	keys := map[objectKey]bool{}
	for _, w := range list {
		name := w.object.GetName()
		keys[objectKey{w.kind, isvc.Namespace, name}] = true
		changed, err := c.applier.ensure(ctx, isvc, w, have.named(w.kind, isvc.Namespace, name))
		if err != nil {
			return nil, err
		}
		if changed {
			c.Logger.Debug("applied", "model", isvc.Name, "namespace", isvc.Namespace, "kind", w.kind.Kind, "name", name)
		}
	}
	return keys, nil
}

// prune deletes objects that are not wanted any more: of our making, or another
// controller's under a name that is ours now. While the pods of a new name are not
// ready yet, or requests would not reach them, those of the former name go on serving.
func (c *Controller) prune(ctx context.Context, isvc *v1beta1.InferenceService, have owned, what found) error {
	replaced := what.stopped || carries(have.own(deploymentKind, what.name)) && reached(have.own(routeKind, what.name))
	for k, objects := range have.byKind {
		if !k.prune {
			continue
		}
		for _, h := range objects {
			ours := h.applied != "" || h.Name == what.name
			if !ours || what.wanted[objectKey{k, h.Namespace, h.Name}] || h.DeletionTimestamp != nil || h.Name != what.name && !replaced {
				continue
			}
			if err := c.applier.remove(ctx, h); err != nil {
				return err
			}
			c.Logger.Info("deleted what is not wanted any more", "model", isvc.Name, "namespace", isvc.Namespace, "kind", k.Kind, "name", h.Name)
		}
	}
	return c.pruneRevisions(ctx, isvc, have)
}

// carries says whether a Deployment has pods that serve, or is to have none.
func carries(h *held) bool {
	if h == nil {
		return false
	}
	d := h.deployment
	return d.Status.AvailableReplicas > 0 || d.Spec.Replicas != nil && *d.Spec.Replicas == 0
}

// reached says whether every request to a route's Service finds an endpoint.
func reached(h *held) bool { return h != nil && h.route.Status.Path.Confirmed }

// pruneRevisions keeps the history within its limit.
func (c *Controller) pruneRevisions(ctx context.Context, isvc *v1beta1.InferenceService, have owned) error {
	history, err := have.history()
	if err != nil {
		return err
	}
	predictor := isvc.Status.Components[v1beta1.ComponentPredictor]
	for _, r := range revision.Expendable(history, predictor.LatestReadyRevision, predictor.LatestRolledoutRevision, predictor.PreviousRolledoutRevision) {
		if err := c.applier.remove(ctx, have.own(revisionKind, r.Name)); err != nil {
			return err
		}
	}
	return nil
}
