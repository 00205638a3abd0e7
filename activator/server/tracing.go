package server

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/internal/forward"
)

const (
	// spansKept is how many spans may wait for their export; what is beyond is dropped.
	spansKept = 4096
	// spansBatch is how many go at a time, at the latest after spansDelay.
	spansBatch = 512
	spansDelay = 2 * time.Second
	// exportTime bounds one export, flushTime the last one.
	exportTime = 10 * time.Second
	flushTime  = 5 * time.Second
)

// tracing makes spans of some requests. Which ones is decided before anything is
// made, so that a request that is not traced costs a look at one header. A nil
// tracing traces nothing and leaves every header as it is.
type tracing struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
	gate     *spanGate
	ratio    float64
	all      *rate.Limiter
	limited  atomic.Int64 // requests that a rate kept from being traced
}

// newTracing returns a tracing whose spans go to the exporter, nil without one.
func newTracing(config TracingConfig, pod types.NamespacedName, exporter sdktrace.SpanExporter, log *slog.Logger) *tracing {
	if exporter == nil {
		return nil
	}
	gate := &spanGate{}
	gate.next = sdktrace.NewBatchSpanProcessor(&watchedExporter{next: exporter, gate: gate, log: log},
		// The gate keeps less, so that this queue never is what drops: it would not tell.
		sdktrace.WithMaxQueueSize(spansKept+spansBatch), sdktrace.WithMaxExportBatchSize(spansBatch),
		sdktrace.WithBatchTimeout(spansDelay), sdktrace.WithExportTimeout(exportTime))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(gate),
		// What comes here has been chosen already.
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "rawserve-activator"),
			attribute.String("service.namespace", pod.Namespace),
			attribute.String("service.instance.id", pod.Name),
			attribute.String("k8s.namespace.name", pod.Namespace),
			attribute.String("k8s.pod.name", pod.Name),
		)))
	return &tracing{
		tracer: provider.Tracer("github.com/rawserve/rawserve/activator"), provider: provider, gate: gate,
		ratio: config.SampleRatio, all: perSecond(config.MaxPerSecond),
	}
}

// end exports what is left, for a bounded time.
func (t *tracing) end(log *slog.Logger) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		log.Warn("the last traces were not exported", "error", err)
	}
}

// callTrace is the trace of one request. All methods of a nil callTrace do nothing.
type callTrace struct {
	t      *tracing
	server trace.Span
	// forward is the span of the attempt under way.
	forward trace.Span
}

// begin decides whether the request is traced, and starts its span. The caller's
// word counts, for traces are of use only whole, but within a rate for each route:
// the flag is a header that any client can set.
func (t *tracing) begin(c *call) *callTrace {
	if t == nil {
		return nil
	}
	parent, has := activator.ParseTraceparent(c.r.Header["Traceparent"])
	switch {
	case has && !parent.Sampled():
		return nil
	case has:
		if !c.route.limits.parents.Allow() || !t.all.Allow() {
			t.limited.Add(1)
			return nil
		}
	default:
		if t.ratio <= 0 || rand.Float64() >= t.ratio { //nolint:gosec // a sample needs no secrecy
			return nil
		}
		if !t.all.Allow() {
			t.limited.Add(1)
			return nil
		}
	}
	ctx := context.Background()
	if has {
		state, _ := trace.ParseTraceState(joined(c.r.Header["Tracestate"]))
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: parent.Trace, SpanID: parent.Span, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
		}))
	} else {
		// What belonged to a trace that could not be read belongs to nothing now.
		delete(c.r.Header, "Tracestate")
	}
	key := c.route.key
	_, span := t.tracer.Start(ctx, methodName(c.r.Method)+" "+key.Namespace+"/"+key.Name,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(c.arrived), trace.WithAttributes(
			attribute.String("http.request.method", methodName(c.r.Method)),
			attribute.String("url.path", first(pathLogged, c.r.URL.Path)),
			attribute.String("url.scheme", "http"),
			attribute.String("network.protocol.version", protocolVersion(c.r)),
			attribute.String("client.address", c.r.RemoteAddr),
			attribute.String("rawserve.namespace", key.Namespace),
			attribute.String("rawserve.route", key.Name),
		))
	return &callTrace{t: t, server: span}
}

// child starts a span below the request's.
func (ct *callTrace) child(parent trace.Span, name string, o ...trace.SpanStartOption) trace.Span {
	_, span := ct.t.tracer.Start(trace.ContextWithSpan(context.Background(), parent), name, o...)
	return span
}

