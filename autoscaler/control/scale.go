package control

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

// otherWriterFor is how long another writer of the scale is reported after it was
// seen last.
const otherWriterFor = 5 * time.Minute

const reasonNotFound = "TargetNotFound"

// scaleFailure is why a target cannot be scaled.
type scaleFailure struct{ reason, message string }

// writeScale writes the decided number. Another number than the one observed, or
// a confirmation that is gone, leaves it to the next turn.
func (c *Controller) writeScale(ctx context.Context, e *entry, scaler *v1alpha1.Scaler, t target, seen autoscaler.Observation, decision autoscaler.Decision) error {
	if t.deployment == nil {
		c.fail(e, scaler, &scaleFailure{reasonNotFound, seen.Unknown + "."})
		return nil
	}
	if decision.Replicas == nil || *decision.Replicas == seen.Replicas {
		// A refused write is reported until one succeeds or none is due.
		if decision.Replicas != nil || e.failure != nil && e.failure.reason == reasonNotFound {
			e.failure = nil
		}
		return nil
	}
	if e.overruled != 0 && e.overruled == c.ticks.Load() {
		return nil // the next tick answers
	}
	want := *decision.Replicas
	direction := "up"
	if want < seen.Replicas {
		direction = "down"
	}
	written, err := c.updateScale(ctx, scaler, t, seen, want)
	switch {
	case err != nil:
		c.metrics.scaled.WithLabelValues(direction, "error").Inc()
		c.fail(e, scaler, failureOf(scaler, err))
		return fmt.Errorf("scaling %s/%s from %d to %d: %w", scaler.Namespace, scaler.Spec.ScaleTargetRef.Name, seen.Replicas, want, err)
	case written == nil:
		c.metrics.scaled.WithLabelValues(direction, "overtaken").Inc()
		return nil
	}
	c.metrics.scaled.WithLabelValues(direction, "written").Inc()
	now := seen.Now
	e.asked, e.written, e.lastScale, e.failure = want, written.ResourceVersion, &now, nil
	c.log.Info("scaled", "namespace", scaler.Namespace, "scaler", scaler.Name, "from", seen.Replicas, "replicas", want, "reason", string(decision.Reason))
	c.scaled(e, scaler, t.deployment, seen.Replicas, want, decision)
	return nil
}

// updateScale writes the number if the target still has the one observed. It
// returns nil when it has not.
//
// The last replica is the one that must not be taken away by mistake: before it
// goes, the scale and the path's confirmation are read from the server itself.
func (c *Controller) updateScale(ctx context.Context, scaler *v1alpha1.Scaler, t target, seen autoscaler.Observation, want int32) (*autoscalingv1.Scale, error) {
	version := t.deployment.ResourceVersion
	if want == 0 {
		live, err := c.confirmZero(ctx, scaler, t, seen)
		if err != nil || live == "" {
			return nil, err
		}
		version = live
	}
	deployments := c.options.Kubernetes.AppsV1().Deployments(scaler.Namespace)
	name := scaler.Spec.ScaleTargetRef.Name
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: scaler.Namespace, ResourceVersion: version},
		Spec:       autoscalingv1.ScaleSpec{Replicas: want},
	}
	written, err := deployments.UpdateScale(ctx, name, scale, metav1.UpdateOptions{FieldManager: Manager})
	if !apierrors.IsConflict(err) {
		return written, err
	}
	if want == 0 {
		return nil, nil
	}
	// Mostly only the Deployment's status has moved on; then the number still is
	// the one that was decided about, and a tick need not be lost.
	live, err := deployments.GetScale(ctx, name, metav1.GetOptions{})
	if err != nil || live.Spec.Replicas != seen.Replicas {
		return nil, err
	}
	scale.ResourceVersion = live.ResourceVersion
	written, err = deployments.UpdateScale(ctx, name, scale, metav1.UpdateOptions{FieldManager: Manager})
	if apierrors.IsConflict(err) {
		return nil, nil
	}
	return written, err
}

