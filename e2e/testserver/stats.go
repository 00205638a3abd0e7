package main

import (
	"net/http"
	"sync"
	"time"
)

// maxPaths bounds Stats.ByPath; further paths are counted under otherPaths.
const (
	maxPaths   = 1000
	otherPaths = "(other)"
)

// Stats is what the server counted since it started or was last reset.
type Stats struct {
	// Executed counts predictions whose handler was entered: work that a request has
	// caused, whether or not anybody still waits for it.
	Executed int64 `json:"executed"`
	// Completed counts those that were answered, Failed those answered with an error
	// on purpose, Abandoned those whose client left before the answer.
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Abandoned int64 `json:"abandoned"`
	// Inflight is how many are executed now, MaxInflight how many were at once.
	Inflight    int64 `json:"inflight"`
	MaxInflight int64 `json:"maxInflight"`
	// BodyBytes is the sum of the request bodies.
	BodyBytes int64 `json:"bodyBytes"`
	// ByPath counts executions by HTTP path or gRPC method.
	ByPath map[string]int64 `json:"byPath"`
	// StartedAt is when the server began to listen, in nanoseconds since 1970.
	StartedAt int64 `json:"startedAt"`
}

// counter guards the figures.
type counter struct {
	mu    sync.Mutex
	stats Stats
	// index numbers executions for --fail-every; a reset does not touch it.
	index int64
}

// enter counts an execution and returns its number, from 1 on.
func (c *counter) enter(path string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.ByPath == nil {
		c.stats.ByPath = map[string]int64{}
	}
	if _, known := c.stats.ByPath[path]; !known && len(c.stats.ByPath) >= maxPaths {
		path = otherPaths
	}
	c.stats.ByPath[path]++
	c.stats.Executed++
	c.stats.Inflight++
	c.stats.MaxInflight = max(c.stats.MaxInflight, c.stats.Inflight)
	c.index++
	return c.index
}

// outcome is how an execution ended.
type outcome int

const (
	completed outcome = iota
	failed
	abandoned
)

func (c *counter) leave(o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Inflight--
	switch o {
	case completed:
		c.stats.Completed++
	case failed:
		c.stats.Failed++
	case abandoned:
		c.stats.Abandoned++
	}
}

func (c *counter) body(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.BodyBytes += n
}

func (c *counter) started(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.StartedAt = at.UnixNano()
}

// snapshot is a copy that nobody else writes to.
func (c *counter) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.ByPath = make(map[string]int64, len(c.stats.ByPath))
	for path, n := range c.stats.ByPath {
		s.ByPath[path] = n
	}
	return s
}

// reset clears the counts; what is in flight stays in flight.
func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.stats.Inflight
	c.stats = Stats{Inflight: in, MaxInflight: in, StartedAt: c.stats.StartedAt}
}

func (s *server) getStats(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.count.snapshot())
}

func (s *server) resetStats(w http.ResponseWriter, _ *http.Request) {
	s.count.reset()
	w.WriteHeader(http.StatusNoContent)
}
