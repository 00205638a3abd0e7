package collect

import (
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	servingv1beta1 "github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/metricsadapter/store"
)

const (
	// agentPortName is the container port on which an agent answers /stats.
	agentPortName = "agent-admin"
	// activatorPortName is the container port on which an activator does.
	activatorPortName = "admin"
	// labelPodTemplateHash is what the Deployment controller adds to a ReplicaSet's name.
	labelPodTemplateHash = "pod-template-hash"
)

// podOf is what the store needs to know of a pod; false for one that has ended.
func podOf(p *corev1.Pod) (store.Pod, bool) {
	if ended(p) {
		return store.Pod{}, false
	}
	return store.Pod{
		Key:         keyOf(p),
		UID:         string(p.UID),
		Labels:      p.Labels,
		Deployment:  deploymentOf(p),
		Service:     serviceOf(p),
		Ready:       ready(p),
		Terminating: p.DeletionTimestamp != nil,
	}, true
}

// agentTarget is where a pod's agent is asked; false while there is nobody to ask.
func agentTarget(p *corev1.Pod) (target, bool) {
	port := portNamed(p, agentPortName)
	if port == 0 || p.Status.PodIP == "" || ended(p) {
		return target{}, false
	}
	return target{id: id{kindAgent, keyOf(p)}, uid: string(p.UID), url: statsURL(p.Status.PodIP, port)}, true
}

// activatorOf is what the store needs to know of an activator's pod; false for one that has ended.
func activatorOf(p *corev1.Pod) (store.Activator, bool) {
	return store.Activator{Key: keyOf(p), UID: string(p.UID), Ready: ready(p) && p.DeletionTimestamp == nil}, !ended(p)
}

// activatorTarget is where an activator is asked; false while there is nobody to ask.
func activatorTarget(p *corev1.Pod) (target, bool) {
	port := portNamed(p, activatorPortName)
	if port == 0 || p.Status.PodIP == "" || ended(p) {
		return target{}, false
	}
	return target{id: id{kindActivator, keyOf(p)}, uid: string(p.UID), url: statsURL(p.Status.PodIP, port)}, true
}

func scalerOf(s *rawservev1alpha1.Scaler) store.Scaler {
	return store.Scaler{Key: keyOf(s), Labels: s.Labels, Deployment: s.Spec.ScaleTargetRef.Name, Route: s.Spec.RouteName}
}

func routeOf(r *rawservev1alpha1.InferenceRoute) store.Route {
	weights := make(map[string]int64, len(r.Spec.Targets))
	for _, t := range r.Spec.Targets {
		weights[t.DeploymentName] += int64(t.Weight)
	}
	return store.Route{Key: keyOf(r), Service: serviceOf(r), Weights: weights}
}

// serviceOf is the InferenceService whose demand an object carries. Requests
// reach a predictor directly or from a transformer or explainer; they are counted
// once, at the predictor.
func serviceOf(o metav1.Object) string {
	labels := o.GetLabels()
	switch servingv1beta1.Component(labels[servingv1beta1.LabelComponent]) {
	case "", servingv1beta1.ComponentPredictor:
		return labels[servingv1beta1.LabelInferenceService]
	}
	return ""
}

// deploymentOf is the Deployment of a pod: its ReplicaSet's name without the hash
// that the Deployment controller appended. A ReplicaSet without Deployment has none.
func deploymentOf(p *corev1.Pod) string {
	owner := metav1.GetControllerOf(p)
	hash := p.Labels[labelPodTemplateHash]
	if owner == nil || owner.Kind != "ReplicaSet" || hash == "" {
		return ""
	}
	name, ok := strings.CutSuffix(owner.Name, "-"+hash)
	if !ok {
		return ""
	}
	return name
}

// portNamed is the number of a container port, 0 if there is none of the name.
func portNamed(p *corev1.Pod, name string) int32 {
	for _, containers := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for _, c := range containers {
			for _, port := range c.Ports {
				if port.Name == name {
					return port.ContainerPort
				}
			}
		}
	}
	return 0
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func statsURL(ip string, port int32) string {
	return "http://" + net.JoinHostPort(ip, strconv.Itoa(int(port))) + "/stats"
}

func keyOf(o metav1.Object) store.Key {
	return store.Key{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// slim drops what is not needed of a pod before it is cached: at thousands of
// pods the rest would be most of the memory.
func slim(obj any) (any, error) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	s := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
			Labels: p.Labels, OwnerReferences: p.OwnerReferences, DeletionTimestamp: p.DeletionTimestamp,
		},
		Status: corev1.PodStatus{Phase: p.Status.Phase, PodIP: p.Status.PodIP, Conditions: p.Status.Conditions},
	}
	for _, name := range []string{agentPortName, activatorPortName} {
		if port := portNamed(p, name); port != 0 {
			s.Spec.Containers = append(s.Spec.Containers, corev1.Container{Ports: []corev1.ContainerPort{{Name: name, ContainerPort: port}}})
		}
	}
	return s, nil
}

// slimMeta does the same for objects of which the specification is kept.
func slimMeta(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
		o.SetAnnotations(nil)
	}
	return obj, nil
}
