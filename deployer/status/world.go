package status

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// world is an input after a first look.
type world struct {
	in       Input
	previous v1beta1.ComponentStatus
	// before is PredictorReady so far, empty if there is none.
	before v1beta1.Condition
	// reachedBefore is true once requests could reach the service.
	reachedBefore bool
	// failedBefore is true when the latest revision's model did not load and that
	// is the last that was heard of it.
	failedBefore bool
	// asked is the number of replicas that the Deployment is to have.
	asked int32
	// available is the number of pods that serve.
	available int32
	// rolledOut is true when all pods that are asked for are of the latest revision
	// and available, and no other ones are left; also when none is asked for.
	rolledOut bool
	newest    *corev1.Pod
	// failure is the newest pod's, nil while it has none.
	failure *podFailure
	// failing counts the pods with a failure.
	failing int
}

func look(in Input) world {
	w := world{in: in, previous: in.Service.Status.Components[v1beta1.ComponentPredictor]}
	if c := v1beta1.FindCondition(in.Service.Status.Conditions, v1beta1.ConditionPredictorReady); c != nil {
		w.before = *c
	}
	ingress := v1beta1.FindCondition(in.Service.Status.Conditions, v1beta1.ConditionIngressReady)
	w.reachedBefore = ingress != nil && ingress.Status == corev1.ConditionTrue
	w.failedBefore = in.Service.Status.ModelStatus.TransitionStatus == v1beta1.TransitionBlockedByFailedLoad &&
		w.before.Status == corev1.ConditionFalse && w.previous.LatestCreatedRevision == in.Revision
	if d := in.Deployment; d != nil {
		w.asked = 1
		if d.Spec.Replicas != nil {
			w.asked = *d.Spec.Replicas
		}
		w.available = d.Status.AvailableReplicas
		w.rolledOut = in.Revision != "" && d.Labels[deployer.LabelRevision] == in.Revision &&
			d.Status.ObservedGeneration >= d.Generation &&
			d.Status.UpdatedReplicas == w.asked && d.Status.Replicas == w.asked && d.Status.AvailableReplicas == w.asked
	}
	for _, pod := range in.Pods {
		if newer(pod, w.newest) {
			w.newest = pod
		}
		if failureOf(pod) != nil {
			w.failing++
		}
	}
	if w.newest != nil {
		w.failure = failureOf(w.newest)
	}
	return w
}

// newer says whether a counts as made after b: by time, and of the same second by name.
func newer(a, b *corev1.Pod) bool {
	if b == nil {
		return true
	}
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.Name > b.Name
	}
	return b.CreationTimestamp.Before(&a.CreationTimestamp)
}

// canSleep says whether zero replicas are fine: activators hold what arrives.
func (w world) canSleep() bool {
	s := w.in.Scaler
	return s != nil && s.Spec.RouteName != "" &&
		(s.Spec.MinReplicas != nil && *s.Spec.MinReplicas == 0 || s.Spec.InitialReplicas != nil && *s.Spec.InitialReplicas == 0)
}

// asleep says whether nothing runs because nothing has to.
func (w world) asleep() bool {
	return w.in.Deployment != nil && w.asked == 0 && w.canSleep()
}

// held says whether a request that comes while nothing runs finds an activator.
func (w world) held() bool {
	p := w.in.Path
	return p.Confirmed && (p.Mode == rawservev1alpha1.PathActivator || p.Mode == rawservev1alpha1.PathActivatorOnly)
}

// waking says whether the first replica of one that slept starts: the latest
// revision was ready before.
func (w world) waking() bool {
	return w.in.Deployment != nil && w.asked > 0 && w.available == 0 && w.canSleep() &&
		w.previous.LatestReadyRevision == w.in.Revision
}

// startFailed says whether the autoscaler gave up a start.
func (w world) startFailed() bool {
	return w.in.Scaler != nil && w.in.Scaler.Status.Reason == ReasonStartFailed && w.available == 0
}

// startFailure is why it did, in words.
func (w world) startFailure() string {
	message := w.in.Scaler.Status.Message
	if w.failure != nil {
		message += " " + w.failure.sentence()
	}
	return message
}

// fromDeployment derives PredictorReady from the Deployment's conditions. The
// rules are KServe's, and later ones win.
func fromDeployment(d *appsv1.Deployment) v1beta1.Condition {
	available := deploymentCondition(d, appsv1.DeploymentAvailable)
	progressing := deploymentCondition(d, appsv1.DeploymentProgressing)
	replicaFailure := deploymentCondition(d, appsv1.DeploymentReplicaFailure)

	out := notApplied()
	if available.Status == corev1.ConditionTrue {
		out = predictor(corev1.ConditionTrue, "", "")
	}
	switch {
	case progressing.Status == corev1.ConditionFalse && progressing.Message != "":
		out = predictor(corev1.ConditionFalse, progressing.Reason, progressing.Message)
	case progressing.Status == corev1.ConditionTrue && progressing.Reason == newReplicaSetAvailable:
		out = predictor(corev1.ConditionTrue, "", "")
	case progressing.Status == corev1.ConditionTrue && available.Status != corev1.ConditionTrue:
		out = predictor(corev1.ConditionUnknown, progressing.Reason, progressing.Message)
	}
	if available.Status == corev1.ConditionFalse {
		out = predictor(corev1.ConditionFalse, available.Reason, available.Message)
		if progressing.Status == corev1.ConditionFalse && progressing.Message != "" {
			out.Message = fmt.Sprintf("%s %s", out.Message, progressing.Message)
		}
	}
	if replicaFailure.Status == corev1.ConditionTrue {
		out = predictor(corev1.ConditionFalse, replicaFailure.Reason, replicaFailure.Message)
	}
	return out
}

// notApplied is the condition of a Deployment that is not seen yet, and of one that
// Kubernetes has not looked at: told apart, each would cost a write of the status.
func notApplied() v1beta1.Condition {
	return predictor(corev1.ConditionFalse, ReasonNotApplied, "Kubernetes has not looked at the Deployment yet.")
}

const (
	// newReplicaSetAvailable is the reason of a Deployment's Progressing once a
	// rollout is complete.
	newReplicaSetAvailable = "NewReplicaSetAvailable"
	// minimumReplicasUnavailable is the reason of a Deployment's Available while it
	// has fewer replicas than its strategy wants; adding replicas is enough for it.
	minimumReplicasUnavailable = "MinimumReplicasUnavailable"
)

// deploymentCondition returns the condition of the type, or an empty one.
func deploymentCondition(d *appsv1.Deployment, t appsv1.DeploymentConditionType) appsv1.DeploymentCondition {
	for _, c := range d.Status.Conditions {
		if c.Type == t {
			return c
		}
	}
	return appsv1.DeploymentCondition{}
}
