package control

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

// The conditions of a Scaler.
const (
	// ConditionActive is true while requests are served.
	ConditionActive = "Active"
	// ConditionAbleToScale is true while the target is found and can be written.
	ConditionAbleToScale = "AbleToScale"
	// ConditionSignalsFresh is true while every signal is known in full.
	ConditionSignalsFresh = "SignalsFresh"
)

// statusEvery is how often a status is written of which only values have changed;
// for more than 1,000 Scalers so much seldomer that 100 writes a second remain.
func statusEvery(scalers int) time.Duration {
	return max(10*time.Second, time.Duration(scalers)*10*time.Millisecond)
}

// statusOf is the status that tells of the decision.
func (c *Controller) statusOf(e *entry, scaler *v1alpha1.Scaler, seen autoscaler.Observation, d autoscaler.Decision) v1alpha1.ScalerStatus {
	status := v1alpha1.ScalerStatus{
		ObservedGeneration: scaler.Generation,
		DesiredReplicas:    d.Replicas,
		CurrentReplicas:    seen.Replicas,
		ReadyReplicas:      seen.Ready,
		Path:               d.Path,
		Reason:             string(d.Reason),
		Message:            d.Message,
		Because:            d.Because,
		LastScaleTime:      e.status.LastScaleTime,
		Conditions:         append([]metav1.Condition(nil), e.status.Conditions...),
	}
	if d.Replicas == nil {
		status.DesiredReplicas = e.status.DesiredReplicas
	}
	if e.lastScale != nil {
		status.LastScaleTime = &metav1.Time{Time: e.lastScale.Truncate(time.Second)}
	}
	for _, s := range d.Signals {
		status.Signals = append(status.Signals, signalStatus(s))
	}
	if data, err := json.Marshal(e.state.Durable()); err == nil {
		status.State = string(data)
	}
	for _, condition := range c.conditions(e, seen, d) {
		condition.ObservedGeneration = scaler.Generation
		condition.LastTransitionTime = metav1.NewTime(seen.Now.Truncate(time.Second))
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status
}

func signalStatus(s autoscaler.Signal) v1alpha1.SignalStatus {
	out := v1alpha1.SignalStatus{Name: string(s.Name), State: s.State, Target: quantity(s.Target)}
	if s.HasData {
		wanted := s.Wanted
		out.Stable, out.Burst, out.Wanted = quantity(s.Stable), quantity(s.Burst), &wanted
	}
	return out
}

// quantity writes a value in thousandths.
func quantity(v float64) *resource.Quantity {
	return resource.NewMilliQuantity(int64(math.Round(min(v, 1e12)*1000)), resource.DecimalSI)
}

func (c *Controller) conditions(e *entry, seen autoscaler.Observation, d autoscaler.Decision) []metav1.Condition {
	active := metav1.Condition{Type: ConditionActive, Status: metav1.ConditionFalse, Reason: string(d.Reason), Message: d.Message}
	switch {
	case seen.Unknown != "":
		active.Status = metav1.ConditionUnknown
	case seen.Ready > 0:
		active.Status, active.Reason, active.Message = metav1.ConditionTrue, "Ready", "Replicas are ready."
	case d.Reason != autoscaler.ReasonStartFailed && seen.Replicas > 0:
		active.Status, active.Reason, active.Message = metav1.ConditionUnknown, "Starting", "Replicas are starting, none is ready."
	}
	able := metav1.Condition{Type: ConditionAbleToScale, Status: metav1.ConditionTrue, Reason: "TargetFound", Message: "The target is found and its scale can be written."}
	if e.routeMissing != "" {
		able.Reason, able.Message = "RouteNotFound", fmt.Sprintf("InferenceRoute %s does not exist; the last replica stays, because nothing would hold requests without it.", e.routeMissing)
	}
	if e.otherWriter != "" && c.clock.Now().Before(e.otherWriterUntil) {
		able.Reason, able.Message = "OtherWriter", e.otherWriter
	}
	if e.failure != nil {
		able.Status, able.Reason, able.Message = metav1.ConditionFalse, e.failure.reason, e.failure.message
	}
	fresh := metav1.Condition{Type: ConditionSignalsFresh, Status: metav1.ConditionTrue, Reason: "Fresh", Message: "Every signal is known from all pods."}
	var poor []string
	for _, s := range d.Signals {
		if s.State != v1alpha1.SignalFresh {
			fresh.Reason = string(s.State)
			poor = append(poor, fmt.Sprintf("%s: %s", s.Name, s.Why))
		}
	}
	if e.policy.HasRoute && !seen.Waiting.Known {
		if len(poor) == 0 {
			fresh.Reason = string(v1alpha1.SignalAbsent)
		}
		poor = append(poor, "waiting requests: "+seen.Waiting.Why)
	}
	if len(poor) > 0 {
		fresh.Status, fresh.Message = metav1.ConditionFalse, "Nothing shrinks on what is not known. "+strings.Join(poor, "; ")+"."
	}
	return []metav1.Condition{active, able, fresh}
}

// refuse says in the status, and once in an event, why a Scaler is not acted on;
// nothing else is touched.
func (c *Controller) refuse(ctx context.Context, e *entry, scaler *v1alpha1.Scaler, reason, message string) error {
	if scaler.Spec.RouteName != "" {
		key := scaler.Namespace + "/"
		c.hear(key+scaler.Name, key+scaler.Spec.RouteName, "")
	}
	status := *e.status.DeepCopy()
	status.ObservedGeneration = scaler.Generation
	fresh := status.Reason != reason || status.Message != message
	status.Reason, status.Message = reason, message
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: ConditionAbleToScale, Status: metav1.ConditionFalse, Reason: status.Reason, Message: status.Message,
		ObservedGeneration: scaler.Generation, LastTransitionTime: metav1.NewTime(c.clock.Now().Truncate(time.Second)),
	})
	if err := c.writeStatus(ctx, e, scaler, status); err != nil || !fresh || e.status.Message != message {
		return err // not stored, so not told
	}
	c.warn(scaler, nil, reason, "Decide", message)
	return nil
}

