package provider

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	clocktesting "k8s.io/utils/clock/testing"
	cmprovider "sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/rawserve/rawserve/metricsadapter/store"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// providerAt has two pods of which "a" reported 1.5 requests inside over the second before noon.
func providerAt(t *testing.T, now time.Time) *Provider {
	s := store.New()
	for _, name := range []string{"a", "b"} {
		s.SetPod(store.Pod{Key: store.Key{Namespace: "ml", Name: name}, UID: name, Deployment: "iris", Ready: true, Labels: map[string]string{"pod": name}})
	}
	for i := range int64(2) {
		r := store.AgentReading{StartedAt: 1, Now: (100 + i) * int64(time.Second), InflightSeconds: 1.5 * float64(i), Requests: 7 * i}
		require.NoError(t, s.ObserveAgent(store.Key{Namespace: "ml", Name: "a"}, "a", r, noon.Add(time.Duration(i-1)*time.Second)))
	}
	p, err := New(Options{Source: s, Clock: clocktesting.NewFakePassiveClock(now)})
	require.NoError(t, err)
	return p
}

func info(resource, metric string) cmprovider.CustomMetricInfo {
	return cmprovider.CustomMetricInfo{GroupResource: schema.ParseGroupResource(resource), Namespaced: true, Metric: metric}
}

func TestValueCarriesItsObjectTimeAndWindow(t *testing.T) {
	p := providerAt(t, noon.Add(3*time.Second))
	got, err := p.GetMetricByName(t.Context(), types.NamespacedName{Namespace: "ml", Name: "a"}, info("pods", "inference_concurrency"), labels.Everything())
	require.NoError(t, err)
	require.Equal(t, "1500m", got.Value.String())
	second := int64(1)
	got.Value = Quantity(0)
	require.Equal(t, &custom_metrics.MetricValue{
		DescribedObject: custom_metrics.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "ml", Name: "a"},
		Metric:          custom_metrics.MetricIdentifier{Name: "inference_concurrency"},
		Timestamp:       metav1.NewTime(noon), WindowSeconds: &second, Value: Quantity(0),
	}, got)
}

func TestStaleValueIsNeverServed(t *testing.T) {
	p := providerAt(t, noon.Add(3*time.Second+time.Millisecond))
	_, err := p.GetMetricByName(t.Context(), types.NamespacedName{Namespace: "ml", Name: "a"}, info("pods", "inference_concurrency"), labels.Everything())
	require.True(t, apierrors.IsNotFound(err))
	require.ErrorContains(t, err, "pod ml/a: its agent has no reading from the last 3s")
	_, err = p.GetMetricBySelector(t.Context(), "ml", labels.Everything(), info("pods", "inference_concurrency"), labels.Everything())
	require.True(t, apierrors.IsNotFound(err))
	require.ErrorContains(t, err, "pod ml/b: ")
}

func TestSelectorChoosesByLabelsAndLeavesOutWhatIsAbsent(t *testing.T) {
	p := providerAt(t, noon)
	for selector, want := range map[string][]string{"": {"a"}, "pod in (a,b)": {"a"}, "pod=a": {"a"}, "pod=c": nil} {
		s, err := labels.Parse(selector)
		require.NoError(t, err)
		list, err := p.GetMetricBySelector(t.Context(), "ml", s, info("pods", "inference_requests_per_second"), labels.Everything())
		require.NoError(t, err, selector)
		var names []string
		for _, item := range list.Items {
			names = append(names, item.DescribedObject.Name)
			require.Equal(t, "7", item.Value.String())
		}
		require.Equal(t, want, names, selector)
	}
}

func TestWhatIsNotServedIsNotFound(t *testing.T) {
	p := providerAt(t, noon)
	a := types.NamespacedName{Namespace: "ml", Name: "a"}
	rows := map[string]struct {
		info     cmprovider.CustomMetricInfo
		selector labels.Selector
		why      string
	}{
		"another metric":      {info("pods", "gpu_heat"), labels.Everything(), "rawserve has no metric gpu_heat for pods"},
		"another resource":    {info("services", "inference_concurrency"), labels.Everything(), "no metric inference_concurrency for services"},
		"a cluster-wide pod":  {cmprovider.CustomMetricInfo{GroupResource: schema.GroupResource{Resource: "pods"}, Metric: "inference_concurrency"}, labels.Everything(), "no metric"},
		"a label of a metric": {info("pods", "inference_concurrency"), labels.SelectorFromSet(labels.Set{"gpu": "0"}), "has no labels"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := p.GetMetricByName(t.Context(), a, row.info, row.selector)
			require.True(t, apierrors.IsNotFound(err))
			require.ErrorContains(t, err, row.why)
			_, err = p.GetMetricBySelector(t.Context(), "ml", labels.Everything(), row.info, row.selector)
			require.True(t, apierrors.IsNotFound(err))
			require.ErrorContains(t, err, row.why)
		})
	}
	_, err := p.GetMetricByName(t.Context(), types.NamespacedName{Namespace: "ml", Name: "x"}, info("pods", "inference_concurrency"), nil)
	require.ErrorContains(t, err, "is not known to the metrics adapter")
}

func TestDiscoveryListsTheCatalogue(t *testing.T) {
	all := providerAt(t, noon).ListAllMetrics()
	require.Len(t, all, len(store.Catalogue))
	require.True(t, slices.Contains(all, info("scalers.rawserve.dev", "inference_waiting")))
	for _, i := range all {
		require.Contains(t, store.Catalogue, seriesOf(i))
	}
}

func TestLittleIsNeverNothing(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0004: "1m", 1.5: "1500m", 2: "2", 2 + 1e-12: "2", 0.1 + 0.2: "300m", 1e9: "1G"} {
		q := Quantity(v)
		require.Equal(t, want, q.String(), v)
	}
}

// FuzzQuantity: within what the store can return, a quantity is at least the
// value, but for noise, and at most a thousandth more.
func FuzzQuantity(f *testing.F) {
	f.Add(0.0)
	f.Add(1.0 / 3)
	f.Fuzz(func(t *testing.T, v float64) {
		if math.IsNaN(v) || v < 0 || v > 1e9 {
			return
		}
		q := Quantity(v)
		got := float64(q.MilliValue()) / 1000
		require.GreaterOrEqual(t, got, v-1e-6)
		require.LessOrEqual(t, got, v+0.0011)
	})
}
