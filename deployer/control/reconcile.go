package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/revision"
)

const (
	// lookAgain is when an InferenceService gets a pass without any event: for what
	// is not watched, such as secrets.
	lookAgain = 10 * time.Minute
	// lookAgainForCure is the same for one with a problem, which may be cured where
	// nothing is watched.
	lookAgainForCure = time.Minute
)

// found is what a pass found out, beside what it reads from caches.
type found struct {
	name        string
	stopped     bool
	revision    string
	runtime     *deployer.RuntimeRef
	unsupported []deployer.Unsupported
	warnings    []deployer.Warning
	// wanted are the objects that are to be there.
	wanted map[objectKey]bool
}

// reconcile makes one pass over one InferenceService.
func (c *Controller) reconcile(ctx context.Context, key string) (time.Duration, error) {
	item, ok, err := c.caches.isvcs.GetByKey(key)
	if err != nil || !ok {
		return 0, err
	}
	isvc, ok := item.(*v1beta1.InferenceService)
	if !ok {
		return 0, nil
	}
	if isvc.DeletionTimestamp != nil {
		return 0, c.release(ctx, isvc)
	}
	if c.statuses.newer(key, isvc.ResourceVersion) {
		// The cache has not seen our last status yet. Its event does not bring us back,
		// so the pass is made a little later.
		return 50 * time.Millisecond, nil
	}
	begin := c.Clock.Now()
	again, outcome, err := c.pass(ctx, isvc)
	c.metrics.passed(outcome, c.Clock.Since(begin))
	return again, err
}

// pass deploys, and then says in the status what came of it.
func (c *Controller) pass(ctx context.Context, isvc *v1beta1.InferenceService) (again time.Duration, outcome string, err error) {
	have, err := c.ownedBy(isvc)
	if err != nil {
		return 0, "error", err
	}
	key := isvc.Namespace + "/" + isvc.Name
	what, failed := c.deploy(ctx, isvc, have)
	problem, transient := problemOf(failed)
	if transient {
		if ctx.Err() == nil {
			problem = lasting(failed, c.failures.failed(key, c.Clock.Now()), c.Clock.Now())
		}
		if problem == nil {
			return 0, "error", failed
		}
	} else {
		c.failures.forget(key)
	}
	if problem == nil {
		if err := c.prune(ctx, isvc, have, what); err != nil {
			return 0, "error", err
		}
	}
	stored, err := c.report(ctx, isvc, have, what, problem)
	switch {
	case err != nil:
		return 0, "error", err
	case !stored:
		return 100 * time.Millisecond, "error", nil
	case problem != nil && (problem.Reason == v1beta1.ReasonReconcileFailed || transient):
		// Nothing tells when the API server would take it, so it is tried with backoff.
		return 0, "problem", failed
	case problem != nil:
		return wait.Jitter(lookAgainForCure, 0.2), "problem", nil
	default:
		return wait.Jitter(lookAgain, 0.2), "done", nil
	}
}

// deploy makes the objects what they should be. It returns what it found out also
// beside an error.
func (c *Controller) deploy(ctx context.Context, isvc *v1beta1.InferenceService, have owned) (found, error) {
	isvc = v1beta1.Default(isvc, c.defaults)
	what := found{
		name:        deployer.Name(isvc, deployer.Predictor),
		stopped:     deployer.Stopped(isvc),
		unsupported: deployer.UnsupportedFields(isvc),
	}
	history, err := have.history()
	if err != nil {
		return what, err
	}
	latest := revision.Latest(history)
	if latest != nil {
		what.revision, what.runtime = latest.Name, latest.Runtime
	}
	if what.stopped {
		objects, err := c.renderStopped(ctx, isvc, have, what)
		if err != nil {
			return what, err
		}
		what.wanted, err = c.apply(ctx, isvc, have, objects)
		return what, err
	}
	if errs := v1beta1.Validate(isvc); len(errs) > 0 {
		return what, &deployer.RenderError{Reason: deployer.ReasonInvalidSpec, Field: errs[0].Field, Message: strings.TrimPrefix(errs.ToAggregate().Error(), errs[0].Field+": ")}
	}
	in, err := c.input(ctx, isvc, have, latest)
	if err != nil {
		return what, err
	}
	hash, err := deployer.RevisionHash(in)
	if err != nil {
		return what, err
	}
	rev, fresh := revision.Next(what.name, history, hash)
	in.Revision = rev
	if in.FormerPorts, err = c.formerPorts(isvc, have, rev.Name); err != nil {
		return what, err
	}
	objects, err := deployer.Render(in)
	if err != nil {
		return what, err
	}
	what.warnings = slices.Concat(objects.Warnings, c.runtimeWarnings(isvc, in.Runtime))
	if fresh {
		if err := c.recordRevision(ctx, isvc, rev, hash, in.Runtime); err != nil {
			return what, err
		}
		c.Logger.Info("new revision", "model", isvc.Name, "namespace", isvc.Namespace, "revision", rev.Name)
	} else if err := c.amendRevision(ctx, isvc, latest, in.Runtime); err != nil {
		return what, err
	}
	what.revision, what.runtime = rev.Name, nil
	if in.Runtime != nil {
		what.runtime = &in.Runtime.Ref
	}
	what.wanted, err = c.apply(ctx, isvc, have, objects)
	return what, err
}

// input reads what rendering looks at.
func (c *Controller) input(ctx context.Context, isvc *v1beta1.InferenceService, have owned, latest *revision.Record) (deployer.Input, error) {
	in := deployer.Input{Service: isvc, Component: deployer.Predictor, Config: c.Config}
	var err error
	if in.Runtime, err = c.chooseRuntime(ctx, isvc, latest); err != nil {
		return in, err
	}
	if in.Credentials, err = c.offeredCredentials(ctx, isvc, in.Runtime); err != nil {
		return in, err
	}
	if in.Ports, err = c.listenPorts(isvc, in.Runtime); err != nil {
		return in, err
	}
	if h := have.own(routeKind, deployer.Name(isvc, deployer.Predictor)); h != nil {
		in.NarrowSelector = h.route.Status.Path.NarrowSelector
	}
	pods, err := c.podsOf(isvc)
	in.AgentMissing = slices.ContainsFunc(pods, withoutAgent)
	return in, err
}

// renderStopped leaves nothing but the route, if there can be one. What keeps a
// service from running does not keep it from being stopped.
func (c *Controller) renderStopped(ctx context.Context, isvc *v1beta1.InferenceService, have owned, what found) (deployer.Objects, error) {
	var cause *deployer.RenderError
	in, err := c.input(ctx, isvc, have, nil)
	if errors.As(err, &cause) {
		return deployer.Objects{}, nil
	} else if err != nil {
		return deployer.Objects{}, err
	}
	in.Revision = deployer.Revision{Name: what.revision}
	if what.revision == "" {
		in.Revision.Name = revision.Name(what.name, 1)
	}
	return deployer.Render(in)
}
