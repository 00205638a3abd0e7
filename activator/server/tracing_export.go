package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// TraceExporter returns where spans go by the configuration and the standard
// variables that env has, nil where neither names an endpoint. It connects to nothing yet.
func TraceExporter(ctx context.Context, config TracingConfig, env func(string) string) (sdktrace.SpanExporter, error) {
	named := config.Endpoint != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_ENDPOINT") != ""
	if !named || strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	protocol := protocolHTTP
	for _, p := range []string{config.Protocol, env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), env("OTEL_EXPORTER_OTLP_PROTOCOL")} {
		if p != "" {
			protocol = p
			break
		}
	}
	switch protocol {
	case protocolGRPC:
		var o []otlptracegrpc.Option
		if config.Endpoint != "" {
			o = append(o, otlptracegrpc.WithEndpointURL(config.Endpoint))
		}
		e, err := otlptracegrpc.New(ctx, o...)
		if err != nil {
			return nil, fmt.Errorf("tracing.endpoint: %w", err)
		}
		return e, nil
	case protocolHTTP:
		var o []otlptracehttp.Option
		if config.Endpoint != "" {
			u, err := url.Parse(config.Endpoint)
			if err != nil {
				return nil, fmt.Errorf("tracing.endpoint: %w", err)
			}
			if strings.Trim(u.Path, "/") == "" {
				// The endpoint of a collector, and not yet that for traces.
				u.Path = "/v1/traces"
			}
			o = append(o, otlptracehttp.WithEndpointURL(u.String()))
		}
		e, err := otlptracehttp.New(ctx, o...)
		if err != nil {
			return nil, fmt.Errorf("tracing.endpoint: %w", err)
		}
		return e, nil
	default:
		return nil, fmt.Errorf("tracing.protocol, OTEL_EXPORTER_OTLP_PROTOCOL: %q is not known: set %s or %s", protocol, protocolGRPC, protocolHTTP)
	}
}

// spanGate lets as many spans wait for their export as there is room for. The
// library's own queue is bounded too, but what it drops it keeps to itself.
type spanGate struct {
	next     sdktrace.SpanProcessor
	waiting  atomic.Int64
	exported atomic.Int64
	failed   atomic.Int64
	dropped  atomic.Int64
}

// OnStart is for the provider.
func (g *spanGate) OnStart(ctx context.Context, s sdktrace.ReadWriteSpan) { g.next.OnStart(ctx, s) }

// OnEnd is for the provider.
func (g *spanGate) OnEnd(s sdktrace.ReadOnlySpan) {
	if g.waiting.Add(1) > spansKept {
		g.waiting.Add(-1)
		g.dropped.Add(1)
		return
	}
	g.next.OnEnd(s)
}

// Shutdown is for the provider.
func (g *spanGate) Shutdown(ctx context.Context) error { return g.next.Shutdown(ctx) } //nolint:wrapcheck // the provider says what for

// ForceFlush is for the provider.
func (g *spanGate) ForceFlush(ctx context.Context) error { return g.next.ForceFlush(ctx) } //nolint:wrapcheck // the provider says what for

// watchedExporter counts what is exported, and tells once when that begins and
// ceases to fail, where the library would report every failure.
type watchedExporter struct {
	next    sdktrace.SpanExporter
	gate    *spanGate
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans is for the processor, which calls it one batch after the other.
func (e *watchedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.next.ExportSpans(ctx, spans)
	e.gate.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.gate.failed.Add(int64(len(spans)))
		if !e.failing.Swap(true) {
			e.log.Warn("traces cannot be exported", "error", err)
		}
		return nil
	}
	e.gate.exported.Add(int64(len(spans)))
	if e.failing.Swap(false) {
		e.log.Info("traces are exported again")
	}
	return nil
}

// Shutdown is for the processor.
func (e *watchedExporter) Shutdown(ctx context.Context) error { return e.next.Shutdown(ctx) } //nolint:wrapcheck // the caller says what for
