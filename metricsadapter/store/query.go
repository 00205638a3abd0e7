package store

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Metric names a metric.
type Metric string

const (
	// Concurrency is the mean number of requests inside pods and waiting for them.
	Concurrency Metric = "inference_concurrency"
	// RequestsPerSecond is the rate of arriving requests.
	RequestsPerSecond Metric = "inference_requests_per_second"
	// Waiting is the number of requests held by activators now.
	Waiting Metric = "inference_waiting"
	// ReportingPods is the number of ready pods with a fresh reading.
	ReportingPods Metric = "inference_reporting_pods"
)

// Resource is a kind of described object, as group-resource.
type Resource string

const (
	// Pods are model pods.
	Pods Resource = "pods"
	// Scalers are Scalers of rawserve.dev.
	Scalers Resource = "scalers.rawserve.dev"
	// Services are KServe's InferenceServices.
	Services Resource = "inferenceservices.serving.kserve.io"
)

// Series is a metric of a kind of object.
type Series struct {
	Metric   Metric
	Resource Resource
}

// Catalogue lists every series that is served, in the order of discovery.
var Catalogue = []Series{
	{Concurrency, Pods}, {Concurrency, Scalers}, {Concurrency, Services},
	{RequestsPerSecond, Pods}, {RequestsPerSecond, Scalers}, {RequestsPerSecond, Services},
	{Waiting, Scalers}, {Waiting, Services},
	{ReportingPods, Scalers},
}

var (
	// ErrNoSeries is returned for a metric that objects of the kind do not have.
	ErrNoSeries = errors.New("no such metric")
	// ErrNoObject is returned for an object that the store does not know.
	ErrNoObject = errors.New("no such object")
)

// Value is one metric of one object.
type Value struct {
	// Object is the one described.
	Object Key
	// Value is never negative, infinite or not a number.
	Value float64
	// At is when the oldest reading in it was made.
	At time.Time
	// Window is the interval of a mean, 0 for a count.
	Window time.Duration
}

// List is the answer about several objects.
type List struct {
	// Values has those with a value, in the order of their names.
	Values []Value
	// Absent has the reasons of those without, in the order of their names.
	Absent []Absent
}

// Get returns the value for one object. The error is ErrNoSeries, ErrNoObject or
// an *Absent.
func (s *Store) Get(q Series, k Key, now time.Time) (Value, error) {
	if !slices.Contains(Catalogue, q) {
		return Value{}, ErrNoSeries
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	sp := s.spaces[k.Namespace]
	if sp == nil || !sp.has(q.Resource, k.Name) {
		return Value{}, ErrNoObject
	}
	return s.value(sp, q, k, now)
}

// Select returns the values for the objects of a namespace whose labels match.
// The error is ErrNoSeries.
func (s *Store) Select(q Series, namespace string, match func(map[string]string) bool, now time.Time) (List, error) {
	if !slices.Contains(Catalogue, q) {
		return List{}, ErrNoSeries
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list List
	sp := s.spaces[namespace]
	if sp == nil {
		return list, nil
	}
	names := sp.matching(q.Resource, match)
	slices.Sort(names)
	for _, name := range names {
		v, err := s.value(sp, q, Key{namespace, name}, now)
		var why *Absent
		switch {
		case errors.As(err, &why):
			list.Absent = append(list.Absent, *why)
		case err == nil:
			list.Values = append(list.Values, v)
		}
	}
	return list, nil
}

func (s *space) has(r Resource, name string) bool {
	ok := false
	switch r {
	case Pods:
		_, ok = s.pods[name]
	case Scalers:
		_, ok = s.scalers[name]
	case Services:
		_, ok = s.services[name]
	}
	return ok
}

func (s *space) matching(r Resource, match func(map[string]string) bool) []string {
	var names []string
	add := func(name string, labels map[string]string) {
		if match == nil || match(labels) {
			names = append(names, name)
		}
	}
	switch r {
	case Pods:
		for name, p := range s.pods {
			add(name, p.Labels)
		}
	case Scalers:
		for name, sc := range s.scalers {
			add(name, sc.Labels)
		}
	case Services:
		for name, svc := range s.services {
			add(name, svc.Labels)
		}
	}
	return names
}

// value computes one value. The caller holds mu and knows that the object exists.
func (s *Store) value(sp *space, q Series, k Key, now time.Time) (Value, error) {
	if q.Resource == Pods {
		return podValue(sp.pods[k.Name], q.Metric, now)
	}
	d := s.describe(sp, q.Resource, k)
	v := Value{Object: k}
	var used span
	var err error
	switch q.Metric {
	case Waiting:
		v.Value, err = s.waiting(d, now, &used)
		used.window = 0
	case ReportingPods:
		var t tally
		for _, p := range d.pods {
			t.add(p, now, &used)
		}
		v.Value = float64(t.reporting)
		used.window = 0
	case Concurrency, RequestsPerSecond:
		var r rate
		if r, err = s.demand(d, now, &used); err == nil {
			v.Value = r.of(q.Metric)
		}
	}
	if err != nil {
		return Value{}, err
	}
	v.At, v.Window = used.oldest, used.window
	if v.At.IsZero() { // nothing had to be read to know it
		v.At = now
	}
	return v, nil
}

func podValue(p *pod, m Metric, now time.Time) (Value, error) {
	if !p.reporting(now) {
		return Value{}, absent("pod %s: its agent has no reading from the last %s. The pod may have no agent, not run yet, or not be reachable from the metrics adapter.", p.Key, MaxAge)
	}
	return Value{Object: p.Key, Value: p.track.rate.of(m), At: p.track.stamp.at, Window: p.track.rate.window}, nil
}

func (r rate) of(m Metric) float64 {
	if m == RequestsPerSecond {
		return r.perSecond
	}
	return r.concurrency
}

// describe finds the pods and routes whose demand is the object's.
func (s *Store) describe(sp *space, r Resource, k Key) demandOf {
	if r == Scalers {
		sc := sp.scalers[k.Name]
		d := demandOf{what: "scaler " + k.String(), pods: sp.byDeployment[sc.Deployment]}
		if sc.Route != "" {
			d.routes = map[Key]float64{{k.Namespace, sc.Route}: sp.routes[sc.Route].share(sc.Deployment)}
		}
		return d
	}
	d := demandOf{what: "inferenceservice " + k.String(), pods: sp.byService[k.Name], routes: map[Key]float64{}}
	for name, route := range sp.routes {
		if route.Service == k.Name {
			d.routes[Key{k.Namespace, name}] = 1
		}
	}
	return d
}

// Sentence joins the reasons of a list, the first few of them in words.
func (l List) Sentence() string {
	const most = 3
	var b strings.Builder
	for i, a := range l.Absent {
		if i == most {
			b.WriteString(" And more of the same kind.")
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a.Why)
	}
	return b.String()
}
