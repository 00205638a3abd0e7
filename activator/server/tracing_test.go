package server

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
)

// receiver is a collector of traces.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*tracepb.Span
	from  map[string]string
}

func (c *receiver) Export(_ context.Context, q *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range q.ResourceSpans {
		c.from = attributes(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func attributes(kvs []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range kvs {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			out[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			out[kv.Key] = strconv.FormatInt(v.IntValue, 10)
		}
	}
	return out
}

// named are the spans of a name; the request's own have the kind server and a name
// of two words.
func (c *receiver) named(name string) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*tracepb.Span
	for _, s := range c.spans {
		if s.Name == name {
			out = append(out, s)
		}
	}
	return out
}

func (c *receiver) one(t *testing.T, name string) *tracepb.Span {
	t.Helper()
	spans := c.named(name)
	require.Len(t, spans, 1, name)
	return spans[0]
}

// collect starts a receiver that speaks the protocol and returns its address.
func collect(t *testing.T, protocol string) (*receiver, string) {
	c := &receiver{}
	if protocol == protocolGRPC {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		srv := grpc.NewServer()
		collector.RegisterTraceServiceServer(srv, c)
		go func() { _ = srv.Serve(ln) }()
		t.Cleanup(srv.Stop)
		return c, "http://" + ln.Addr().String()
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/traces" {
			http.NotFound(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		q := &collector.ExportTraceServiceRequest{}
		if err := proto.Unmarshal(body, q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = c.Export(r.Context(), q)
	}))
	t.Cleanup(srv.Close)
	return c, srv.URL
}

// traced is a rig whose traces go to a receiver. What it has traced is there once
// flush returns.
func traced(t *testing.T, protocol string, change func(*TracingConfig)) (*rig, *receiver) {
	c, endpoint := collect(t, protocol)
	config := Default().Tracing
	config.Endpoint, config.Protocol, config.SampleRatio = endpoint, protocol, 1
	if change != nil {
		change(&config)
	}
	exporter, err := TraceExporter(t.Context(), config, func(string) string { return "" })
	require.NoError(t, err)
	return exporting(t, config, exporter), c
}

func exporting(t *testing.T, config TracingConfig, exporter sdktrace.SpanExporter) *rig {
	return newRigWith(t, func(c *Config) { c.Tracing = config }, func(o *Options) { o.Spans = exporter })
}

func (r *rig) flush() { require.NoError(r.t, r.s.tracing.provider.ForceFlush(context.Background())) }

func id(b []byte) string { return hex.EncodeToString(b) }

// traceServer keeps the headers that it got.
func traceServer(t *testing.T) (port int, seen chan http.Header) {
	seen = make(chan http.Header, 10)
	return backend(t, func(_ http.ResponseWriter, q *http.Request) { seen <- q.Header.Clone() }), seen
}

func get(t *testing.T, url string, header map[string]string) int {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader("x"))
	require.NoError(t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := client(t, false).Do(req)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode
}

// TestAHeldRequestIsOneTreeOfSpans from its caller's span to the pod, which gets the
// forward span as its parent, over both protocols of export.
func TestAHeldRequestIsOneTreeOfSpans(t *testing.T) {
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		t.Run(protocol, func(t *testing.T) {
			r, c := traced(t, protocol, nil)
			port, seen := traceServer(t)
			agent := backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ready") })
			r.serve(port, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].AgentPort = int32(agent) })
			done := make(chan int, 1)
			go func() {
				done <- get(t, r.url("/v1/models/iris:predict?secret=1"), map[string]string{
					"Traceparent": "00-" + callersTrace + "-" + callersSpan + "-01", "Tracestate": "vendor=a", "Baggage": "tenant=blue",
				})
			}()
			r.waiting(1)
			<-r.scales.raised
			r.becomes("scale_raises_total", `result="raised"`, "1")
			r.s.podChanged(nil, podOf("a", "127.0.0.1", false))
			require.Equal(t, http.StatusOK, <-done)
			header := <-seen
			r.becomes("requests_total", `code="2xx"`, "1")
			r.flush()

			server, hold := c.one(t, "POST models/iris-predictor"), c.one(t, "hold")
			probe, forward := c.one(t, "probe"), c.one(t, "forward")
			for _, s := range []*tracepb.Span{server, hold, probe, forward} {
				require.Equal(t, callersTrace, id(s.TraceId), s.Name)
			}
			require.Equal(t, callersSpan, id(server.ParentSpanId))
			require.Equal(t, id(server.SpanId), id(hold.ParentSpanId))
			require.Equal(t, id(hold.SpanId), id(probe.ParentSpanId))
			require.Equal(t, id(server.SpanId), id(forward.ParentSpanId))
			require.Equal(t, []string{"00-" + callersTrace + "-" + id(forward.SpanId) + "-01"}, header["Traceparent"], "what the pod does hangs below forward")
			require.Equal(t, []string{"vendor=a"}, header["Tracestate"])
			require.Equal(t, []string{"tenant=blue"}, header["Baggage"])

			var events []string
			for _, e := range hold.Events {
				events = append(events, e.Name)
				require.GreaterOrEqual(t, e.TimeUnixNano, hold.StartTimeUnixNano)
				require.LessOrEqual(t, e.TimeUnixNano, hold.EndTimeUnixNano)
			}
			require.Equal(t, []string{"scale raised", "pod ready"}, events)
			require.LessOrEqual(t, server.StartTimeUnixNano, hold.StartTimeUnixNano)
			require.LessOrEqual(t, hold.EndTimeUnixNano, forward.StartTimeUnixNano)
			require.LessOrEqual(t, forward.EndTimeUnixNano, server.EndTimeUnixNano)

			require.Equal(t, tracepb.Span_SPAN_KIND_SERVER, server.Kind)
			require.Equal(t, tracepb.Span_SPAN_KIND_CLIENT, forward.Kind)
			got := attributes(server.Attributes)
			require.Equal(t, "/v1/models/iris:predict", got["url.path"], "a query may have secrets")
			require.Equal(t, "iris-predictor-00001", got["rawserve.revision"])
			require.Equal(t, "done", got["rawserve.outcome"])
			require.Equal(t, "a", got["k8s.pod.name"])
			require.Equal(t, "0", got["rawserve.retries"])
			require.Equal(t, "a", attributes(forward.Attributes)["k8s.pod.name"])
			require.Equal(t, "rawserve-activator", c.from["service.name"])
			require.Equal(t, "activator-1", c.from["k8s.pod.name"])
		})
	}
}

