package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// noon is our clock in the tests; pods have their own, which starts elsewhere.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is a time of our clock, seconds after noon.
func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// old is the startedAt of a process that runs for long.
const old = int64(1_000_000_000)

// nanos is a time of a pod's clock, seconds after 1000 s.
func nanos(seconds float64) int64 { return int64((1000 + seconds) * 1e9) }

// agent is a reading at a second of the pod's clock with the integral and the count reached.
func agent(second, area float64, requests int64) AgentReading {
	return AgentReading{StartedAt: old, Now: nanos(second), InflightSeconds: area, Requests: requests}
}

// scene builds a store step by step.
type scene struct {
	*Store
	t testing.TB
}

func newScene(t testing.TB) scene { return scene{Store: New(), t: t} }

func irisPod(name string) Pod {
	return Pod{Key: Key{"ml", name}, UID: "uid-" + name, Deployment: "iris-predictor", Service: "iris", Ready: true, Labels: map[string]string{"app": "iris", "pod": name}}
}

// iris adds the objects of an InferenceService with the pods given.
func (s scene) iris(pods ...Pod) scene {
	s.SetScaler(Scaler{Key: Key{"ml", "iris-predictor"}, Deployment: "iris-predictor", Route: "iris-predictor", Labels: map[string]string{"app": "iris"}})
	s.SetRoute(Route{Key: Key{"ml", "iris-predictor"}, Service: "iris", Weights: map[string]int64{"iris-predictor": 100}})
	s.SetService(Service{Key: Key{"ml", "iris"}, Labels: map[string]string{"team": "a"}})
	for _, p := range pods {
		s.SetPod(p)
	}
	return s
}

// says gives a pod two readings, the later at second 1, with the mean concurrency and rate between them.
func (s scene) says(pod string, concurrency float64, perSecond int64) scene {
	k := Key{"ml", pod}
	require.NoError(s.t, s.ObserveAgent(k, "uid-"+pod, agent(0, 5, 50), at(0)))
	require.NoError(s.t, s.ObserveAgent(k, "uid-"+pod, agent(1, 5+concurrency, 50+perSecond), at(1)))
	return s
}

// activator adds a ready activator that holds a number of requests for a route of
// iris since before second 0, and has been read twice, the later time at second 1.
func (s scene) activator(name string, routes ...RouteReading) scene {
	k := Key{"rawserve-system", name}
	s.SetActivator(Activator{Key: k, UID: "uid-" + name, Ready: true})
	before := make([]RouteReading, len(routes))
	for i, r := range routes {
		before[i] = RouteReading{Namespace: r.Namespace, Name: r.Name}
	}
	require.NoError(s.t, s.ObserveActivator(k, "uid-"+name, ActivatorReading{StartedAt: old, Now: nanos(0), Routes: before}, at(0)))
	require.NoError(s.t, s.ObserveActivator(k, "uid-"+name, ActivatorReading{StartedAt: old, Now: nanos(1), Routes: routes}, at(1)))
	return s
}

// holds is a route that held requests for all of the second from 0 to 1.
func holds(route string, requests int64) RouteReading {
	return RouteReading{Namespace: "ml", Name: route, Waiting: requests, WaitingSeconds: float64(requests), Arrivals: requests}
}
