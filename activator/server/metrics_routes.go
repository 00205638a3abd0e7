package server

import (
	"bufio"
	"strconv"
	"strings"
	"time"

	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/durations"
)

// What routes and their targets have counted is written as text at once, and not by
// way of Prometheus' registry: that would make an object of each of a million series
// and keep them all until the last, 600 MiB and 20 s for ten thousand routes.
//
// Only routes that are served have series, and only revisions that a route leads to,
// so that their number follows the configuration and nothing that a client sends.
//
// Counters are there from the start, at zero: what a series begins with is no increase
// to Prometheus. So is the histogram of the queue, for the one start in a day is what
// it is read for. The two others are half of the series and come with the first
// request, for of ten thousand routes most are at rest.

// routeRow and targetRow are a route and a target with their labels as text.
type routeRow struct {
	labels string
	rt     *route
}

type targetRow struct {
	labels string
	t      *target
}

// writeRoutes prints the metrics of all routes.
func (s *Server) writeRoutes(w *bufio.Writer, now time.Time) {
	list := *s.routeList.Load()
	routes := make([]routeRow, 0, len(list))
	targets := make([]targetRow, 0, len(list))
	for _, rt := range list {
		labels := `namespace="` + escaped(rt.key.Namespace) + `",route="` + escaped(rt.key.Name) + `"`
		routes = append(routes, routeRow{labels, rt})
		for _, t := range rt.plan.Load().targets {
			targets = append(targets, targetRow{labels + `,revision="` + escaped(t.revision) + `"`, t})
		}
	}
	e := &exposition{w: w}
	e.ofRoutes(routes, now)
	e.requests(routes, targets)
	e.histograms(targets)
	e.ofTargets(targets)
}

func (e *exposition) ofRoutes(rows []routeRow, now time.Time) {
	e.family("waiting_requests", "gauge", "Requests held now.")
	for _, r := range rows {
		e.whole(r.labels, r.rt.waiting.Read(now).InFlight)
	}
	e.family("oldest_wait_seconds", "gauge", "Time since the arrival of the request that has been held longest; 0 if none is held.")
	for _, r := range rows {
		oldest := 0.0
		if at := r.rt.holdings.oldest(); !at.IsZero() {
			oldest = now.Sub(at).Seconds()
		}
		e.sample("", r.labels, oldest)
	}
	e.family("forwarded_requests", "gauge", "Requests forwarded and not ended.")
	for _, r := range rows {
		e.whole(r.labels, r.rt.forwarded.Read(now).InFlight)
	}
	e.family("rejections_total", "counter", "Requests that the activator answered itself, by the reason it gave.")
	for _, r := range rows {
		r.rt.counters.rejected.Each(func(reason answer.Reason, n int64) { e.whole(r.labels+`,reason="`+string(reason)+`"`, n) })
	}
}

func (e *exposition) requests(routes []routeRow, targets []targetRow) {
	e.family("requests_total", "counter", "Requests by the class of their status, in gRPC of what its status means; gone: the client has hung up, cut: the response broke off. Without a revision: answered before one was chosen.")
	for _, r := range routes {
		for i, class := range codeClasses {
			if n := r.rt.counters.early[i].Load(); n > 0 || class == "4xx" || class == "5xx" {
				e.whole(r.labels+`,revision="",code="`+class+`"`, n)
			}
		}
	}
	for _, r := range targets {
		for i, class := range codeClasses {
			e.whole(r.labels+`,code="`+class+`"`, r.t.counters.ended[i].Load())
		}
	}
}

func (e *exposition) histograms(rows []targetRow) {
	e.family("queue_duration_seconds", "histogram", "Time that requests were held, of those that were.")
	for _, r := range rows {
		e.histogram(r.labels, r.t.counters.queued.Read())
	}
	used := func(t *target) bool { return t.counters.duration.Read().Count > 0 }
	e.family("request_duration_seconds", "histogram", "Time from a request's arrival to its end, the hold included.")
	for _, r := range rows {
		if used(r.t) {
			e.histogram(r.labels, r.t.counters.duration.Read())
		}
	}
	e.family("first_byte_seconds", "histogram", "Time from a request's arrival to the header of the pod's response, the hold included.")
	for _, r := range rows {
		if used(r.t) {
			e.histogram(r.labels, r.t.counters.firstByte.Read())
		}
	}
}