// held makes the span of a hold that has ended, with what happened meanwhile.
func (ct *callTrace) held(t *target, begun time.Time) {
	if ct == nil {
		return
	}
	t.mu.Lock()
	p := t.past
	t.mu.Unlock()
	span := ct.child(ct.server, "hold", trace.WithTimestamp(begun), trace.WithAttributes(attribute.String("rawserve.revision", t.revision)))
	if p.raised.at.After(begun) {
		span.AddEvent("scale raised", trace.WithTimestamp(p.raised.at), trace.WithAttributes(attribute.Int("rawserve.replicas", int(p.raised.to))))
	}
	if p.probe.ended.After(begun) {
		// It may have begun before: a pod is asked whether somebody waits or not.
		from := p.probe.begun
		if from.Before(begun) {
			from = begun
		}
		probe := ct.child(span, "probe", trace.WithTimestamp(from), trace.WithAttributes(
			attribute.String("k8s.pod.name", p.probe.pod), attribute.Int("rawserve.probe.questions", p.probe.asked)))
		probe.End(trace.WithTimestamp(p.probe.ended))
	}
	if p.ready.at.After(begun) {
		span.AddEvent("pod ready", trace.WithTimestamp(p.ready.at), trace.WithAttributes(attribute.String("k8s.pod.name", p.ready.pod)))
	}
	span.End()
}

// attempt starts the span of an attempt, and makes it the parent of what the pod does.
func (ct *callTrace) attempt(c *call, pod string) {
	if ct == nil {
		return
	}
	ct.forward = ct.child(ct.server, "forward", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("k8s.pod.name", pod),
		attribute.String("server.address", c.grant.Addr),
		attribute.String("server.port", c.port),
		attribute.Int("rawserve.attempt", c.seen.attempts),
	))
	sc := ct.forward.SpanContext()
	c.r.Header["Traceparent"] = []string{fmt.Sprintf("00-%s-%s-%s", sc.TraceID(), sc.SpanID(), sc.TraceFlags())}
}

// attempted ends the span of an attempt.
func (ct *callTrace) attempted(out forward.Outcome, headerAt time.Time) {
	if ct == nil {
		return
	}
	if !headerAt.IsZero() {
		ct.forward.AddEvent("first byte", trace.WithTimestamp(headerAt))
	}
	ct.forward.SetAttributes(attribute.String("rawserve.outcome", outcomeName(out.Result)))
	if out.Code != 0 {
		ct.forward.SetAttributes(attribute.Int("http.response.status_code", out.Code))
	}
	if out.Result != forward.Done && out.Result != forward.ClientGone {
		text := outcomeName(out.Result)
		if out.Err != nil {
			text = out.Err.Error()
		}
		ct.forward.SetStatus(codes.Error, text)
	}
	ct.forward.End()
}

// finish ends the request's span.
func (ct *callTrace) finish(c *call, code int) {
	if ct == nil {
		return
	}
	span := ct.server
	outcome := "done"
	switch code {
	case codeGone:
		outcome = "gone"
	case codeCut:
		outcome = "cut"
	default:
		span.SetAttributes(attribute.Int("http.response.status_code", code))
	}
	span.SetAttributes(attribute.String("rawserve.outcome", outcome), attribute.Int("rawserve.retries", max(0, c.seen.attempts-1)))
	if c.target != nil {
		span.SetAttributes(attribute.String("rawserve.revision", c.target.revision))
	}
	if c.seen.pod != "" {
		span.SetAttributes(attribute.String("k8s.pod.name", c.seen.pod))
	}
	reason := c.reason()
	if reason != "" {
		span.SetAttributes(attribute.String("rawserve.reason", string(reason)))
	}
	if g, ok := c.grpcStatus(); ok {
		span.SetAttributes(attribute.Int("rpc.grpc.status_code", g))
	}
	if c.meaning(code) >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, string(reason))
	}
	span.End()
}

// id is the trace's, empty without one.
func (ct *callTrace) id() string {
	if ct == nil {
		return ""
	}
	id := ct.server.SpanContext().TraceID()
	return hex.EncodeToString(id[:])
}

func joined(lines []string) string {
	if len(lines) == 1 {
		return lines[0]
	}
	out := ""
	for i, l := range lines {
		if i > 0 {
			out += ","
		}
		out += l
	}
	return out
}

// methodName keeps names of spans few: a client may invent methods.
func methodName(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return m
	}
	return "_OTHER"
}

func protocolVersion(r *http.Request) string {
	if r.ProtoMajor == 2 {
		return "2"
	}
	return fmt.Sprintf("%d.%d", r.ProtoMajor, r.ProtoMinor)
}

func outcomeName(r forward.Result) string {
	switch r {
	case forward.Done:
		return "done"
	case forward.Unreachable:
		return "unreachable"
	case forward.Refused:
		return "refused"
	case forward.TimedOut:
		return "timed out"
	case forward.BadRequest:
		return "bad request"
	case forward.ClientGone:
		return "gone"
	case forward.Cut:
		return "cut"
	default:
		return "failed"
	}
}
