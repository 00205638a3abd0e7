// Package status computes what an InferenceService's status says, from what is
// seen of the objects made for it. It follows KServe's Standard mode, so that
// scripts and dashboards go on working, except where KServe's answer is wrong at
// zero replicas or hides a failure. Reading the cluster and writing the status is
// left to callers.
package status

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// Input is what a status is computed from. Nothing in it is written to.
type Input struct {
	// Service is the InferenceService with the status it has.
	Service *v1beta1.InferenceService
	// Now is the time that changed conditions get.
	Now metav1.Time
	// URLs are where the service answers once it is ready.
	URLs deployer.URLs
	// ClusterLocal is true when the user wants no address outside the cluster.
	ClusterLocal bool
	// Revision is the name of the latest revision, empty before there is one.
	Revision string
	// Runtime is the runtime of the latest revision, nil for custom containers.
	Runtime *deployer.RuntimeRef
	// Stopped is true when the user stopped the service.
	Stopped bool
	// Problem is what kept the specification from being put into effect, nil if nothing did.
	Problem *Problem
	// Unsupported are fields that are not acted on.
	Unsupported []deployer.Unsupported
	// Warnings are remarks on fields that were acted on.
	Warnings []deployer.Warning
	// Deployment runs the component. Nil if there is none.
	Deployment *appsv1.Deployment
	// Scaler scales the Deployment. Nil if somebody else does.
	Scaler *rawservev1alpha1.Scaler
	// Path is the path that requests take now, as its route says.
	Path rawservev1alpha1.PathStatus
	// Pods are the component's, of whatever revision, in any order.
	Pods []*corev1.Pod
}

// Problem is what keeps a specification from being put into effect. What ran
// before goes on running.
type Problem struct {
	// Reason is for conditions.
	Reason string
	// Message names the field and what to do.
	Message string
	// Failure is for modelStatus. Empty when the specification is not to blame.
	Failure v1beta1.FailureReason
}

// ConditionSpecHonoured is False while fields of the specification are not acted
// on, or differently than their text suggests; the message names each. It is
// absent otherwise. It does not keep a service from being ready.
const ConditionSpecHonoured v1beta1.ConditionType = "SpecHonoured"

// Reasons of conditions beside KServe's.
const (
	// ReasonFieldsNotSupported means that fields are accepted but not acted on.
	ReasonFieldsNotSupported = "FieldsNotSupported"
	// ReasonFieldsAdapted means that fields are acted on differently than their text suggests.
	ReasonFieldsAdapted = "FieldsAdapted"
	// ReasonNotApplied means that the objects have not been made yet.
	ReasonNotApplied = "NotApplied"
	// ReasonStartFailed means that a start from zero was given up.
	ReasonStartFailed = "StartFailed"
	// ReasonScaledToZero means that nothing runs, and the next request starts a replica.
	ReasonScaledToZero = "ScaledToZero"
	// ReasonPathNotConfirmed means that requests would neither reach a replica nor be held yet.
	ReasonPathNotConfirmed = "PathNotConfirmed"
	// ReasonActivating means that a replica starts from zero while requests are held.
	ReasonActivating = "Activating"
	// ReasonReplicasMissing means that the service serves with fewer replicas than asked for.
	ReasonReplicasMissing = "ReplicasMissing"
	// ReasonClusterLocal means that the service is reached within the cluster only.
	ReasonClusterLocal = "ClusterLocal"
)

// Compute returns the status. Equal inputs but for Now give equal statuses as long
// as Service has the previous one, so that a caller can leave out writes that
// change nothing.
func Compute(in Input) v1beta1.InferenceServiceStatus {
	if in.Stopped && in.Problem == nil {
		return stopped(in)
	}
	w := look(in)
	out := *in.Service.Status.DeepCopy()
	out.ObservedGeneration = in.Service.Generation
	out.DeploymentMode = string(v1beta1.ModeStandard)
	if in.Problem == nil {
		out.ServingRuntimeName, out.ClusterServingRuntimeName = runtimeNames(in.Runtime)
	}

	predictor := w.predictorCondition()
	ingress := w.ingressCondition(predictor)
	conditions := conditions{in.Now, out.Conditions}
	conditions.set(readyCondition(predictor, ingress))
	conditions.set(predictor)
	conditions.set(ingress)
	conditions.set(v1beta1.Condition{Type: v1beta1.ConditionStopped, Status: corev1.ConditionFalse, Severity: v1beta1.SeverityInfo})
	if honoured := honouredCondition(in.Unsupported, in.Warnings); honoured != nil {
		conditions.set(*honoured)
	} else {
		conditions.drop(ConditionSpecHonoured)
	}
	out.Conditions = conditions.sorted()

	component := w.component(predictor.Status == corev1.ConditionTrue)
	out.Components = withComponent(out.Components, component)
	if component.URL != "" {
		out.URL = in.URLs.External
		if in.ClusterLocal {
			out.URL = in.URLs.Address
		}
		out.Address = &v1beta1.Address{URL: in.URLs.Address}
	}
	out.ModelStatus = w.model(out.ModelStatus)
	return out
}

