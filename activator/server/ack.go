package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// Acks writes one activator's entry into the status of a route.
type Acks interface {
	Acknowledge(ctx context.Context, route types.NamespacedName, uid types.UID, entry v1alpha1.ActivatorAck) error
}

// ackWorkers is how many acknowledgements are written at a time: enough for the
// rate that the client allows at 50 ms a write.
const ackWorkers = 16

// acker brings the acknowledgements in the routes' status up to what this
// activator serves. Several changes of a route before its turn are one write.
type acker struct {
	writer Acks
	pod    string
	log    *slog.Logger
	queue  workqueue.TypedRateLimitingInterface[types.NamespacedName]
	// paid is closed once no acknowledgement is owed that readiness waits for.
	paid chan struct{}

	// The queue asks for mu, so nobody may use the queue with mu held.
	mu     sync.Mutex
	wanted map[types.NamespacedName]wantedAck
	// owed are the routes that led through activators when the first routes were
	// applied, as long as their acknowledgement is not written; nil before that.
	owed map[types.NamespacedName]bool
	// unsaid are the routes whose status does not say yet what it should.
	unsaid map[types.NamespacedName]bool
}

type wantedAck struct {
	uid   types.UID
	entry v1alpha1.ActivatorAck
	// urgent is set where requests come to activators, or are about to.
	urgent bool
}

func newAcker(writer Acks, pod string, log *slog.Logger) *acker {
	return &acker{writer: writer, pod: pod, log: log, paid: make(chan struct{}), wanted: map[types.NamespacedName]wantedAck{}, unsaid: map[types.NamespacedName]bool{}}
}

// open makes the queue, which works in goroutines of its own until run ends it.
func (a *acker) open() {
	type key = types.NamespacedName
	limit := workqueue.NewTypedItemExponentialFailureRateLimiter[key](50*time.Millisecond, 10*time.Second)
	inOrder := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[key]{Queue: newAckQueue(a.urgent)})
	delaying := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[key]{Queue: inOrder})
	a.queue = workqueue.NewTypedRateLimitingQueueWithConfig(limit, workqueue.TypedRateLimitingQueueConfig[key]{DelayingQueue: delaying})
}

func (a *acker) urgent(key types.NamespacedName) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wanted[key].urgent
}

// want sets what the routes' status should say. What it says already, as far as
// the objects know, is not written again.
func (a *acker) want(objects []*v1alpha1.InferenceRoute, acks map[types.NamespacedName]ack) {
	wanted := make(map[types.NamespacedName]wantedAck, len(objects))
	owed := map[types.NamespacedName]bool{}
	for _, o := range objects {
		key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		word := acks[key]
		w := wantedAck{
			uid:    o.UID,
			entry:  v1alpha1.ActivatorAck{Name: a.pod, Generation: word.generation, Message: word.message},
			urgent: activator.ThroughActivators(o),
		}
		wanted[key] = w
		if w.urgent && !slices.Contains(o.Status.Activators, w.entry) {
			owed[key] = true
		}
	}
	a.mu.Lock()
	a.wanted = wanted
	maps.DeleteFunc(a.unsaid, func(key types.NamespacedName, _ bool) bool { _, ok := wanted[key]; return !ok })
	if a.owed == nil {
		a.owed = owed
	}
	for key := range a.owed {
		if !owed[key] {
			delete(a.owed, key)
		}
	}
	a.checkPaid()
	a.mu.Unlock()
	for _, o := range objects {
		a.check(o)
	}
}

// settle notes that a route's acknowledgement is not owed any more, unless it
// has become another one meanwhile.
func (a *acker) settle(key types.NamespacedName, written wantedAck) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wanted[key] != written {
		return
	}
	delete(a.owed, key)
	delete(a.unsaid, key)
	a.checkPaid()
}

// checkPaid is called with the lock held.
func (a *acker) checkPaid() {
	if a.owed == nil || len(a.owed) > 0 {
		return
	}
	select {
	case <-a.paid:
	default:
		close(a.paid)
	}
}

// owing is the number of acknowledgements that readiness waits for, and whether
// the routes are known at all.
func (a *acker) owing() (n int, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.owed), a.owed != nil
}

// unsay notes that the route's status does not say yet what it should.
func (a *acker) unsay(key types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unsaid[key] = true
}

// state is the word that is given for a route.
func (a *acker) state(key types.NamespacedName) AckState {
	a.mu.Lock()
	defer a.mu.Unlock()
	w, ok := a.wanted[key]
	return AckState{Generation: w.entry.Generation, Message: w.entry.Message, Written: ok && !a.unsaid[key]}
}

// unwritten is the number of routes whose status does not say yet what it should.
func (a *acker) unwritten() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.unsaid)
}

// check queues a route whose status does not say what it should.
func (a *acker) check(o *v1alpha1.InferenceRoute) {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	a.mu.Lock()
	wanted, ok := a.wanted[key]
	a.mu.Unlock()
	if !ok || wanted.uid != o.UID || wanted.entry.Generation < o.Generation {
		// Not applied yet; it comes again when it is.
		return
	}
	if slices.Contains(o.Status.Activators, wanted.entry) {
		a.settle(key, wanted)
		return
	}
	a.unsay(key)
	a.queue.Add(key)
}

// run writes until ctx is done.
func (a *acker) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range ackWorkers {
		workers.Go(func() {
			for a.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	a.queue.ShutDown()
	workers.Wait()
}

func (a *acker) next(ctx context.Context) bool {
	key, stop := a.queue.Get()
	if stop {
		return false
	}
	defer a.queue.Done(key)
	a.mu.Lock()
	wanted, ok := a.wanted[key]
	a.mu.Unlock()
	if !ok {
		a.queue.Forget(key)
		return true
	}
	writing, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := a.writer.Acknowledge(writing, key, wanted.uid, wanted.entry)
	switch {
	case err == nil, apierrors.IsNotFound(err):
		a.settle(key, wanted)
		a.queue.Forget(key)
	case ctx.Err() != nil:
	default:
		if apierrors.IsInvalid(err) {
			// It is tried again, but nothing says that it will ever be taken.
			a.settle(key, wanted)
			a.unsay(key)
		}
		a.log.Warn("cannot acknowledge", "namespace", key.Namespace, "route", key.Name, "error", err)
		a.queue.AddRateLimited(key)
	}
	return true
}

// KubeAcks is Acks on a cluster.
type KubeAcks struct{ Client versioned.Interface }

// Acknowledge applies the entry to the route's status under a field manager of
// the activator's own, so that each activator owns its entry and no other. The
// UID keeps it from being written to a new route of the same name.
func (k KubeAcks) Acknowledge(ctx context.Context, route types.NamespacedName, uid types.UID, entry v1alpha1.ActivatorAck) error {
	patch, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(),
		"kind":       "InferenceRoute",
		"metadata":   map[string]any{"name": route.Name, "namespace": route.Namespace, "uid": uid},
		"status":     map[string]any{"activators": []v1alpha1.ActivatorAck{entry}},
	})
	if err != nil {
		return fmt.Errorf("encoding the acknowledgement: %w", err)
	}
	force := true
	_, err = k.Client.RawserveV1alpha1().InferenceRoutes(route.Namespace).Patch(ctx, route.Name, types.ApplyPatchType, patch,
		metav1.PatchOptions{FieldManager: fieldManager + "-" + entry.Name, Force: &force}, "status")
	if err != nil {
		return fmt.Errorf("applying the status of inferenceroute %s: %w", route, err)
	}
	return nil
}
