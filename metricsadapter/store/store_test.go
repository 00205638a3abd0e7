package store

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPodsThatAreGoneAreForgotten(t *testing.T) {
	s := newScene(t).iris(irisPod("a"), irisPod("b")).says("a", 2, 10).says("b", 3, 10).activator("one")
	s.DeletePod(Key{"ml", "b"}, "uid-b")
	got, _ := s.get(Concurrency, Scalers, scaler)
	require.InDelta(t, 2, got, 0)
	require.ErrorIs(t, s.ObserveAgent(Key{"ml", "b"}, "uid-b", agent(2, 9, 99), at(2)), ErrUnknown)

	s.DeletePod(Key{"ml", "a"}, "uid-a")
	s.DeleteScaler(scaler)
	s.DeleteService(service)
	s.DeleteRoute(Key{"ml", "iris-predictor"})
	s.DeleteActivator(Key{"rawserve-system", "one"}, "uid-one")
	require.Equal(t, Size{}, s.Size(at(1)))
	require.Empty(t, s.spaces)
}

func TestReadingOfAnEarlierPodOfTheSameNameIsRefused(t *testing.T) {
	s := newScene(t).iris(irisPod("a")).says("a", 2, 10)
	again := irisPod("a")
	again.UID = "second"
	s.SetPod(again)
	s.DeletePod(Key{"ml", "a"}, "uid-a") // the deletion of the first one, seen late
	require.ErrorIs(t, s.ObserveAgent(Key{"ml", "a"}, "uid-a", agent(2, 9, 99), at(2)), ErrUnknown)
	_, why := s.get(Concurrency, Pods, Key{"ml", "a"})
	require.Contains(t, why, "has no reading")
}

func TestReadinessChangesWithoutLosingReadings(t *testing.T) {
	s := newScene(t).iris(irisPod("a")).says("a", 2, 10).activator("one")
	p := irisPod("a")
	p.Labels = map[string]string{"app": "other"}
	s.SetPod(p)
	got, why := s.get(Concurrency, Scalers, scaler)
	require.Empty(t, why)
	require.InDelta(t, 2, got, 0)
}

func TestSelectReturnsValuesAndReasonsByName(t *testing.T) {
	s := newScene(t).iris(irisPod("c"), irisPod("b"), irisPod("a")).says("a", 2, 10).says("c", 3, 5)
	list, err := s.Select(Series{Concurrency, Pods}, "ml", func(l map[string]string) bool { return l["app"] == "iris" }, at(1.5))
	require.NoError(t, err)
	require.Equal(t, []Value{
		{Object: Key{"ml", "a"}, Value: 2, At: at(1), Window: time.Second},
		{Object: Key{"ml", "c"}, Value: 3, At: at(1), Window: time.Second},
	}, list.Values)
	require.Len(t, list.Absent, 1)
	require.Contains(t, list.Sentence(), "pod ml/b: ")

	list, err = s.Select(Series{Concurrency, Pods}, "ml", func(l map[string]string) bool { return l["pod"] == "c" }, at(1.5))
	require.NoError(t, err)
	require.Len(t, list.Values, 1)
	list, err = s.Select(Series{Concurrency, Scalers}, "elsewhere", nil, at(1.5))
	require.NoError(t, err)
	require.Equal(t, List{}, list)
}

func TestOnlySeriesOfTheCatalogueAreServed(t *testing.T) {
	s := newScene(t).iris(irisPod("a")).says("a", 2, 10).activator("one")
	for _, r := range []Resource{Pods, Scalers, Services, "nodes"} {
		for _, m := range []Metric{Concurrency, RequestsPerSecond, Waiting, ReportingPods, "gpu_heat"} {
			k := map[Resource]Key{Pods: {"ml", "a"}, Scalers: scaler, Services: service}[r]
			_, err := s.Get(Series{m, r}, k, at(1.5))
			_, listErr := s.Select(Series{m, r}, "ml", nil, at(1.5))
			if slices.Contains(Catalogue, Series{m, r}) {
				require.NoError(t, err, "%s of %s", m, r)
				require.NoError(t, listErr)
			} else {
				require.ErrorIs(t, err, ErrNoSeries, "%s of %s", m, r)
				require.ErrorIs(t, listErr, ErrNoSeries)
			}
		}
	}
	_, err := s.Get(Series{Concurrency, Pods}, Key{"ml", "nobody"}, at(1))
	require.ErrorIs(t, err, ErrNoObject)
}