func TestADirectRequestHasNoHoldAndBeginsATraceOfItsOwn(t *testing.T) {
	r, c := traced(t, protocolHTTP, nil)
	port, seen := traceServer(t)
	r.serve(port, nil)
	r.ready("a", "127.0.0.1")
	require.Equal(t, http.StatusOK, get(t, r.url("/"), map[string]string{"Traceparent": "broken", "Tracestate": "vendor=a"}))
	header := <-seen
	r.becomes("requests_total", `code="2xx"`, "1")
	r.flush()
	server, forward := c.one(t, "POST models/iris-predictor"), c.one(t, "forward")
	require.Empty(t, server.ParentSpanId)
	require.Equal(t, id(server.SpanId), id(forward.ParentSpanId))
	require.Equal(t, []string{"00-" + id(server.TraceId) + "-" + id(forward.SpanId) + "-01"}, header["Traceparent"])
	require.Empty(t, header["Tracestate"], "it belonged to the trace that could not be read")
	require.Empty(t, c.named("hold"))
	require.Empty(t, c.named("probe"))
}

// TestARetriedRequestHasASpanForEachAttempt: the pod that answers hangs below the last.
func TestARetriedRequestHasASpanForEachAttempt(t *testing.T) {
	r, c := traced(t, protocolHTTP, nil)
	port, seen := traceServer(t)
	r.serve(port, nil)
	r.ready("gone", "127.0.0.2") // nobody listens there
	done := make(chan int, 1)
	go func() { done <- get(t, r.url("/"), nil) }()
	r.becomes("ejections_total", `cause="unreachable"`, "1")
	r.ready("a", "127.0.0.1")
	require.Equal(t, http.StatusOK, <-done)
	header := <-seen
	r.becomes("requests_total", `code="2xx"`, "1")
	r.flush()
	attempts := c.named("forward")
	slices.SortFunc(attempts, func(a, b *tracepb.Span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	require.Len(t, attempts, 2)
	require.Equal(t, "unreachable", attributes(attempts[0].Attributes)["rawserve.outcome"])
	require.Equal(t, tracepb.Status_STATUS_CODE_ERROR, attempts[0].Status.Code)
	require.Equal(t, "done", attributes(attempts[1].Attributes)["rawserve.outcome"])
	require.Contains(t, header["Traceparent"][0], id(attempts[1].SpanId))
	require.Equal(t, "1", attributes(c.one(t, "POST models/iris-predictor").Attributes)["rawserve.retries"])
	require.Len(t, c.named("hold"), 1)
}

// TestTraceContextPassesUntouchedWhereNothingIsTraced: without an endpoint, and where
// the caller does not trace.
func TestTraceContextPassesUntouchedWhereNothingIsTraced(t *testing.T) {
	off := newRig(t, nil)
	on, c := traced(t, protocolHTTP, nil)
	for r, flag := range map[*rig]string{off: "01", on: "00"} {
		port, seen := traceServer(t)
		r.serve(port, nil)
		r.ready("a", "127.0.0.1")
		want := map[string]string{"Traceparent": "00-" + callersTrace + "-" + callersSpan + "-" + flag, "Tracestate": "vendor=a,other=b", "Baggage": "tenant=blue;ttl=3"}
		require.Equal(t, http.StatusOK, get(t, r.url("/"), want))
		header := <-seen
		for k, v := range want {
			require.Equal(t, []string{v}, header[k])
		}
		if r == off {
			require.Equal(t, http.StatusOK, get(t, r.url("/"), nil))
			require.NotContains(t, <-seen, "Traceparent", "none is made up")
			continue
		}
		r.becomes("requests_total", `code="2xx"`, "1")
	}
	on.flush()
	require.Empty(t, c.named("POST models/iris-predictor"))
}

// TestACallerCannotHaveEverythingTraced: who calls a model may set the flag on each
// request, of one route or of all.
func TestACallerCannotHaveEverythingTraced(t *testing.T) {
	r, c := traced(t, protocolHTTP, func(c *TracingConfig) { c.ParentsPerSecond, c.SampleRatio = 0.001, 0 })
	port, seen := traceServer(t)
	r.serve(port, nil)
	r.ready("a", "127.0.0.1")
	sent := "00-" + callersTrace + "-" + callersSpan + "-01"
	for i := range 3 {
		require.Equal(t, http.StatusOK, get(t, r.url("/"), map[string]string{"Traceparent": sent}))
		if header := <-seen; i > 0 {
			require.Equal(t, []string{sent}, header["Traceparent"], "the caller's trace goes on without us")
		}
	}
	r.becomes("requests_total", `code="2xx"`, "3")
	r.flush()
	require.Len(t, c.named("POST models/iris-predictor"), 1)
	require.Contains(t, r.scrape(), "rawserve_activator_untraced_requests_total 2\n")
}

// stuckExporter takes a batch and neither answers nor fails until it is told to.
type stuckExporter struct {
	taken chan struct{}
	free  chan struct{}
}

func (e *stuckExporter) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	select {
	case e.taken <- struct{}{}:
	default:
	}
	select {
	case <-e.free:
		return errors.New("freed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *stuckExporter) Shutdown(context.Context) error { return nil }

// TestACollectorThatHangsHoldsUpNoRequest: requests go on, spans are dropped and
// counted, and the activator ends all the same.
func TestACollectorThatHangsHoldsUpNoRequest(t *testing.T) {
	config := Default().Tracing
	config.SampleRatio, config.MaxPerSecond = 1, 1e6
	e := &stuckExporter{taken: make(chan struct{}, 1), free: make(chan struct{})}
	r := exporting(t, config, e)
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), nil)
	r.ready("a", "127.0.0.1")
	c := client(t, false)
	// Two spans each, the stuck batch included.
	for range (spansKept+spansBatch)/2 + 200 {
		got := fetch(c, http.MethodGet, r.url("/"), "")
		require.NoError(t, got.err)
		require.Equal(t, http.StatusOK, got.code)
	}
	<-e.taken
	require.Eventually(t, func() bool { return r.s.tracing.gate.dropped.Load() > 0 }, 10*time.Second, time.Millisecond)
	require.LessOrEqual(t, r.s.tracing.gate.waiting.Load(), int64(spansKept))
	close(e.free)
	r.stop()
	<-r.ended
	require.Positive(t, r.s.tracing.gate.failed.Load())
}

func TestSpansThatAreLeftAreExportedAtTheEnd(t *testing.T) {
	r, c := traced(t, protocolHTTP, nil)
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), nil)
	r.ready("a", "127.0.0.1")
	require.Equal(t, http.StatusOK, get(t, r.url("/"), nil))
	r.stop()
	<-r.ended
	require.Len(t, c.named("forward"), 1)
	require.Len(t, c.named("POST models/iris-predictor"), 1)
}

