package control

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// trim drops what nothing here reads before an object is kept: at 10,000 models it
// is the difference between megabytes and gigabytes.
func trim(o any) (any, error) {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return trimDeployment(o), nil
	case *corev1.Pod:
		return trimPod(o), nil
	case *corev1.Service:
		return &corev1.Service{
			ObjectMeta: trimMeta(o.ObjectMeta),
			Spec:       corev1.ServiceSpec{Selector: o.Spec.Selector, IPFamilies: o.Spec.IPFamilies},
		}, nil
	case *discoveryv1.EndpointSlice:
		return trimSlice(o), nil
	case *v1alpha1.Scaler:
		o.ManagedFields, o.Annotations = nil, nil
	case *v1alpha1.InferenceRoute:
		o.ManagedFields, o.Annotations = nil, nil
	}
	return o, nil
}

func trimMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Generation: m.Generation, DeletionTimestamp: m.DeletionTimestamp, CreationTimestamp: m.CreationTimestamp,
	}
}

func trimDeployment(d *appsv1.Deployment) *appsv1.Deployment {
	out := &appsv1.Deployment{
		ObjectMeta: trimMeta(d.ObjectMeta),
		Spec:       appsv1.DeploymentSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector},
		Status:     appsv1.DeploymentStatus{ReadyReplicas: d.Status.ReadyReplicas},
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure {
			out.Status.Conditions = append(out.Status.Conditions, c)
		}
	}
	return out
}

func trimPod(p *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{ObjectMeta: trimMeta(p.ObjectMeta)}
	out.Labels = p.Labels
	out.Spec.NodeName = p.Spec.NodeName
	out.Status.Phase, out.Status.PodIP, out.Status.PodIPs = p.Status.Phase, p.Status.PodIP, p.Status.PodIPs
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled {
			out.Status.Conditions = append(out.Status.Conditions, c)
		}
	}
	trimContainers := func(all []corev1.ContainerStatus) (kept []corev1.ContainerStatus) {
		for _, c := range all {
			kept = append(kept, corev1.ContainerStatus{Name: c.Name, RestartCount: c.RestartCount, State: c.State, LastTerminationState: c.LastTerminationState})
		}
		return kept
	}
	out.Status.InitContainerStatuses = trimContainers(p.Status.InitContainerStatuses)
	out.Status.ContainerStatuses = trimContainers(p.Status.ContainerStatuses)
	return out
}

// trimSlice keeps our own slices, and of others only whether endpoints are ready.
func trimSlice(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	meta := trimMeta(s.ObjectMeta)
	meta.Labels = map[string]string{}
	for _, label := range []string{discoveryv1.LabelServiceName, discoveryv1.LabelManagedBy} {
		if value, ok := s.Labels[label]; ok {
			meta.Labels[label] = value
		}
	}
	out := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: s.AddressType}
	if s.Labels[discoveryv1.LabelManagedBy] == managedBy {
		out.Annotations, out.Ports, out.Endpoints = s.Annotations, s.Ports, s.Endpoints
		return out
	}
	for _, e := range s.Endpoints {
		out.Endpoints = append(out.Endpoints, discoveryv1.Endpoint{Conditions: e.Conditions})
	}
	return out
}

func replicasOf(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}
