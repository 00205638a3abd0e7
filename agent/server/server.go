// Package server is the agent as a process: a sidecar that requests pass on
// their way to the model server in the same pod. It measures and limits
// concurrency, tells when the server is ready, and drains before it goes.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rawserve/rawserve/agent"
	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/bodyhold"
	"github.com/rawserve/rawserve/internal/budget"
	"github.com/rawserve/rawserve/internal/clientconn"
	"github.com/rawserve/rawserve/internal/forward"
	"github.com/rawserve/rawserve/internal/lifecycle"
)

const (
	// bodyMemory is the part of a waiting request's body that is kept in memory,
	// bodyMemoryTotal that of all of them; the rest goes to the spool.
	bodyMemory      = 256 << 10
	bodyMemoryTotal = 64 << 20
	// replayTotal bounds what is kept of bodies in flight, so that a request can be
	// sent again that met a connection which the server had just closed.
	replayTotal = 32 << 20
	spoolEach   = 64 << 20
	spoolTotal  = 1 << 30
	// upstreamIdle is below the time after which common model servers close an
	// idle connection (2 s and more), so that no request meets one that is closing.
	upstreamIdle = time.Second
	// maxHeaderBytes is twice the activator's, for what proxies add on the way.
	maxHeaderBytes = 128 << 10
	// stopGrace is how long requests may go on after SIGTERM. Kubelet stops a native
	// sidecar only after the server, so what is inside then has lost it already.
	stopGrace = 5 * time.Second
)

// Server is one agent.
type Server struct {
	config  Config
	log     *slog.Logger
	started time.Time
	http    *http.Server
	forward *forward.Forwarder
	limiter *agent.Limiter
	memory  *budget.Budget
	spool   *bodyhold.Spool
	// upstreams leads from a listen port to the server's address. It is not
	// changed once Run has begun.
	upstreams map[int]string
	listeners []net.Listener

	traffic traffic
	conns   connections
	prober  *prober
	// draining is set from the first call of /drain on, until the server has come
	// back: kubelet also calls the hook before it restarts a server that hangs.
	draining atomic.Pointer[agent.Drain]
	// stopping is true from the agent's own SIGTERM on; down once a request met no
	// server since the drain began.
	stopping, down atomic.Bool
	cutoff         chan struct{}
}

// New returns a Server that does nothing yet.
func New(config Config, log *slog.Logger) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		config: config, log: log, started: time.Now(),
		forward:   forward.New(forward.Options{DialTimeout: time.Second, IdleTimeout: upstreamIdle, Reserved: answer.Header, ReplayBudget: budget.New(replayTotal, nil)}),
		limiter:   agent.NewLimiter(config.ContainerConcurrency, config.queueDepth()),
		memory:    budget.New(bodyMemoryTotal, nil),
		upstreams: map[int]string{},
		cutoff:    make(chan struct{}),
	}
	if config.SpoolDir != "" && s.limiter != nil {
		spool, err := bodyhold.NewSpool(bodyhold.SpoolOptions{
			Dir: config.SpoolDir, MaxEach: spoolEach, MaxTotal: spoolTotal,
			OnError: func(err error) { log.Warn("cannot spool", "error", err) },
		})
		if err != nil {
			// A pod may have a read-only file system; then only short bodies are read ahead.
			log.Warn("bodies of waiting requests are not spooled", "error", err)
		}
		s.spool = spool
	}
	if config.Probe != nil {
		s.prober = newProber(config.Probe)
		s.prober.back = s.endDrain
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:           s,
		Protocols:         &protocols,
		ConnContext:       clientconn.Context,
		ConnState:         s.conns.note,
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    maxHeaderBytes,
		// Longer than the activator's, so that it is the client who closes.
		IdleTimeout: 15 * time.Minute,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 1000, SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second},
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Listen opens the ports of the configuration.
func (s *Server) Listen(ctx context.Context) error {
	for _, f := range s.config.Forwards {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(f.Listen))
		if err != nil {
			s.closeListeners()
			return fmt.Errorf("listening for --forward=%d:%d: %w", f.Listen, f.Server, err)
		}
		s.listen(ln, net.JoinHostPort("127.0.0.1", strconv.Itoa(f.Server)))
	}
	return nil
}

func (s *Server) listen(ln net.Listener, upstream string) {
	s.listeners = append(s.listeners, ln)
	s.upstreams[ln.Addr().(*net.TCPAddr).Port] = upstream
}

func (s *Server) closeListeners() {
	for _, ln := range s.listeners {
		ln.Close()
	}
}

// Serve forwards requests until ctx is done, and lets those inside end.
func (s *Server) Serve(ctx context.Context) error {
	ended := make(chan error, len(s.listeners))
	for _, ln := range s.listeners {
		go func() { ended <- s.http.Serve(ln) }()
	}
	open := len(s.listeners)
	var result error
	select {
	case <-ctx.Done():
	case result = <-ended:
		open--
		result = fmt.Errorf("serving: %w", result)
	}
	s.stopping.Store(true)
	s.startDrain(time.Now())
	cut := time.AfterFunc(stopGrace/2, func() { close(s.cutoff) })
	if err := lifecycle.Shutdown(s.http, stopGrace); err != nil {
		s.log.Warn("shutdown was not clean", "error", err)
	}
	if cut.Stop() {
		close(s.cutoff)
	}
	for ; open > 0; open-- {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			result = errors.Join(result, err)
		}
	}
	s.forward.CloseIdle()
	return result
}

// Probe asks the server for its readiness until ctx is done.
func (s *Server) Probe(ctx context.Context) error {
	if s.prober == nil {
		<-ctx.Done()
		return nil
	}
	s.prober.run(ctx)
	return nil
}

// endDrain ends a drain that was not the pod's end: the server has come back.
func (s *Server) endDrain() {
	if s.stopping.Load() {
		return
	}
	s.down.Store(false)
	if s.draining.Swap(nil) != nil {
		s.log.Info("the server is back, the drain is over")
	}
}

// startDrain begins the drain, the first time it is called, and returns it.
func (s *Server) startDrain(now time.Time) agent.Drain {
	d := &agent.Drain{Since: now, Quiet: s.config.DrainQuiet, Timeout: s.config.DrainTimeout}
	if s.draining.CompareAndSwap(nil, d) {
		s.log.Info("draining", "quiet", d.Quiet, "timeout", d.Timeout)
	}
	return *s.draining.Load()
}