func TestTheEndpointComesFromTheConfigurationOrTheStandardVariables(t *testing.T) {
	for name, c := range map[string]struct {
		config TracingConfig
		env    map[string]string
		want   string
	}{
		"neither":                       {want: "nothing"},
		"configured":                    {config: TracingConfig{Endpoint: "http://c:4318"}, want: "something"},
		"configured for gRPC":           {config: TracingConfig{Endpoint: "http://c:4317", Protocol: protocolGRPC}, want: "something"},
		"a variable":                    {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, want: "something"},
		"the variable for traces":       {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, want: "something"},
		"switched off":                  {config: TracingConfig{Endpoint: "http://c:4318"}, env: map[string]string{"OTEL_SDK_DISABLED": "true"}, want: "nothing"},
		"a protocol that nobody speaks": {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, want: `tracing.protocol, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" is not known: set grpc or http/protobuf`},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := TraceExporter(t.Context(), c.config, func(k string) string { return c.env[k] })
			got := "something"
			switch {
			case err != nil:
				got = err.Error()
			case e == nil:
				got = "nothing"
			default:
				require.NoError(t, e.Shutdown(t.Context()))
			}
			require.Equal(t, c.want, got)
		})
	}
}

// TestWithoutAnEndpointTracingAllocatesNothing, and neither does an access log that
// has nothing to say.
func TestWithoutAnEndpointTracingAllocatesNothing(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, nil)
	rt := r.s.find(types.NamespacedName{Namespace: "models", Name: "iris-predictor"})
	c := &call{
		s: r.s, w: httptest.NewRecorder(), r: httptest.NewRequest(http.MethodPost, "/", nil),
		route: rt, target: rt.plan.Load().targets[0], arrived: time.Now(),
	}
	require.Nil(t, r.s.tracing)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		c.seen = sight{trace: r.s.tracing.begin(c)}
		c.seen.attempt(c, "a")
		c.finish(http.StatusOK)
	}))
}

func BenchmarkSight(b *testing.B) {
	r := newRig(b, nil)
	r.serve(1, nil)
	rt := r.s.find(types.NamespacedName{Namespace: "models", Name: "iris-predictor"})
	c := &call{
		s: r.s, w: httptest.NewRecorder(), r: httptest.NewRequest(http.MethodPost, "/", nil),
		route: rt, target: rt.plan.Load().targets[0], arrived: time.Now(),
	}
	b.ReportAllocs()
	for b.Loop() {
		c.seen = sight{trace: r.s.tracing.begin(c)}
		c.seen.attempt(c, "a")
		c.finish(http.StatusOK)
	}
}
