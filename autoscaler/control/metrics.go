package control

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the autoscaler tells of itself. Series of a Scaler end with it.
type metrics struct {
	desired, ready *prometheus.GaugeVec
	deciding       prometheus.Histogram
	collecting     prometheus.Histogram
	ticks          prometheus.Counter
	scaled         *prometheus.CounterVec
	errors         *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	labels := []string{"namespace", "scaler"}
	m := &metrics{
		desired: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rawserve_scaler_desired_replicas", Help: "Replicas decided on.",
		}, labels),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rawserve_scaler_ready_replicas", Help: "Ready replicas when that was decided.",
		}, labels),
		deciding: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rawserve_scaler_decision_duration_seconds", Help: "Time of one decision, without reading and writing.",
			Buckets: []float64{1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2},
		}),
		collecting: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rawserve_scaler_collect_duration_seconds", Help: "Time to read the metrics of all namespaces.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
		}),
		ticks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rawserve_scaler_ticks_total", Help: "Looks at all Scalers.",
		}),
		scaled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rawserve_scaler_scale_writes_total", Help: "Writes of a scale, by direction and result.",
		}, []string{"direction", "result"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rawserve_scaler_errors_total", Help: "Turns of a Scaler or a route that ended with an error.",
		}, []string{"loop"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.desired, m.ready, m.deciding, m.collecting, m.ticks, m.scaled, m.errors} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of the autoscaler: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) forget(namespace, name string) {
	m.desired.DeleteLabelValues(namespace, name)
	m.ready.DeleteLabelValues(namespace, name)
}
