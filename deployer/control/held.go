package control

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/revision"
)

// AnnotationApplied on an object holds a hash of what was applied to it last.
const AnnotationApplied = "rawserve.dev/applied-hash"

// held is what the caches keep of an object made for an InferenceService. Of
// Services and HPAs nothing but the metadata matters; templates of Deployments and
// the managed fields of all are the bulk of them, and are looked at once, on arrival.
type held struct {
	metav1.ObjectMeta
	kind *kind
	// applied is the hash of what we applied last.
	applied string
	fields  ownership
	// At most one of these is set, trimmed.
	deployment *appsv1.Deployment
	route      *rawservev1alpha1.InferenceRoute
	scaler     *rawservev1alpha1.Scaler
	record     *revision.Record
	// broken is set instead of record where that cannot be read.
	broken error
}

// hold turns an object from the API server into what the caches keep of it. It is
// called again with its own results.
func hold(in any) (any, error) {
	var out *held
	switch o := in.(type) {
	case *held:
		return o, nil
	case *corev1.Service:
		out = heldMeta(serviceKind, &o.ObjectMeta)
	case *autoscalingv2.HorizontalPodAutoscaler:
		out = heldMeta(hpaKind, &o.ObjectMeta)
	case *appsv1.Deployment:
		out = heldMeta(deploymentKind, &o.ObjectMeta)
		out.deployment = &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: o.Name, Namespace: o.Namespace, Generation: o.Generation, Labels: o.Labels},
			Spec:       appsv1.DeploymentSpec{Replicas: o.Spec.Replicas},
			Status:     o.Status,
		}
	case *rawservev1alpha1.InferenceRoute:
		out = heldMeta(routeKind, &o.ObjectMeta)
		out.route = &rawservev1alpha1.InferenceRoute{
			Spec:   rawservev1alpha1.InferenceRouteSpec{Ports: o.Spec.Ports},
			Status: rawservev1alpha1.InferenceRouteStatus{Path: pathStatus(o.Status.Path)},
		}
	case *rawservev1alpha1.Scaler:
		out = heldMeta(scalerKind, &o.ObjectMeta)
		out.scaler = &rawservev1alpha1.Scaler{
			Spec: rawservev1alpha1.ScalerSpec{
				RouteName: o.Spec.RouteName, MinReplicas: o.Spec.MinReplicas, InitialReplicas: o.Spec.InitialReplicas,
			},
			Status: scalerStatus(o.Status),
		}
	case *appsv1.ControllerRevision:
		out = heldMeta(revisionKind, &o.ObjectMeta)
		if record, err := revision.Read(o, o.Revision); err != nil {
			out.broken = err
		} else {
			out.record = &record
		}
	case cache.DeletedFinalStateUnknown:
		return o, nil
	default:
		return nil, fmt.Errorf("no cache is kept of %T", in)
	}
	return out, nil
}

// pathStatus keeps of a path what an InferenceService's status depends on: why it is
// not confirmed matters only as long as it is not.
func pathStatus(p rawservev1alpha1.PathStatus) rawservev1alpha1.PathStatus {
	out := rawservev1alpha1.PathStatus{Mode: p.Mode, Confirmed: p.Confirmed, NarrowSelector: p.NarrowSelector}
	if !p.Confirmed {
		out.Reason, out.Message = p.Reason, p.Message
	}
	return out
}

// scalerStatus keeps of a Scaler's status what an InferenceService's depends on.
// The rest changes every few seconds.
func scalerStatus(s rawservev1alpha1.ScalerStatus) rawservev1alpha1.ScalerStatus {
	out := rawservev1alpha1.ScalerStatus{Reason: s.Reason}
	if s.Reason == reasonStartFailed {
		out.Message = s.Message
	}
	return out
}

func heldMeta(k *kind, o *metav1.ObjectMeta) *held {
	out := &held{
		kind:    k,
		applied: o.Annotations[AnnotationApplied],
		fields:  ownershipOf(o.ManagedFields),
		ObjectMeta: metav1.ObjectMeta{
			Name: o.Name, Namespace: o.Namespace, UID: o.UID, ResourceVersion: o.ResourceVersion,
			CreationTimestamp: o.CreationTimestamp, DeletionTimestamp: o.DeletionTimestamp,
			Finalizers: o.Finalizers,
		},
	}
	if owner := metav1.GetControllerOfNoCopy(o); owner != nil {
		out.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	if component := o.Labels[v1beta1.LabelComponent]; component != "" {
		out.Labels = map[string]string{v1beta1.LabelComponent: component}
	}
	return out
}

// owner is the InferenceService that controls an object, as a key, and its UID.
func (h *held) owner() (key string, uid types.UID, ok bool) {
	o := metav1.GetControllerOfNoCopy(h)
	if o == nil || o.Kind != isvcKind || !isServingGroup(o.APIVersion) {
		return "", "", false
	}
	return h.Namespace + "/" + o.Name, o.UID, true
}

// trimPod keeps of a pod what an InferenceService's status depends on.
func trimPod(in any) (any, error) {
	p, ok := in.(*corev1.Pod)
	if !ok {
		return in, nil
	}
	out := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: p.Name, Namespace: p.Namespace, UID: p.UID, ResourceVersion: p.ResourceVersion, Labels: p.Labels,
		CreationTimestamp: p.CreationTimestamp, DeletionTimestamp: p.DeletionTimestamp,
	}}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			out.Status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	out.Status.InitContainerStatuses = trimContainers(p.Status.InitContainerStatuses)
	out.Status.ContainerStatuses = trimContainers(p.Status.ContainerStatuses)
	return out, nil
}

// serves says whether a pod takes requests.
func serves(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// formerServe says whether more pods of former revisions take requests than of the latest.
func formerServe(pods []*corev1.Pod, latest string) bool {
	former, now := 0, 0
	for _, p := range pods {
		switch {
		case !serves(p):
		case p.Labels[deployer.LabelRevision] == latest:
			now++
		default:
			former++
		}
	}
	return former > now
}

// withoutAgent says whether a pod takes requests and has no agent to take them.
func withoutAgent(p *corev1.Pod) bool {
	return serves(p) &&
		!slices.ContainsFunc(p.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == deployer.AgentContainer })
}

func trimContainers(in []corev1.ContainerStatus) (out []corev1.ContainerStatus) {
	for _, s := range in {
		out = append(out, corev1.ContainerStatus{Name: s.Name, State: s.State, LastTerminationState: s.LastTerminationState})
	}
	return out
}

// trimMeta drops from an object what only kubectl and the API server read.
func trimMeta(in any) (any, error) {
	if o, ok := in.(metav1.Object); ok {
		// Once trimmed it may be in a cache, and is not written to any more.
		if o.GetManagedFields() != nil {
			o.SetManagedFields(nil)
		}
		if annotations := o.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
			delete(annotations, corev1.LastAppliedConfigAnnotation)
			o.SetAnnotations(annotations)
		}
	}
	return in, nil
}
