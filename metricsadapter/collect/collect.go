// Package collect fills the store: it watches pods, Scalers, InferenceRoutes and
// InferenceServices, and asks every agent and activator for its counters once a
// second. What the counters mean is the store's affair.
package collect

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

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/metricsadapter/store"
)

// warmUp is how long after the caches have synced every pod has been asked twice,
// so that there is a mean. A replica that is ready before answers that it knows
// nothing, while the other one knows.
const warmUp = 2*period + timeout

// Options are what a Collector needs.
type Options struct {
	// Store is filled.
	Store *store.Store
	// Kube watches pods.
	Kube kubernetes.Interface
	// Rawserve watches Scalers and InferenceRoutes.
	Rawserve versioned.Interface
	// Metadata watches InferenceServices, of which only names and labels matter.
	Metadata metadata.Interface
	// Namespace is our own, where the activators are.
	Namespace string
	// Workers is how many questions may be open at a time. Default 128.
	Workers int
	// Registerer gets the metrics of the collector. Default: none.
	Registerer prometheus.Registerer
	// Log gets targets that are lost or recovered. Default: slog.Default.
	Log *slog.Logger
}

// Collector fills a store. Make one with New.
type Collector struct {
	opts    Options
	wheel   *wheel
	client  *http.Client
	metrics *metrics
	readyAt atomic.Pointer[time.Time]
}

// New checks the options. Nothing is watched or asked before Run.
func New(o Options) (*Collector, error) {
	if o.Store == nil || o.Kube == nil || o.Rawserve == nil || o.Metadata == nil {
		return nil, errors.New("collector needs a store and clients for pods, scalers and metadata")
	}
	if o.Namespace == "" {
		return nil, errors.New("collector needs the namespace of the activators")
	}
	if o.Workers < 0 {
		return nil, fmt.Errorf("workers: %d is less than 0", o.Workers)
	}
	if o.Workers == 0 {
		o.Workers = 128
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	c := &Collector{opts: o, wheel: newWheel(), client: newClient(), metrics: newMetrics(o.Store)}
	if o.Registerer != nil {
		if err := c.metrics.register(o.Registerer); err != nil {
			return nil, fmt.Errorf("registering the collector's metrics: %w", err)
		}
	}
	return c, nil
}

// Run watches and asks until ctx is done, and returns when all of it has ended.
func (c *Collector) Run(ctx context.Context) error {
	stop, err := c.watch(ctx)
	if err != nil {
		return err
	}
	defer stop()
	c.ask(ctx)
	c.client.CloseIdleConnections()
	return nil
}

// Ready returns nil once everything is known that there is to know, for readiness checks.
func (c *Collector) Ready() error {
	at := c.readyAt.Load()
	if at == nil {
		return errors.New("watches have not synced yet")
	}
	if time.Now().Before(*at) {
		return errors.New("pods have not been read twice yet")
	}
	return nil
}

// ask turns the wheel and lets the workers ask until ctx is done. The queue holds
// as many as there are workers; a target that finds it full waits for its next turn.
func (c *Collector) ask(ctx context.Context) {
	queue := make(chan *turn, c.opts.Workers)
	var workers sync.WaitGroup
	for range c.opts.Workers {
		workers.Go(func() {
			for t := range queue {
				c.scrape(ctx, t)
			}
		})
	}
	c.wheel.turnRound(ctx, func(t *turn) bool {
		select {
		case queue <- t:
			return true
		default:
			c.metrics.skipped.Inc()
			return false
		}
	})
	close(queue)
	workers.Wait()
}

// scrape asks one target and gives its answer to the store. The reading is dated
// back to the question, so that it never looks younger than it is.
func (c *Collector) scrape(ctx context.Context, t *turn) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	asked := time.Now()
	err := c.read(ctx, t.target, asked)
	answered := time.Now()
	result := resultOf(err)
	c.metrics.scrapes.WithLabelValues(string(t.kind), string(result)).Inc()
	c.metrics.seconds.WithLabelValues(string(t.kind)).Observe(answered.Sub(asked).Seconds())

	log := c.opts.Log.With("target", t.kind, "namespace", t.key.Namespace, "pod", t.key.Name)
	// What the store drops as too early or too late is no failure of the target.
	switch c.wheel.done(t, outcome{failed: result != resultOK && result != resultDropped, timeout: result == resultTimeout}, answered) {
	case lost:
		log.Warn("cannot read a pod's counters", "error", err)
	case recovered:
		log.Info("a pod's counters can be read again")
	case unchanged:
		if err != nil {
			log.Debug("reading a pod's counters", "error", err)
		}
	}
}

func (c *Collector) read(ctx context.Context, t target, at time.Time) error {
	if t.kind == kindActivator {
		var r store.ActivatorReading
		if err := getJSON(ctx, c.client, t.url, activatorLimit, &r); err != nil {
			return err
		}
		return c.opts.Store.ObserveActivator(t.key, t.uid, r, at)
	}
	var r store.AgentReading
	if err := getJSON(ctx, c.client, t.url, agentLimit, &r); err != nil {
		return err
	}
	return c.opts.Store.ObserveAgent(t.key, t.uid, r, at)
}

// resultOf sorts an error by what it says about the target.
func resultOf(err error) result {
	var network net.Error
	switch {
	case err == nil:
		return resultOK
	case errors.Is(err, store.ErrTooSoon), errors.Is(err, store.ErrOutOfOrder), errors.Is(err, store.ErrUnknown):
		return resultDropped
	case errors.As(err, &network) && network.Timeout():
		return resultTimeout
	case errors.As(err, &network):
		return resultUnreachable
	default:
		return resultInvalid
	}
}
