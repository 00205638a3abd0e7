package server

import (
	"bufio"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/rawserve/rawserve/internal/strict"
)

// metrics are those of the process as a whole. What a route or a target has of its
// own is counted there and printed by writeRoutes.
type metrics struct {
	registry  *prometheus.Registry
	refused   *prometheus.CounterVec
	malformed *prometheus.CounterVec
	starts    prometheus.Histogram
	raises    prometheus.Histogram
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
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
	m.registry.MustRegister(m.refused, m.malformed, m.starts, m.raises, &processCollector{s}, &sightCollector{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) refuse(limit refusedBy)     { m.refused.WithLabelValues(string(limit)).Inc() }
func (m *metrics) started(took time.Duration) { m.starts.Observe(took.Seconds()) }
func (m *metrics) raised(took time.Duration)  { m.raises.Observe(took.Seconds()) }

// scrapes is how many may read the metrics at a time: of ten thousand routes they are
// 90 MB of text, and some reader may be slow.
const scrapes = 2

// serveMetrics serves /metrics in the text format, which every reader takes.
func (s *Server) serveMetrics() http.Handler {
	turns := make(chan struct{}, scrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		default:
			http.Error(w, "others read the metrics already; try again", http.StatusServiceUnavailable)
			return
		}
		families, err := s.metrics.registry.Gather()
		if err != nil {
			// What was gathered is right; the kernel may not tell about the process.
			s.log.Debug("some metrics are missing", "error", err)
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		out := bufio.NewWriterSize(w, 64<<10)
		for _, f := range families {
			if _, err := expfmt.MetricFamilyToText(out, f); err != nil {
				return // the reader is gone
			}
		}
		s.writeRoutes(out, time.Now())
		_ = out.Flush()
	})
}

// processCollector reads what is inside when somebody asks, and what may be.
type processCollector struct{ s *Server }

// value is one number of the process.
type value struct {
	desc *prometheus.Desc
	read func(s *Server) float64
}

func number(name, help string, read func(s *Server) float64) value {
	return value{prometheus.NewDesc("rawserve_activator_"+name, help, nil, nil), read}
}

var processValues = []value{
	number("ready", "1 while the activator takes requests, 0 before and while it goes.", func(s *Server) float64 {
		if s.Ready() != nil {
			return 0
		}
		return 1
	}),
	number("routes", "Routes served.", func(s *Server) float64 { return float64(len(*s.routeList.Load())) }),
	number("unacknowledged_routes", "Routes whose acknowledgement is not written yet.", func(s *Server) float64 { return float64(s.acks.unwritten()) }),
	number("connections", "Open connections of clients.", func(s *Server) float64 { return float64(s.conns.Used()) }),
	number("max_connections", "limits.maxConnections.", func(s *Server) float64 { return float64(s.config.Limits.MaxConnections) }),
	number("inside_requests", "Requests inside, held or forwarded, of all routes.", func(s *Server) float64 { return float64(s.inside.Used()) }),
	number("max_inside_requests", "limits.maxRequests.", func(s *Server) float64 { return float64(s.config.Limits.MaxRequests) }),
	number("charged_bytes", "Memory that limits.maxMemory counts.", func(s *Server) float64 { return float64(s.memory.Used()) }),
	number("max_charged_bytes", "limits.maxMemory.", func(s *Server) float64 { return float64(s.config.Limits.MaxMemory.Value()) }),
	number("held_requests", "Requests held, of all routes.", func(s *Server) float64 { return float64(s.requests.Used()) }),
	number("max_held_requests", "queue.maxRequestsTotal.", func(s *Server) float64 { return float64(s.config.Queue.MaxRequestsTotal) }),
	number("held_body_bytes", "Memory for bodies of held requests.", func(s *Server) float64 { return float64(s.bytes.Used()) }),
	number("max_held_body_bytes", "queue.maxBytesTotal.", func(s *Server) float64 { return float64(s.config.Queue.MaxBytesTotal.Value()) }),
}

// spoolValues are there only where bodies are spooled.
var spoolValues = []value{
	number("spooled_body_bytes", "Disk reserved for bodies of held requests.", func(s *Server) float64 { return float64(s.spool.Used()) }),
	number("max_spooled_body_bytes", "queue.maxSpoolTotal.", func(s *Server) float64 { return float64(s.config.Queue.MaxSpoolTotal.Value()) }),
}

// Describe is for the registry.
func (c *processCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range processValues {
		ch <- v.desc
	}
	for _, v := range spoolValues {
		ch <- v.desc
	}
}

// Collect is for the registry.
func (c *processCollector) Collect(ch chan<- prometheus.Metric) {
	values := processValues
	for _, v := range values {
		ch <- prometheus.MustNewConstMetric(v.desc, prometheus.GaugeValue, v.read(c.s))
	}
	if c.s.spool == nil {
		return
	}
	for _, v := range spoolValues {
		ch <- prometheus.MustNewConstMetric(v.desc, prometheus.GaugeValue, v.read(c.s))
	}
}

// sightCollector tells what of the access log and the traces was kept back.
type sightCollector struct{ s *Server }

var (
	recordsDesc = prometheus.NewDesc("rawserve_activator_access_log_records_total", "Records of the access log; suppressed: beyond the rate, dropped: the output did not keep up.", []string{"result"}, nil)
	spansDesc   = prometheus.NewDesc("rawserve_activator_spans_total", "Spans; failed: the collector did not take them, dropped: too many waited.", []string{"result"}, nil)
	limitedDesc = prometheus.NewDesc("rawserve_activator_untraced_requests_total", "Requests that were to be traced and were beyond the rate.", nil, nil)
)

// Describe is for the registry.
func (c *sightCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- recordsDesc
	ch <- spansDesc
	ch <- limitedDesc
}

// Collect is for the registry.
func (c *sightCollector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	if a := c.s.access; a != nil {
		counter(recordsDesc, a.written.Load(), "written")
		counter(recordsDesc, a.suppressed.Load(), "suppressed")
		counter(recordsDesc, a.dropped.Load(), "dropped")
	}
	if t := c.s.tracing; t != nil {
		counter(spansDesc, t.gate.exported.Load(), "exported")
		counter(spansDesc, t.gate.failed.Load(), "failed")
		counter(spansDesc, t.gate.dropped.Load(), "dropped")
		counter(limitedDesc, t.limited.Load())
	}
}
