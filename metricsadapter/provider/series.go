package provider

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	cmprovider "sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/rawserve/rawserve/metricsadapter/store"
)

// InfoOf is the library's name for a series.
func InfoOf(s store.Series) cmprovider.CustomMetricInfo {
	return cmprovider.CustomMetricInfo{
		GroupResource: schema.ParseGroupResource(string(s.Resource)),
		Namespaced:    true,
		Metric:        string(s.Metric),
	}
}

// seriesOf is the store's name for what a client asks. What the store does not
// have it refuses.
func seriesOf(info cmprovider.CustomMetricInfo) store.Series {
	s := store.Series{Metric: store.Metric(info.Metric)}
	if info.Namespaced {
		s.Resource = store.Resource(info.GroupResource.String())
	}
	return s
}
