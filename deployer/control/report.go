package control

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/status"
)

// report stores the status if it changed, and writes events about what changed
// after that. It returns false if somebody else was faster.
func (c *Controller) report(ctx context.Context, isvc *v1beta1.InferenceService, have owned, what found, problem *status.Problem) (stored bool, err error) {
	urls, err := deployer.URLsOf(isvc, deployer.Predictor, c.Config)
	if err != nil && problem == nil {
		problem = &status.Problem{Reason: v1beta1.ReasonReconcileFailed, Message: err.Error()}
	}
	in := status.Input{
		Service: isvc, Now: metav1.NewTime(c.Clock.Now()),
		URLs: urls, ClusterLocal: deployer.ClusterLocal(isvc, c.Config),
		Revision: what.revision, Runtime: what.runtime, Stopped: what.stopped,
		Problem: problem, Unsupported: what.unsupported, Warnings: what.warnings,
	}
	if h := have.own(deploymentKind, what.name); h != nil {
		in.Deployment = h.deployment
	}
	if h := have.own(scalerKind, what.name); h != nil {
		in.Scaler = h.scaler
	}
	if h := have.own(routeKind, what.name); h != nil {
		in.Path = h.route.Status.Path
	}
	if in.Pods, err = c.podsOf(isvc); err != nil {
		return false, err
	}
	next := status.Compute(in)
	if reflect.DeepEqual(next, isvc.Status) {
		return true, nil
	}
	update := &v1beta1.InferenceService{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.SchemeGroupVersion.String(), Kind: isvcKind},
		ObjectMeta: *isvc.ObjectMeta.DeepCopy(), Spec: *isvc.Spec.DeepCopy(), Status: next,
	}
	result, err := c.Rawserve.ServingV1beta1().InferenceServices(isvc.Namespace).UpdateStatus(ctx, update, metav1.UpdateOptions{FieldManager: deployer.FieldManager})
	c.metrics.statusWritten(err)
	switch {
	case apierrors.IsConflict(err):
		return false, nil
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("storing the status of %s/%s: %w", isvc.Namespace, isvc.Name, err)
	}
	c.statuses.wrote(isvc.Namespace+"/"+isvc.Name, result.ResourceVersion)
	for _, e := range eventsOf(isvc.Status, next) {
		c.event(isvc, e)
		c.Logger.Info("model status changed", "model", isvc.Name, "namespace", isvc.Namespace, "reason", e.reason, "message", e.message)
	}
	return true, nil
}

// podsOf returns the predictor's pods.
func (c *Controller) podsOf(isvc *v1beta1.InferenceService) ([]*corev1.Pod, error) {
	items, err := c.caches.pods.ByIndex(byModel, isvc.Namespace+"/"+isvc.Name)
	if err != nil {
		return nil, fmt.Errorf("looking up the pods of %s/%s: %w", isvc.Namespace, isvc.Name, err)
	}
	var out []*corev1.Pod
	for _, item := range items {
		if pod, ok := item.(*corev1.Pod); ok && pod.Labels[v1beta1.LabelComponent] == string(v1beta1.ComponentPredictor) {
			out = append(out, pod)
		}
	}
	return out, nil
}

// event is what is told about an InferenceService.
type event struct{ kind, reason, message string }

// eventsOf are the events that a change of the status is worth.
func eventsOf(before, after v1beta1.InferenceServiceStatus) []event {
	var out []event
	if c, changed := change(before, after, status.ConditionSpecHonoured); c != nil && c.Status == corev1.ConditionFalse && changed {
		out = append(out, event{corev1.EventTypeWarning, c.Reason, c.Message})
	}
	if c, changed := change(before, after, v1beta1.ConditionPredictorReady); c != nil && c.Status == corev1.ConditionFalse && changed && isProblem(c.Reason) {
		out = append(out, event{corev1.EventTypeWarning, c.Reason, c.Message})
	}
	was, is := isTrue(before, v1beta1.ConditionReady), isTrue(after, v1beta1.ConditionReady)
	switch {
	case is && !was:
		out = append(out, event{corev1.EventTypeNormal, "InferenceServiceReady", "Ready: " + after.URL})
	case was && !is:
		var failed []string
		for _, c := range after.Conditions {
			if (c.Type == v1beta1.ConditionPredictorReady || c.Type == v1beta1.ConditionIngressReady) && c.Status != corev1.ConditionTrue {
				failed = append(failed, strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Type, c.Reason, c.Message)))
			}
		}
		out = append(out, event{corev1.EventTypeWarning, "InferenceServiceNotReady", "Not ready: " + strings.Join(failed, "; ")})
	}
	return out
}

// change returns a condition and whether its status, reason or message changed.
func change(before, after v1beta1.InferenceServiceStatus, t v1beta1.ConditionType) (*v1beta1.Condition, bool) {
	a, b := v1beta1.FindCondition(before.Conditions, t), v1beta1.FindCondition(after.Conditions, t)
	return b, b != nil && (a == nil || a.Status != b.Status || a.Reason != b.Reason || a.Message != b.Message)
}

func isTrue(s v1beta1.InferenceServiceStatus, t v1beta1.ConditionType) bool {
	c := v1beta1.FindCondition(s.Conditions, t)
	return c != nil && c.Status == corev1.ConditionTrue
}

// isProblem says whether a reason of PredictorReady is the user's to act on, and
// not just how Kubernetes is getting on.
func isProblem(reason string) bool {
	switch reason {
	case v1beta1.ReasonReconcileFailed, reasonNameTaken, reasonNoListenPort, reasonObjectTerminating, status.ReasonStartFailed,
		string(deployer.ReasonInvalidSpec), string(deployer.ReasonStorageNotSupported), string(deployer.ReasonCredentialsMissing), string(deployer.ReasonNotSupported):
		return true
	}
	_, core := failureReasons[deployer.Reason(reason)]
	return core
}

// statusVersions remembers the resource version of the last status written to
// each InferenceService, because caches lag behind.
type statusVersions struct {
	mu      sync.Mutex
	written map[string]string
}

func (s *statusVersions) wrote(key, resourceVersion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written[key] = resourceVersion
}

// newer says whether a status was written after the cached version.
func (s *statusVersions) newer(key, cached string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	written, ok := s.written[key]
	return ok && newer(written, cached)
}

// mine says whether the cached version is that of our last write.
func (s *statusVersions) mine(key, cached string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written[key] == cached
}

func (s *statusVersions) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.written, key)
}
