package activator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// Owner is the route that a listen port belongs to.
type Owner struct {
	// Route is the route's namespace and name.
	Route types.NamespacedName
	// Port is the route's entry for the port.
	Port v1alpha1.RoutePort
}

// AssignPorts says which route each listen port belongs to. Where two routes
// claim one, the older keeps it, for its Service may point at it already; the
// other is reported in problems, by name.
func AssignPorts(routes []*v1alpha1.InferenceRoute) (owners map[int]Owner, problems map[types.NamespacedName]string) {
	owners, problems = map[int]Owner{}, map[types.NamespacedName]string{}
	oldest := slices.SortedFunc(slices.Values(routes), func(a, b *v1alpha1.InferenceRoute) int {
		return cmp.Or(
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.Name, b.Name),
		)
	})
	for _, r := range oldest {
		key := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
		for _, p := range r.Spec.Ports {
			port := int(p.ListenPort)
			if port < 1 || port > 65535 {
				problems[key] = fmt.Sprintf("Listen port %d is no port number.", port)
				continue
			}
			if owner, taken := owners[port]; taken {
				problems[key] = fmt.Sprintf("Listen port %d belongs to InferenceRoute %s already. Give this route another one.", port, owner.Route)
				continue
			}
			owners[port] = Owner{Route: key, Port: p}
		}
	}
	return owners, problems
}

// ThroughActivators reports whether requests of the route come to activators, or
// may at any moment: the path is wanted, or still in force.
func ThroughActivators(r *v1alpha1.InferenceRoute) bool {
	for _, mode := range []v1alpha1.PathMode{r.Spec.Path, r.Status.Path.Mode} {
		if mode == v1alpha1.PathActivator || mode == v1alpha1.PathActivatorOnly {
			return true
		}
	}
	return false
}

// DiffPorts lists the ports to open and those to close, in ascending order.
func DiffPorts[A, B any](have map[int]A, want map[int]B) (open, closing []int) {
	for port := range want {
		if _, ok := have[port]; !ok {
			open = append(open, port)
		}
	}
	for port := range maps.Keys(have) {
		if _, ok := want[port]; !ok {
			closing = append(closing, port)
		}
	}
	slices.Sort(open)
	slices.Sort(closing)
	return open, closing
}
