package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	scaler  = Key{"ml", "iris-predictor"}
	service = Key{"ml", "iris"}
)

// get is the value at second 1.5, or the reason why there is none.
func (s scene) get(m Metric, r Resource, k Key) (float64, string) {
	v, err := s.Get(Series{m, r}, k, at(1.5))
	if err != nil {
		return 0, err.Error()
	}
	return v.Value, ""
}

func TestDemandOfAScaler(t *testing.T) {
	notReady := irisPod("b")
	notReady.Ready = false
	leaving := irisPod("b")
	leaving.Terminating = true
	rows := map[string]struct {
		build       func(scene) scene
		concurrency float64
		perSecond   float64
		waiting     float64
		reporting   float64
		// why… are parts of the reason when there is no value.
		whyDemand, whyWaiting string
	}{
		"all pods report": {
			build: func(s scene) scene {
				return s.iris(irisPod("a"), irisPod("b")).says("a", 2, 10).says("b", 3, 20).activator("one")
			},
			concurrency: 5, perSecond: 30, reporting: 2,
		},
		"three of four ready pods report, so the fourth counts as their mean": {
			build: func(s scene) scene {
				return s.iris(irisPod("a"), irisPod("b"), irisPod("c"), irisPod("d")).says("a", 2, 10).says("b", 3, 20).says("c", 1, 30).activator("one")
			},
			concurrency: 8, perSecond: 80, reporting: 3,
		},
		"ready pods of which none reports": {
			build:      func(s scene) scene { return s.iris(irisPod("a"), irisPod("b")).activator("one") },
			whyDemand:  `none of the 2 ready pods of deployment "iris-predictor" has a reading from the last 3s`,
			whyWaiting: "",
		},
		"no pods, requests held by two activators": {
			build: func(s scene) scene {
				return s.iris().activator("one", holds("iris-predictor", 4)).activator("two", holds("iris-predictor", 3))
			},
			concurrency: 7, perSecond: 7, waiting: 7,
		},
		"no pods, nothing held": {
			build: func(s scene) scene { return s.iris().activator("one") },
		},
		"requests inside pods and held ones add up": {
			build: func(s scene) scene {
				return s.iris(irisPod("a")).says("a", 2, 10).activator("one", holds("iris-predictor", 4))
			},
			concurrency: 6, perSecond: 14, waiting: 4, reporting: 1,
		},
		"requests held for another route are not its demand": {
			build: func(s scene) scene {
				return s.iris(irisPod("a")).says("a", 2, 10).activator("one", holds("wine-predictor", 4))
			},
			concurrency: 2, perSecond: 10, reporting: 1,
		},
		"no pods and no activator": {
			build:      func(s scene) scene { return s.iris() },
			whyDemand:  "no activator has a reading",
			whyWaiting: "no activator is ready",
		},
		"one of two activators is silent: its part of the demand is taken to be like the other's, but what waits is unknown": {
			build: func(s scene) scene {
				s.SetActivator(Activator{Key: Key{"rawserve-system", "two"}, UID: "2", Ready: true})
				return s.iris().activator("one", holds("iris-predictor", 4))
			},
			concurrency: 8, perSecond: 8,
			whyWaiting: "activator two has no reading from the last 3s",
		},
		"a silent activator that is not ready does not matter": {
			build: func(s scene) scene {
				s.SetActivator(Activator{Key: Key{"rawserve-system", "two"}, UID: "2"})
				return s.iris().activator("one", holds("iris-predictor", 4))
			},
			concurrency: 4, perSecond: 4, waiting: 4,
		},
		"activators silent, pods report: theirs is the demand known": {
			build: func(s scene) scene {
				s.SetActivator(Activator{Key: Key{"rawserve-system", "two"}, UID: "2", Ready: true})
				return s.iris(irisPod("a")).says("a", 2, 10)
			},
			concurrency: 2, perSecond: 10, reporting: 1,
			whyWaiting: "activator two has no reading",
		},
		"a pod that lost its readiness still has its requests, and is not scaled up": {
			build: func(s scene) scene {
				return s.iris(irisPod("a"), notReady, irisPod("c")).says("a", 2, 10).says("b", 5, 1).activator("one")
			},
			concurrency: 9, perSecond: 21, reporting: 1,
		},
		"requests in a pod that is leaving need no replica": {
			build: func(s scene) scene {
				return s.iris(irisPod("a"), leaving).says("a", 2, 10).says("b", 5, 1).activator("one")
			},
			concurrency: 2, perSecond: 10, reporting: 1,
		},
		"no route and no ready pod": {
			build: func(s scene) scene {
				s = s.iris(notReady).says("b", 0, 0).activator("one")
				s.SetScaler(Scaler{Key: scaler, Deployment: "iris-predictor"})
				return s
			},
			whyDemand: "no route whose requests could wait",
		},
		"a route that is not known counts whole": {
			build: func(s scene) scene {
				s = s.iris().activator("one", holds("iris-predictor", 4))
				s.DeleteRoute(Key{"ml", "iris-predictor"})
				return s
			},
			concurrency: 4, perSecond: 4, waiting: 4,
		},
		"of a split route its weight counts": {
			build: func(s scene) scene {
				s = s.iris().activator("one", holds("iris-predictor", 4))
				s.SetRoute(Route{Key: Key{"ml", "iris-predictor"}, Service: "iris", Weights: map[string]int64{"iris-predictor": 75, "iris-predictor-00002": 25}})
				return s
			},
			concurrency: 3, perSecond: 3, waiting: 3,
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			s := row.build(newScene(t))
			for m, want := range map[Metric]float64{Concurrency: row.concurrency, RequestsPerSecond: row.perSecond, Waiting: row.waiting, ReportingPods: row.reporting} {
				got, why := s.get(m, Scalers, scaler)
				wantWhy := map[Metric]string{Concurrency: row.whyDemand, RequestsPerSecond: row.whyDemand, Waiting: row.whyWaiting}[m]
				if wantWhy == "" {
					require.Empty(t, why, m)
				}
				require.Contains(t, why, wantWhy, m)
				require.InDelta(t, want, got, 1e-9, m)
			}
		})
	}
}

