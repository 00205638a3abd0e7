package store

import (
	"fmt"
	"math"
	"time"
)

const (
	// MaxAge is how long a reading may be used. HPA and other readers never look at
	// timestamps, so what is older is not served at all.
	MaxAge = 3 * time.Second
	// MinInterval is the shortest time between two readings from which a mean is
	// computed. Over less, a single request looks like a storm.
	MinInterval = 100 * time.Millisecond
	// MaxInterval is the longest. After a longer silence the next reading starts
	// anew: a mean over a minute would hide a burst that began a second ago.
	MaxInterval = 2 * MaxAge
	// MaxConcurrency bounds what one pod or one route of an activator may claim to
	// have inside or waiting.
	MaxConcurrency = 1e6
	// MaxRate bounds the requests per second that one pod or route may claim.
	MaxRate = 1e7
	// MaxRoutes bounds the routes in one activator's reading. There are 22,000
	// listen ports, so no honest activator has more.
	MaxRoutes = 22000

	// maxCounter is the largest counter that a float64 holds exactly.
	maxCounter = 1 << 53
)

// AgentReading is what an agent answers on /stats: counters that only grow
// while the agent lives.
type AgentReading struct {
	// StartedAt is when the agent started, in Unix nanoseconds. Another value than
	// before means that all counters began again at 0.
	StartedAt int64 `json:"startedAt"`
	// Now is when the counters were read, on the same clock.
	Now int64 `json:"now"`
	// Inflight is the number of requests in the pod.
	Inflight int64 `json:"inflight"`
	// InflightSeconds is the integral of Inflight over time.
	InflightSeconds float64 `json:"inflightSeconds"`
	// Requests counts arrivals.
	Requests int64 `json:"requests"`
	// Completed counts requests that were answered.
	Completed int64 `json:"completed"`
	// Queued is the number of requests that wait in the agent.
	Queued int64 `json:"queued"`
}

// RouteReading is one route's part of an activator's reading.
type RouteReading struct {
	// Namespace of the InferenceRoute.
	Namespace string `json:"namespace"`
	// Name of the InferenceRoute.
	Name string `json:"name"`
	// Waiting is the number of requests held and not yet forwarded.
	Waiting int64 `json:"waiting"`
	// WaitingSeconds is the integral of Waiting over time.
	WaitingSeconds float64 `json:"waitingSeconds"`
	// Arrivals counts requests that arrived.
	Arrivals int64 `json:"arrivals"`
	// Forwarded counts requests handed to a pod, where its agent counts them.
	Forwarded int64 `json:"forwarded"`
	// Abandoned counts requests whose client left while they were held.
	Abandoned int64 `json:"abandoned"`
	// Inflight is the number of requests forwarded and not yet answered.
	Inflight int64 `json:"inflight"`
}

// ActivatorReading is what an activator answers on /stats.
type ActivatorReading struct {
	// StartedAt is when the activator started, in Unix nanoseconds.
	StartedAt int64 `json:"startedAt"`
	// Now is when the counters were read, on the same clock.
	Now int64 `json:"now"`
	// Pod is the activator's name for itself. Informational: the store goes by the
	// pod that was asked.
	Pod string `json:"pod"`
	// Routes has one entry for each route the activator knows.
	Routes []RouteReading `json:"routes"`
}

// Validate says which field of a reading cannot be true.
func (r AgentReading) Validate() error {
	if err := validTimes(r.StartedAt, r.Now); err != nil {
		return err
	}
	if err := validArea("inflightSeconds", r.InflightSeconds); err != nil {
		return err
	}
	return validCounts(
		named{"inflight", r.Inflight, MaxConcurrency}, named{"queued", r.Queued, MaxConcurrency},
		named{"requests", r.Requests, maxCounter}, named{"completed", r.Completed, maxCounter},
	)
}

// Validate says which field of a reading cannot be true.
func (r ActivatorReading) Validate() error {
	if err := validTimes(r.StartedAt, r.Now); err != nil {
		return err
	}
	if len(r.Routes) > MaxRoutes {
		return fmt.Errorf("routes: %d entries, at most %d are possible", len(r.Routes), MaxRoutes)
	}
	for i, route := range r.Routes {
		if err := route.validate(); err != nil {
			return fmt.Errorf("routes[%d].%w", i, err)
		}
	}
	return nil
}

func (r RouteReading) validate() error {
	if r.Namespace == "" || r.Name == "" {
		return fmt.Errorf("name: namespace %q and name %q must both be given", r.Namespace, r.Name)
	}
	if err := validArea("waitingSeconds", r.WaitingSeconds); err != nil {
		return err
	}
	return validCounts(
		named{"waiting", r.Waiting, MaxConcurrency}, named{"inflight", r.Inflight, maxCounter},
		named{"arrivals", r.Arrivals, maxCounter}, named{"forwarded", r.Forwarded, maxCounter},
		named{"abandoned", r.Abandoned, maxCounter},
	)
}

func validTimes(startedAt, now int64) error {
	if startedAt <= 0 {
		return fmt.Errorf("startedAt: %d is not a time in Unix nanoseconds", startedAt)
	}
	if now < startedAt {
		return fmt.Errorf("now: %d is before startedAt %d", now, startedAt)
	}
	return nil
}

func validArea(name string, v float64) error {
	if math.IsNaN(v) || v < 0 || v > maxCounter {
		return fmt.Errorf("%s: %v is not between 0 and %d", name, v, int64(maxCounter))
	}
	return nil
}

type named struct {
	name  string
	value int64
	most  int64
}

func validCounts(counts ...named) error {
	for _, c := range counts {
		if c.value < 0 || c.value > c.most {
			return fmt.Errorf("%s: %d is not between 0 and %d", c.name, c.value, c.most)
		}
	}
	return nil
}
