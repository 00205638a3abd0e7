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
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rawserve/rawserve/agent"
	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/bodyhold"
	"github.com/rawserve/rawserve/internal/budget"
	"github.com/rawserve/rawserve/internal/clientconn"
	"github.com/rawserve/rawserve/internal/forward"
	"github.com/rawserve/rawserve/internal/lifecycle"
	"github.com/rawserve/rawserve/internal/strict"
)

const (
	// bodyMemory is the part of a waiting request's body that is kept in memory,
	// bodyMemoryTotal that of all of them; the rest goes to the spool.
	bodyMemory      = 256 << 10
	bodyMemoryTotal = 64 << 20
	spoolEach       = 64 << 20
	spoolTotal      = 1 << 30
	// replayTotal bounds what is kept of bodies in flight, so that a request can be
	// sent again that met a connection which the server had just closed.
	replayTotal = 32 << 20
	// What a request holds beside that is bounded by buffers of fixed size, however
	// slow its client reads or writes and whether or not there is a limit of requests:
	// about 100 KiB, stacks included and of which 32 copy the response, and its header.
	// Over HTTP/2 a response may be ahead of its client by responseWindow, the requests of
	// one connection ahead of the server by Go's 1 MiB together, and each by
	// requestWindow, so that one that stalls does not stop the others. The windows are
	// ample where the next hop is in the same cluster: 256 KiB per millisecond. What is
	// not bounded here is the number of requests: without containerConcurrency it is
	// that of the clients.
	requestWindow  = 256 << 10
	responseWindow = 64 << 10
	// upstreamIdle is below the time after which common model servers close an
	// idle connection (2 s and more), so that no request meets one that is closing.
	upstreamIdle = time.Second
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
	// front is the first of them.
	front     string
	listeners []net.Listener
	conns     conns

	traffic traffic
	prober  *prober
	cutoff  chan struct{}

	// draining is nil without a drain. It changes under drainMu.
	draining atomic.Pointer[drain]
	drainMu  sync.Mutex
	// stopped: the agent has been told to stop. Guarded by drainMu.
	stopped    bool
	drainBegun chan struct{}
}

// New returns a Server that does nothing yet.
func New(config Config, log *slog.Logger) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		config: config, log: log, started: time.Now(),
		forward:   forward.New(forward.Options{DialTimeout: time.Second, IdleTimeout: upstreamIdle, StreamBuffer: responseWindow, Reserved: answer.Header, ReplayBudget: budget.New(replayTotal, nil)}),
		limiter:   agent.NewLimiter(config.ContainerConcurrency, config.queueDepth()),
		memory:    budget.New(bodyMemoryTotal, nil),
		upstreams: map[int]string{},
		cutoff:    make(chan struct{}), drainBegun: make(chan struct{}, 1),
	}
	s.conns.malformed = s.malformed
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
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:   s,
		Protocols: &protocols,
		ConnState: s.conns.note,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return withConn(clientconn.Context(ctx, c), c)
		},
		ReadHeaderTimeout: 30 * time.Second,
		// Twice the activator's default, for what proxies add on the way.
		MaxHeaderBytes: 128 << 10,
		// Longer than the activator's, so that it is the client who closes.
		IdleTimeout: 15 * time.Minute,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 1000, MaxReceiveBufferPerStream: requestWindow,
			SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// malformed is told of connections on which something came in that not every
// server would read alike. The answer is that of http.Server.
func (s *Server) malformed(c *strict.Conn, why strict.Reason) {
	s.traffic.malformed[slices.Index(strict.Reasons[:], why)].Add(1)
	s.log.Debug("malformed request refused", "reason", why, "client", c.RemoteAddr().String())
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
	if s.front == "" {
		s.front = upstream
	}
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
		go func() { ended <- s.http.Serve(listener{ln, &s.conns}) }()
	}
	open := len(s.listeners)
	var result error
	select {
	case <-ctx.Done():
	case result = <-ended:
		open--
		result = fmt.Errorf("serving: %w", result)
	}
	s.drainForGood(time.Now())
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
	s.conns.wait()
	s.forward.CloseIdle()
	return result
}

// Probe asks the server for its readiness, and during a drain whether it is still
// there, until ctx is done.
func (s *Server) Probe(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { s.watchDrains(ctx) })
	if s.prober != nil {
		parts.Go(func() { s.prober.run(ctx) })
	}
	parts.Wait()
	return nil
}
