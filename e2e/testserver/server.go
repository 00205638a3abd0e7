package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/rawserve/rawserve/internal/lifecycle"
)

// Headers of every response, and keys of gRPC's header metadata in lower case.
const (
	// startedHeader is when the server began to listen, in nanoseconds since 1970:
	// what a cold start costs beyond the server's own start is counted from there.
	startedHeader = "X-Server-Started-At"
	// nameHeader is the host's name: in a cluster, the pod's.
	nameHeader = "X-Server-Name"
)

// server is one test server.
type server struct {
	set     Settings
	log     *slog.Logger
	name    string
	count   counter
	ledger  ledger
	books   *http.Client
	sockets *sockets
	files   *fileStore
	ready   atomic.Bool
	started atomic.Int64
	// crash ends the server in the middle of an execution.
	crash chan error
}

func newServer(set Settings, log *slog.Logger) *server {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	s := &server{set: set, log: log, name: name, books: newBookkeeper(), sockets: newSockets(), crash: make(chan error, 1)}
	if set.ServeFiles != "" {
		s.files = newFileStore(set.ServeFiles)
	}
	return s
}

// addresses are where a server listens.
type addresses struct{ http, grpc string }

// Run serves until ctx is done and then finishes what is in flight. It returns an
// error where the settings ask for a crash. listening, if not nil, is told the
// addresses once.
func (s *server) Run(ctx context.Context, listening func(addresses)) error {
	if err := pause(ctx, s.set.StartupDelay); err != nil {
		return nil // told to stop while starting
	}
	if s.set.Crash {
		return errors.New("crashing, as --crash asks")
	}
	// Before anybody can connect: the first request must not find a server unready
	// that has nothing to load.
	s.ready.Store(s.set.LoadDelay == 0)
	rpc := s.grpcServer() // served by the HTTP server: it must never be drained by grpc
	defer rpc.Stop()
	web, err := s.listenHTTP(ctx, rpc)
	if err != nil {
		return err
	}
	defer web.close()
	native, err := s.listenGRPC(ctx)
	if err != nil {
		return err
	}
	defer native.close()
	if listening != nil {
		listening(addresses{http: web.addr(), grpc: native.addr()})
	}
	s.log.Info("listening", "addr", web.addr(), "grpc", native.addr(), "model", s.set.ModelName)
	return s.serve(ctx, web, native)
}

// serve waits for whatever ends the server, and ends it.
func (s *server) serve(ctx context.Context, web *webListener, native *grpcListener) error {
	if s.set.LoadDelay > 0 {
		loaded := time.AfterFunc(s.set.LoadDelay, func() { s.ready.Store(true) })
		defer loaded.Stop()
	}
	var exit <-chan time.Time
	if s.set.ExitAfter > 0 {
		t := time.NewTimer(s.set.ExitAfter)
		defer t.Stop()
		exit = t.C
	}
	select {
	case <-ctx.Done():
	case <-exit:
		return errors.New("exiting, as --exit-after asks")
	case err := <-s.crash:
		return err
	case err := <-web.served:
		return fmt.Errorf("serving HTTP: %w", err)
	case err := <-native.served:
		return fmt.Errorf("serving gRPC: %w", err)
	}
	s.ready.Store(false)
	s.log.Info("stopping", "inflight", s.count.snapshot().Inflight)
	// All drain at the same time: the grace is one for all.
	s.sockets.end()
	drained := make(chan struct{})
	go func() { defer close(drained); native.drain(s.set.Grace) }()
	err := lifecycle.Shutdown(web.server, s.set.Grace)
	<-drained
	s.sockets.wait()
	s.books.CloseIdleConnections()
	return err
}

// webListener is the HTTP server at work.
type webListener struct {
	server *http.Server
	ln     net.Listener
	served chan error
}

func (s *server) listenHTTP(ctx context.Context, rpc *grpc.Server) (*webListener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.set.Addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", s.set.Addr, err)
	}
	now := time.Now()
	s.started.Store(now.UnixNano())
	s.count.started(now)
	handler := s.handler(rpc)
	if s.set.Relay {
		handler = relay(handler)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	w := &webListener{ln: ln, served: make(chan error, 1), server: &http.Server{
		Handler: handler, Protocols: &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 1000},
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}}
	go func() { w.served <- w.server.Serve(ln) }()
	return w, nil
}

func (w *webListener) addr() string { return w.ln.Addr().String() }

// close cuts everything; after a shutdown there is nothing left to cut.
func (w *webListener) close() { _ = w.server.Close() }

// grpcListener is the separate gRPC server at work; without one, nothing ever happens.
type grpcListener struct {
	server *grpc.Server
	ln     net.Listener
	served chan error
}

func (s *server) listenGRPC(ctx context.Context) (*grpcListener, error) {
	g := &grpcListener{served: make(chan error, 1)}
	if s.set.GRPCAddr == "" {
		return g, nil
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.set.GRPCAddr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", s.set.GRPCAddr, err)
	}
	g.ln, g.server = ln, s.grpcServer()
	go func() { g.served <- g.server.Serve(ln) }()
	return g, nil
}

func (g *grpcListener) addr() string {
	if g.ln == nil {
		return ""
	}
	return g.ln.Addr().String()
}

// drain lets calls in flight end within grace.
func (g *grpcListener) drain(grace time.Duration) {
	if g.server == nil {
		return
	}
	cut := time.AfterFunc(grace, g.server.Stop)
	defer cut.Stop()
	g.server.GracefulStop()
}

func (g *grpcListener) close() {
	if g.server != nil {
		g.server.Stop()
	}
}

// handler routes HTTP and, by its content type, gRPC.
func (s *server) handler(rpc http.Handler) http.Handler {
	mux := http.NewServeMux()
	s.routeV1(mux)
	s.routeV2(mux)
	mux.HandleFunc("GET /stats", s.getStats)
	mux.HandleFunc("POST /stats/reset", s.resetStats)
	mux.HandleFunc("/echo", s.echo)
	mux.HandleFunc("/stream", s.stream)
	mux.HandleFunc("GET /ws", s.socket)
	s.routeLedger(mux)
	mux.HandleFunc("GET /{$}", s.live)
	if s.files != nil {
		mux.Handle("/", s.files)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(startedHeader, strconv.FormatInt(s.started.Load(), 10))
		w.Header().Set(nameHeader, s.name)
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			rpc.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// pause waits for d or until ctx is done, whose error it then returns.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
