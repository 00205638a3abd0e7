package control

import (
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/internal/metricsdoc"
)

func TestTheMetricsAreThoseOfTheDocumentation(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	require.NoError(t, err)
	m.desired.WithLabelValues("models", "iris")
	m.ready.WithLabelValues("models", "iris")
	m.scaled.WithLabelValues("up", "ok")
	m.errors.WithLabelValues("scalers")
	registry.MustRegister(&pathCollector{routes: func() []*v1alpha1.InferenceRoute {
		return []*v1alpha1.InferenceRoute{{Status: v1alpha1.InferenceRouteStatus{Path: v1alpha1.PathStatus{Mode: v1alpha1.PathDirect}}}}
	}})
	families, err := registry.Gather()
	require.NoError(t, err)
	doc, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	require.Empty(t, metricsdoc.Compare(metricsdoc.Parse(string(doc)), metricsdoc.OfFamilies(families), "rawserve_scaler_", "rawserve_route_"))
}

func TestThePathOfEachRouteIsPublished(t *testing.T) {
	route := func(name string, generation, observed int64, path v1alpha1.PathStatus) *v1alpha1.InferenceRoute {
		return &v1alpha1.InferenceRoute{
			ObjectMeta: metav1.ObjectMeta{Namespace: "models", Name: name, Generation: generation},
			Status:     v1alpha1.InferenceRouteStatus{ObservedGeneration: observed, Path: path},
		}
	}
	c := &pathCollector{routes: func() []*v1alpha1.InferenceRoute {
		return []*v1alpha1.InferenceRoute{
			route("direct", 1, 1, v1alpha1.PathStatus{Mode: v1alpha1.PathDirect, Confirmed: true}),
			route("entering", 1, 1, v1alpha1.PathStatus{Mode: v1alpha1.PathActivator}),
			// What is confirmed is a generation that is not the route's any more.
			route("stale", 2, 1, v1alpha1.PathStatus{Mode: v1alpha1.PathActivatorOnly, Confirmed: true}),
			route("new", 1, 0, v1alpha1.PathStatus{}),
		}
	}}
	require.NoError(t, testutil.CollectAndCompare(c, strings.NewReader(`
# HELP rawserve_route_path 1 for the path that a route takes; Direct: the Service alone, Activator: activators too, ActivatorOnly: they alone.
# TYPE rawserve_route_path gauge
rawserve_route_path{mode="Direct",namespace="models",route="direct"} 1
rawserve_route_path{mode="Activator",namespace="models",route="entering"} 1
rawserve_route_path{mode="ActivatorOnly",namespace="models",route="stale"} 1
# HELP rawserve_route_path_confirmed 1 once the path that is asked for is in force, 0 on the way there.
# TYPE rawserve_route_path_confirmed gauge
rawserve_route_path_confirmed{namespace="models",route="direct"} 1
rawserve_route_path_confirmed{namespace="models",route="entering"} 0
rawserve_route_path_confirmed{namespace="models",route="stale"} 0
`)))
	problems, err := testutil.CollectAndLint(c)
	require.NoError(t, err)
	require.Empty(t, problems)
}
