// Package collect reads the autoscaler's signals from the custom metrics API: one
// query per namespace and metric brings the values of all Scalers of a namespace.
// It judges how old a value is and how many pods stand behind it; what follows
// from that is the decision's.
package collect

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	custommetrics "k8s.io/metrics/pkg/client/custom_metrics"
	"k8s.io/utils/clock"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// The metrics that are read.
const (
	Concurrency   = "inference_concurrency"
	RPS           = "inference_requests_per_second"
	Waiting       = "inference_waiting"
	ReportingPods = "inference_reporting_pods"
)

// scalerKind is what the metrics describe.
var scalerKind = schema.GroupKind{Group: v1alpha1.SchemeGroupVersion.Group, Kind: "Scaler"}

// Options configure a Collector.
type Options struct {
	// Config reaches the API server. Its rate limit is not used: the number of
	// queries is bounded by Parallel.
	Config *rest.Config
	// Parallel is the largest number of queries at a time. Default 16.
	Parallel int
	// Timeout bounds one query. Default 2s.
	Timeout time.Duration
	// Clock defaults to the real one.
	Clock clock.PassiveClock
}

// Collector reads metrics. Its methods are safe for concurrent use.
type Collector struct {
	client   custommetrics.CustomMetricsClient
	versions *versions
	parallel int
}

// New returns a collector; it asks nothing of the API server yet.
func New(options Options) (*Collector, error) {
	if options.Config == nil {
		return nil, fmt.Errorf("collector needs a client configuration")
	}
	if options.Parallel <= 0 {
		options.Parallel = 16
	}
	if options.Timeout <= 0 {
		options.Timeout = 2 * time.Second
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	config := rest.CopyConfig(options.Config)
	config.Timeout = options.Timeout
	config.QPS, config.Burst, config.RateLimiter = -1, 0, nil
	discover, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a discovery client: %w", err)
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.SchemeGroupVersion})
	mapper.Add(v1alpha1.SchemeGroupVersion.WithKind(scalerKind.Kind), meta.RESTScopeNamespace)
	versions := &versions{discover: discover, clock: options.Clock}
	return &Collector{
		client:   custommetrics.NewForConfig(config, mapper, versions),
		versions: versions,
		parallel: options.Parallel,
	}, nil
}

// Collect reads the given metrics of each namespace. What cannot be read is in the
// answer as an error, so there is always one.
func (c *Collector) Collect(ctx context.Context, wanted map[string][]string) Snapshot {
	type query struct{ namespace, metric string }
	queries := make(chan query)
	snapshot := Snapshot{}
	for namespace := range wanted {
		snapshot[namespace] = Namespace{Values: map[string]map[string]Value{}, Errors: map[string]string{}}
	}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range c.parallel {
		workers.Go(func() {
			for q := range queries {
				values, err := c.read(q.namespace, q.metric)
				mu.Lock()
				if err != nil {
					snapshot[q.namespace].Errors[q.metric] = err.Error()
				} else {
					snapshot[q.namespace].Values[q.metric] = values
				}
				mu.Unlock()
			}
		})
	}
	for namespace, metrics := range wanted {
		for _, metric := range metrics {
			select {
			case queries <- query{namespace, metric}:
			case <-ctx.Done():
				mu.Lock()
				snapshot[namespace].Errors[metric] = ctx.Err().Error()
				mu.Unlock()
			}
		}
	}
	close(queries)
	workers.Wait()
	return snapshot
}

// read asks for the metric of all Scalers of a namespace. The client of k8s.io/metrics
// takes no context; the timeout of its configuration bounds the call.
func (c *Collector) read(namespace, metric string) (map[string]Value, error) {
	list, err := c.client.NamespacedMetrics(namespace).GetForObjects(scalerKind, labels.Everything(), metric, labels.Everything())
	if apierrors.IsNotFound(err) {
		// The adapter says in words why it has no value.
		return nil, err
	}
	if err != nil {
		c.versions.Invalidate()
		return nil, fmt.Errorf("reading %s of the Scalers in %s: %w", metric, namespace, err)
	}
	values := make(map[string]Value, len(list.Items))
	for i := range list.Items {
		item := &list.Items[i]
		value := Value{Value: item.Value.AsApproximateFloat64(), At: item.Timestamp.Time}
		if s := item.WindowSeconds; s != nil && *s > 0 {
			value.Over = time.Duration(min(*s, 3600)) * time.Second
		}
		values[item.DescribedObject.Name] = value
	}
	return values, nil
}
