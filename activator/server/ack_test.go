package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// fakeAcks keeps what was written. A route's writes wait for its gate, if it has
// one, and fail with its error, if it has one.
type fakeAcks struct {
	mu      sync.Mutex
	gates   map[string]chan struct{}
	errs    map[string]error
	written map[string]v1alpha1.ActivatorAck
	tried   chan string
}

func newFakeAcks() *fakeAcks {
	return &fakeAcks{
		gates: map[string]chan struct{}{}, errs: map[string]error{},
		written: map[string]v1alpha1.ActivatorAck{}, tried: make(chan string, 1000),
	}
}

func (f *fakeAcks) Acknowledge(ctx context.Context, route types.NamespacedName, _ types.UID, entry v1alpha1.ActivatorAck) error {
	f.tried <- route.Name
	f.mu.Lock()
	gate, err := f.gates[route.Name], f.errs[route.Name]
	f.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written[route.Name] = entry
	return nil
}

// routeOn is a route with a path, on a port of its own.
func routeOn(t *testing.T, name string, path v1alpha1.PathMode) *v1alpha1.InferenceRoute {
	return &v1alpha1.InferenceRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "models", Name: name, UID: types.UID(name), Generation: 3},
		Spec: v1alpha1.InferenceRouteSpec{
			ServiceName: name, Path: path,
			Ports:   []v1alpha1.RoutePort{{ServicePort: 80, TargetPort: 8080, ListenPort: int32(freePort(t))}},
			Targets: []v1alpha1.RouteTarget{{Revision: name, DeploymentName: name, Weight: 100, PodSelector: map[string]string{"r": name}}},
		},
	}
}

// following is an activator that follows a store of routes.
func following(t *testing.T, acks *fakeAcks, wait time.Duration, routes ...*v1alpha1.InferenceRoute) (s *Server, store cache.Store, changed chan struct{}) {
	r := newRig(t, func(c *Config) { c.Kubernetes.AckWait.Duration = wait })
	r.s.acks = newAcker(acks, "activator-1", slog.New(slog.DiscardHandler))
	store = cache.NewStore(cache.MetaNamespaceKeyFunc)
	for _, o := range routes {
		require.NoError(t, store.Add(o))
	}
	changed = make(chan struct{}, 1)
	ctx, stop := context.WithCancel(context.Background())
	r.s.acks.open()
	var work sync.WaitGroup
	work.Go(func() { r.s.acks.run(ctx) })
	work.Go(func() { r.s.follow(ctx, store, changed) })
	t.Cleanup(func() {
		stop()
		work.Wait()
	})
	return r.s, store, changed
}

func becomesReady(t *testing.T, s *Server) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Ready() == nil }, 10*time.Second, time.Millisecond)
}

func TestReadinessWaitsForTheAcknowledgementsOfRoutesThroughActivators(t *testing.T) {
	acks := newFakeAcks()
	acks.gates["zero"], acks.gates["split"], acks.gates["warm"] = make(chan struct{}), make(chan struct{}), make(chan struct{})
	leaving := routeOn(t, "leaving", v1alpha1.PathDirect)
	leaving.Status.Path.Mode = v1alpha1.PathActivator
	s, _, _ := following(t, acks, time.Hour, leaving,
		routeOn(t, "zero", v1alpha1.PathActivator), routeOn(t, "split", v1alpha1.PathActivatorOnly), routeOn(t, "warm", v1alpha1.PathDirect))
	tried := map[string]bool{}
	for len(tried) < 4 {
		tried[<-acks.tried] = true
	}
	require.Eventually(t, func() bool {
		err := s.Ready()
		return err != nil && err.Error() == "acknowledgements of 2 routes that lead through activators are not written yet"
	}, 10*time.Second, time.Millisecond)
	close(acks.gates["zero"])
	close(acks.gates["split"])
	becomesReady(t, s)
	close(acks.gates["warm"])
}

func TestAnAPIServerThatIsAwayDelaysReadinessOnlySoLong(t *testing.T) {
	acks := newFakeAcks()
	acks.errs["zero"] = errors.New("connection refused")
	s, _, _ := following(t, acks, 300*time.Millisecond, routeOn(t, "zero", v1alpha1.PathActivator))
	require.Equal(t, "zero", <-acks.tried)
	require.Error(t, s.Ready())
	becomesReady(t, s)
}

func TestReadinessDoesNotWaitForWhatNeedNotBeWritten(t *testing.T) {
	restarted := routeOn(t, "restarted", v1alpha1.PathActivator)
	restarted.Status.Activators = []v1alpha1.ActivatorAck{{Name: "activator-1", Generation: 3}}
	for name, c := range map[string]struct {
		err   error
		route *v1alpha1.InferenceRoute
	}{
		"it is there from before a restart": {errors.New("connection refused"), restarted},
		"the route is gone":                 {apierrors.NewNotFound(schema.GroupResource{}, "gone"), routeOn(t, "gone", v1alpha1.PathActivator)},
		"the API server will never take it": {apierrors.NewInvalid(schema.GroupKind{}, "odd", nil), routeOn(t, "odd", v1alpha1.PathActivator)},
	} {
		t.Run(name, func(t *testing.T) {
			acks := newFakeAcks()
			acks.errs[c.route.Name] = c.err
			s, _, _ := following(t, acks, time.Hour, c.route)
			becomesReady(t, s)
		})
	}
}

func TestReadinessDoesNotWaitForARouteThatWasDeletedMeanwhile(t *testing.T) {
	acks := newFakeAcks()
	acks.gates["zero"] = make(chan struct{})
	zero := routeOn(t, "zero", v1alpha1.PathActivator)
	s, store, changed := following(t, acks, time.Hour, zero)
	require.Equal(t, "zero", <-acks.tried)
	require.NoError(t, store.Delete(zero))
	changed <- struct{}{}
	becomesReady(t, s)
	close(acks.gates["zero"])
}

func TestRoutesThroughActivatorsAreAcknowledgedFirst(t *testing.T) {
	urgent := map[string]bool{}
	q := newAckQueue(func(key types.NamespacedName) bool { return urgent[key.Name] })
	key := func(name string) types.NamespacedName { return types.NamespacedName{Namespace: "models", Name: name} }
	for i := range 3 {
		q.Push(key(fmt.Sprint("warm", i)))
	}
	for i := range 2 {
		name := fmt.Sprint("zero", i)
		urgent[name] = true
		q.Push(key(name))
	}
	// One that waits goes to zero.
	urgent["warm1"] = true
	q.Touch(key("warm1"))
	q.Touch(key("warm2"))
	q.Touch(key("not queued"))
	require.Equal(t, 5, q.Len())
	var order []string
	for q.Len() > 0 {
		order = append(order, q.Pop().Name)
	}
	require.Equal(t, []string{"zero0", "zero1", "warm1", "warm0", "warm2"}, order)
	q.Push(key("warm1"))
	require.Equal(t, 1, q.Len())
	require.Equal(t, "warm1", q.Pop().Name)
}
