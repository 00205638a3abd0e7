// Package queue runs a reconcile function over named keys with a bounded number
// of workers: one key is never worked on twice at a time, a key added again
// while it waits is worked on once, a failing key is retried with backoff, and a
// panic costs one key's turn and not the process. What a key means and when to
// add it is the caller's.
package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

// Reconcile brings one key up to date. An error retries the key with backoff;
// otherwise a positive duration looks at it again after that time.
type Reconcile func(ctx context.Context, key string) (again time.Duration, err error)

// Options configure a Queue. Name and Reconcile are needed.
type Options struct {
	// Name appears in logs.
	Name string
	// Workers is the largest number of keys worked on at a time. Default 1.
	Workers int
	// Reconcile is called with each key.
	Reconcile Reconcile
	// Timeout bounds one call of Reconcile. Default 30s.
	Timeout time.Duration
	// MinBackoff is the pause after a first failure; it doubles up to MaxBackoff.
	// Defaults 50ms and 30s.
	MinBackoff, MaxBackoff time.Duration
	// Logger defaults to slog.Default.
	Logger *slog.Logger
	// Clock defaults to the real one.
	Clock clock.WithTicker
}

// Queue is a set of keys waiting for their turn. Its methods are safe for
// concurrent use.
type Queue struct {
	options Options
	queue   workqueue.TypedRateLimitingInterface[string]
}

// New checks the options and returns a queue that nothing is done with until Run.
// Keys may be added before.
func New(options Options) (*Queue, error) {
	if options.Name == "" {
		return nil, fmt.Errorf("queue needs a name")
	}
	if options.Reconcile == nil {
		return nil, fmt.Errorf("queue %s needs a reconcile function", options.Name)
	}
	if options.Workers < 0 {
		return nil, fmt.Errorf("queue %s: workers is %d; give 1 or more", options.Name, options.Workers)
	}
	options.Workers = max(options.Workers, 1)
	if options.Timeout <= 0 {
		options.Timeout = 30 * time.Second
	}
	if options.MinBackoff <= 0 {
		options.MinBackoff = 50 * time.Millisecond
	}
	if options.MaxBackoff <= 0 {
		options.MaxBackoff = 30 * time.Second
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](options.MinBackoff, options.MaxBackoff)
	return &Queue{
		options: options,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[string]{
			Name:  options.Name,
			Clock: options.Clock,
		}),
	}, nil
}

// Add gives the key a turn. It never blocks; a key that waits already is not added twice.
func (q *Queue) Add(key string) { q.queue.Add(key) }

// AddAfter gives the key a turn after the time.
func (q *Queue) AddAfter(key string, after time.Duration) { q.queue.AddAfter(key, after) }

// Len is the number of keys that wait for their turn.
func (q *Queue) Len() int { return q.queue.Len() }

// Run works on keys until the context ends, then waits for the calls in flight.
// It may be called once.
func (q *Queue) Run(ctx context.Context) error {
	defer q.queue.ShutDown()
	var workers sync.WaitGroup
	for range q.options.Workers {
		workers.Go(func() {
			for q.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	q.queue.ShutDown()
	workers.Wait()
	return nil
}

func (q *Queue) next(ctx context.Context) bool {
	key, shutdown := q.queue.Get()
	if shutdown {
		return false
	}
	defer q.queue.Done(key)
	// A queue that is shut down hands out what it still holds; that work belongs
	// to the next process, so it is dropped here.
	if ctx.Err() != nil {
		return true
	}
	again, err := q.reconcile(ctx, key)
	switch {
	case err != nil && ctx.Err() != nil:
		// Cut off by the shutdown, nothing to report.
	case err != nil:
		q.options.Logger.Warn("reconcile returned an error, it is tried again", "queue", q.options.Name, "key", key,
			"failures", q.queue.NumRequeues(key)+1, "error", err)
		q.queue.AddRateLimited(key)
	default:
		q.queue.Forget(key)
		if again > 0 {
			q.queue.AddAfter(key, again)
		}
	}
	return true
}

func (q *Queue) reconcile(ctx context.Context, key string) (again time.Duration, err error) {
	defer func() {
		if r := recover(); r != nil {
			q.options.Logger.Error("reconcile panicked", "queue", q.options.Name, "key", key, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("reconciling %s: panic: %v", key, r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, q.options.Timeout)
	defer cancel()
	return q.options.Reconcile(ctx, key)
}
