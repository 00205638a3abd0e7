package control

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
	"github.com/rawserve/rawserve/autoscaler/collect"
)

// many answers for any number of Scalers, half of which are busy.
type many struct {
	clock    *testclock.FakeClock
	snapshot collect.Snapshot
}

func (m *many) Collect(context.Context, map[string][]string) collect.Snapshot { return m.snapshot }

// BenchmarkTickOf10000Scalers is the work of one tick in which nothing has to be
// written: everything but the queries and the queue.
func BenchmarkTickOf10000Scalers(b *testing.B) {
	const n = 10_000
	clock := testclock.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	unreachable := &rest.Config{Host: "http://127.0.0.1:1"}
	c, err := New(Options{
		Kubernetes: kubernetes.NewForConfigOrDie(unreachable), Rawserve: versioned.NewForConfigOrDie(unreachable),
		Metrics: &many{clock: clock}, Events: events.NewFakeRecorder(1), Clock: clock,
	})
	require.NoError(b, err)
	one := int32(1)
	values := map[string]map[string]collect.Value{}
	for _, metric := range []string{collect.Concurrency, collect.ReportingPods, collect.Waiting} {
		values[metric] = make(map[string]collect.Value, n)
	}
	for i := range n {
		name := fmt.Sprintf("model-%d-predictor", i)
		meta := metav1.ObjectMeta{Name: name, Namespace: "ml", UID: types.UID(name), Generation: 1, ResourceVersion: "7"}
		require.NoError(b, c.informers.scalers.GetStore().Add(&v1alpha1.Scaler{ObjectMeta: meta,
			Spec: v1alpha1.ScalerSpec{ScaleTargetRef: v1alpha1.ScaleTargetRef{Name: name}}}))
		require.NoError(b, c.informers.deployments.GetStore().Add(&appsv1.Deployment{ObjectMeta: meta,
			Spec: appsv1.DeploymentSpec{Replicas: &one}, Status: appsv1.DeploymentStatus{ReadyReplicas: 1}}))
	}
	tick := func() {
		clock.Step(time.Second)
		for i := range n {
			name := fmt.Sprintf("model-%d-predictor", i)
			values[collect.Concurrency][name] = collect.Value{Value: float64(10 * (i % 2)), At: clock.Now(), Over: time.Second}
			values[collect.ReportingPods][name] = collect.Value{Value: 1, At: clock.Now()}
			values[collect.Waiting][name] = collect.Value{At: clock.Now()}
		}
		c.snapshot.Store(&collect.Snapshot{"ml": {Values: values}})
		c.count.Store(n)
	}
	turns := func() {
		for _, s := range c.informers.listScalers() {
			if _, err := c.reconcileScaler(b.Context(), s.Namespace+"/"+s.Name); err != nil {
				b.Fatal(err)
			}
		}
	}
	// The first status would be written; here it has been.
	for range 65 {
		tick()
		for _, s := range c.informers.listScalers() {
			e := c.entry(s.Namespace+"/"+s.Name, s)
			_, seen := c.observe(e, s)
			d, state := autoscaler.Decide(e.policy, e.state, seen)
			e.state, e.status, e.statusWritten = state, c.statusOf(e, s, seen, d), clock.Now()
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		tick()
		b.StartTimer()
		turns()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "us/scaler")
}
