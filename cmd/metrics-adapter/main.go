// Command metrics-adapter reads the counters of agents and activators once a
// second and serves demand as custom.metrics.k8s.io.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	cmmetrics "sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/metrics"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/internal/lifecycle"
	"github.com/rawserve/rawserve/internal/servingcert"
	"github.com/rawserve/rawserve/metricsadapter/collect"
	"github.com/rawserve/rawserve/metricsadapter/provider"
	"github.com/rawserve/rawserve/metricsadapter/server"
	"github.com/rawserve/rawserve/metricsadapter/store"
)

// shutdownDelay is how long queries are still answered after SIGTERM, until the
// aggregator has stopped sending them here.
const shutdownDelay = 5 * time.Second

// apiServiceNames are the two versions of custom.metrics.k8s.io.
var apiServiceNames = []string{"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"}

// flags are what can be set.
type flags struct {
	port       int
	service    string
	secret     string
	workers    int
	kubeconfig string
	namespace  string
	level      slog.Level
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "metrics-adapter:", err)
		os.Exit(1)
	}
}

func run() error {
	f := flags{kubeconfig: os.Getenv("KUBECONFIG"), namespace: os.Getenv("POD_NAMESPACE")}
	flag.IntVar(&f.port, "secure-port", 6443, "port of the aggregated API, /healthz, /readyz and /metrics, all over TLS")
	flag.StringVar(&f.service, "service", "metrics-adapter", "name of the adapter's Service, to which the APIServices point")
	flag.StringVar(&f.secret, "certificate-secret", "metrics-adapter-certificate", "name of the Secret that holds the serving certificate; it is made if absent")
	flag.IntVar(&f.workers, "workers", 128, "how many pods may be asked for their counters at a time")
	flag.TextVar(&f.level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flag.Parse()
	if f.namespace == "" {
		return errors.New("POD_NAMESPACE is not set: the activators are looked for in it; set it from metadata.namespace by the downward API")
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: f.level}))
	klog.SetSlogLogger(log)
	// Before anything else, so that a SIGTERM during the start ends it.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	parts, err := build(f, log)
	if err != nil {
		return err
	}
	return parts.run(ctx, f, log)
}

// parts are what the process consists of, but for the server, which can only be
// built once there is a certificate.
type parts struct {
	cert      *servingcert.Manager
	collector *collect.Collector
	provider  *provider.Provider
}

func build(f flags, log *slog.Logger) (*parts, error) {
	cluster, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	cluster.QPS, cluster.Burst = 20, 40
	kube, err1 := kubernetes.NewForConfig(cluster)
	ours, err2 := versioned.NewForConfig(cluster)
	meta, err3 := metadata.NewForConfig(cluster)
	dyn, err4 := dynamic.NewForConfig(cluster)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("making clients: %w", err)
	}

	// The library serves this registry as /metrics.
	registry := legacyregistry.Registerer()
	if err := cmmetrics.RegisterMetrics(legacyregistry.Register); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	owned := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "rawserve_metrics_adapter_apiservice_ours",
		Help: "1 if the APIService points to this adapter, 0 if another one serves the group.",
	}, []string{"apiservice"})
	if err := registry.Register(owned); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}

	var p parts
	readings := store.New()
	if p.collector, err = collect.New(collect.Options{
		Store: readings, Kube: kube, Rawserve: ours, Metadata: meta,
		Namespace: f.namespace, Workers: f.workers, Registerer: registry, Log: log,
	}); err != nil {
		return nil, err
	}
	if p.provider, err = provider.New(provider.Options{Source: readings}); err != nil {
		return nil, err
	}
	apiServices := &servingcert.APIServices{
		Client: dyn, Names: apiServiceNames, Log: log,
		Service: types.NamespacedName{Namespace: f.namespace, Name: f.service},
		Report: func(name string, ours bool) {
			value := 0.0
			if ours {
				value = 1
			}
			owned.WithLabelValues(name).Set(value)
		},
	}
	host := f.service + "." + f.namespace + ".svc"
	p.cert, err = servingcert.New(servingcert.Options{
		Client: kube, Namespace: f.namespace, SecretName: f.secret, Publish: apiServices.Publish, Log: log,
		Labels:   map[string]string{"app.kubernetes.io/name": "rawserve", "app.kubernetes.io/component": "metrics-adapter"},
		DNSNames: []string{host, host + ".cluster.local"},
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// run works until ctx is done. Stopped from the last to the first: while the
// server answers its last queries, readings are still collected.
func (p *parts) run(ctx context.Context, f flags, log *slog.Logger) error {
	return lifecycle.Run(ctx, log,
		lifecycle.Unit{Name: "certificate", Run: p.cert.Run},
		lifecycle.Unit{Name: "collector", Run: p.collector.Run},
		lifecycle.Unit{Name: "server", Run: func(ctx context.Context) error { return p.serve(ctx, f) }},
	)
}

// serve waits for the first certificate and serves until ctx is done.
func (p *parts) serve(ctx context.Context, f flags) error {
	have := make(chan struct{}, 1)
	p.cert.OnChange(func() {
		select {
		case have <- struct{}{}:
		default:
		}
	})
	for p.cert.Ready() != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-have:
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf(":%d", f.port))
	if err != nil {
		return fmt.Errorf("listening for queries: %w", err)
	}
	s, err := server.New(server.Options{
		Listener: listener, Certificate: p.cert, Provider: p.provider, Kubeconfig: f.kubeconfig, ShutdownDelay: shutdownDelay,
		Ready: []healthz.HealthChecker{
			healthz.NamedCheck("certificate", func(*http.Request) error { return p.cert.Ready() }),
			healthz.NamedCheck("readings", func(*http.Request) error { return p.collector.Ready() }),
		},
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return s.Run(ctx)
}
