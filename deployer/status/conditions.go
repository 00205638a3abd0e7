package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// conditions is a list of conditions under change. Transition times move only
// where a status changes: otherwise every pass would write.
type conditions struct {
	now  metav1.Time
	list []v1beta1.Condition
}

func (c *conditions) set(condition v1beta1.Condition) {
	c.list = v1beta1.WithCondition(c.list, condition, c.now)
}

func (c *conditions) drop(t v1beta1.ConditionType) {
	c.list = slices.DeleteFunc(slices.Clone(c.list), func(x v1beta1.Condition) bool { return x.Type == t })
}

// sorted returns the conditions by type, so that equal ones compare equal.
func (c *conditions) sorted() []v1beta1.Condition {
	out := slices.Clone(c.list)
	slices.SortFunc(out, func(a, b v1beta1.Condition) int { return cmp.Compare(a.Type, b.Type) })
	return out
}

// readyCondition is true when both others are; it repeats the first that is not,
// False before Unknown.
func readyCondition(others ...v1beta1.Condition) v1beta1.Condition {
	ready := v1beta1.Condition{Type: v1beta1.ConditionReady, Status: corev1.ConditionTrue}
	for _, status := range []corev1.ConditionStatus{corev1.ConditionUnknown, corev1.ConditionFalse} {
		for _, c := range slices.Backward(others) {
			if c.Status == status {
				ready.Status, ready.Reason, ready.Message = c.Status, c.Reason, c.Message
			}
		}
	}
	return ready
}

// predictorCondition follows the Deployment, as KServe does, after what the
// Deployment cannot know: that the specification was not put into effect, that a
// start from zero failed, and that nothing has to run for requests to be served.
func (w world) predictorCondition() v1beta1.Condition {
	switch {
	case w.in.Problem != nil:
		message := w.in.Problem.Message
		if w.available > 0 && w.previous.LatestReadyRevision != "" {
			message += " Until then revision " + w.previous.LatestReadyRevision + " goes on serving."
		}
		return predictor(corev1.ConditionFalse, w.in.Problem.Reason, message)
	case w.in.Deployment == nil:
		return notApplied()
	case w.startFailed():
		return predictor(corev1.ConditionFalse, ReasonStartFailed, w.startFailure())
	case w.asleep() && w.failedBefore:
		return w.before
	case w.asleep() && !w.held() && w.before.Status != corev1.ConditionTrue:
		return predictor(corev1.ConditionUnknown, ReasonPathNotConfirmed, "No replica runs, and the activators do not hold its requests yet: the route waits for their acknowledgement.")
	case w.asleep():
		return predictor(corev1.ConditionTrue, ReasonScaledToZero, "No replica runs because nothing was asked of it. The next request starts one and is held until that is ready.")
	case w.waking() && w.before.Status == corev1.ConditionTrue && w.failure == nil:
		return predictor(corev1.ConditionTrue, ReasonActivating, "The first replica starts. Requests are held until it is ready.")
	}
	c := fromDeployment(w.in.Deployment)
	if c.Reason == minimumReplicasUnavailable && w.before.Status == corev1.ConditionTrue && w.available > 0 && w.previous.LatestReadyRevision == w.in.Revision {
		return predictor(corev1.ConditionTrue, ReasonReplicasMissing, "Fewer replicas are available than asked for, because some start or have failed; the others serve.")
	}
	if w.failure != nil && c.Status != corev1.ConditionTrue {
		c.Message = strings.TrimSpace(c.Message + " " + w.failure.sentence())
	}
	return c
}

func predictor(status corev1.ConditionStatus, reason, message string) v1beta1.Condition {
	return v1beta1.Condition{Type: v1beta1.ConditionPredictorReady, Status: status, Reason: reason, Message: message}
}

// ingressCondition is true once requests can reach the predictor: addresses outside
// the cluster are not made, so nothing waits for them, but a Service whose first
// endpoint the nodes have not learned of yet refuses connections. Once reached it
// stays so, because later changes of the path leave no moment without an endpoint.
func (w world) ingressCondition(predictor v1beta1.Condition) v1beta1.Condition {
	c := v1beta1.Condition{Type: v1beta1.ConditionIngressReady, Status: corev1.ConditionFalse, Reason: v1beta1.ReasonPredictorIngressNotCreated}
	reached := w.reachedBefore && w.in.Deployment != nil
	switch {
	case reached:
	case predictor.Status != corev1.ConditionTrue:
		return c
	case !w.in.Path.Confirmed:
		c.Reason = ReasonPathNotConfirmed
		c.Message = strings.TrimSpace("The predictor is ready, but not every request would reach it yet. " + w.in.Path.Message)
		return c
	}
	c.Status, c.Reason = corev1.ConditionTrue, ReasonClusterLocal
	c.Message = "Reached within the cluster at " + w.in.URLs.Address + "."
	if !w.in.ClusterLocal {
		c.Message += " No Ingress or HTTPRoute is made: route " + w.in.URLs.External + " to the Service yourself if it is needed outside."
	}
	return c
}

// honouredCondition names every field that is not, or not fully, acted on. Nil if there is none.
func honouredCondition(unsupported []deployer.Unsupported, warnings []deployer.Warning) *v1beta1.Condition {
	if len(unsupported)+len(warnings) == 0 {
		return nil
	}
	reason, severity := ReasonFieldsAdapted, v1beta1.SeverityInfo
	var parts []string
	for _, u := range unsupported {
		reason, severity = ReasonFieldsNotSupported, v1beta1.SeverityWarning
		parts = append(parts, fmt.Sprintf("%s: %s", u.Field, u.Message))
	}
	for _, w := range warnings {
		parts = append(parts, fmt.Sprintf("%s: %s", w.Field, w.Message))
	}
	return &v1beta1.Condition{
		Type: ConditionSpecHonoured, Status: corev1.ConditionFalse, Severity: severity,
		Reason: reason, Message: strings.Join(parts, "; "),
	}
}
