package server

import (
	"net/url"
	"slices"
)

// DebugConfig is for /debug.
type DebugConfig struct {
	// Port serves /debug/routes and /debug/pprof on the pod's loopback, for
	// kubectl port-forward. 0: it is not served.
	Port int `json:"port"`
}

// AccessLogConfig bounds the access log.
type AccessLogConfig struct {
	// SampleRatio is the part of all requests that is logged, from 0 to 1, and
	// MaxPerSecond how many at most.
	SampleRatio  float64 `json:"sampleRatio"`
	MaxPerSecond float64 `json:"maxPerSecond"`
	// ErrorsPerSecond is how many of those that failed are logged besides: a status of
	// 500 or more, shed, or cut off. No route gets more than a fifth of it. 0: none.
	ErrorsPerSecond float64 `json:"errorsPerSecond"`
}

// TracingConfig is for OpenTelemetry traces. Without an endpoint, here or in the
// standard variables OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
// nothing is traced and nothing is spent on it. Headers, certificates, compression
// and timeouts of the export are set by the further OTEL_EXPORTER_OTLP_* variables.
type TracingConfig struct {
	// Endpoint is where spans go, for example http://collector.observability:4318.
	// With https the connection is encrypted.
	Endpoint string `json:"endpoint"`
	// Protocol is grpc or http/protobuf. Empty: what OTEL_EXPORTER_OTLP_PROTOCOL says,
	// http/protobuf without it.
	Protocol string `json:"protocol"`
	// SampleRatio is the part of requests without a trace of their own that begin one,
	// from 0 to 1.
	SampleRatio float64 `json:"sampleRatio"`
	// MaxPerSecond is how many requests are traced at most.
	MaxPerSecond float64 `json:"maxPerSecond"`
	// ParentsPerSecond is how many requests of one route are traced at most because
	// their caller traces them: who calls a model decides that by a header.
	ParentsPerSecond float64 `json:"parentsPerSecond"`
}

// The protocols of OTLP.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// validateSight reports the fields of what is seen that cannot be used.
func (c *Config) validateSight(bad func(field, format string, args ...any)) {
	if p := c.Debug.Port; p != 0 && (p < 1 || p > 65535 || (p >= 10000 && p <= 31999) || p == c.AdminPort) {
		bad("debug.port", "%d is not usable: set a port from 1 to 65535 outside 10000-31999, which routes use, and other than adminPort, or 0", p)
	}
	ratio := func(field string, v float64) {
		if !(v >= 0 && v <= 1) {
			bad(field, "%g is not usable: set a part from 0 to 1", v)
		}
	}
	rate := func(field string, v float64) {
		if !(v >= 0 && v <= 1e6) {
			bad(field, "%g is not usable: set a number per second from 0 to 1000000", v)
		}
	}
	ratio("accessLog.sampleRatio", c.AccessLog.SampleRatio)
	rate("accessLog.maxPerSecond", c.AccessLog.MaxPerSecond)
	rate("accessLog.errorsPerSecond", c.AccessLog.ErrorsPerSecond)
	ratio("tracing.sampleRatio", c.Tracing.SampleRatio)
	rate("tracing.maxPerSecond", c.Tracing.MaxPerSecond)
	rate("tracing.parentsPerSecond", c.Tracing.ParentsPerSecond)
	if !slices.Contains([]string{"", protocolGRPC, protocolHTTP}, c.Tracing.Protocol) {
		bad("tracing.protocol", "%q is not known: set %s or %s", c.Tracing.Protocol, protocolGRPC, protocolHTTP)
	}
	if e := c.Tracing.Endpoint; e != "" {
		u, err := url.Parse(e)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
			bad("tracing.endpoint", "%q is not usable: set a URL such as http://collector.observability:4318", e)
		}
	}
}
