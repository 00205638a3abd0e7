package collect

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	rawservefake "github.com/rawserve/rawserve/api/client/clientset/versioned/fake"
	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/metricsadapter/store"
)

// answering starts a server on loopback and returns its address.
func answering(t testing.TB, h http.HandlerFunc) (string, int32) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	host, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	n, err := strconv.ParseInt(port, 10, 32)
	require.NoError(t, err)
	return host, int32(n)
}

func TestUnusableAnswersAreRefused(t *testing.T) {
	good := `{"startedAt": 1, "now": 2, "inflight": 1, "inflightSeconds": 0.5, "requests": 3, "completed": 2, "queued": 0}`
	var elsewhere atomic.Int32
	host, port := answering(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	rows := map[string]struct {
		answer http.HandlerFunc
		err    string
	}{
		"a good one": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good) }, ""},
		"a good one with more fields": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Replace(good, "{", `{"later": true, `, 1))
		}, ""},
		"an error": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, good, http.StatusInternalServerError) }, "status 500"},
		"a redirect to somebody else": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, statsURL(host, port), http.StatusFound)
		}, "status 302"},
		"too much":                   {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good, strings.Repeat(" ", agentLimit)) }, "more than 16384 bytes"},
		"two documents":              {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good, good) }, "something follows"},
		"no JSON":                    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "requests_total 3") }, "unusable answer"},
		"a number that is a text":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Replace(good, "3", `"3"`, 1)) }, "unusable answer"},
		"a number beyond all":        {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Replace(good, "0.5", "1e999", 1)) }, "unusable answer"},
		"not a field that is needed": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }, "startedAt: "},
		"a negative number":          {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Replace(good, "3", "-3", 1)) }, "requests: "},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			s := store.New()
			p := modelPod("a", "127.0.0.1", 1)
			known, _ := podOf(p)
			s.SetPod(known)
			c := &Collector{opts: Options{Store: s}, client: newClient()}
			host, port := answering(t, row.answer)
			at, _ := agentTarget(modelPod("a", host, port))
			err := c.read(t.Context(), at, time.Now())
			if row.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.err)
			require.Equal(t, resultInvalid, resultOf(err))
		})
	}
	require.Zero(t, elsewhere.Load(), "nobody is called on a pod's word")
}

func TestPodThatDoesNotAnswerInTimeIsATimeoutAndOneThatIsNotThereIsUnreachable(t *testing.T) {
	c := &Collector{opts: Options{Store: store.New()}, client: newClient()}
	release := make(chan struct{})
	host, port := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	at, _ := agentTarget(modelPod("a", host, port))
	require.Equal(t, resultTimeout, resultOf(c.read(ctx, at, time.Now())))

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := ln.Addr().(*net.TCPAddr).Port
	require.NoError(t, ln.Close())
	at, _ = agentTarget(modelPod("a", "127.0.0.1", int32(closed)))
	require.Equal(t, resultUnreachable, resultOf(c.read(t.Context(), at, time.Now())))
}

// ticking answers as an agent would whose pod always has some requests inside.
func ticking(concurrency float64, perSecond float64) http.HandlerFunc {
	start := time.Now()
	return func(w http.ResponseWriter, _ *http.Request) {
		s := time.Since(start).Seconds()
		fmt.Fprintf(w, `{"startedAt": %d, "now": %d, "inflight": %d, "inflightSeconds": %g, "requests": %d}`,
			start.UnixNano(), start.Add(time.Since(start)).UnixNano(), int(concurrency), concurrency*s, int(perSecond*s))
	}
}

