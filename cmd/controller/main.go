// Command controller turns InferenceServices into objects, scales them and leads
// their requests. Of several replicas one works; the others wait for its lease.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/client/clientset/versioned/scheme"
	"github.com/rawserve/rawserve/autoscaler/collect"
	autoscaler "github.com/rawserve/rawserve/autoscaler/control"
	deployer "github.com/rawserve/rawserve/deployer/control"
	"github.com/rawserve/rawserve/internal/config"
	"github.com/rawserve/rawserve/internal/lifecycle"
)

// systemNamespace is where rawserve runs unless POD_NAMESPACE says otherwise.
const systemNamespace = "rawserve-system"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "controller:", err)
		os.Exit(1)
	}
}

func run() error {
	file := flag.String("config", "", "path of the configuration file; without it the defaults apply")
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "path of a kubeconfig; without it the pod's service account is used")
	level := slog.LevelInfo
	flag.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flag.Parse()
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	klog.SetSlogLogger(log)

	cfg, err := config.Load(*file, DefaultConfig())
	if err != nil {
		return err
	}
	cluster, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return serve(ctx, log, cluster, cfg, registry)
}

// serve runs the process's parts until ctx is done.
func serve(ctx context.Context, log *slog.Logger, cluster *rest.Config, cfg Config, registry *prometheus.Registry) error {
	namespace := os.Getenv("POD_NAMESPACE")
	if namespace == "" {
		namespace = systemNamespace
	}
	identity := os.Getenv("POD_NAME")
	if identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("finding a name for this process; set POD_NAME: %w", err)
		}
		identity = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	work, err := newWork(log, cluster, cfg, registry, namespace)
	if err != nil {
		return err
	}
	// Renewals of the lease never wait behind anything.
	free := rest.CopyConfig(cluster)
	free.QPS = -1
	free.Timeout = cfg.LeaderElection.RenewDeadline.Duration / 2
	electing, err := kubernetes.NewForConfig(free)
	if err != nil {
		return fmt.Errorf("making a client for the election: %w", err)
	}
	e := election{client: electing.CoordinationV1(), namespace: namespace, identity: identity, config: cfg.LeaderElection, log: log}
	admin := lifecycle.HTTP{Name: "admin", Addr: cfg.AdminAddress, Server: adminServer(registry)}
	return lifecycle.Run(ctx, log,
		admin.Unit(),
		lifecycle.Unit{Name: "events", Run: work.sendEvents},
		lifecycle.Unit{Name: "leader", Run: func(ctx context.Context) error { return e.lead(ctx, work.run) }},
	)
}

// adminServer answers whether the process is well, and with its metrics. A
// controller that does not lead is ready too: it is ready to.
func adminServer(registry *prometheus.Registry) *http.Server {
	mux := http.NewServeMux()
	well := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
	mux.HandleFunc("GET /healthz", well)
	mux.HandleFunc("GET /readyz", well)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
}

// work is what the leader does.
type work struct {
	log         *slog.Logger
	deployer    *deployer.Controller
	autoscaler  *autoscaler.Controller
	broadcaster events.EventBroadcaster
}

func newWork(log *slog.Logger, cluster *rest.Config, cfg Config, registry *prometheus.Registry, namespace string) (*work, error) {
	w := &work{log: log}
	deploying, err := newClients(cluster, cfg.Kubernetes)
	if err != nil {
		return nil, err
	}
	scaling, err := newClients(cluster, cfg.Kubernetes)
	if err != nil {
		return nil, err
	}
	// Events wait behind nothing, and nothing behind them.
	telling, err := newClients(cluster, KubernetesConfig{QPS: 20, Burst: 100})
	if err != nil {
		return nil, err
	}
	w.broadcaster = events.NewBroadcaster(&events.EventSinkImpl{Interface: telling.kubernetes.EventsV1()})
	recorder := w.broadcaster.NewRecorder(scheme.Scheme, "rawserve-controller")
	w.deployer, err = deployer.New(deployer.Options{
		Kubernetes: deploying.kubernetes, Rawserve: deploying.rawserve, Dynamic: deploying.dynamic,
		Config: cfg.Deployer, Workers: cfg.DeployerWorkers, Events: recorder, Registerer: registry, Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("making the deployer: %w", err)
	}
	metrics, err := collect.New(collect.Options{
		Config: cluster, Parallel: cfg.Autoscaler.MetricQueries, Timeout: cfg.Autoscaler.MetricTimeout.Duration,
	})
	if err != nil {
		return nil, fmt.Errorf("making the collector of metrics: %w", err)
	}
	w.autoscaler, err = autoscaler.New(autoscaler.Options{
		Kubernetes: scaling.kubernetes, Rawserve: scaling.rawserve, Metrics: metrics, Events: recorder, Registerer: registry,
		SystemNamespace: namespace, Tick: cfg.Autoscaler.Tick.Duration, Workers: cfg.Autoscaler.Workers, Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("making the autoscaler: %w", err)
	}
	return w, nil
}

// run works until ctx is done. The autoscaler stops first: without the deployer
// it could go on, but nothing relies on it.
func (w *work) run(ctx context.Context) error {
	return lifecycle.Run(ctx, w.log,
		lifecycle.Unit{Name: "deployer", Run: w.deployer.Run},
		lifecycle.Unit{Name: "autoscaler", Run: w.autoscaler.Run},
	)
}

// sendEvents passes events on to the API server until ctx is done.
func (w *work) sendEvents(ctx context.Context) error {
	if err := w.broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return fmt.Errorf("starting to send events: %w", err)
	}
	<-ctx.Done()
	w.broadcaster.Shutdown()
	return nil
}

// clients are those of one part, with a rate limit of its own.
type clients struct {
	kubernetes kubernetes.Interface
	rawserve   versioned.Interface
	dynamic    dynamic.Interface
}

func newClients(cluster *rest.Config, limits KubernetesConfig) (clients, error) {
	limited := rest.CopyConfig(cluster)
	limited.QPS, limited.Burst = limits.QPS, limits.Burst
	var c clients
	var err error
	if c.kubernetes, err = kubernetes.NewForConfig(limited); err != nil {
		return clients{}, fmt.Errorf("making a client for Kubernetes: %w", err)
	}
	if c.rawserve, err = versioned.NewForConfig(limited); err != nil {
		return clients{}, fmt.Errorf("making a client for rawserve: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfig(limited); err != nil {
		return clients{}, fmt.Errorf("making a dynamic client: %w", err)
	}
	return c, nil
}
