// Command agent is rawserve's sidecar in model pods. It measures and limits the
// requests in the pod, tells when the server is ready, and drains before it goes.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/rawserve/rawserve/agent"
	"github.com/rawserve/rawserve/agent/server"
	"github.com/rawserve/rawserve/internal/lifecycle"
)

// probeEnv has the JSON of the server container's readiness probe.
const probeEnv = "RAWSERVE_READINESS_PROBE"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

func run() error {
	config := server.Default()
	config.SpoolDir = os.TempDir()
	level := slog.LevelInfo
	flag.Var(&config.Forwards, "forward", "`LISTEN:SERVER`, a port to listen on and the server's port on 127.0.0.1; may be repeated")
	flag.IntVar(&config.AdminPort, "admin-port", config.AdminPort, "port of /stats, /ready, /drain, /healthz and /metrics")
	flag.IntVar(&config.ContainerConcurrency, "container-concurrency", 0, "requests in the server at a time; 0 means no limit")
	flag.IntVar(&config.QueueDepth, "queue-depth", 0, "requests that wait beyond it; 0 means ten times as many, at least 100")
	flag.DurationVar(&config.DrainQuiet, "drain-quiet", config.DrainQuiet, "how long nobody may have been inside for a drain to be over")
	flag.DurationVar(&config.DrainTimeout, "drain-timeout", config.DrainTimeout, "the longest a drain may take")
	flag.StringVar(&config.SpoolDir, "spool-dir", config.SpoolDir, "where long bodies of waiting requests go; empty switches it off")
	flag.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flag.Parse()
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	probe, err := agent.ParseProbe(os.Getenv(probeEnv))
	if err != nil {
		return fmt.Errorf("%s: %w", probeEnv, err)
	}
	config.Probe = probe
	s, err := server.New(config, log)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := s.Listen(ctx); err != nil {
		return err
	}
	return lifecycle.Run(ctx, log,
		s.Admin().Unit(),
		lifecycle.Unit{Name: "probe", Run: s.Probe},
		lifecycle.Unit{Name: "data path", Run: s.Serve},
	)
}
