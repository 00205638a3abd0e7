package control

import (
	"context"
	"fmt"

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
	present := route.Spec.Path
	wanted := c.agree(key, scaler, route, d.Path)
	if wanted == "" || wanted == present || wanted == v1alpha1.PathDirect && present == "" {
		return nil
	}
	return c.askPath(ctx, route, wanted, d.PathMessage)
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

// releaseRoutes takes back what a Scaler that is gone asked of its route, when no
// other Scaler speaks for it: somebody else scales the target now, and would find
// its requests going through the activators for ever. The path loop leaves them
// only once the Service has ready endpoints of its own.
func (c *Controller) releaseRoutes(ctx context.Context, key string) error {
	for _, name := range c.routesOf(key) {
		route, ok := get[*v1alpha1.InferenceRoute](c.informers.inferenceRoutes, name)
		if !ok || route.DeletionTimestamp != nil || !throughActivators(route.Spec.Path) {
			continue
		}
		if len(indexed[*v1alpha1.Scaler](c.informers.scalers, byRoute, name)) > 0 {
			continue
		}
		if err := c.askPath(ctx, route, v1alpha1.PathDirect, "The Scaler of the route is gone."); err != nil {
			return err
		}
	}
	return nil
}

// routesOf are the routes that the Scaler has asked something of.
func (c *Controller) routesOf(key string) (routes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, opinions := range c.opinions {
		if _, asked := opinions[key]; asked {
			routes = append(routes, name)
		}
	}
	return routes
}

// agree notes the Scaler's opinion and returns the strongest of all Scalers of
// the route. While some have not been heard yet nothing gets weaker than it is.
func (c *Controller) agree(key string, scaler *v1alpha1.Scaler, route *v1alpha1.InferenceRoute, path v1alpha1.PathMode) v1alpha1.PathMode {
	name := route.Namespace + "/" + route.Name
	others := indexed[*v1alpha1.Scaler](c.informers.scalers, byRoute, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opinions[name] == nil {
		c.opinions[name] = map[string]opinion{}
	}
	c.opinions[name][key] = opinion{path}
	wanted := path
	for _, other := range others {
		if other.DeletionTimestamp != nil {
			continue
		}
		o, heard := c.opinions[name][other.Namespace+"/"+other.Name]
		if !heard {
			o.path = route.Spec.Path
		}
		if strength[o.path] > strength[wanted] {
			wanted = o.path
		}
	}
	return wanted
}
