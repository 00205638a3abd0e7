package control

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// metrics count what the deployer does.
type metrics struct {
	passes *prometheus.HistogramVec
	writes *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		passes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rawserve_deployer_pass_duration_seconds",
			Help:    "Time of one pass over one InferenceService, by outcome: done, problem (the user's to solve) or error (tried again).",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"outcome"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rawserve_deployer_writes_total",
			Help: "Writes to the API server, by kind of object, verb and result.",
		}, []string{"kind", "verb", "result"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.passes, m.writes} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering the deployer's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) wrote(k *kind, verb string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.writes.WithLabelValues(k.Kind, verb, result).Inc()
}

// isvcMetricsKind counts writes to InferenceServices themselves.
var isvcMetricsKind = &kind{GroupVersionKind: v1beta1.SchemeGroupVersion.WithKind(isvcKind)}

func (m *metrics) statusWritten(err error) {
	m.wrote(isvcMetricsKind, "status", err)
}

func (m *metrics) passed(outcome string, took time.Duration) {
	m.passes.WithLabelValues(outcome).Observe(took.Seconds())
}
