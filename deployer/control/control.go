// Package control keeps the objects of InferenceServices as deployer.Render wants
// them, and their status as status.Compute does. It watches what these look at,
// runs one pass per InferenceService and event, and writes only what differs:
// a pass over one that is as it should be makes no write.
//
// One controller at a time may run in a cluster; electing it is left to callers.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/client/informers/externalversions"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/ports"
	"github.com/rawserve/rawserve/internal/queue"
)

// Options configure a Controller. Kubernetes, Rawserve, Dynamic and Config are needed.
type Options struct {
	// Kubernetes reads core objects.
	Kubernetes kubernetes.Interface
	// Rawserve reads InferenceServices and rawserve's own objects, and writes status.
	Rawserve versioned.Interface
	// Dynamic writes all objects.
	Dynamic dynamic.Interface
	// Config is the configuration of rendering.
	Config deployer.Config
	// Workers is how many InferenceServices are worked on at a time. Default 8.
	Workers int
	// Events receives events about InferenceServices. Nil drops them.
	Events events.EventRecorder
	// Registerer receives the metrics. Nil keeps them to itself.
	Registerer prometheus.Registerer
	// Logger defaults to slog.Default.
	Logger *slog.Logger
	// Clock defaults to the real one.
	Clock clock.WithTicker
}

// Controller runs the deployer against a cluster.
type Controller struct {
	Options
	defaults v1beta1.DefaultsConfig
	metrics  *metrics
	queue    *queue.Queue
	applier  *applier

	kube     informers.SharedInformerFactory
	rawserve externalversions.SharedInformerFactory
	caches   caches
	// delivered says of each handler whether it has seen what its cache began with.
	delivered []cache.InformerSynced

	credentials credentialCache
	statuses    statusVersions
	failures    failures

	portsMu sync.Mutex
	ports   ports.Book
}

// New checks the options and returns a controller that does nothing until Run.
func New(options Options) (*Controller, error) {
	if options.Kubernetes == nil || options.Rawserve == nil || options.Dynamic == nil {
		return nil, errors.New("the deployer needs the clients Kubernetes, Rawserve and Dynamic")
	}
	if err := options.Config.Validate(); err != nil {
		return nil, fmt.Errorf("checking the deployer's configuration: %w", err)
	}
	if options.Workers < 0 {
		return nil, fmt.Errorf("workers is %d; give 1 or more, or 0 for the default", options.Workers)
	}
	if options.Workers == 0 {
		options.Workers = 8
	}
	if options.Events == nil {
		options.Events = &events.FakeRecorder{}
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	metrics, err := newMetrics(options.Registerer)
	if err != nil {
		return nil, err
	}
	mine := informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = v1beta1.LabelInferenceService })
	c := &Controller{
		Options:  options,
		defaults: defaultsFrom(options.Config),
		metrics:  metrics,
		applier:  &applier{client: options.Dynamic, clock: options.Clock, metrics: metrics, last: map[objectKey]written{}},
		kube:     informers.NewSharedInformerFactoryWithOptions(options.Kubernetes, 0, mine),
		rawserve: externalversions.NewSharedInformerFactory(options.Rawserve, 0),
		credentials: credentialCache{
			entries: map[string]credentialEntry{},
		},
		statuses: statusVersions{written: map[string]string{}},
		failures: failures{byKey: map[string]failure{}},
	}
	c.queue, err = queue.New(queue.Options{
		Name: "deployer", Workers: options.Workers, Reconcile: c.reconcile, Logger: options.Logger, Clock: options.Clock,
	})
	if err != nil {
		return nil, fmt.Errorf("making the deployer's queue: %w", err)
	}
	if err := c.watch(); err != nil {
		return nil, fmt.Errorf("preparing the deployer's watches: %w", err)
	}
	return c, nil
}

// defaultsFrom are the defaults of InferenceServices under a configuration.
func defaultsFrom(cfg deployer.Config) v1beta1.DefaultsConfig {
	defaults := v1beta1.StockDefaults()
	defaults.Resources = cfg.DefaultResources
	defaults.NoServiceAccountToken = cfg.AutoMountServiceAccountToken != nil && !*cfg.AutoMountServiceAccountToken
	return defaults
}

// Run works until the context ends, and returns when all it started has ended.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	// Factories wait for their watches, which end with the context.
	defer c.rawserve.Shutdown()
	defer c.kube.Shutdown()
	defer cancel()
	c.kube.StartWithContext(ctx)
	c.rawserve.StartWithContext(ctx)

	begin := c.Clock.Now()
	if !cache.WaitForCacheSync(ctx.Done(), c.delivered...) {
		return nil
	}
	c.Logger.Info("deployer starts", "models", len(c.caches.isvcs.ListKeys()), "synced", c.Clock.Since(begin).Round(time.Millisecond))
	err := c.queue.Run(ctx)
	c.Logger.Info("deployer stops")
	return err
}

// maxNote is how long the text of an event may be.
const maxNote = 1000

// event writes an event about an InferenceService.
func (c *Controller) event(isvc *v1beta1.InferenceService, e event) {
	ref := &corev1.ObjectReference{
		APIVersion: v1beta1.SchemeGroupVersion.String(), Kind: isvcKind,
		Namespace: isvc.Namespace, Name: isvc.Name, UID: isvc.UID, ResourceVersion: isvc.ResourceVersion,
	}
	note := e.message
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote], "") + "…"
	}
	c.Events.Eventf(ref, nil, e.kind, e.reason, "Reconcile", "%s", note)
}
