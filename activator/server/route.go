package server

import (
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/inflight"
)

// route is one InferenceRoute as this activator serves it.
type route struct {
	key types.NamespacedName
	// plan is replaced as a whole; requests load it once.
	plan atomic.Pointer[plan]
	// deleted is set when the object is gone: connections end with their responses.
	deleted atomic.Bool

	// shares are the route's, of its namespace's, of everybody's; clients have parts
	// of them.
	shares
	clients clients

	// mu guards member, this activator's place among those that serve the route,
	// and its telling to the pools of the plan's targets.
	mu     sync.Mutex
	member activator.Member

	waiting   inflight.Counter
	forwarded inflight.Counter
	arrivals  atomic.Int64
	abandoned atomic.Int64
	counters  routeCounters
	holdings  holdings
	ejections ejectionLog
	limits    routeLimits
}

// plan is what a generation of the route says.
type plan struct {
	uid        types.UID
	generation int64
	targets    []*target
	split      *activator.Split
	weights    []int32 // of the targets
	timeouts   timeouts
	order      activator.Order
}

type timeouts struct {
	queue, firstByte, idle, total time.Duration
}

func (p *plan) pick() *target { return p.targets[p.split.Next()] }

// target is one revision of a route.
type target struct {
	route    *route
	revision string
	pool     *activator.Pool
	spec     atomic.Pointer[v1alpha1.RouteTarget]
	// answer is what requests get as long as the revision cannot start; nil as a rule.
	answer atomic.Pointer[answer.Answer]
	// dropped is set when the route no longer has the target.
	dropped atomic.Bool

	// wake tells the starter that a request waits or a pod has changed.
	wake chan struct{}

	counters targetCounters

	mu        sync.Mutex
	zone      string // whose pods are preferred; empty: none are
	starting  bool   // a starter runs
	borrowing bool   // a borrower runs
	startup   activator.Startup
	waits     activator.Waits
	pods      map[string]*pod // by name
	past      past
}

// pod is one pod of a target.
type pod struct {
	object *corev1.Pod
	// standing is what is remembered of kubelet's word on it.
	standing activator.Standing
	// kubelet is set where the agent cannot tell whether the server is ready.
	kubelet bool
	// ejections is how often the pod was taken out.
	ejections int
	// stop ends the prober; nil when none runs.
	stop func()
	// poke tells the prober that the object has changed.
	poke chan struct{}
}

// retryAfter is when it is worth to try again for whoever is turned away now.
func (t *target) retryAfter() time.Duration {
	_, ready := t.pool.Waiting()
	t.mu.Lock()
	defer t.mu.Unlock()
	return activator.RetryAfter(activator.RetryInput{
		Now: time.Now(), Starting: t.past.waiting, Startup: t.startup, Ready: ready, Wait: t.waits.Mean(),
	})
}

// waited notes how long a request was held that got a pod.
func (t *target) waited(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = t.waits.Observe(d)
}

// portEntry is what a connection's local port leads to.
type portEntry struct {
	route      *route
	targetPort string
	// until is when the port is closed; zero as long as the route has it.
	until time.Time
}