// writeStatus writes the status at once when what it says has changed, and now
// and then when only its values have.
func (c *Controller) writeStatus(ctx context.Context, e *entry, scaler *v1alpha1.Scaler, status v1alpha1.ScalerStatus) error {
	if equality.Semantic.DeepEqual(status, e.status) {
		return nil
	}
	now := c.clock.Now()
	if !news(e.status, status) && now.Sub(e.statusWritten) < statusEvery(int(c.count.Load())) {
		return nil
	}
	// Nobody else writes the status, so it is replaced as a whole, whatever version
	// the cache has; the UID keeps it from a Scaler of the same name made since.
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": scaler.UID},
		{"op": "add", "path": "/status", "value": status},
	})
	if err != nil {
		return fmt.Errorf("encoding the status of %s/%s: %w", scaler.Namespace, scaler.Name, err)
	}
	_, err = c.options.Rawserve.RawserveV1alpha1().Scalers(scaler.Namespace).Patch(ctx, scaler.Name, types.JSONPatchType, patch,
		metav1.PatchOptions{FieldManager: Manager}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the status of %s/%s: %w", scaler.Namespace, scaler.Name, err)
	}
	e.status, e.statusWritten = status, now
	return nil
}

// news reports whether the status says something new: a number, a path, a reason,
// a condition or what the next leader needs.
func news(old, now v1alpha1.ScalerStatus) bool {
	return old.ObservedGeneration != now.ObservedGeneration || !equality.Semantic.DeepEqual(old.DesiredReplicas, now.DesiredReplicas) ||
		old.CurrentReplicas != now.CurrentReplicas || old.ReadyReplicas != now.ReadyReplicas || old.Path != now.Path ||
		old.Reason != now.Reason || old.State != now.State || !sameConditions(old.Conditions, now.Conditions)
}

func sameConditions(old, now []metav1.Condition) bool {
	if len(old) != len(now) {
		return false
	}
	for i := range now {
		was := meta.FindStatusCondition(old, now[i].Type)
		if was == nil || was.Status != now[i].Status || was.Reason != now[i].Reason {
			return false
		}
	}
	return true
}
