package control

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

// entry is what is kept of one Scaler between its turns.
type entry struct {
	uid        types.UID
	generation int64
	policy     autoscaler.Policy
	invalid    field.ErrorList
	state      autoscaler.State

	// target is the Deployment last seen, asked the number of replicas that was
	// written or seen last, and written the resource version of the target after
	// the last write; empty before one.
	target  types.UID
	known   bool
	asked   int32
	written string
	// otherWriter says who else changed the scale, and until when it is reported.
	otherWriter      string
	otherWriterUntil time.Time
	// otherWriterTold is when that was told last, and overruled the tick in which the
	// scale was changed last.
	otherWriterTold time.Time
	overruled       int64
	// routeMissing is the route that the Scaler names and that does not exist.
	routeMissing string
	// failure is why the target cannot be scaled; nil when it can.
	failure *scaleFailure

	// noDataSince is since when signals are missing, and noDataTold whether that was told.
	noDataSince time.Time
	noDataTold  bool

	// status is what was last written, and when.
	status        v1alpha1.ScalerStatus
	statusWritten time.Time
	lastScale     *time.Time
}

// target is what is known of a Scaler's target at its turn.
type target struct {
	deployment *appsv1.Deployment
	route      *v1alpha1.InferenceRoute
}

// reconcileScaler is one turn of a Scaler: observe, decide, write.
func (c *Controller) reconcileScaler(ctx context.Context, key string) (time.Duration, error) {
	scaler, ok := get[*v1alpha1.Scaler](c.informers.scalers, key)
	if !ok || scaler.DeletionTimestamp != nil {
		c.forget(key)
		return 0, nil
	}
	e := c.entry(key, scaler)
	if older := c.older(scaler); older != nil {
		return 0, c.refuse(ctx, e, scaler, "TargetTaken", fmt.Sprintf("Scaler %s, which is older, scales Deployment %s/%s. Delete one of the two, or correct spec.scaleTargetRef.",
			older.Name, scaler.Namespace, scaler.Spec.ScaleTargetRef.Name))
	}
	if len(e.invalid) > 0 {
		return 0, c.refuse(ctx, e, scaler, "InvalidPolicy", "The policy is not applied, replicas stay as they are: "+e.invalid.ToAggregate().Error()+".")
	}
	t, seen := c.observe(e, scaler)
	start := time.Now()
	decision, state := autoscaler.Decide(e.policy, e.state, seen)
	c.metrics.deciding.Observe(time.Since(start).Seconds())
	e.state = state

	// The path is asked for first: what the scale waits for starts at once.
	err := c.writePath(ctx, key, scaler, t.route, decision)
	if scaleErr := c.writeScale(ctx, e, scaler, t, seen, decision); scaleErr != nil && err == nil {
		err = scaleErr
	}
	before := e.status.Reason
	switch statusErr := c.writeStatus(ctx, e, scaler, c.statusOf(e, scaler, seen, decision)); {
	case statusErr == nil:
		c.attention(e, scaler, before, t, seen, decision)
	case err == nil:
		err = statusErr
	}
	c.metrics.ready.WithLabelValues(scaler.Namespace, scaler.Name).Set(float64(seen.Ready))
	if decision.Replicas != nil {
		c.metrics.desired.WithLabelValues(scaler.Namespace, scaler.Name).Set(float64(*decision.Replicas))
	}
	return 0, err
}

// older returns the Scaler that was there first of those that name the same target;
// nil if that is the Scaler itself. Two that decide would undo each other's steps.
func (c *Controller) older(scaler *v1alpha1.Scaler) *v1alpha1.Scaler {
	first := scaler
	for _, s := range indexed[*v1alpha1.Scaler](c.informers.scalers, byTarget, scaler.Namespace+"/"+scaler.Spec.ScaleTargetRef.Name) {
		if s.DeletionTimestamp != nil || s.UID == scaler.UID {
			continue
		}
		if born, than := s.CreationTimestamp, first.CreationTimestamp; born.Before(&than) || born.Equal(&than) && s.Name < first.Name {
			first = s
		}
	}
	if first == scaler {
		return nil
	}
	return first
}