func TestDemandOfAnInferenceServiceAddsUpItsRevisions(t *testing.T) {
	canary := irisPod("canary")
	canary.Deployment = "iris-predictor-00002"
	silent := irisPod("silent")
	silent.Deployment = "iris-predictor-00002"
	behind := irisPod("explainer")
	behind.Deployment, behind.Service = "iris-explainer", ""
	s := newScene(t).iris(irisPod("a"), irisPod("b"), canary, silent, behind).
		says("a", 2, 10).says("b", 2, 10).says("canary", 5, 1).says("explainer", 100, 100).
		activator("one", holds("iris-predictor", 4), holds("wine-predictor", 9))

	got, why := s.get(Concurrency, Services, service)
	require.Empty(t, why)
	// 2+2 of the first revision; 5 scaled up to the 2 ready pods of the second; 4 held.
	require.InDelta(t, 18, got, 1e-9)
	got, _ = s.get(Waiting, Services, service)
	require.InDelta(t, 4, got, 1e-9)
}

func TestFirstReadingOfAnActivatorTellsWhatWaitsButNotTheMean(t *testing.T) {
	s := newScene(t).iris()
	k := Key{"rawserve-system", "one"}
	s.SetActivator(Activator{Key: k, UID: "1", Ready: true})
	require.NoError(t, s.ObserveActivator(k, "1", ActivatorReading{StartedAt: old, Now: nanos(1), Routes: []RouteReading{holds("iris-predictor", 4)}}, at(1)))

	waiting, why := s.get(Waiting, Scalers, scaler)
	require.Empty(t, why)
	require.InDelta(t, 4, waiting, 0)
	_, why = s.get(Concurrency, Scalers, scaler)
	require.Contains(t, why, "no activator has a reading")
}

func TestReadingIsUsedForThreeSecondsAndNotLonger(t *testing.T) {
	s := newScene(t).iris(irisPod("a")).says("a", 2, 10).activator("one", holds("iris-predictor", 4))
	for _, q := range []struct {
		Series
		k Key
	}{{Series{Concurrency, Pods}, Key{"ml", "a"}}, {Series{Concurrency, Scalers}, scaler}, {Series{Waiting, Scalers}, scaler}, {Series{RequestsPerSecond, Services}, service}} {
		v, err := s.Get(q.Series, q.k, at(4))
		require.NoError(t, err)
		require.Equal(t, at(1), v.At)
		_, err = s.Get(q.Series, q.k, at(4.001))
		var why *Absent
		require.ErrorAs(t, err, &why, q)
	}
	v, err := s.Get(Series{ReportingPods, Scalers}, scaler, at(4.001))
	require.NoError(t, err)
	require.Equal(t, Value{Object: scaler, At: at(4.001)}, v)
}

func TestTimestampIsThatOfTheOldestReadingUsed(t *testing.T) {
	s := newScene(t).iris(irisPod("a"), irisPod("b")).says("a", 2, 10).activator("one")
	require.NoError(t, s.ObserveAgent(Key{"ml", "b"}, "uid-b", agent(0, 0, 0), at(0.2)))
	require.NoError(t, s.ObserveAgent(Key{"ml", "b"}, "uid-b", agent(0.5, 1, 1), at(0.7)))
	v, err := s.Get(Series{Concurrency, Scalers}, scaler, at(1.5))
	require.NoError(t, err)
	require.Equal(t, Value{Object: scaler, Value: 4, At: at(0.7), Window: time.Second}, v)
}
