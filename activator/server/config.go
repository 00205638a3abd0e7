package server

import (
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Config is the activator's configuration file, in YAML. Absent fields keep the
// values of Default.
type Config struct {
	// BindAddress is the address of all listeners; empty means every address.
	BindAddress string `json:"bindAddress"`
	// AdminPort serves /stats, /healthz, /readyz and /metrics to whoever asks.
	AdminPort int `json:"adminPort"`
	// Limits bounds what is taken on, held or not.
	Limits LimitsConfig `json:"limits"`
	// Queue bounds what is held.
	Queue QueueConfig `json:"queue"`
	// Timeouts apply where a route sets none of its own.
	Timeouts TimeoutConfig `json:"timeouts"`
	// Shutdown says how the activator goes.
	Shutdown ShutdownConfig `json:"shutdown"`
	// Kubernetes limits the requests to the API server.
	Kubernetes KubernetesConfig `json:"kubernetes"`
	// Debug serves the state of routes, and profiles.
	Debug DebugConfig `json:"debug"`
	// AccessLog says which requests are logged.
	AccessLog AccessLogConfig `json:"accessLog"`
	// Tracing says which requests are traced, and where their spans go.
	Tracing TracingConfig `json:"tracing"`
}

// LimitsConfig bounds what one activator takes on, and so its memory. What is
// beyond the limits is answered 503 Overloaded, or closed where it has not said
// what it wants yet.
//
// A request inside counts with 80 KiB, which is what it takes at most, while its
// response is streamed: the buffers of both connections and of the copying, and
// the stacks of the goroutines. Its header and the part of its body that is held
// in memory come on top. All that together stays within MaxMemory, whatever the
// numbers below say. Next to it there are idle connections, at 20 KiB, and what
// the activator knows of routes and pods: some 80 MiB for ten thousand of each.
// The defaults are for 10,000 requests held with 256 MiB of bodies, and 2,000 more
// that go through meanwhile:
//
//	12,000 requests × (80 KiB + 1.5 KiB of header) + 245 MiB of bodies = 1,200 MiB = MaxMemory
//	+ (16,384 − 12,000) idle connections × 20 KiB                      =    86 MiB
//	+ routes and pods                                                  =    80 MiB
//	                                                                     1,366 MiB
//
// No route, and no namespace, gets all of it: as it takes more, less of what is free
// is for it, so that one that is flooded has 88 % and leaves the rest to others
// (budget.NewShare). 88 % of 11,500 held requests are 10,000. One client of a route,
// by its address, has 86 % of connections, requests and memory at most: of 12,000
// requests 10,378.
//
// The sum is below the Deployment's GOMEMLIMIT of 1,400 MiB, which with what Go does not
// count is below its limit of 1,536 MiB. Whoever raises MaxMemory or
// MaxConnections has to raise those as well. Not counted is what the kernel keeps
// for sockets, and up to 1 MiB for each connection of HTTP/2 on which a client
// sends a body that a pod does not read.
type LimitsConfig struct {
	// MaxConnections is the number of open connections of clients.
	MaxConnections int64 `json:"maxConnections"`
	// MaxRequests is the number of requests inside at a time, held and forwarded.
	MaxRequests int64 `json:"maxRequests"`
	// MaxMemory is what these requests may take together, by the count above.
	MaxMemory resource.Quantity `json:"maxMemory"`
	// MaxHeaderBytes is the longest header of a request; a longer one is answered 431.
	MaxHeaderBytes resource.Quantity `json:"maxHeaderBytes"`
}

// QueueConfig bounds what one activator holds, within what Limits lets in.
type QueueConfig struct {
	// MaxRequests is the number of requests held for one route whose own limit is not set.
	MaxRequests int64 `json:"maxRequests"`
	// MaxRequestsTotal is the number of requests held for all routes.
	MaxRequestsTotal int64 `json:"maxRequestsTotal"`
	// MaxBytes is the memory for bodies of one route whose own limit is not set.
	MaxBytes resource.Quantity `json:"maxBytes"`
	// MaxBytesTotal is the memory for bodies of all routes.
	MaxBytesTotal resource.Quantity `json:"maxBytesTotal"`
	// MaxBodyMemory is the part of one body that is kept in memory.
	MaxBodyMemory resource.Quantity `json:"maxBodyMemory"`
	// SpoolDir is where the rest of longer bodies goes; empty switches it off, and
	// what is beyond MaxBodyMemory is not read while the request is held.
	SpoolDir string `json:"spoolDir"`
	// MaxSpool is the part of one body that is kept on disk.
	MaxSpool resource.Quantity `json:"maxSpool"`
	// MaxSpoolTotal is the disk for all bodies.
	MaxSpoolTotal resource.Quantity `json:"maxSpoolTotal"`
}

// Bounds of limits.maxHeaderBytes: no client works with less, no header is longer.
const (
	minHeader = 1 << 10
	maxHeader = 16 << 20
)

// TimeoutConfig has the defaults of InferenceRoute's spec.timeouts; 0 means none.
type TimeoutConfig struct {
	// Queue is the longest time a request is held; it must not be 0.
	Queue metav1.Duration `json:"queue"`
	// FirstByte is the longest time from forwarding to the response's header.
	FirstByte metav1.Duration `json:"firstByte"`
	// Idle is the longest pause within a response.
	Idle metav1.Duration `json:"idle"`
	// Total is the longest time from arrival to the response's end.
	Total metav1.Duration `json:"total"`
	// Header is the longest time a client may take to send a request's header.
	Header metav1.Duration `json:"header"`
	// Dial is the longest wait for a connection to a pod.
	Dial metav1.Duration `json:"dial"`
}

// ShutdownConfig says how the activator goes. The pod's
// terminationGracePeriodSeconds must cover Delay and Timeout together.
type ShutdownConfig struct {
	// Delay is how long requests are still taken after SIGTERM, until the
	// EndpointSlices have followed.
	Delay metav1.Duration `json:"delay"`
	// Timeout is how long requests may go on after Delay. Requests that are still
	// held then are answered 503 Draining a second before its end.
	Timeout metav1.Duration `json:"timeout"`
}

// KubernetesConfig limits the requests to the API server.
type KubernetesConfig struct {
	// QPS and Burst are for writing acknowledgements. Raising a scale is not limited.
	// An activator that starts acknowledges every route, of ten thousand the last
	// after 33 s, for about a core of the API server's.
	QPS   float32 `json:"qps"`
	Burst int     `json:"burst"`
	// AckWait is how long an activator that starts stays unready at most, once it
	// knows the routes, until it has acknowledged those that lead through
	// activators. 0: it does not wait.
	AckWait metav1.Duration `json:"ackWait"`
}

// Default is the configuration of an activator without a file.
func Default() Config {
	return Config{
		AdminPort: 8081,
		Limits: LimitsConfig{
			MaxConnections: 16_384,
			MaxRequests:    12_000,
			MaxMemory:      resource.MustParse("1200Mi"),
			MaxHeaderBytes: resource.MustParse("64Ki"),
		},
		Queue: QueueConfig{
			MaxRequests:      10_000,
			MaxRequestsTotal: 11_500,
			MaxBytes:         resource.MustParse("256Mi"),
			MaxBytesTotal:    resource.MustParse("256Mi"),
			MaxBodyMemory:    resource.MustParse("256Ki"),
			SpoolDir:         os.TempDir(),
			MaxSpool:         resource.MustParse("64Mi"),
			MaxSpoolTotal:    resource.MustParse("4Gi"),
		},
		Timeouts: TimeoutConfig{
			Queue:  metav1.Duration{Duration: 10 * time.Minute},
			Header: metav1.Duration{Duration: 30 * time.Second},
			Dial:   metav1.Duration{Duration: time.Second},
		},
		Shutdown: ShutdownConfig{
			Delay:   metav1.Duration{Duration: 15 * time.Second},
			Timeout: metav1.Duration{Duration: 10 * time.Minute},
		},
		Kubernetes: KubernetesConfig{QPS: 300, Burst: 600, AckWait: metav1.Duration{Duration: 2 * time.Minute}},
		Debug:      DebugConfig{Port: 8082},
		AccessLog:  AccessLogConfig{MaxPerSecond: 100, ErrorsPerSecond: 10},
		Tracing:    TracingConfig{SampleRatio: 0.01, MaxPerSecond: 100, ParentsPerSecond: 10},
	}
}

// Load reads the file at path over the defaults; an empty path means the
// defaults. Unknown fields are refused.
func Load(path string) (Config, error) {
	c := Default()
	if path == "" {
		return c, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("reading the configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return c, fmt.Errorf("decoding %s: %w", path, err)
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Validate reports every field that cannot be used.
func (c *Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if c.AdminPort < 1 || c.AdminPort > 65535 || (c.AdminPort >= 10000 && c.AdminPort <= 31999) {
		bad("adminPort", "%d is not usable: set a port from 1 to 65535 outside 10000-31999, which routes use", c.AdminPort)
	}
	for field, n := range map[string]int64{
		"limits.maxConnections":  c.Limits.MaxConnections,
		"limits.maxRequests":     c.Limits.MaxRequests,
		"queue.maxRequests":      c.Queue.MaxRequests,
		"queue.maxRequestsTotal": c.Queue.MaxRequestsTotal,
		"queue.maxBytes":         c.Queue.MaxBytes.Value(),
		"queue.maxBytesTotal":    c.Queue.MaxBytesTotal.Value(),
		"queue.maxBodyMemory":    c.Queue.MaxBodyMemory.Value(),
	} {
		if n < 1 {
			bad(field, "%d is not usable: set at least 1", n)
		}
	}
	if least := c.Queue.MaxBodyMemory.Value() + c.Limits.MaxHeaderBytes.Value() + requestCost; c.Limits.MaxMemory.Value() < least {
		bad("limits.maxMemory", "%s has no room for one request: set at least %d", &c.Limits.MaxMemory, least)
	}
	if n := c.Limits.MaxHeaderBytes.Value(); n < minHeader || n > maxHeader {
		bad("limits.maxHeaderBytes", "%d is not usable: set from %d to %d", n, minHeader, maxHeader)
	}
	if c.Queue.SpoolDir != "" && (c.Queue.MaxSpool.Value() < 1 || c.Queue.MaxSpoolTotal.Value() < c.Queue.MaxSpool.Value()) {
		bad("queue.maxSpool", "must be at least 1 and not above queue.maxSpoolTotal; to spool nothing set queue.spoolDir to \"\"")
	}
	for field, d := range map[string]metav1.Duration{
		"timeouts.firstByte": c.Timeouts.FirstByte,
		"timeouts.idle":      c.Timeouts.Idle,
		"timeouts.total":     c.Timeouts.Total,
		"shutdown.delay":     c.Shutdown.Delay,
		"kubernetes.ackWait": c.Kubernetes.AckWait,
	} {
		if d.Duration < 0 {
			bad(field, "%s is negative: set 0 or more", d.Duration)
		}
	}
	for field, d := range map[string]metav1.Duration{
		"timeouts.queue":   c.Timeouts.Queue,
		"timeouts.header":  c.Timeouts.Header,
		"timeouts.dial":    c.Timeouts.Dial,
		"shutdown.timeout": c.Shutdown.Timeout,
	} {
		if d.Duration <= 0 {
			bad(field, "%s is not usable: set a time above 0", d.Duration)
		}
	}
	if c.Kubernetes.QPS <= 0 || c.Kubernetes.Burst < 1 {
		bad("kubernetes", "qps %g and burst %d are not usable: both must be above 0", c.Kubernetes.QPS, c.Kubernetes.Burst)
	}
	c.validateSight(bad)
	return errors.Join(errs...)
}
