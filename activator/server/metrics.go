package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/internal/strict"
)

// codeClasses are the values of the label code, which stays this short.
var codeClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx", "gone", "cut"}

type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	refused   *prometheus.CounterVec
	malformed *prometheus.CounterVec
	starts    prometheus.Histogram
	raises    prometheus.Histogram
}

// routeMetrics are a route's own, looked up once.
type routeMetrics struct {
	codes   [len(codeClasses)]prometheus.Counter
	seconds prometheus.Observer
}

var routeLabels = []string{"namespace", "route"}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rawserve_activator_requests_total",
			Help: "Requests by the class of their status; gone: the client has hung up, cut: the response broke off.",
		}, append([]string{"code"}, routeLabels...)),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rawserve_activator_request_duration_seconds",
			Help:    "Time from a request's arrival to its end, the hold included.",
			Buckets: []float64{.005, .025, .1, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, routeLabels),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rawserve_activator_refused_total",
			Help: "Connections and requests refused, by the limit that was reached.",
		}, []string{"limit"}),
		malformed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rawserve_activator_malformed_total",
			Help: "Connections ended with 400 because servers would not agree on what came in on them, by what was wrong.",
		}, []string{"reason"}),
		starts: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "rawserve_activator_start_duration_seconds",
			Help:    "Time from the first held request to the first ready pod.",
			Buckets: []float64{.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600},
		}),
		raises: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "rawserve_activator_scale_write_duration_seconds",
			Help:    "Time to raise a scale from zero.",
			Buckets: []float64{.002, .005, .01, .025, .1, .5, 1, 5},
		}),
	}
	for _, limit := range allRefusedBy {
		m.refused.WithLabelValues(string(limit))
	}
	for _, reason := range strict.Reasons {
		m.malformed.WithLabelValues(string(reason))
	}
	m.registry.MustRegister(m.requests, m.seconds, m.refused, m.malformed, m.starts, m.raises, &heldCollector{s: s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) route(key types.NamespacedName) routeMetrics {
	var r routeMetrics
	for i, class := range codeClasses {
		r.codes[i] = m.requests.WithLabelValues(class, key.Namespace, key.Name)
	}
	r.seconds = m.seconds.WithLabelValues(key.Namespace, key.Name)
	return r
}

func (m *metrics) forget(key types.NamespacedName) {
	labels := prometheus.Labels{"namespace": key.Namespace, "route": key.Name}
	m.requests.DeletePartialMatch(labels)
	m.seconds.DeletePartialMatch(labels)
}

func (m *metrics) refuse(limit refusedBy)     { m.refused.WithLabelValues(string(limit)).Inc() }
func (m *metrics) started(took time.Duration) { m.starts.Observe(took.Seconds()) }
func (m *metrics) raised(took time.Duration)  { m.raises.Observe(took.Seconds()) }

func (r *routeMetrics) count(code int, took time.Duration) {
	class := code/100 - 1
	switch {
	case code == codeGone:
		class = len(codeClasses) - 2
	case code == codeCut:
		class = len(codeClasses) - 1
	case class < 0 || class > 4:
		class = 4
	}
	r.codes[class].Inc()
	r.seconds.Observe(took.Seconds())
}

// heldCollector reads what is held when somebody asks.
type heldCollector struct{ s *Server }

var (
	waitingDesc = prometheus.NewDesc("rawserve_activator_waiting_requests", "Requests held now.", routeLabels, nil)
	insideDesc  = prometheus.NewDesc("rawserve_activator_forwarded_requests", "Requests forwarded and not ended.", routeLabels, nil)
	memoryDesc  = prometheus.NewDesc("rawserve_activator_held_body_bytes", "Memory for bodies of held requests.", nil, nil)
	allDesc     = prometheus.NewDesc("rawserve_activator_inside_requests", "Requests inside, held or forwarded, of all routes.", nil, nil)
	connsDesc   = prometheus.NewDesc("rawserve_activator_connections", "Open connections of clients.", nil, nil)
	chargedDesc = prometheus.NewDesc("rawserve_activator_charged_bytes", "Memory that limits.maxMemory counts.", nil, nil)
	spoolDesc   = prometheus.NewDesc("rawserve_activator_spooled_body_bytes", "Disk reserved for bodies of held requests.", nil, nil)
)

// Describe is for the registry.
func (c *heldCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- waitingDesc
	ch <- insideDesc
	ch <- memoryDesc
	ch <- allDesc
	ch <- connsDesc
	ch <- chargedDesc
	ch <- spoolDesc
}

// Collect is for the registry.
func (c *heldCollector) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	for _, rt := range *c.s.routeList.Load() {
		for desc, n := range map[*prometheus.Desc]int64{
			waitingDesc: rt.waiting.Read(now).InFlight,
			insideDesc:  rt.forwarded.Read(now).InFlight,
		} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), rt.key.Namespace, rt.key.Name)
		}
	}
	for desc, n := range map[*prometheus.Desc]int64{
		memoryDesc: c.s.bytes.Used(), chargedDesc: c.s.memory.Used(), allDesc: c.s.inside.Used(), connsDesc: c.s.conns.Used(),
	} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n))
	}
	if c.s.spool != nil {
		ch <- prometheus.MustNewConstMetric(spoolDesc, prometheus.GaugeValue, float64(c.s.spool.Used()))
	}
}
