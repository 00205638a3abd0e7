package control

import (
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// runtimeWarnings says what the model's user should know about the chosen runtime.
func (c *Controller) runtimeWarnings(isvc *v1beta1.InferenceService, chosen *deployer.ChosenRuntime) []deployer.Warning {
	if chosen == nil {
		return nil
	}
	return deployer.RuntimeWarnings(isvc, chosen, c.runtimesOfScope(isvc.Namespace, chosen.Ref.Scope))
}

// runtimesOfScope lists the runtimes that compete with each other.
func (c *Controller) runtimesOfScope(namespace string, scope deployer.RuntimeScope) []v1alpha1.NamedRuntime {
	var out []v1alpha1.NamedRuntime
	if scope == deployer.Cluster {
		for _, item := range c.caches.clusterRuntimes.List() {
			if r, ok := item.(*v1alpha1.ClusterServingRuntime); ok {
				out = append(out, v1alpha1.NamedRuntime{Name: r.Name, Spec: &r.Spec})
			}
		}
		return out
	}
	items, err := c.caches.runtimes.ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		// Only an index that does not exist fails, and choosing the runtime used it.
		return nil
	}
	for _, item := range items {
		if r, ok := item.(*v1alpha1.ServingRuntime); ok {
			out = append(out, v1alpha1.NamedRuntime{Name: r.Name, Spec: &r.Spec})
		}
	}
	return out
}