// confirmZero returns the target's live resource version if zero still is right,
// and nothing if not.
func (c *Controller) confirmZero(ctx context.Context, scaler *v1alpha1.Scaler, t target, seen autoscaler.Observation) (string, error) {
	live, err := c.options.Kubernetes.AppsV1().Deployments(scaler.Namespace).GetScale(ctx, scaler.Spec.ScaleTargetRef.Name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if live.Spec.Replicas != seen.Replicas || live.UID != t.deployment.UID {
		return "", nil
	}
	// With nothing ready, or no request coming this way, there is nothing to lose.
	if seen.Ready == 0 || seen.Unreachable {
		return live.ResourceVersion, nil
	}
	route, err := c.options.Rawserve.RawserveV1alpha1().InferenceRoutes(scaler.Namespace).Get(ctx, scaler.Spec.RouteName, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("looking whether the path is confirmed: %w", err)
	}
	path, _ := pathOf(route, scaler.Spec.ScaleTargetRef.Name)
	if !path.Confirmed || !throughActivators(path.Mode) {
		return "", nil
	}
	return live.ResourceVersion, nil
}

func failureOf(scaler *v1alpha1.Scaler, err error) *scaleFailure {
	name := scaler.Namespace + "/" + scaler.Spec.ScaleTargetRef.Name
	switch {
	case apierrors.IsNotFound(err):
		return &scaleFailure{reasonNotFound, fmt.Sprintf("Deployment %s does not exist; create it or correct spec.scaleTargetRef.", name)}
	case apierrors.IsForbidden(err):
		return &scaleFailure{"Forbidden", fmt.Sprintf("The API server refused the scale of Deployment %s: %s. Give the controller update on deployments/scale, or raise the quota it names.", name, err)}
	}
	return &scaleFailure{"WriteRefused", fmt.Sprintf("The scale of Deployment %s could not be written, it is tried again: %s.", name, err)}
}

// fail keeps the failure for the status and tells of it when it is new.
func (c *Controller) fail(e *entry, scaler *v1alpha1.Scaler, failure *scaleFailure) {
	if e.failure == nil || e.failure.reason != failure.reason {
		c.warn(scaler, nil, failure.reason, "Scale", failure.message)
	}
	e.failure = failure
}

// reportOtherWriter tells that somebody else changed the scale: two autoscalers
// on one target undo each other's decisions. The answer waits for the next tick: two
// that answer each other at once write as fast as the API server takes it.
func (c *Controller) reportOtherWriter(e *entry, scaler *v1alpha1.Scaler, d *appsv1.Deployment, from, to int32) {
	now := c.clock.Now()
	e.otherWriter = fmt.Sprintf("Replicas of Deployment %s were changed from %d to %d by another writer. Only one may decide: remove the other autoscaler, or pause this Scaler.",
		d.Namespace+"/"+d.Name, from, to)
	e.otherWriterUntil = now.Add(otherWriterFor)
	e.overruled = c.ticks.Load()
	if !e.otherWriterTold.IsZero() && now.Sub(e.otherWriterTold) < otherWriterFor {
		return
	}
	e.otherWriterTold = now
	c.log.Warn("replicas were changed by another writer", "namespace", scaler.Namespace, "scaler", scaler.Name, "from", from, "replicas", to)
	c.warn(scaler, d, "OtherWriter", "Observe", e.otherWriter)
}

// scaled tells of a step. Each is an event of its own, because client-go would show
// the first one's numbers for all that follow; but not while another writer undoes
// them, which would make one a second.
func (c *Controller) scaled(e *entry, scaler *v1alpha1.Scaler, d *appsv1.Deployment, from, to int32, decision autoscaler.Decision) {
	about := aboutScaler(scaler)
	if !c.clock.Now().Before(e.otherWriterUntil) {
		about.ResourceVersion = scaler.ResourceVersion
	}
	c.options.Events.Eventf(about, aboutDeployment(d), corev1.EventTypeNormal, string(decision.Reason), "Scale",
		"%s", note(fmt.Sprintf("Scaled from %d to %d: %s", from, to, decision.Message)))
}
