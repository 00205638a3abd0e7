package control

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// pathCollector tells which way each route's requests go, from the routes' status as
// it is read. An instance that does not lead knows no routes and tells of none.
type pathCollector struct {
	routes func() []*v1alpha1.InferenceRoute
}

var (
	pathDesc = prometheus.NewDesc("rawserve_route_path",
		"1 for the path that a route takes; Direct: the Service alone, Activator: activators too, ActivatorOnly: they alone.",
		[]string{"namespace", "route", "mode"}, nil)
	confirmedDesc = prometheus.NewDesc("rawserve_route_path_confirmed",
		"1 once the path that is asked for is in force, 0 on the way there.", []string{"namespace", "route"}, nil)
)

// Describe is for the registry.
func (c *pathCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- pathDesc
	ch <- confirmedDesc
}

// Collect is for the registry.
func (c *pathCollector) Collect(ch chan<- prometheus.Metric) {
	for _, r := range c.routes() {
		if r.Status.Path.Mode == "" {
			continue // nobody has looked at it yet
		}
		ch <- prometheus.MustNewConstMetric(pathDesc, prometheus.GaugeValue, 1, r.Namespace, r.Name, string(r.Status.Path.Mode))
		confirmed := 0.0
		if r.Status.Path.Confirmed && r.Status.ObservedGeneration == r.Generation {
			confirmed = 1
		}
		ch <- prometheus.MustNewConstMetric(confirmedDesc, prometheus.GaugeValue, confirmed, r.Namespace, r.Name)
	}
}
