package control

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// histogramCount is the number of observations.
func histogramCount(o prometheus.Observer) uint64 {
	var m dto.Metric
	if h, ok := o.(prometheus.Histogram); !ok || h.Write(&m) != nil {
		return 0
	}
	return m.GetHistogram().GetSampleCount()
}
