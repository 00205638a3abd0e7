package control

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	applyv1alpha1 "github.com/rawserve/rawserve/api/client/applyconfiguration/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

// opinion is the path that one Scaler asks of its route.
type opinion struct{ path v1alpha1.PathMode }

// strength orders the paths: during a rollout several Scalers share a route, and
// what one of them needs the others can bear.
var strength = map[v1alpha1.PathMode]int{v1alpha1.PathDirect: 1, v1alpha1.PathActivator: 2, v1alpha1.PathActivatorOnly: 3}

// writePath writes the path that the Scalers of the route ask for together.
func (c *Controller) writePath(ctx context.Context, key string, scaler *v1alpha1.Scaler, route *v1alpha1.InferenceRoute, d autoscaler.Decision) error {
	if route == nil {
		return nil
	}
	c.hear(key, scaler.Namespace+"/"+scaler.Spec.RouteName, d.Path)
	wanted := c.agree(route, d.Path)
	if wanted == "" || wanted == present(route) {
		return nil
	}
	return c.askPath(ctx, route, wanted, d.PathMessage)
}

// present is the path in the route's specification.
func present(route *v1alpha1.InferenceRoute) v1alpha1.PathMode {
	if route.Spec.Path == "" {
		return v1alpha1.PathDirect
	}
	return route.Spec.Path
}

func (c *Controller) askPath(ctx context.Context, route *v1alpha1.InferenceRoute, wanted v1alpha1.PathMode, why string) error {
	apply := applyv1alpha1.InferenceRoute(route.Name, route.Namespace).
		// A route that is gone is not made anew.
		WithUID(route.UID).
		WithSpec(applyv1alpha1.InferenceRouteSpec().WithPath(wanted))
	_, err := c.options.Rawserve.RawserveV1alpha1().InferenceRoutes(route.Namespace).Apply(ctx, apply, metav1.ApplyOptions{FieldManager: Manager, Force: true})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("writing the path of route %s/%s: %w", route.Namespace, route.Name, err)
	}
	c.log.Info("path asked for", "namespace", route.Namespace, "route", route.Name, "from", string(route.Spec.Path), "path", string(wanted), "why", why)
	return nil
}

// hear notes the path that a Scaler asks of a route; empty when it has nothing to
// say, as one that is refused or leads elsewhere. Then the path loop may have to decide.
func (c *Controller) hear(key, route string, path v1alpha1.PathMode) {
	c.mu.Lock()
	if c.opinions[route] == nil {
		c.opinions[route] = map[string]opinion{}
	}
	before, heard := c.opinions[route][key]
	c.opinions[route][key] = opinion{path}
	c.mu.Unlock()
	if path == "" && (!heard || before.path != "") {
		c.routes.Add(route)
	}
}

// agree returns the strongest path that the Scalers of the route ask for. While some
// have not been heard yet nothing gets weaker than it is.
func (c *Controller) agree(route *v1alpha1.InferenceRoute, path v1alpha1.PathMode) v1alpha1.PathMode {
	wanted := path
	for _, other := range c.voices(route) {
		if !other.heard {
			other.path = present(route)
		}
		if strength[other.path] > strength[wanted] {
			wanted = other.path
		}
	}
	return wanted
}

// spokenFor reports whether a Scaler decides about the route's path, or may once it
// has been heard. That depends on the Scalers there are and not on what is remembered
// of former ones, so that a new leader decides alike.
func (c *Controller) spokenFor(route *v1alpha1.InferenceRoute) bool {
	return slices.ContainsFunc(c.voices(route), func(v voice) bool { return !v.heard || v.path != "" })
}

// voice is what is known of a Scaler's opinion.
type voice struct {
	opinion
	heard bool
}

// voices has the opinion of each Scaler that names the route.
func (c *Controller) voices(route *v1alpha1.InferenceRoute) []voice {
	name := route.Namespace + "/" + route.Name
	scalers := indexed[*v1alpha1.Scaler](c.informers.scalers, byRoute, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []voice
	for _, s := range scalers {
		if s.DeletionTimestamp == nil {
			o, heard := c.opinions[name][s.Namespace+"/"+s.Name]
			out = append(out, voice{o, heard})
		}
	}
	return out
}