func TestLongListOfReasonsIsCutShort(t *testing.T) {
	l := List{Absent: []Absent{{"One."}, {"Two."}, {"Three."}, {"Four."}}}
	require.Equal(t, "One. Two. Three. And more of the same kind.", l.Sentence())
}

func TestReadersAndWritersMayComeAtOnce(t *testing.T) {
	s := newScene(t).iris(irisPod("a"))
	act := Key{"rawserve-system", "one"}
	var wg sync.WaitGroup
	for _, f := range []func(i int){
		func(int) { s.SetPod(irisPod("a")); s.SetActivator(Activator{Key: act, UID: "1", Ready: true}) },
		func(i int) { _ = s.ObserveAgent(Key{"ml", "a"}, "uid-a", agent(float64(i), 0, 0), at(float64(i))) },
		func(i int) {
			_ = s.ObserveActivator(act, "1", ActivatorReading{StartedAt: old, Now: nanos(float64(i)), Routes: []RouteReading{holds("iris-predictor", 1)}}, at(float64(i)))
		},
		func(i int) { _, _ = s.Select(Series{Concurrency, Scalers}, "ml", nil, at(float64(i))) },
		func(i int) { _ = s.Size(at(float64(i))) },
		func(i int) { s.SetScaler(Scaler{Key: Key{"ml", fmt.Sprint("s", i%3)}}) },
	} {
		wg.Go(func() {
			for i := range 300 {
				f(i)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, s.Size(at(0)).Pods)
}

// thousand is a store with 1,000 pods of 250 services in 10 namespaces.
func thousand(b *testing.B) (*Store, []Pod) {
	s := New()
	var pods []Pod
	for i := range 250 {
		ns, name := fmt.Sprint("ns", i%10), fmt.Sprintf("model%d-predictor", i)
		s.SetScaler(Scaler{Key: Key{ns, name}, Deployment: name, Route: name, Labels: map[string]string{"app": name}})
		s.SetRoute(Route{Key: Key{ns, name}, Service: fmt.Sprint("model", i), Weights: map[string]int64{name: 100}})
		for j := range 4 {
			pods = append(pods, Pod{Key: Key{ns, fmt.Sprintf("%s-%d", name, j)}, UID: fmt.Sprint(i, j), Deployment: name, Ready: true})
		}
	}
	for _, p := range pods {
		s.SetPod(p)
		for sec := range 2 {
			require.NoError(b, s.ObserveAgent(p.Key, p.UID, agent(float64(sec), float64(sec), int64(sec)), at(float64(sec))))
		}
	}
	for _, name := range []string{"one", "two"} {
		s.SetActivator(Activator{Key: Key{"rawserve-system", name}, UID: name, Ready: true})
	}
	return s, pods
}

// BenchmarkObserveThousandPods is what a second of scraping costs the store, without the network.
func BenchmarkObserveThousandPods(b *testing.B) {
	s, pods := thousand(b)
	sec := 1.0
	for b.Loop() {
		sec++
		for _, p := range pods {
			if err := s.ObserveAgent(p.Key, p.UID, agent(sec, sec, int64(sec)), at(sec)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkSelectScalersOfANamespace is one bulk query of the autoscaler: 25 scalers, 100 pods.
func BenchmarkSelectScalersOfANamespace(b *testing.B) {
	s, _ := thousand(b)
	for b.Loop() {
		list, err := s.Select(Series{Concurrency, Scalers}, "ns3", nil, at(1.5))
		if err != nil || len(list.Values) != 25 {
			b.Fatal(err, len(list.Values))
		}
	}
}
