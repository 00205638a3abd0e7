package deployer

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// service renders the Service that callers know. While its selector is narrowed it
// matches no pod, and the activators' addresses are all that is behind it.
func (w *workload) service() *corev1ac.ServiceApplyConfiguration {
	selector := w.selector()
	if w.in.NarrowSelector {
		selector[LabelPath] = PathActivator
	}
	spec := corev1ac.ServiceSpec().WithType(corev1.ServiceTypeClusterIP).WithSelector(selector)
	for _, p := range w.ports {
		p.TargetPort = w.reachedAt(p)
		spec.WithPorts(servicePort(p, p.Port))
	}
	if w.zoneField {
		// The name that all supported versions know for what is PreferSameZone now.
		spec.WithTrafficDistribution(corev1.ServiceTrafficDistributionPreferClose)
	}
	return corev1ac.Service(w.name, w.isvc.Namespace).
		WithLabels(w.labels).
		WithAnnotations(w.annotations).
		WithOwnerReferences(w.ownerRef()).
		WithSpec(spec)
}

// revisionService renders the headless Service of one revision. It maps no ports,
// because without an address of its own nothing could map them.
func (w *workload) revisionService() *corev1ac.ServiceApplyConfiguration {
	selector := w.selector()
	selector[LabelRevision] = w.in.Revision.Name
	spec := corev1ac.ServiceSpec().
		WithType(corev1.ServiceTypeClusterIP).
		WithClusterIP(corev1.ClusterIPNone).
		WithSelector(selector)
	for _, p := range w.ports {
		spec.WithPorts(servicePort(p, p.TargetPort))
	}
	return corev1ac.Service(w.in.Revision.Name, w.isvc.Namespace).
		WithLabels(w.revisionLabels()).
		WithAnnotations(w.annotations).
		WithOwnerReferences(w.ownerRef()).
		WithSpec(spec)
}

// reachedAt is where requests for a port go. The agent's ports are the same in every
// revision, and the agent of each pod knows its own server's, so they never wait.
func (w *workload) reachedAt(p ServicePort) int32 {
	former, ok := w.in.FormerPorts[p.Port]
	if !ok || p.TargetPort != p.ServerPort || former >= AgentPort && former < AgentPort+2*maxPorts {
		return p.TargetPort
	}
	return former
}

func servicePort(p ServicePort, port int32) *corev1ac.ServicePortApplyConfiguration {
	ac := corev1ac.ServicePort().
		WithPort(port).
		WithTargetPort(intstr.FromInt32(p.TargetPort)).
		WithProtocol(corev1.Protocol(p.Protocol))
	if p.Name != "" {
		ac.WithName(p.Name)
	}
	if p.AppProtocol != "" {
		ac.WithAppProtocol(p.AppProtocol)
	}
	return ac
}
