// Package server is the activator as a process: it listens for every route,
// holds and forwards requests, watches routes and pods, raises scales from zero
// and acknowledges what it serves. What to do with a request is decided by
// package activator; this package does it.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/bodyhold"
	"github.com/rawserve/rawserve/internal/budget"
	"github.com/rawserve/rawserve/internal/forward"
	"github.com/rawserve/rawserve/internal/lifecycle"
	"github.com/rawserve/rawserve/internal/strict"
)

// Options are what a Server works with.
type Options struct {
	// Config is the configuration, already validated.
	Config Config
	// Pod is the activator's own pod; its name signs acknowledgements.
	Pod types.NamespacedName
	// Zone is the zone that the activator is in; empty if it is not known.
	Zone string
	// Scales reads and raises scales.
	Scales Scales
	// Acks writes acknowledgements.
	Acks Acks
	// Log is for changes of state, and for the access log.
	Log *slog.Logger
	// Spans is where traces go; nil: nothing is traced. TraceExporter makes one.
	Spans sdktrace.SpanExporter
}

// Server is one activator.
type Server struct {
	config Config
	pod    types.NamespacedName
	zone   string
	scales Scales
	acks   *acker
	log    *slog.Logger

	started   time.Time
	http      *http.Server
	listeners *listeners
	// agents forwards to pods with an agent, bare to others, whose servers may
	// close idle connections after seconds already.
	agents, bare *forward.Forwarder
	probes       probeClients
	spool        *bodyhold.Spool
	// shares are everybody's.
	shares
	metrics *metrics
	access  *accessLog
	tracing *tracing

	// ports is the table that requests look their route up in.
	ports atomic.Pointer[map[int]portEntry]
	// routeList has the routes for readers on other goroutines.
	routeList atomic.Pointer[[]*route]
	// namespaces, routes and listenErrors belong to the goroutine that calls applyRoutes.
	namespaces   map[string]shares
	routes       map[types.NamespacedName]*route
	listenErrors map[int]string

	index podIndex

	ready    atomic.Bool
	draining atomic.Bool
	// cutoff ends what is held and what is upgraded at the end of a shutdown.
	cutoff chan struct{}
	// base is the parent of probers and starters.
	base   context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// replayTotal bounds what is kept of bodies in flight, in bytes, so that a request
// can go to another pod when the first did nothing with it.
const replayTotal = 64 << 20

// New returns a Server that does nothing yet.
func New(o Options) (*Server, error) {
	q := o.Config.Queue
	memory := budget.New(o.Config.Limits.MaxMemory.Value(), nil)
	replay := budget.New(replayTotal, memory)
	s := &Server{
		config: o.Config, pod: o.Pod, zone: o.Zone, scales: o.Scales, log: o.Log,
		started: time.Now(),
		probes:  newProbeClients(),
		shares: shares{
			conns:    budget.New(o.Config.Limits.MaxConnections, nil),
			inside:   budget.New(o.Config.Limits.MaxRequests, nil),
			memory:   memory,
			requests: budget.New(q.MaxRequestsTotal, nil),
			bytes:    budget.New(q.MaxBytesTotal.Value(), memory),
		},
		namespaces:   map[string]shares{},
		routes:       map[types.NamespacedName]*route{},
		listenErrors: map[int]string{},
		cutoff:       make(chan struct{}),
	}
	toPods := forward.Options{
		DialTimeout: o.Config.Timeouts.Dial.Duration, Forwarded: true, Reserved: answer.Header, ReplayBudget: replay, Suspect: s.suspect,
	}
	toAgents := toPods
	toAgents.FromPeer, toAgents.IdleTimeout = true, time.Minute
	toPods.IdleTimeout = time.Second
	s.agents, s.bare = forward.New(toAgents), forward.New(toPods)
	s.base, s.cancel = context.WithCancel(context.Background())
	s.index.init()
	s.access = newAccessLog(o.Config.AccessLog, o.Log)
	s.tracing = newTracing(o.Config.Tracing, o.Pod, o.Spans, o.Log)
	s.metrics = newMetrics(s)
	s.acks = newAcker(o.Acks, o.Pod.Name, o.Log)
	s.ports.Store(&map[int]portEntry{})
	s.routeList.Store(&[]*route{})
	if q.SpoolDir != "" {
		spool, err := bodyhold.NewSpool(bodyhold.SpoolOptions{
			Dir: q.SpoolDir, MaxEach: q.MaxSpool.Value(), MaxTotal: q.MaxSpoolTotal.Value(),
			OnError: func(err error) { s.log.Warn("cannot spool", "error", err) },
		})
		if err != nil {
			return nil, fmt.Errorf("queue.spoolDir: %w; mount an emptyDir there or set it to \"\"", err)
		}
		s.spool = spool
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:           s,
		Protocols:         &protocols,
		ConnContext:       connContext,
		ReadHeaderTimeout: o.Config.Timeouts.Header.Duration,
		MaxHeaderBytes:    int(o.Config.Limits.MaxHeaderBytes.Value()),
		// Longer than any client's or load balancer's own, so that it is the client
		// who closes an idle connection and no request meets one that is closing.
		IdleTimeout: 15 * time.Minute,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 1000, SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second},
		ErrorLog:    slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	crowd := newCrowd(func() { s.metrics.refuse(refusedByConnections) }, s.malformed)
	s.http.ConnState = crowd.note
	s.listeners = &listeners{
		server: s.http, host: o.Config.BindAddress, log: o.Log, ports: map[int]net.Listener{}, crowd: crowd,
	}
	return s, nil
}

// malformed is told of connections on which something came in that not every
// server would read alike. The answer is that of http.Server.
func (s *Server) malformed(c *strict.Conn, why strict.Reason) {
	s.metrics.malformed.WithLabelValues(string(why)).Inc()
	s.log.Debug("malformed request refused", "reason", why, "client", c.RemoteAddr().String())
}

// Serve is the data path: it serves the listeners that Watch opens until ctx is
// done, and drains them then.
func (s *Server) Serve(ctx context.Context) error {
	if s.access != nil {
		s.work.Go(func() { s.access.run(s.base) })
	}
	<-ctx.Done()
	err := s.drain()
	s.cancel()
	s.work.Wait()
	s.tracing.end(s.log)
	s.listeners.wait()
	s.agents.CloseIdle()
	s.bare.CloseIdle()
	return err
}

// drain lets requests come until the EndpointSlices have followed, closes the
// listeners, and lets what is inside finish.
func (s *Server) drain() error {
	s.draining.Store(true)
	s.log.Info("draining", "delay", s.config.Shutdown.Delay.Duration, "timeout", s.config.Shutdown.Timeout.Duration)
	<-time.After(s.config.Shutdown.Delay.Duration)
	s.listeners.end()
	grace := s.config.Shutdown.Timeout.Duration
	// Those who are still held get an answer, and the time to read it.
	cut := time.AfterFunc(grace-min(grace/2, time.Second), func() { close(s.cutoff) })
	err := lifecycle.Shutdown(s.http, grace)
	if cut.Stop() {
		close(s.cutoff)
	}
	if err != nil {
		s.log.Warn("shutdown was not clean", "error", err)
	}
	return nil
}

// Ready says why requests cannot be taken; nil when they can.
func (s *Server) Ready() error {
	switch {
	case s.draining.Load():
		return errors.New("draining")
	case s.ready.Load():
		return nil
	}
	if n, known := s.acks.owing(); known {
		return fmt.Errorf("acknowledgements of %d routes that lead through activators are not written yet", n)
	}
	return errors.New("routes and pods have not been read yet")
}