// stopped is the status of a service that the user stopped: all but the mode is
// wiped, as in KServe.
func stopped(in Input) v1beta1.InferenceServiceStatus {
	conditions := conditions{in.Now, keep(in.Service.Status.Conditions, v1beta1.ConditionReady, v1beta1.ConditionPredictorReady,
		v1beta1.ConditionIngressReady, v1beta1.ConditionStopped)}
	const message = "The annotation " + v1beta1.AnnotationStop + " is true. Remove it to start the service."
	for _, t := range []v1beta1.ConditionType{v1beta1.ConditionReady, v1beta1.ConditionPredictorReady, v1beta1.ConditionIngressReady} {
		conditions.set(v1beta1.Condition{Type: t, Status: corev1.ConditionFalse, Reason: v1beta1.ReasonStopped, Message: message})
	}
	conditions.set(v1beta1.Condition{Type: v1beta1.ConditionStopped, Status: corev1.ConditionTrue, Severity: v1beta1.SeverityInfo, Reason: v1beta1.ReasonStopped})
	return v1beta1.InferenceServiceStatus{
		ObservedGeneration: in.Service.Generation,
		DeploymentMode:     string(v1beta1.ModeStandard),
		Conditions:         conditions.sorted(),
	}
}

// runtimeNames returns servingRuntimeName and clusterServingRuntimeName.
func runtimeNames(r *deployer.RuntimeRef) (namespaced, cluster string) {
	switch {
	case r == nil:
		return "", ""
	case r.Scope == deployer.Cluster:
		return "", r.Name
	default:
		return r.Name, ""
	}
}

// withComponent returns the components with the predictor's replaced.
func withComponent(components map[v1beta1.Component]v1beta1.ComponentStatus, predictor v1beta1.ComponentStatus) map[v1beta1.Component]v1beta1.ComponentStatus {
	out := map[v1beta1.Component]v1beta1.ComponentStatus{}
	for name, component := range components {
		out[name] = component
	}
	out[v1beta1.ComponentPredictor] = predictor
	return out
}

// component is the predictor's entry. Its URL appears when it was ready for the
// first time and stays, also at zero replicas.
func (w world) component(ready bool) v1beta1.ComponentStatus {
	out := *w.previous.DeepCopy()
	if w.in.Revision != "" {
		out.LatestCreatedRevision = w.in.Revision
	}
	if w.rolledOut && ready && out.LatestReadyRevision != w.in.Revision {
		out.LatestReadyRevision = w.in.Revision
		if out.LatestRolledoutRevision != "" && out.LatestRolledoutRevision != w.in.Revision {
			out.PreviousRolledoutRevision = out.LatestRolledoutRevision
		}
		out.LatestRolledoutRevision = w.in.Revision
	}
	if out.LatestReadyRevision != "" {
		percent, latest := int64(100), true
		out.Traffic = []v1beta1.TrafficTarget{{RevisionName: out.LatestReadyRevision, Percent: &percent, LatestRevision: &latest}}
	}
	if ready || out.URL != "" {
		out.URL = w.in.URLs.Component
		out.Address = &v1beta1.Address{URL: w.in.URLs.Address}
	}
	return out
}

// keep returns the conditions of the types.
func keep(conditions []v1beta1.Condition, types ...v1beta1.ConditionType) []v1beta1.Condition {
	return slices.DeleteFunc(slices.Clone(conditions), func(c v1beta1.Condition) bool { return !slices.Contains(types, c.Type) })
}
