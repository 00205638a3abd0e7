package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	applyv1alpha1 "github.com/rawserve/rawserve/api/client/applyconfiguration/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler/path"
)

// labelPath narrows a Service's selector; no pod has it.
const labelPath = "rawserve.dev/path"

// reconcileRoute is one turn of a route: observe, step, write. The slice is
// written before the status that relies on it. The path of a route that no Scaler
// speaks for is decided here too.
func (c *Controller) reconcileRoute(ctx context.Context, key string) (time.Duration, error) {
	name, err := cache.ParseObjectName(key)
	if err != nil {
		return 0, nil //nolint:nilerr // a key without a namespace is nobody's
	}
	route, ok := get[*v1alpha1.InferenceRoute](c.informers.inferenceRoutes, key)
	if !ok || route.DeletionTimestamp != nil {
		return 0, c.removeSlicesOf(ctx, name)
	}
	service, ok := get[*corev1.Service](c.informers.services, route.Namespace+"/"+route.Spec.ServiceName)
	if !ok || service.DeletionTimestamp != nil {
		since := route.Status.Path.Since
		if since.IsZero() { // which the API server does not take
			since = metav1.NewMicroTime(c.clock.Now())
		}
		return 0, c.writeRouteStatus(ctx, route, v1alpha1.PathStatus{
			Mode: v1alpha1.PathDirect, Reason: v1alpha1.PathNoEndpoint, Since: since,
			Message: fmt.Sprintf("Service %s does not exist yet; the path is decided once it does.", route.Spec.ServiceName),
		})
	}
	in, slice := c.observeRoute(route, service)
	if !c.spokenFor(route) {
		split, _ := pathOf(route, "")
		// Written, it brings about the next turn.
		if wanted, why := path.Unscaled(in, split.Split); wanted != present(route) {
			return 0, c.askPath(ctx, route, wanted, why)
		}
	}
	out := path.Step(in)
	if err := c.writeSlice(ctx, route, service, slice, out.Slice); err != nil {
		return 0, err
	}
	if err := c.writeRouteStatus(ctx, route, out.Status); err != nil {
		return 0, err
	}
	if err := c.dropAcks(ctx, route, out.Gone); err != nil {
		return 0, err
	}
	return out.NextLook, nil
}

// observeRoute gathers what is known of the route, and our slice as it is.
func (c *Controller) observeRoute(route *v1alpha1.InferenceRoute, service *corev1.Service) (path.Input, *discoveryv1.EndpointSlice) {
	in := path.Input{
		Now: c.clock.Now(), Wanted: route.Spec.Path, Generation: route.Generation,
		Status: route.Status.Path, Acks: route.Status.Activators,
		Narrowed: service.Spec.Selector[labelPath] != "",
	}
	family := addressType(service)
	for _, p := range list[*corev1.Pod](c.informers.activators) {
		a := activatorOf(p)
		in.Activators = append(in.Activators, path.Activator{Name: a.name, Address: a.address(family), Node: a.node, Ready: a.ready})
	}
	slices.SortFunc(in.Activators, func(a, b path.Activator) int { return cmp.Compare(a.Name, b.Name) })
	var ours *discoveryv1.EndpointSlice
	for _, s := range indexed[*discoveryv1.EndpointSlice](c.informers.slices, byService, route.Namespace+"/"+service.Name) {
		switch {
		case s.DeletionTimestamp != nil || c.isRemoved(s):
		case s.Labels[discoveryv1.LabelManagedBy] != managedBy:
			in.NativeReady += readyEndpoints(s)
		case s.Name == sliceName(service.Name):
			ours = s
			in.Slice = sliceOf(s)
		}
	}
	return in, ours
}

func readyEndpoints(s *discoveryv1.EndpointSlice) int {
	n := 0
	for _, e := range s.Endpoints {
		if e.Conditions.Ready == nil || *e.Conditions.Ready {
			n++
		}
	}
	return n
}

