package control

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// fleetEnv asks for the large fleet, and says how large.
const fleetEnv = "RAWSERVE_FLEET"

// fleet creates n models.
func (c *cluster) fleet(n int) {
	c.t.Helper()
	names := make(chan int)
	var workers sync.WaitGroup
	errs := make(chan error, n)
	for range 8 {
		workers.Go(func() {
			for i := range names {
				isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("m-%d", i), Namespace: c.namespace}}
				err := yaml.UnmarshalStrict([]byte(iris), &isvc.Spec.Predictor)
				if err == nil {
					_, err = c.rawserve.ServingV1beta1().InferenceServices(c.namespace).Create(context.Background(), isvc, metav1.CreateOptions{})
				}
				errs <- err
			}
		})
	}
	for i := range n {
		names <- i
	}
	close(names)
	workers.Wait()
	close(errs)
	for err := range errs {
		require.NoError(c.t, err)
	}
}

// deployedAll waits until every model of a fleet has a status.
func (c *cluster) deployedAll(n int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		list, err := c.rawserve.ServingV1beta1().InferenceServices(c.namespace).List(c.t.Context(), metav1.ListOptions{})
		require.NoError(c.t, err)
		done := 0
		for _, i := range list.Items {
			if i.Status.Components[v1beta1.ComponentPredictor].LatestCreatedRevision != "" {
				done++
			}
		}
		return done == n
	}, 10*time.Minute, time.Second)
}

func TestListenPortsAreUniqueInTheCluster(t *testing.T) {
	const n = 200
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.fleet(n)
	c.start()
	c.deployedAll(n)
	routes, err := c.rawserve.RawserveV1alpha1().InferenceRoutes(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(routes.Items), n)
	of := map[int32]string{}
	for _, route := range routes.Items {
		for _, p := range route.Spec.Ports {
			name := route.Namespace + "/" + route.Name
			require.Empty(t, of[p.ListenPort], "port %d is that of %s too", p.ListenPort, name)
			of[p.ListenPort] = name
		}
	}
}

// TestALargeFleetIsDeployedInTime measures, with RAWSERVE_FLEET=1000, how long a
// fleet takes from nothing, and a new leader's first look at it.
func TestALargeFleetIsDeployedInTime(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv(fleetEnv))
	if n == 0 {
		t.Skipf("set %s=1000 to measure", fleetEnv)
	}
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.fleet(n)
	begin := time.Now()
	r := c.start()
	c.deployedAll(n)
	took := time.Since(begin)
	t.Logf("%d InferenceServices rendered and applied in %s with %d writes", n, took.Round(10*time.Millisecond), r.writes.count())
	r.stop()

	begin = time.Now()
	second := c.start()
	require.Eventually(t, func() bool { return second.passes() >= uint64(n) && second.queue.Len() == 0 }, 10*time.Minute, 20*time.Millisecond)
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("a new leader's look at them took %s, with %d writes; heap %d MiB", time.Since(begin).Round(10*time.Millisecond), second.writes.count(), memory.HeapAlloc>>20)
	require.Empty(t, second.writes.since(0))
	require.Less(t, took, time.Duration(n)*60*time.Millisecond, "1,000 in a minute")
}
