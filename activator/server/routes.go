package server

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/internal/answer"
)

// lingering is how long the listener of a deleted route stays open: that long
// some node may still send connections to it.
const lingering = 30 * time.Second

// rerouted refuses held requests whose target left the route; their handlers
// choose another one.
var rerouted = &answer.Answer{}

// ack is the word to give for a route.
type ack struct {
	generation int64
	message    string
}

// applyRoutes makes the activator serve exactly these routes, and returns the
// acknowledgement for each. Only one goroutine may call it.
func (s *Server) applyRoutes(objects []*v1alpha1.InferenceRoute, now time.Time) map[types.NamespacedName]ack {
	owners, problems := activator.AssignPorts(objects)
	known := map[types.NamespacedName]bool{}
	acks := map[types.NamespacedName]ack{}
	for _, o := range objects {
		key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		known[key] = true
		s.applyRoute(key, o)
		acks[key] = ack{generation: o.Generation, message: problems[key]}
	}
	for key, rt := range s.routes {
		if !known[key] {
			rt.deleted.Store(true)
		}
	}
	s.applyPorts(owners, now)
	for _, port := range slices.Sorted(maps.Keys(s.listenErrors)) {
		if owner, ok := owners[port]; ok {
			a := acks[owner.Route]
			a.message = cmp.Or(a.message, s.listenErrors[port])
			acks[owner.Route] = a
		}
	}
	return acks
}

func (s *Server) applyRoute(key types.NamespacedName, o *v1alpha1.InferenceRoute) {
	rt := s.routes[key]
	if rt == nil {
		rt = &route{
			key:    key,
			shares: s.namespace(key.Namespace).part(),
			limits: s.newRouteLimits(),
		}
		s.routes[key] = rt
	}
	rt.deleted.Store(false)
	old := rt.plan.Load()
	s.setMember(rt, o)
	if old != nil && old.uid == o.UID && old.generation == o.Generation && o.Generation != 0 {
		return
	}
	q := o.Spec.Queue
	rt.requests.SetLimit(cmp.Or(int64(q.MaxRequests), s.config.Queue.MaxRequests))
	maxBytes := s.config.Queue.MaxBytes.Value()
	if q.MaxBytes != nil {
		maxBytes = q.MaxBytes.Value()
	}
	rt.bytes.SetLimit(maxBytes)

	next := &plan{uid: o.UID, generation: o.Generation, order: activator.NewOrder(q), timeouts: timeouts{
		queue:     cmp.Or(o.Spec.Timeouts.Queue.Duration, s.config.Timeouts.Queue.Duration),
		firstByte: cmp.Or(o.Spec.Timeouts.FirstByte.Duration, s.config.Timeouts.FirstByte.Duration),
		idle:      cmp.Or(o.Spec.Timeouts.Idle.Duration, s.config.Timeouts.Idle.Duration),
		total:     cmp.Or(o.Spec.Timeouts.Total.Duration, s.config.Timeouts.Total.Duration),
	}}
	weights := make([]int32, 0, len(o.Spec.Targets))
	for i := range o.Spec.Targets {
		spec := &o.Spec.Targets[i]
		t := old.target(spec.Revision)
		if t == nil {
			t = &target{
				route:    rt,
				revision: spec.Revision,
				pool:     activator.NewPool(rand.IntN),
				wake:     make(chan struct{}, 1),
				pods:     map[string]*pod{},
			}
		}
		previous := t.spec.Swap(spec)
		t.pool.SetLimit(int(o.Spec.ContainerConcurrency))
		t.setZone(s.preferredZone(o.Spec.TrafficDistribution))
		next.targets = append(next.targets, t)
		weights = append(weights, spec.Weight)
		s.watchTarget(t, previous, spec)
		if spec.Stopped {
			t.pool.Refuse(stopped)
		}
	}
	next.split, next.weights = activator.NewSplit(weights), weights
	rt.mu.Lock()
	rt.plan.Store(next)
	rt.tellMember()
	rt.mu.Unlock()
	// Only now, so that a request which is sent away finds the new plan.
	if old != nil {
		for _, t := range old.targets {
			if next.target(t.revision) == nil {
				s.dropTarget(t)
			}
		}
	}
}

// setMember takes the activator's place among those that serve a route out of the
// route's status. It may be called by any goroutine.
func (s *Server) setMember(rt *route, o *v1alpha1.InferenceRoute) {
	member := activator.Membership(o.Status.Activators, s.pod.Name, rt.key.String())
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.member != member {
		rt.member = member
		rt.tellMember()
	}
}

// tellMember is called with the lock held.
func (rt *route) tellMember() {
	p := rt.plan.Load()
	if p == nil {
		return
	}
	for _, t := range p.targets {
		t.pool.SetMember(rt.member)
	}
}

// find returns the route of a name, nil if none is served. It may be called by
// any goroutine.
func (s *Server) find(key types.NamespacedName) *route {
	list := *s.routeList.Load()
	i, found := slices.BinarySearchFunc(list, key, func(rt *route, key types.NamespacedName) int { return compareKeys(rt.key, key) })
	if !found {
		return nil
	}
	return list[i]
}

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func (p *plan) target(revision string) *target {
	if p == nil {
		return nil
	}
	for _, t := range p.targets {
		if t.revision == revision {
			return t
		}
	}
	return nil
}

// dropTarget ends a target. Requests that its pods are working on end as they end.
func (s *Server) dropTarget(t *target) {
	t.dropped.Store(true)
	s.unwatchTarget(t)
	t.pool.Refuse(rerouted)
}

// applyPorts opens and closes listeners and publishes the table of ports.
func (s *Server) applyPorts(owners map[int]activator.Owner, now time.Time) {
	old := *s.ports.Load()
	next := make(map[int]portEntry, len(owners))
	for port, owner := range owners {
		next[port] = portEntry{
			route:      s.routes[owner.Route],
			targetPort: strconv.Itoa(int(owner.Port.TargetPort)),
		}
	}
	for port, entry := range old {
		if _, kept := next[port]; kept {
			continue
		}
		if entry.until.IsZero() {
			entry.until = now.Add(lingering)
		}
		if now.Before(entry.until) {
			next[port] = entry
		}
	}
	s.ports.Store(&next)
	// A listener that is gone by mistake, or never came about, is opened as well.
	opening, closing := activator.DiffPorts(s.listeners.open(), next)
	for _, port := range closing {
		s.listeners.close(port)
	}
	clear(s.listenErrors)
	for _, port := range opening {
		if err := s.listeners.listen(port, func(addr string) *clientShare { return s.join(port, addr) }); err != nil {
			s.listenErrors[port] = "Cannot listen on port " + strconv.Itoa(port) + ": " + err.Error()
			s.log.Error("cannot listen", "port", port, "error", err)
		}
	}
	s.forgetRoutes(next)
}

// forgetRoutes drops the routes that no port leads to any more.
func (s *Server) forgetRoutes(ports map[int]portEntry) {
	used := map[*route]bool{}
	for _, e := range ports {
		used[e.route] = true
	}
	for key, rt := range s.routes {
		if !rt.deleted.Load() || used[rt] {
			continue
		}
		for _, t := range rt.plan.Load().targets {
			s.dropTarget(t)
		}
		delete(s.routes, key)
	}
	s.forgetNamespaces()
	list := make([]*route, 0, len(s.routes))
	for _, rt := range s.routes {
		list = append(list, rt)
	}
	slices.SortFunc(list, func(a, b *route) int { return compareKeys(a.key, b.key) })
	s.routeList.Store(&list)
}