func (c *Controller) writeRouteStatus(ctx context.Context, route *v1alpha1.InferenceRoute, status v1alpha1.PathStatus) error {
	old := route.Status.Path
	if route.Status.ObservedGeneration == route.Generation && old.Mode == status.Mode && old.Confirmed == status.Confirmed &&
		old.NarrowSelector == status.NarrowSelector && old.Reason == status.Reason && old.Message == status.Message {
		return nil
	}
	apply := applyv1alpha1.InferenceRoute(route.Name, route.Namespace).WithUID(route.UID).
		WithStatus(applyv1alpha1.InferenceRouteStatus().
			WithObservedGeneration(route.Generation).
			WithPath(applyv1alpha1.PathStatus().
				WithMode(status.Mode).WithConfirmed(status.Confirmed).WithNarrowSelector(status.NarrowSelector).
				WithReason(status.Reason).WithSince(status.Since).WithMessage(status.Message)))
	_, err := c.options.Rawserve.RawserveV1alpha1().InferenceRoutes(route.Namespace).ApplyStatus(ctx, apply, metav1.ApplyOptions{FieldManager: PathManager, Force: true})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("writing the path of route %s/%s: %w", route.Namespace, route.Name, err)
	}
	if old.Mode != status.Mode || old.Confirmed != status.Confirmed || old.NarrowSelector != status.NarrowSelector {
		c.log.Info("path", "namespace", route.Namespace, "route", route.Name, "mode", string(status.Mode),
			"confirmed", status.Confirmed, "narrow", status.NarrowSelector, "message", status.Message)
	}
	return nil
}

// dropAcks removes acknowledgements of pods that are gone. The cache may not have
// a new pod yet, so the server is asked first; a pod's own entry is taken out by
// its place, if it still is there.
func (c *Controller) dropAcks(ctx context.Context, route *v1alpha1.InferenceRoute, gone []string) error {
	for i := len(route.Status.Activators) - 1; i >= 0; i-- {
		name := route.Status.Activators[i].Name
		if !slices.Contains(gone, name) {
			continue
		}
		_, err := c.options.Kubernetes.CoreV1().Pods(c.options.SystemNamespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			continue
		}
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("looking whether activator %s is gone: %w", name, err)
		}
		at := fmt.Sprintf("/status/activators/%d", i)
		patch, err := json.Marshal([]map[string]any{
			{"op": "test", "path": "/metadata/uid", "value": route.UID},
			{"op": "test", "path": at + "/name", "value": name},
			{"op": "remove", "path": at},
		})
		if err != nil {
			return fmt.Errorf("encoding the removal of an acknowledgement: %w", err)
		}
		_, err = c.options.Rawserve.RawserveV1alpha1().InferenceRoutes(route.Namespace).Patch(ctx, route.Name, types.JSONPatchType, patch,
			metav1.PatchOptions{FieldManager: PathManager}, "status")
		// The list has moved on: the next turn sees it.
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsInvalid(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("removing the acknowledgement of %s from route %s/%s: %w", name, route.Namespace, route.Name, err)
		}
	}
	return nil
}

// activator is what is read of an activator's pod; comparable.
type activator struct {
	name, node, ipv4, ipv6 string
	ready                  bool
}

func activatorOf(p *corev1.Pod) activator {
	a := activator{name: p.Name, node: p.Spec.NodeName, ready: podReady(p) && p.DeletionTimestamp == nil}
	ips := p.Status.PodIPs
	if len(ips) == 0 && p.Status.PodIP != "" {
		ips = []corev1.PodIP{{IP: p.Status.PodIP}}
	}
	for _, ip := range ips {
		if family(ip.IP) == discoveryv1.AddressTypeIPv6 {
			a.ipv6 = ip.IP
		} else {
			a.ipv4 = ip.IP
		}
	}
	return a
}

func (a activator) address(of discoveryv1.AddressType) string {
	if of == discoveryv1.AddressTypeIPv6 {
		return a.ipv6
	}
	return a.ipv4
}