func TestCollectorFollowsTheClusterAndFillsTheStore(t *testing.T) {
	hostA, portA := answering(t, ticking(3, 100))
	hostB, portB := answering(t, ticking(5, 200))
	start := time.Now()
	hostC, portC := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"startedAt": %d, "now": %d, "pod": "one", "routes": [{"namespace": "ml", "name": "iris-predictor", "waiting": 2, "waitingSeconds": %g}]}`,
			start.UnixNano(), time.Now().UnixNano(), 2*time.Since(start).Seconds())
	})
	activator := modelPod("one", hostC, 1)
	activator.Namespace, activator.Labels = "rawserve-system", map[string]string{"app.kubernetes.io/name": "rawserve", "app.kubernetes.io/component": "activator"}
	activator.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "admin", ContainerPort: portC}}
	stranger := activator.DeepCopy() // looks like an activator, in a tenant's namespace
	stranger.Namespace = "ml"
	b := modelPod("b", hostB, portB)
	b.UID = "uid-2"

	scheme := metadatafake.NewTestScheme()
	require.NoError(t, metav1.AddMetaToScheme(scheme))
	kube := fake.NewClientset(modelPod("a", hostA, portA), b, activator, stranger)
	st := store.New()
	registry := prometheus.NewRegistry()
	c, err := New(Options{
		Store: st, Kube: kube, Namespace: "rawserve-system", Registerer: registry, Log: slog.New(slog.DiscardHandler), Workers: 4,
		Rawserve: rawservefake.NewClientset(
			&rawservev1alpha1.Scaler{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "iris-predictor"}, Spec: rawservev1alpha1.ScalerSpec{
				ScaleTargetRef: rawservev1alpha1.ScaleTargetRef{Name: "iris-predictor"}, RouteName: "iris-predictor"}},
			&rawservev1alpha1.InferenceRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "iris-predictor", Labels: map[string]string{"serving.kserve.io/inferenceservice": "iris"}}},
		),
		Metadata: metadatafake.NewSimpleMetadataClient(scheme, &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "serving.kserve.io/v1beta1", Kind: "InferenceService"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "iris", Labels: map[string]string{"team": "a"}},
		}),
	})
	require.NoError(t, err)
	require.Error(t, c.Ready())

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()

	get := func(m store.Metric, r store.Resource, name string) float64 {
		v, err := st.Get(store.Series{Metric: m, Resource: r}, store.Key{Namespace: "ml", Name: name}, time.Now())
		if err != nil {
			return -1
		}
		return v.Value
	}
	require.Eventually(t, func() bool { return c.Ready() == nil }, 20*time.Second, 20*time.Millisecond)
	require.InDelta(t, 10, get(store.Concurrency, store.Scalers, "iris-predictor"), 0.5)
	require.InDelta(t, 10, get(store.Concurrency, store.Services, "iris"), 0.5)
	require.InDelta(t, 300, get(store.RequestsPerSecond, store.Scalers, "iris-predictor"), 15)
	require.InDelta(t, 3, get(store.Concurrency, store.Pods, "a"), 0.2)
	require.InDelta(t, 2, get(store.Waiting, store.Scalers, "iris-predictor"), 0, "an activator outside our namespace is not believed")
	require.InDelta(t, 2, get(store.ReportingPods, store.Scalers, "iris-predictor"), 0)

	require.NoError(t, kube.CoreV1().Pods("ml").Delete(ctx, "b", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return get(store.ReportingPods, store.Scalers, "iris-predictor") == 1 }, 5*time.Second, 10*time.Millisecond)
	require.InDelta(t, 5, get(store.Concurrency, store.Scalers, "iris-predictor"), 0.5)
	require.Equal(t, 2, c.wheel.len())

	families, err := registry.Gather()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	require.True(t, names["rawserve_metrics_adapter_scrapes_total"] && names["rawserve_metrics_adapter_fresh_readings"])
	cancel()
	require.NoError(t, <-done)
}

func TestOptionsOfTheCollectorAreChecked(t *testing.T) {
	_, err := New(Options{})
	require.ErrorContains(t, err, "collector needs a store")
	good := Options{Store: store.New(), Kube: fake.NewClientset(), Rawserve: rawservefake.NewClientset(), Metadata: metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme())}
	_, err = New(good)
	require.ErrorContains(t, err, "namespace of the activators")
	good.Namespace, good.Workers = "n", -1
	_, err = New(good)
	require.ErrorContains(t, err, "workers: -1")
}

// BenchmarkScrape is one question over a kept connection to loopback, with the
// agent's side in the same process: a thousand of them are the adapter's second.
func BenchmarkScrape(b *testing.B) {
	host, port := answering(b, ticking(3, 100))
	p := modelPod("a", host, port)
	st := store.New()
	known, _ := podOf(p)
	st.SetPod(known)
	c := &Collector{opts: Options{Store: st, Log: slog.New(slog.DiscardHandler)}, wheel: newWheel(), client: newClient(), metrics: newMetrics(st)}
	at, _ := agentTarget(p)
	c.wheel.set(at)
	for b.Loop() {
		c.scrape(b.Context(), c.wheel.turns[at.id])
	}
}
