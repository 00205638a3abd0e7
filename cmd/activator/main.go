// Command activator is rawserve's data path: it holds requests while no pod is
// ready, wakes what is scaled to zero, and spreads requests over pods.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rawserve/rawserve/activator/server"
	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/internal/lifecycle"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "activator:", err)
		os.Exit(1)
	}
}

func run() error {
	file := flag.String("config", "", "path of the configuration file; without it the defaults apply")
	level := slog.LevelInfo
	flag.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flag.Parse()
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	config, err := server.Load(*file)
	if err != nil {
		return err
	}
	pod := types.NamespacedName{Namespace: os.Getenv("POD_NAMESPACE"), Name: os.Getenv("POD_NAME")}
	if pod.Name == "" {
		return errors.New("POD_NAME is not set: it signs acknowledgements; set it from metadata.name by the downward API")
	}
	cluster, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	clients, err := newClients(cluster, config.Kubernetes)
	if err != nil {
		return err
	}
	spans, err := server.TraceExporter(context.Background(), config.Tracing, os.Getenv)
	if err != nil {
		return err
	}
	s, err := server.New(server.Options{
		Config: config, Pod: pod, Zone: os.Getenv("POD_ZONE"), Log: log, Spans: spans,
		Scales: server.KubeScales{Client: clients.scales},
		Acks:   server.KubeAcks{Client: clients.acks},
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// Stopped from the last to the first: the data path drains while routes and
	// pods are still followed and health is still told.
	return lifecycle.Run(ctx, log,
		s.Admin().Unit(),
		s.Debug(),
		lifecycle.Unit{Name: "watch", Run: func(ctx context.Context) error { return s.Watch(ctx, clients.watch, clients.routes) }},
		lifecycle.Unit{Name: "data path", Run: s.Serve},
	)
}

// clients are separate so that raising a scale never waits behind the
// acknowledgements of ten thousand routes, and has a connection of its own.
type clients struct {
	scales, watch kubernetes.Interface
	acks, routes  versioned.Interface
}

func newClients(base *rest.Config, limits server.KubernetesConfig) (*clients, error) {
	limited := rest.CopyConfig(base)
	limited.QPS, limited.Burst = limits.QPS, limits.Burst
	free := rest.CopyConfig(base)
	free.QPS = -1
	var c clients
	var errs [4]error
	c.scales, errs[0] = kubernetes.NewForConfig(free)
	c.watch, errs[1] = kubernetes.NewForConfig(limited)
	c.acks, errs[2] = versioned.NewForConfig(limited)
	c.routes, errs[3] = versioned.NewForConfig(limited)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("making clients: %w", err)
	}
	return &c, nil
}
