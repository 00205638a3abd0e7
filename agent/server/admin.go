package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/rawserve/rawserve/internal/lifecycle"
)

// maxReadyWait is the longest that /ready keeps a question.
const maxReadyWait = 10 * time.Second

// Stats is the answer of /stats. Its counters only grow, so that any number of
// readers can compute means over their own intervals.
type Stats struct {
	// StartedAt is when the process started, in Unix nanoseconds. A change means
	// that all counters began anew.
	StartedAt int64 `json:"startedAt"`
	// Now is when the counters were read, in Unix nanoseconds.
	Now int64 `json:"now"`
	// InFlight is the number of requests in the pod, those that wait included.
	InFlight int64 `json:"inflight"`
	// InFlightSeconds is its integral over time.
	InFlightSeconds float64 `json:"inflightSeconds"`
	// Requests counts those that ever came, Completed those that ended.
	Requests  int64 `json:"requests"`
	Completed int64 `json:"completed"`
	// Queued is the number of requests that wait for a slot.
	Queued int `json:"queued"`
}

// Stats reads the counters.
func (s *Server) Stats() Stats {
	now := time.Now()
	r := s.traffic.inside.Read(now)
	return Stats{
		StartedAt: s.started.UnixNano(), Now: now.UnixNano(),
		InFlight: r.InFlight, InFlightSeconds: r.InFlightSeconds,
		Requests: r.Entered, Completed: r.Left, Queued: s.limiter.Waiting(),
	}
}

// AdminHandler serves /stats, /ready, /drain, /healthz and /metrics.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Stats())
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		s.writeMetrics(w)
	})
	mux.HandleFunc("GET /ready", s.serveReady)
	mux.HandleFunc("GET /drain", s.serveDrain)
	return mux
}

// serveReady answers as soon as the server is ready, or no after the wait.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	wait := time.Duration(0)
	if text := r.URL.Query().Get("wait"); text != "" {
		var err error
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 {
			http.Error(w, fmt.Sprintf("wait: %q is not a duration; write for example 1s", text), http.StatusBadRequest)
			return
		}
	}
	switch {
	case s.prober == nil:
		http.Error(w, "the readiness probe is a command or missing; only kubelet can tell", http.StatusNotImplemented)
		return
	case s.draining.Load() != nil:
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, maxReadyWait))
	defer cancel()
	if !s.prober.wait(ctx) {
		http.Error(w, "the server is not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// Admin is the server of the admin port.
func (s *Server) Admin() lifecycle.HTTP {
	return lifecycle.HTTP{
		Name: "admin server",
		Addr: ":" + strconv.Itoa(s.config.AdminPort),
		Server: &http.Server{
			Handler:           s.AdminHandler(),
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
		},
		Grace: time.Second,
	}
}
