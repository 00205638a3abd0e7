package server

import (
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/strict"
)

// writeMetrics prints the agent's metrics in Prometheus' text format. Prometheus'
// own library is left out for its size: the agent runs beside every model server.
// Every counter is there from the start, so that no increase is missed.
func (s *Server) writeMetrics(w io.Writer) {
	t := &s.traffic
	inside := t.inside.Read(time.Now())
	head(w, "rawserve_agent_requests_total", "counter", "Requests that ended, by the class of their status; gone: the client has hung up, cut: the response broke off.")
	for i, class := range codeClasses {
		fmt.Fprintf(w, "rawserve_agent_requests_total{code=%q} %d\n", class, t.codes[i].Load())
	}
	head(w, "rawserve_agent_rejections_total", "counter", "Requests that the agent answered itself, by the reason it gave.")
	t.rejected.Each(func(r answer.Reason, n int64) {
		fmt.Fprintf(w, "rawserve_agent_rejections_total{reason=%q} %d\n", r, n)
	})
	head(w, "rawserve_agent_malformed_total", "counter", "Connections ended with 400 because servers would not agree on what came in on them, by what was wrong.")
	for i, reason := range strict.Reasons {
		fmt.Fprintf(w, "rawserve_agent_malformed_total{reason=%q} %d\n", reason, t.malformed[i].Load())
	}
	gauge(w, "rawserve_agent_inflight_requests", "Requests in the pod, those that wait included.", float64(inside.InFlight))
	head(w, "rawserve_agent_inflight_request_seconds_total", "counter", "Integral of the requests in the pod over time.")
	fmt.Fprintf(w, "rawserve_agent_inflight_request_seconds_total %g\n", inside.InFlightSeconds)
	gauge(w, "rawserve_agent_queued_requests", "Requests that wait for a slot.", float64(s.limiter.Waiting()))
	if s.limiter != nil {
		gauge(w, "rawserve_agent_max_requests", "Requests that the server gets at a time (--container-concurrency); absent without a limit.", float64(s.config.ContainerConcurrency))
		gauge(w, "rawserve_agent_max_queued_requests", "Requests that may wait for a slot (--queue-depth); absent without a limit.", float64(s.config.queueDepth()))
	}
	gauge(w, "rawserve_agent_draining", "1 from the call of /drain on, 0 otherwise.", boolean(s.draining.Load() != nil))
	t.duration.Write(w, "rawserve_agent_request_duration_seconds", "Time from a request's arrival in the pod to its end.")
	t.firstByte.Write(w, "rawserve_agent_first_byte_seconds", "Time from a request's arrival in the pod to the response's header.")
	t.waited.Write(w, "rawserve_agent_queue_duration_seconds", "Time that requests waited for a slot, of those that had to and got one.")
	if s.prober != nil {
		if first := s.prober.firstReady(); !first.IsZero() {
			head(w, "rawserve_agent_server_ready_timestamp_seconds", "gauge", "When the server answered its readiness probe for the first time, in seconds since 1970.")
			fmt.Fprintf(w, "rawserve_agent_server_ready_timestamp_seconds %.6f\n", float64(first.UnixMicro())/1e6)
		}
	}
	s.writeProcess(w)
}

// writeProcess prints what is usual for a Go process, under the usual names.
func (s *Server) writeProcess(w io.Writer) {
	memory := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(memory)
	gauge(w, "go_goroutines", "Number of goroutines that currently exist.", float64(runtime.NumGoroutine()))
	gauge(w, "rawserve_agent_memory_bytes", "Memory that the Go runtime has of the kernel; GOMEMLIMIT is compared with the same.", float64(memory[0].Value.Uint64()-memory[1].Value.Uint64()))
	head(w, "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.")
	fmt.Fprintf(w, "process_start_time_seconds %.3f\n", float64(s.started.UnixMilli())/1e3)
}

func head(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func gauge(w io.Writer, name, help string, v float64) {
	head(w, name, "gauge", help)
	fmt.Fprintf(w, "%s %g\n", name, v)
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
