package collect

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rawserve/rawserve/metricsadapter/store"
)

// result is how a question to a target ended.
type result string

const (
	resultOK          result = "ok"
	resultTimeout     result = "timeout"
	resultUnreachable result = "unreachable"
	resultInvalid     result = "invalid"
	resultDropped     result = "dropped"
)

// metrics are what the collector says about itself.
type metrics struct {
	scrapes *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	skipped prometheus.Counter
	size    *sizeCollector
}

func newMetrics(s *store.Store) *metrics {
	return &metrics{
		scrapes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rawserve_metrics_adapter_scrapes_total",
			Help: "Questions to agents and activators, by how they ended.",
		}, []string{"kind", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rawserve_metrics_adapter_scrape_duration_seconds",
			Help:    "Time from a question to an agent or activator until its answer is in the store.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, .9},
		}, []string{"kind"}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rawserve_metrics_adapter_scrapes_skipped_total",
			Help: "Questions not asked because all workers were busy.",
		}),
		size: &sizeCollector{store: s},
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	return errors.Join(r.Register(m.scrapes), r.Register(m.seconds), r.Register(m.skipped), r.Register(m.size))
}

var (
	objectsDesc = prometheus.NewDesc("rawserve_metrics_adapter_objects", "Objects known to the metrics adapter.", []string{"kind"}, nil)
	freshDesc   = prometheus.NewDesc("rawserve_metrics_adapter_fresh_readings", "Pods and activators whose last reading may be used.", []string{"kind"}, nil)
)

// sizeCollector counts the store when it is asked to.
type sizeCollector struct{ store *store.Store }

// Describe implements prometheus.Collector.
func (c *sizeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- objectsDesc
	ch <- freshDesc
}

// Collect implements prometheus.Collector.
func (c *sizeCollector) Collect(ch chan<- prometheus.Metric) {
	n := c.store.Size(time.Now())
	gauge := func(desc *prometheus.Desc, v int, kind string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(v), kind)
	}
	gauge(objectsDesc, n.Pods, "pod")
	gauge(objectsDesc, n.Activators, "activator")
	gauge(objectsDesc, n.Scalers, "scaler")
	gauge(objectsDesc, n.Routes, "inferenceroute")
	gauge(objectsDesc, n.Services, "inferenceservice")
	gauge(freshDesc, n.FreshPods, "pod")
	gauge(freshDesc, n.FreshActivators, "activator")
}
