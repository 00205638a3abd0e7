package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applydiscoveryv1 "k8s.io/client-go/applyconfigurations/discovery/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler/path"
)

const (
	// managedBy marks our EndpointSlices, so that Kubernetes' own controllers leave
	// them alone.
	managedBy = "rawserve.dev"
	// annotationRoute names the route that a slice is for.
	annotationRoute = "rawserve.dev/route"
	// annotationSince says since when a slice has endpoints.
	annotationSince = "rawserve.dev/since"
)

func sliceName(service string) string { return service + "-activators" }

// sliceOf reads one of our slices.
func sliceOf(s *discoveryv1.EndpointSlice) *path.Slice {
	out := &path.Slice{}
	// A time that is not ours counts as long ago: the slice has been there a while.
	if since, err := time.Parse(time.RFC3339Nano, s.Annotations[annotationSince]); err == nil {
		out.Since = since
	}
	for _, e := range s.Endpoints {
		a := path.Activator{Ready: e.Conditions.Ready == nil || *e.Conditions.Ready}
		if len(e.Addresses) > 0 {
			a.Address = e.Addresses[0]
		}
		if e.TargetRef != nil {
			a.Name = e.TargetRef.Name
		}
		out.Endpoints = append(out.Endpoints, a)
	}
	return out
}

// writeSlice makes our slice what it is to be; nil removes it.
func (c *Controller) writeSlice(ctx context.Context, route *v1alpha1.InferenceRoute, service *corev1.Service, present *discoveryv1.EndpointSlice, wanted *path.Slice) error {
	if wanted == nil {
		if present == nil {
			return nil
		}
		return c.removeSlice(ctx, present)
	}
	endpoints, ports := endpointsOf(wanted, c.options.SystemNamespace), portsOf(route)
	if present != nil && present.AddressType != addressType(service) {
		// The type cannot be changed; the slice is made anew at the next turn.
		return c.removeSlice(ctx, present)
	}
	if present != nil && present.Annotations[annotationRoute] == route.Name &&
		present.Annotations[annotationSince] == wanted.Since.UTC().Format(time.RFC3339Nano) &&
		equality.Semantic.DeepEqual(present.Endpoints, endpoints) && equality.Semantic.DeepEqual(present.Ports, ports) {
		return nil
	}
	apply := applydiscoveryv1.EndpointSlice(sliceName(service.Name), service.Namespace).
		WithLabels(map[string]string{discoveryv1.LabelServiceName: service.Name, discoveryv1.LabelManagedBy: managedBy}).
		WithAnnotations(map[string]string{annotationRoute: route.Name, annotationSince: wanted.Since.UTC().Format(time.RFC3339Nano)}).
		WithOwnerReferences(applymetav1.OwnerReference().WithAPIVersion("v1").WithKind("Service").
			WithName(service.Name).WithUID(service.UID).WithController(true).WithBlockOwnerDeletion(true)).
		WithAddressType(addressType(service))
	for _, e := range endpoints {
		apply.WithEndpoints(applyEndpoint(e))
	}
	for _, p := range ports {
		port := applydiscoveryv1.EndpointPort().WithName(*p.Name).WithProtocol(*p.Protocol).WithPort(*p.Port)
		if p.AppProtocol != nil {
			port.WithAppProtocol(*p.AppProtocol)
		}
		apply.WithPorts(port)
	}
	_, err := c.options.Kubernetes.DiscoveryV1().EndpointSlices(service.Namespace).Apply(ctx, apply, metav1.ApplyOptions{FieldManager: PathManager, Force: true})
	if err != nil {
		return fmt.Errorf("writing EndpointSlice %s/%s: %w", service.Namespace, sliceName(service.Name), err)
	}
	return nil
}

func applyEndpoint(e discoveryv1.Endpoint) *applydiscoveryv1.EndpointApplyConfiguration {
	out := applydiscoveryv1.Endpoint().WithAddresses(e.Addresses...).
		WithConditions(applydiscoveryv1.EndpointConditions().WithReady(true).WithServing(true).WithTerminating(false))
	if e.NodeName != nil {
		out.WithNodeName(*e.NodeName)
	}
	if r := e.TargetRef; r != nil {
		out.WithTargetRef(applycorev1.ObjectReference().WithKind(r.Kind).WithNamespace(r.Namespace).WithName(r.Name))
	}
	return out
}

// endpointsOf are the endpoints of the wanted slice, in its order.
func endpointsOf(s *path.Slice, namespace string) []discoveryv1.Endpoint {
	yes, no := true, false
	var out []discoveryv1.Endpoint
	for _, a := range s.Endpoints {
		e := discoveryv1.Endpoint{
			Addresses:  []string{a.Address},
			Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: a.Name},
		}
		if a.Node != "" {
			e.NodeName = &a.Node
		}
		out = append(out, e)
	}
	return out
}

// portsOf are the activators' ports of the route. kube-proxy finds the port of a
// Service by its name, so the names are those of the Service's ports.
func portsOf(route *v1alpha1.InferenceRoute) []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, p := range route.Spec.Ports {
		tcp := corev1.ProtocolTCP
		port := discoveryv1.EndpointPort{Name: &p.Name, Protocol: &tcp, Port: &p.ListenPort}
		if p.AppProtocol != "" {
			port.AppProtocol = &p.AppProtocol
		}
		out = append(out, port)
	}
	return out
}

// removeSlicesOf removes our slices of a route that is gone: nobody listens on its
// ports any more.
func (c *Controller) removeSlicesOf(ctx context.Context, route cache.ObjectName) error {
	for _, s := range indexed[*discoveryv1.EndpointSlice](c.informers.slices, cache.NamespaceIndex, route.Namespace) {
		if s.Labels[discoveryv1.LabelManagedBy] == managedBy && s.Annotations[annotationRoute] == route.Name {
			if err := c.removeSlice(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Controller) removeSlice(ctx context.Context, s *discoveryv1.EndpointSlice) error {
	err := c.options.Kubernetes.DiscoveryV1().EndpointSlices(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.UID}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("removing EndpointSlice %s/%s: %w", s.Namespace, s.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed[s.Namespace+"/"+s.Name] = s.UID
	return nil
}

// isRemoved reports whether the cache shows a slice that was removed already: one
// that is relied on then would be no slice at all.
func (c *Controller) isRemoved(s *discoveryv1.EndpointSlice) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removed[s.Namespace+"/"+s.Name] == s.UID
}

// forgetRemoved is told of slices that have left the cache.
func (c *Controller) forgetRemoved(s *discoveryv1.EndpointSlice) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key := s.Namespace + "/" + s.Name; c.removed[key] == s.UID {
		delete(c.removed, key)
	}
}

// addressType is that of the Service's first address family.
func addressType(service *corev1.Service) discoveryv1.AddressType {
	if slices.Index(service.Spec.IPFamilies, corev1.IPv6Protocol) == 0 {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}

func family(ip string) discoveryv1.AddressType {
	if address, err := netip.ParseAddr(ip); err == nil && address.Is6() && !address.Is4In6() {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}
