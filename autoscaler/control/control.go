// Package control runs the autoscaler against a cluster: it observes each Scaler's
// target, route and metrics, asks autoscaler.Decide what is to be, and writes the
// scale, the route's path and the Scaler's status. Beside it runs the path loop,
// which takes each route to the path it is to have.
//
// Exactly one instance may run at a time; the caller elects it.
//
// It needs the rights to
//
//	get, list, watch                 scalers, inferenceroutes (rawserve.dev), deployments (apps),
//	                                 pods, services, endpointslices (discovery.k8s.io)
//	patch                            scalers/status, inferenceroutes, inferenceroutes/status
//	get, update                      deployments/scale
//	create, patch, delete            endpointslices
//	create, patch                    events (events.k8s.io)
//	get, list                        scalers.rawserve.dev/* (custom.metrics.k8s.io)
//	update                           services/finalizers (it owns the slices, where the
//	                                 OwnerReferencesPermissionEnforcement plugin is on)
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler/collect"
	"github.com/rawserve/rawserve/internal/queue"
)

// The field managers of what is written.
const (
	Manager     = "rawserve-autoscaler"
	PathManager = "rawserve-path"
)

// collectFor bounds the reading of all metrics in one tick.
const collectFor = 3 * time.Second

// Metrics reads the metrics of namespaces; collect.Collector is one.
type Metrics interface {
	// Collect reads the given metrics of each namespace. It answers within seconds,
	// with errors for what it could not read.
	Collect(ctx context.Context, wanted map[string][]string) collect.Snapshot
}

// Options are what a Controller needs.
type Options struct {
	// Kubernetes and Rawserve reach the API server. Needed.
	Kubernetes kubernetes.Interface
	Rawserve   versioned.Interface
	// Metrics reads the signals. Needed.
	Metrics Metrics
	// Events takes what users are told. Its scheme has to know the rawserve types
	// (clientset/versioned/scheme does). Needed.
	Events events.EventRecorder
	// Registerer takes the Prometheus metrics. None are kept without.
	Registerer prometheus.Registerer
	// SystemNamespace is where the activators run. Default rawserve-system.
	SystemNamespace string
	// Tick is the time between two looks at every Scaler. Default 1s.
	Tick time.Duration
	// Workers is the number of Scalers, and of routes, worked on at a time. Default 8.
	Workers int
	// Logger defaults to slog.Default, Clock to the real one.
	Logger *slog.Logger
	Clock  clock.WithTicker

	// decided is told of each Scaler and route that was worked on; for tests.
	decided func(queue, key string)
}

// Controller is the autoscaler's loop and the path loop.
type Controller struct {
	options   Options
	clock     clock.WithTicker
	log       *slog.Logger
	metrics   *metrics
	informers *informers
	scalers   *queue.Queue
	routes    *queue.Queue

	// snapshot is what the last tick read.
	snapshot atomic.Pointer[collect.Snapshot]
	// count is the number of Scalers at the last tick, and ticks that of ticks.
	count atomic.Int64
	ticks atomic.Int64

	// mu guards entries, opinions and removed; an entry itself belongs to the worker that
	// has its key, which the queue gives to one at a time.
	mu      sync.Mutex
	entries map[string]*entry
	// opinions has, for each route, the path that each of its Scalers asks for.
	opinions map[string]map[string]opinion
	// removed has the slices that were removed, by name, as long as the cache may
	// still show them.
	removed map[string]types.UID
}

// New checks the options and returns a controller that does nothing until Run.
func New(options Options) (*Controller, error) {
	if options.Kubernetes == nil || options.Rawserve == nil || options.Metrics == nil || options.Events == nil {
		return nil, errors.New("autoscaler needs clients for Kubernetes and rawserve, metrics and an event recorder")
	}
	if options.SystemNamespace == "" {
		options.SystemNamespace = "rawserve-system"
	}
	if options.Tick <= 0 {
		options.Tick = time.Second
	}
	if options.Workers <= 0 {
		options.Workers = 8
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.decided == nil {
		options.decided = func(string, string) {}
	}
	m, err := newMetrics(options.Registerer)
	if err != nil {
		return nil, err
	}
	c := &Controller{
		options:  options,
		clock:    options.Clock,
		log:      options.Logger,
		metrics:  m,
		entries:  map[string]*entry{},
		opinions: map[string]map[string]opinion{},
		removed:  map[string]types.UID{},
	}
	if c.scalers, err = c.queue("scalers", c.reconcileScaler); err != nil {
		return nil, err
	}
	if c.routes, err = c.queue("routes", c.reconcileRoute); err != nil {
		return nil, err
	}
	if c.informers, err = newInformers(options, c.scalers.Add, c.routes.Add, c.forgetRemoved); err != nil {
		return nil, err
	}
	if r := options.Registerer; r != nil {
		paths := &pathCollector{routes: func() []*v1alpha1.InferenceRoute {
			return list[*v1alpha1.InferenceRoute](c.informers.inferenceRoutes)
		}}
		if err := r.Register(paths); err != nil {
			return nil, fmt.Errorf("registering the metrics of paths: %w", err)
		}
	}
	return c, nil
}

func (c *Controller) queue(name string, reconcile queue.Reconcile) (*queue.Queue, error) {
	return queue.New(queue.Options{
		Name:    name,
		Workers: c.options.Workers,
		Timeout: 10 * time.Second,
		// A Scaler is looked at every tick anyway.
		MaxBackoff: 5 * time.Second,
		Logger:     c.log,
		Clock:      c.clock,
		Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
			defer c.options.decided(name, key)
			again, err := reconcile(ctx, key)
			if err != nil && ctx.Err() == nil {
				c.metrics.errors.WithLabelValues(name).Inc()
			}
			return again, err
		},
	})
}

// Run watches the cluster and decides until the context ends. It returns once all
// its goroutines have. It may be called once.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	stop := c.informers.start(ctx)
	defer stop() // waits for the end of what cancel ends
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), c.informers.synced...) {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("filling the caches of the autoscaler")
	}
	// The first look has its metrics, so that nothing is reported as missing that
	// was only not asked for yet.
	c.tick(ctx)
	for _, q := range []*queue.Queue{c.scalers, c.routes} {
		running.Go(func() {
			if err := q.Run(ctx); err != nil {
				c.log.Error("queue ended", "error", err)
			}
		})
	}
	ticker := c.clock.NewTicker(c.options.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			c.tick(ctx)
		}
	}
}

// tick reads the metrics of every namespace that has a Scaler and has every Scaler
// decided on.
func (c *Controller) tick(ctx context.Context) {
	start := c.clock.Now()
	c.ticks.Add(1)
	scalers := c.informers.listScalers()
	c.count.Store(int64(len(scalers)))
	wanted := map[string][]string{}
	for _, s := range scalers {
		if s.DeletionTimestamp != nil {
			continue
		}
		for _, metric := range metricsOf(s) {
			if list := wanted[s.Namespace]; !contains(list, metric) {
				wanted[s.Namespace] = append(list, metric)
			}
		}
	}
	// Values that come later than this are too old to be decided on anyway.
	limited, cancel := context.WithTimeout(ctx, collectFor)
	snapshot := c.options.Metrics.Collect(limited, wanted)
	cancel()
	c.snapshot.Store(&snapshot)
	for _, s := range scalers {
		c.scalers.Add(cache.MetaObjectToName(s).String())
	}
	c.metrics.ticks.Inc()
	c.metrics.collecting.Observe(c.clock.Since(start).Seconds())
}