func (e *exposition) ofTargets(rows []targetRow) {
	e.family("retries_total", "counter", "Attempts beyond the first, after a pod that had none of the request.")
	for _, r := range rows {
		e.whole(r.labels, r.t.counters.retries.Load())
	}
	e.family("ejections_total", "counter", "Pods taken out before their readiness told, by cause; unreachable: no connection, refused: the agent says that the server is down or the pod goes, broken: the server broke the connection before it answered, silent: its node stopped to acknowledge.")
	for _, r := range rows {
		for i, cause := range ejectionCauses {
			e.whole(r.labels+`,cause="`+cause+`"`, r.t.counters.ejections[i].Load())
		}
	}
	e.family("starts_total", "counter", "Starts for which requests waited, by result.")
	for _, r := range rows {
		e.whole(r.labels+`,result="started"`, r.t.counters.started.Load())
		e.whole(r.labels+`,result="failed"`, r.t.counters.failed.Load())
	}
	e.family("scale_raises_total", "counter", "Writes that raise a scale from zero, by result.")
	for _, r := range rows {
		e.whole(r.labels+`,result="raised"`, r.t.counters.raised.Load())
		e.whole(r.labels+`,result="failed"`, r.t.counters.unraised.Load())
	}
	e.family("start_failing", "gauge", "1 while requests are answered StartFailed, 0 otherwise.")
	for _, r := range rows {
		n := int64(0)
		if r.t.answer.Load() != nil {
			n = 1
		}
		e.whole(r.labels, n)
	}
	e.family("ready_pods", "gauge", "Pods that may get requests.")
	for _, r := range rows {
		ready, _ := r.t.pool.Load()
		e.whole(r.labels, int64(ready))
	}
	e.family("target_requests", "gauge", "Requests that pods have of this activator now.")
	for _, r := range rows {
		_, outstanding := r.t.pool.Load()
		e.whole(r.labels, int64(outstanding))
	}
}

// exposition writes Prometheus' text format, one family after the other. What cannot
// be written any more shows when the writer is flushed.
type exposition struct {
	w    *bufio.Writer
	name string
	buf  []byte
}

// family begins a family, whose name is name with our prefix.
func (e *exposition) family(name, kind, help string) {
	e.name = "rawserve_activator_" + name
	_, _ = e.w.WriteString("# HELP " + e.name + " " + help + "\n# TYPE " + e.name + " " + kind + "\n")
}

func (e *exposition) sample(suffix, labels string, v float64) {
	e.series(suffix, labels)
	e.buf = append(strconv.AppendFloat(e.buf, v, 'g', -1, 64), '\n')
	_, _ = e.w.Write(e.buf)
}

func (e *exposition) whole(labels string, n int64) {
	e.series("", labels)
	e.buf = append(strconv.AppendInt(e.buf, n, 10), '\n')
	_, _ = e.w.Write(e.buf)
}

func (e *exposition) series(suffix, labels string) {
	e.buf = append(e.buf[:0], e.name...)
	e.buf = append(e.buf, suffix...)
	e.buf = append(e.buf, '{')
	e.buf = append(e.buf, labels...)
	e.buf = append(e.buf, "} "...)
}

// bucketLabels are the labels le of the buckets, the last for what is above all bounds.
var bucketLabels = func() (out [len(durations.Bounds) + 1]string) {
	for i, bound := range durations.Bounds {
		out[i] = `,le="` + strconv.FormatFloat(bound.Seconds(), 'g', -1, 64) + `"`
	}
	out[len(durations.Bounds)] = `,le="+Inf"`
	return out
}()

func (e *exposition) histogram(labels string, r durations.Reading) {
	for i := range bucketLabels {
		n := r.Count
		if i < len(r.Buckets) {
			n = r.Buckets[i]
		}
		e.buf = append(e.buf[:0], e.name...)
		e.buf = append(e.buf, "_bucket{"...)
		e.buf = append(e.buf, labels...)
		e.buf = append(e.buf, bucketLabels[i]...)
		e.buf = append(e.buf, "} "...)
		e.buf = append(strconv.AppendUint(e.buf, n, 10), '\n')
		_, _ = e.w.Write(e.buf)
	}
	e.sample("_sum", labels, r.Sum.Seconds())
	e.sample("_count", labels, float64(r.Count))
}

// escaped is a label's value as the text format has it.
func escaped(s string) string {
	if !strings.ContainsAny(s, "\\\"\n") {
		return s
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}
