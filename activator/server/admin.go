package server

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/rawserve/rawserve/internal/lifecycle"
)

// Stats is the answer of /stats. Its counters only grow, so that any number of
// readers can compute rates and means over their own intervals.
type Stats struct {
	// StartedAt is when the process started, in Unix nanoseconds. A change means
	// that all counters began anew.
	StartedAt int64 `json:"startedAt"`
	// Now is when the counters were read, in Unix nanoseconds.
	Now int64 `json:"now"`
	// Pod is the activator's own pod.
	Pod string `json:"pod"`
	// Routes has every route that is served.
	Routes []RouteStats `json:"routes"`
}

// RouteStats are the counters of one route.
type RouteStats struct {
	// Namespace and Name are the InferenceRoute's.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Waiting is the number of requests held now.
	Waiting int64 `json:"waiting"`
	// WaitingSeconds is its integral over time.
	WaitingSeconds float64 `json:"waitingSeconds"`
	// Arrivals counts requests that came in.
	Arrivals int64 `json:"arrivals"`
	// Forwarded counts requests sent to a pod, each once.
	Forwarded int64 `json:"forwarded"`
	// Abandoned counts requests whose client left while they were held.
	Abandoned int64 `json:"abandoned"`
	// InFlight is the number of requests forwarded and not ended.
	InFlight int64 `json:"inflight"`
}

// Stats reads the counters.
func (s *Server) Stats() Stats {
	now := time.Now()
	list := *s.routeList.Load()
	out := Stats{StartedAt: s.started.UnixNano(), Now: now.UnixNano(), Pod: s.pod.Name, Routes: make([]RouteStats, 0, len(list))}
	for _, rt := range list {
		// Read in the order of a request's way, so that no difference is negative
		// in the reading of one who arrives meanwhile: what is forwarded is read
		// before what has arrived.
		abandoned := rt.abandoned.Load()
		waiting, forwarded := rt.waiting.Read(now), rt.forwarded.Read(now)
		out.Routes = append(out.Routes, RouteStats{
			Namespace: rt.key.Namespace, Name: rt.key.Name,
			Waiting: waiting.InFlight, WaitingSeconds: waiting.InFlightSeconds,
			Arrivals: rt.arrivals.Load(), Forwarded: forwarded.Entered,
			Abandoned: abandoned, InFlight: forwarded.InFlight,
		})
	}
	return out
}

// AdminHandler serves /stats, /healthz, /readyz and /metrics.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Stats())
	})
	mux.Handle("GET /metrics", s.serveMetrics())
	return mux
}

// Admin is the server of the admin port.
func (s *Server) Admin() lifecycle.HTTP {
	return lifecycle.HTTP{
		Name: "admin server",
		Addr: net.JoinHostPort(s.config.BindAddress, strconv.Itoa(s.config.AdminPort)),
		Server: &http.Server{
			Handler:           s.AdminHandler(),
			ReadHeaderTimeout: 10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
		},
	}
}
