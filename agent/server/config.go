package server

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rawserve/rawserve/agent"
)

// Config is what the agent's flags and environment say.
type Config struct {
	// Forwards are the ports to listen on and those of the server behind them.
	Forwards Forwards
	// AdminPort serves /stats, /ready, /drain, /healthz and /metrics.
	AdminPort int
	// ContainerConcurrency is the number of requests in the server at a time; 0: no limit.
	ContainerConcurrency int
	// QueueDepth is the number of requests that wait beyond it.
	// 0 means ten times ContainerConcurrency, at least 100.
	QueueDepth int
	// DrainQuiet is how long nobody may have been inside for a drain to be over.
	DrainQuiet time.Duration
	// DrainTimeout is the longest a drain may take.
	DrainTimeout time.Duration
	// SpoolDir is where bodies of waiting requests go beyond what is kept in
	// memory; empty: they are not read to their end while they wait.
	SpoolDir string
	// Probe asks the server whether it is ready; nil: only kubelet can.
	Probe *agent.Probe
}

// Forward is one port and where its requests go.
type Forward struct {
	Listen int
	Server int
}

// Forwards is a flag that may be repeated.
type Forwards []Forward

// String is for package flag.
func (f *Forwards) String() string {
	parts := make([]string, 0, len(*f))
	for _, x := range *f {
		parts = append(parts, fmt.Sprintf("%d:%d", x.Listen, x.Server))
	}
	return strings.Join(parts, ",")
}

// Set is for package flag.
func (f *Forwards) Set(text string) error {
	listen, server, ok := strings.Cut(text, ":")
	a, errA := strconv.Atoi(listen)
	b, errB := strconv.Atoi(server)
	if !ok || errA != nil || errB != nil {
		return fmt.Errorf("%q is not LISTEN:SERVER, two port numbers", text)
	}
	*f = append(*f, Forward{Listen: a, Server: b})
	return nil
}

// Default is the configuration without flags.
func Default() Config {
	return Config{AdminPort: 9082, DrainQuiet: 5 * time.Second, DrainTimeout: 10 * time.Minute}
}

// Validate reports every value that cannot be used.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Forwards) == 0 {
		bad("--forward: none is given: say which port leads to the server, for example --forward=9081:8080")
	}
	used := map[int]bool{c.AdminPort: true}
	if !isPort(c.AdminPort) {
		bad("--admin-port: %d is outside 1-65535", c.AdminPort)
	}
	for _, f := range c.Forwards {
		if !isPort(f.Listen) || !isPort(f.Server) {
			bad("--forward: %d:%d has a port outside 1-65535", f.Listen, f.Server)
		}
		if used[f.Listen] {
			bad("--forward: port %d is listened on already: give each its own", f.Listen)
		}
		used[f.Listen] = true
		if f.Listen == f.Server {
			bad("--forward: %d:%d leads to itself", f.Listen, f.Server)
		}
	}
	if c.ContainerConcurrency < 0 {
		bad("--container-concurrency: %d is negative: use 0 for no limit", c.ContainerConcurrency)
	}
	if c.QueueDepth < 0 {
		bad("--queue-depth: %d is negative: use 0 for the default", c.QueueDepth)
	}
	if c.DrainQuiet < 0 || c.DrainTimeout <= 0 {
		bad("--drain-quiet %s and --drain-timeout %s: the first must not be negative, the second must be above 0", c.DrainQuiet, c.DrainTimeout)
	}
	return errors.Join(errs...)
}

func (c *Config) queueDepth() int {
	if c.QueueDepth > 0 {
		return c.QueueDepth
	}
	return max(100, 10*c.ContainerConcurrency)
}

func isPort(n int) bool { return n >= 1 && n <= 65535 }