// entry returns what is kept of the Scaler; a new one, of a Scaler seen for the
// first time or made anew, starts with the state of the leader before.
func (c *Controller) entry(key string, scaler *v1alpha1.Scaler) *entry {
	c.mu.Lock()
	e := c.entries[key]
	if e == nil || e.uid != scaler.UID {
		e = &entry{uid: scaler.UID, status: *scaler.Status.DeepCopy()}
		c.entries[key] = e
	}
	c.mu.Unlock()
	if e.generation == 0 && e.status.State != "" {
		if err := json.Unmarshal([]byte(e.status.State), &e.state); err != nil {
			// Not for users, but they can write it; nothing is lost but a start's age.
			c.log.Warn("status.state is not ours, starting without it", "scaler", key, "error", err)
			e.state = autoscaler.State{}
		}
	}
	if e.generation != scaler.Generation {
		e.generation = scaler.Generation
		e.policy, e.invalid = autoscaler.PolicyFrom(scaler.Spec)
	}
	return e
}

func (c *Controller) forget(key string) {
	c.mu.Lock()
	delete(c.entries, key)
	for route, opinions := range c.opinions {
		if delete(opinions, key); len(opinions) == 0 {
			delete(c.opinions, route)
		}
	}
	c.mu.Unlock()
	if name, err := cache.ParseObjectName(key); err == nil {
		c.metrics.forget(name.Namespace, name.Name)
	}
}

// observe gathers what is known of the Scaler's target.
func (c *Controller) observe(e *entry, scaler *v1alpha1.Scaler) (target, autoscaler.Observation) {
	seen := autoscaler.Observation{Now: c.clock.Now()}
	var t target
	name := scaler.Namespace + "/" + scaler.Spec.ScaleTargetRef.Name
	d, ok := get[*appsv1.Deployment](c.informers.deployments, name)
	switch {
	case !ok:
		seen.Unknown = fmt.Sprintf("Deployment %s does not exist; create it or correct spec.scaleTargetRef", name)
	case d.DeletionTimestamp != nil:
		seen.Unknown = fmt.Sprintf("Deployment %s is being deleted", name)
	default:
		t.deployment = d
		seen.Replicas = c.replicas(e, scaler, d)
		seen.Ready = min(d.Status.ReadyReplicas, seen.Replicas)
		if seen.Ready < seen.Replicas {
			seen.Trouble = trouble(d, indexed[*corev1.Pod](c.informers.pods, cache.NamespaceIndex, d.Namespace))
		}
	}
	e.routeMissing = scaler.Spec.RouteName
	if scaler.Spec.RouteName != "" {
		if r, ok := get[*v1alpha1.InferenceRoute](c.informers.inferenceRoutes, scaler.Namespace+"/"+scaler.Spec.RouteName); ok && r.DeletionTimestamp == nil {
			t.route = r
			e.routeMissing = ""
			seen.Path, seen.Unreachable = pathOf(r, scaler.Spec.ScaleTargetRef.Name)
		}
	}
	if snapshot := c.snapshot.Load(); snapshot != nil {
		seen.Readings, seen.Waiting = (*snapshot)[scaler.Namespace].Of(scaler.Name, seen.Ready, seen.Now)
	}
	return t, seen
}

// replicas is the number asked of the target. The cache may be older than our own
// last write; until it has caught up, what was written holds. A number that is
// neither is another writer's.
func (c *Controller) replicas(e *entry, scaler *v1alpha1.Scaler, d *appsv1.Deployment) int32 {
	now := replicasOf(d)
	if e.target != d.UID {
		e.target, e.known, e.written = d.UID, false, ""
	}
	if e.written != "" {
		if order, err := resourceversion.CompareResourceVersion(d.ResourceVersion, e.written); err == nil && order < 0 {
			return e.asked
		}
		e.written = ""
	}
	// From zero the activator writes, for a request that cannot wait.
	if e.known && now != e.asked && !scaler.Spec.Paused && (e.asked != 0 || scaler.Spec.RouteName == "") {
		c.reportOtherWriter(e, scaler, d, e.asked, now)
	}
	e.known, e.asked = true, now
	return now
}

// pathOf is the state of the route as far as it holds for its present
// specification, and whether it leads past the Deployment.
func pathOf(r *v1alpha1.InferenceRoute, deployment string) (path autoscaler.Path, unreachable bool) {
	path = autoscaler.Path{Wanted: r.Spec.Path, Mode: r.Status.Path.Mode}
	// A confirmation of an older specification may be about to be taken back.
	path.Confirmed = r.Status.Path.Confirmed && r.Status.ObservedGeneration == r.Generation &&
		throughActivators(r.Spec.Path) == throughActivators(r.Status.Path.Mode)
	unreachable = true
	shares := 0
	for _, t := range r.Spec.Targets {
		if t.DeploymentName == deployment {
			unreachable = false
		}
		if t.Weight > 0 {
			shares++
		}
	}
	path.Split = shares > 1
	return path, unreachable
}
