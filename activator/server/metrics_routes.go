package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/durations"
)

// routeCollector publishes what routes and their targets have counted. Only routes
// that are served have series, and only revisions that a route leads to, so that
// their number follows the configuration and nothing that a client sends.
//
// Counters are there from the start, so that no increase is missed. A histogram
// comes with its first observation: it is most of the series, and of ten thousand
// routes most are at rest.
type routeCollector struct{ s *Server }

var (
	routeLabels  = []string{"namespace", "route"}
	targetLabels = []string{"namespace", "route", "revision"}
)

func routeDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rawserve_activator_"+name, help, append(append([]string{}, routeLabels...), labels...), nil)
}

func targetDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rawserve_activator_"+name, help, append(append([]string{}, targetLabels...), labels...), nil)
}

var (
	waitingDesc    = routeDesc("waiting_requests", "Requests held now.")
	oldestDesc     = routeDesc("oldest_wait_seconds", "Time since the arrival of the request that has been held longest; 0 if none is held.")
	insideDesc     = routeDesc("forwarded_requests", "Requests forwarded and not ended.")
	rejectionsDesc = routeDesc("rejections_total", "Requests that the activator answered itself, by the reason it gave.", "reason")

	requestsDesc  = targetDesc("requests_total", "Requests by the class of their status, in gRPC of what its status means; gone: the client has hung up, cut: the response broke off. Without a revision: answered before one was chosen.", "code")
	durationDesc  = targetDesc("request_duration_seconds", "Time from a request's arrival to its end, the hold included.")
	firstByteDesc = targetDesc("first_byte_seconds", "Time from a request's arrival to the header of the pod's response, the hold included.")
	queuedDesc    = targetDesc("queue_duration_seconds", "Time that requests were held, of those that were.")
	retriesDesc   = targetDesc("retries_total", "Attempts beyond the first, after a pod that had none of the request.")
	ejectionsDesc = targetDesc("ejections_total", "Pods taken out before their readiness told, by cause; unreachable: no connection, refused: the agent says that the server is down or the pod goes, broken: the server broke the connection before it answered.", "cause")
	startsDesc    = targetDesc("starts_total", "Starts for which requests waited, by result.", "result")
	raisesDesc    = targetDesc("scale_raises_total", "Writes that raise a scale from zero, by result.", "result")
	failingDesc   = targetDesc("start_failing", "1 while requests are answered StartFailed, 0 otherwise.")
	readyDesc     = targetDesc("ready_pods", "Pods that may get requests.")
	loadDesc      = targetDesc("target_requests", "Requests that pods have of this activator now.")
)

// Describe is for the registry.
func (c *routeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		waitingDesc, oldestDesc, insideDesc, rejectionsDesc, requestsDesc, durationDesc, firstByteDesc, queuedDesc,
		retriesDesc, ejectionsDesc, startsDesc, raisesDesc, failingDesc, readyDesc, loadDesc,
	} {
		ch <- d
	}
}

// Collect is for the registry.
func (c *routeCollector) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	for _, rt := range *c.s.routeList.Load() {
		collectRoute(emitter{ch, []string{rt.key.Namespace, rt.key.Name}}, rt, now)
		for _, t := range rt.plan.Load().targets {
			collectTarget(emitter{ch, []string{rt.key.Namespace, rt.key.Name, t.revision}}, t)
		}
	}
}

func collectRoute(e emitter, rt *route, now time.Time) {
	e.gauge(waitingDesc, float64(rt.waiting.Read(now).InFlight))
	e.gauge(insideDesc, float64(rt.forwarded.Read(now).InFlight))
	oldest := 0.0
	if at := rt.holdings.oldest(); !at.IsZero() {
		oldest = now.Sub(at).Seconds()
	}
	e.gauge(oldestDesc, oldest)
	rt.counters.rejected.Each(func(r answer.Reason, n int64) { e.counter(rejectionsDesc, n, string(r)) })
	for i, class := range codeClasses {
		if n := rt.counters.early[i].Load(); n > 0 || class == "4xx" || class == "5xx" {
			e.counter(requestsDesc, n, "", class)
		}
	}
}

func collectTarget(e emitter, t *target) {
	k := &t.counters
	for i, class := range codeClasses {
		e.counter(requestsDesc, k.ended[i].Load(), class)
	}
	e.histogram(durationDesc, &k.duration)
	e.histogram(firstByteDesc, &k.firstByte)
	e.histogram(queuedDesc, &k.queued)
	e.counter(retriesDesc, k.retries.Load())
	for i, cause := range ejectionCauses {
		e.counter(ejectionsDesc, k.ejections[i].Load(), cause)
	}
	e.counter(startsDesc, k.started.Load(), "started")
	e.counter(startsDesc, k.failed.Load(), "failed")
	e.counter(raisesDesc, k.raised.Load(), "raised")
	e.counter(raisesDesc, k.unraised.Load(), "failed")
	failing := 0.0
	if t.answer.Load() != nil {
		failing = 1
	}
	e.gauge(failingDesc, failing)
	ready, outstanding := t.pool.Load()
	e.gauge(readyDesc, float64(ready))
	e.gauge(loadDesc, float64(outstanding))
}

// emitter sends metrics with the same first labels.
type emitter struct {
	ch     chan<- prometheus.Metric
	labels []string
}

func (e emitter) gauge(d *prometheus.Desc, v float64) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, e.labels...)
}

func (e emitter) counter(d *prometheus.Desc, n int64, more ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append(e.labels[:len(e.labels):len(e.labels)], more...)...)
}

func (e emitter) histogram(d *prometheus.Desc, h *durations.Histogram) {
	r := h.Read()
	if r.Count == 0 {
		return
	}
	buckets := make(map[float64]uint64, len(durations.Bounds))
	for i, bound := range durations.Bounds {
		buckets[bound.Seconds()] = r.Buckets[i]
	}
	e.ch <- prometheus.MustNewConstHistogram(d, r.Count, r.Sum.Seconds(), buckets, e.labels...)
}
