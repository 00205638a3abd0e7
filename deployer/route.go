package deployer

import (
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rawservev1alpha1ac "github.com/rawserve/rawserve/api/client/applyconfiguration/rawserve/v1alpha1"
	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// route renders the InferenceRoute, all but its path, which the autoscaler writes.
// A stopped component has none unless its listen ports are known.
func (w *workload) route(stopped bool) (*rawservev1alpha1ac.InferenceRouteApplyConfiguration, error) {
	spec := rawservev1alpha1ac.InferenceRouteSpec().
		WithServiceName(w.name).
		WithTargets(w.routeTarget(stopped))
	for _, p := range w.ports {
		if !p.Routed() {
			w.warn(w.field(w.front().Name, "ports"), "port %d speaks %s, which cannot be held or counted: its traffic is lost while nothing is ready", p.ServerPort, p.Protocol)
			continue
		}
		listen, ok := w.in.Ports[p.Port]
		if !ok && stopped {
			return nil, nil
		}
		if !ok {
			return nil, fmt.Errorf("rendering the route of %s: no listen port is allocated for port %d", w.name, p.Port)
		}
		port := rawservev1alpha1ac.RoutePort().
			WithServicePort(p.Port).
			WithTargetPort(w.reachedAt(p)).
			WithListenPort(listen)
		if p.Name != "" {
			port.WithName(p.Name)
		}
		if p.AppProtocol != "" {
			port.WithAppProtocol(p.AppProtocol)
		}
		spec.WithPorts(port)
	}
	if len(spec.Ports) == 0 {
		return nil, invalid(w.field(w.front().Name, "ports"), "none of the ports is a TCP port; list the one that serves requests")
	}
	if w.scaling.concurrency > 0 {
		spec.WithContainerConcurrency(w.scaling.concurrency)
	}
	timeouts := w.knobs.Timeouts
	if t := w.predictor.TimeoutSeconds; t != nil && *t != 0 {
		if *t < 0 || *t > math.MaxInt32 {
			return nil, invalid("spec.predictor.timeout", "%d is no number of seconds; use 1 or more, or 0 for none", *t)
		}
		timeouts.Total = metav1.Duration{Duration: time.Duration(*t) * time.Second}
	}
	spec.WithTimeouts(routeTimeouts(timeouts)).WithQueue(routeQueue(w.knobs.Queue))
	if w.sameZone {
		spec.WithTrafficDistribution(rawservev1alpha1.PreferSameZone)
	}
	return rawservev1alpha1ac.InferenceRoute(w.name, w.isvc.Namespace).
		WithLabels(w.labels).
		WithOwnerReferences(w.ownerRef()).
		WithSpec(spec), nil
}

// routeTimeouts leaves out what is not set, and is nil where nothing is.
func routeTimeouts(t rawservev1alpha1.RouteTimeouts) *rawservev1alpha1ac.RouteTimeoutsApplyConfiguration {
	if t == (rawservev1alpha1.RouteTimeouts{}) {
		return nil
	}
	c := rawservev1alpha1ac.RouteTimeouts()
	for _, part := range []struct {
		d   metav1.Duration
		set func(metav1.Duration) *rawservev1alpha1ac.RouteTimeoutsApplyConfiguration
	}{{t.Queue, c.WithQueue}, {t.FirstByte, c.WithFirstByte}, {t.Idle, c.WithIdle}, {t.Total, c.WithTotal}} {
		if part.d.Duration > 0 {
			part.set(part.d)
		}
	}
	return c
}

// routeQueue does the same for the queue.
func routeQueue(q rawservev1alpha1.RouteQueue) *rawservev1alpha1ac.RouteQueueApplyConfiguration {
	c := rawservev1alpha1ac.RouteQueue()
	set := false
	if q.MaxRequests > 0 {
		c.WithMaxRequests(q.MaxRequests)
		set = true
	}
	if q.MaxBytes != nil {
		c.WithMaxBytes(*q.MaxBytes)
		set = true
	}
	if q.ClientHeader != "" {
		c.WithClientHeader(q.ClientHeader)
		set = true
	}
	if p := q.Priority; p != nil {
		c.WithPriority(rawservev1alpha1ac.RoutePriority().WithHeader(p.Header).WithHigh(p.High...).WithLow(p.Low...))
		set = true
	}
	if !set {
		return nil
	}
	return c
}

// routeTarget is the only revision of a component without a rollout. It selects
// the pods of the whole Deployment, so that during an update in place those of the
// former revision serve as long as they are there.
func (w *workload) routeTarget(stopped bool) *rawservev1alpha1ac.RouteTargetApplyConfiguration {
	t := rawservev1alpha1ac.RouteTarget().
		WithRevision(w.in.Revision.Name).
		WithDeploymentName(w.name).
		WithPodSelector(w.selector()).
		WithWeight(100)
	if w.agent && !w.in.AgentMissing {
		t.WithAgentPort(AgentAdminPort)
	}
	if w.scaling.activation != nil {
		t.WithActivationScale(*w.scaling.activation)
	}
	if w.scaling.deadline != nil {
		t.WithProgressDeadline(metav1.Duration{Duration: *w.scaling.deadline})
	}
	if w.scaling.keepScale() {
		t.WithKeepScale(true)
	}
	if stopped {
		t.WithStopped(true)
	}
	return t
}
