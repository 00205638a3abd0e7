package store

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Absent is why there is no value, as a sentence for the person who asks.
type Absent struct {
	Why string
}

// Error is the sentence.
func (a *Absent) Error() string { return a.Why }

func absent(format string, args ...any) error { return &Absent{Why: fmt.Sprintf(format, args...)} }

// span is the time that several readings were made in.
type span struct {
	oldest time.Time
	window time.Duration
}

func (s *span) add(at time.Time, window time.Duration) {
	if s.oldest.IsZero() || at.Before(s.oldest) {
		s.oldest = at
	}
	s.window = max(s.window, window)
}

func (p *pod) reporting(now time.Time) bool {
	return p.track.rate.window > 0 && p.track.stamp.fresh(now)
}

// tally is the sum over the pods of one Deployment.
type tally struct {
	ready, reporting int // reporting: of the ready ones
	sum, other       rate
}

func (t *tally) add(p *pod, now time.Time, sp *span) {
	if p.Terminating {
		return
	}
	if p.Ready {
		t.ready++
	}
	if !p.reporting(now) {
		return
	}
	sp.add(p.track.stamp.at, p.track.rate.window)
	into := &t.other // a pod that lost its readiness under load still has requests inside
	if p.Ready {
		t.reporting++
		into = &t.sum
	}
	into.concurrency += p.track.rate.concurrency
	into.perSecond += p.track.rate.perSecond
}

// whole is the sum with the silent ready pods taken to be like the reporting ones.
//
//	3 of 4 ready pods report 2, 3 and 1: 6 × 4/3 = 8
func (t *tally) whole() rate {
	r := t.other
	if t.reporting > 0 {
		up := float64(t.ready) / float64(t.reporting)
		r.concurrency += t.sum.concurrency * up
		r.perSecond += t.sum.perSecond * up
	}
	return r
}

// holding is what activators hold for one route.
type holding struct {
	rate    rate // scaled up to all ready activators
	waiting float64
	known   bool     // some activator has a fresh mean
	whole   bool     // every ready one has a fresh reading, and there is one
	silent  []string // the ready ones that have none
}

// holding sums over the activators. A fresh activator that does not name the
// route holds nothing for it.
func (s *Store) holding(route Key, now time.Time, sp *span) holding {
	var h holding
	var ready, reporting int
	var sum, other rate
	for k, a := range s.activators {
		if a.Ready {
			ready++
		}
		if !a.track.stamp.fresh(now) {
			if a.Ready {
				h.silent = append(h.silent, k.Name)
			}
			continue
		}
		r := a.track.routes[route]
		sp.add(a.track.stamp.at, a.track.window)
		h.waiting += float64(r.last.Waiting)
		if a.track.window == 0 {
			continue // its first reading: what is held is known, a mean is not
		}
		h.known = true
		into := &other
		if a.Ready {
			reporting++
			into = &sum
		}
		into.concurrency += r.rate.concurrency
		into.perSecond += r.rate.perSecond
	}
	h.rate = other
	if reporting > 0 {
		up := float64(ready) / float64(reporting)
		h.rate.concurrency += sum.concurrency * up
		h.rate.perSecond += sum.perSecond * up
	}
	h.whole = ready > 0 && len(h.silent) == 0
	slices.Sort(h.silent)
	return h
}

// share is the part of a route's held requests that is meant for a Deployment.
// Where nothing says otherwise it is all of them: an unknown route must not make
// demand vanish.
func (r Route) share(deployment string) float64 {
	var total int64
	for _, w := range r.Weights {
		total += max(0, w)
	}
	if total == 0 {
		return 1
	}
	return float64(max(0, r.Weights[deployment])) / float64(total)
}

// demandOf adds up pods and routes by the rules of the metrics adapter's contract.
type demandOf struct {
	what   string // for messages
	pods   map[string]*pod
	routes map[Key]float64 // with the share that counts
}

// demand returns the rate, or why it is not known.
func (s *Store) demand(d demandOf, now time.Time, sp *span) (rate, error) {
	byDeployment := map[string]*tally{}
	ready := 0
	for _, p := range d.pods {
		t := byDeployment[p.Deployment]
		if t == nil {
			t = &tally{}
			byDeployment[p.Deployment] = t
		}
		t.add(p, now, sp)
		if p.Ready && !p.Terminating {
			ready++
		}
	}
	var total rate
	for name, t := range byDeployment {
		if t.ready > 0 && t.reporting == 0 {
			return rate{}, absent("%s: none of the %d ready pods of deployment %q has a reading from the last %s. Look for scrape errors of the metrics adapter and whether its pods can reach the agent's port.", d.what, t.ready, name, MaxAge)
		}
		r := t.whole()
		total.concurrency += r.concurrency
		total.perSecond += r.perSecond
	}
	if ready == 0 && len(d.routes) == 0 {
		return rate{}, absent("%s: there is no ready pod, and no route whose requests could wait for one.", d.what)
	}
	known := false
	for route, share := range d.routes {
		h := s.holding(route, now, sp)
		known = known || h.known
		total.concurrency += h.rate.concurrency * share
		total.perSecond += h.rate.perSecond * share
	}
	if ready == 0 && !known {
		return rate{}, absent("%s: there is no ready pod, and no activator has a reading from the last %s that says what waits.", d.what, MaxAge)
	}
	return total, nil
}

// waiting returns the requests held now. All ready activators must have been
// read: one that was not may hold the request that must keep the last replica.
func (s *Store) waiting(d demandOf, now time.Time, sp *span) (float64, error) {
	total := 0.0
	for route, share := range d.routes {
		h := s.holding(route, now, sp)
		if !h.whole && len(h.silent) == 0 {
			return 0, absent("%s: no activator is ready, so nobody knows what waits.", d.what)
		}
		if !h.whole {
			return 0, absent("%s: activator %s has no reading from the last %s, so what it holds is unknown.", d.what, strings.Join(h.silent, ", "), MaxAge)
		}
		total += h.waiting * share
	}
	return total, nil
}
