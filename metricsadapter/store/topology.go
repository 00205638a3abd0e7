package store

import "maps"

// Key names an object of a namespace.
type Key struct {
	Namespace, Name string
}

// String is the usual namespace/name.
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Pod is what the store needs to know of a model pod.
type Pod struct {
	Key
	// UID tells a pod from a later one of the same name.
	UID string
	// Labels answer selectors.
	Labels map[string]string
	// Deployment is the Deployment the pod belongs to, empty if none.
	Deployment string
	// Service is the InferenceService whose demand the pod serves: that of its label,
	// or empty for a pod of a component behind another one, whose requests have been
	// counted there already.
	Service string
	// Ready is the pod's condition.
	Ready bool
	// Terminating is true once the pod is asked to stop. What is still inside needs
	// no replica any more, so it is nobody's demand.
	Terminating bool
}

// Activator is what the store needs to know of an activator's pod.
type Activator struct {
	Key
	// UID tells a pod from a later one of the same name.
	UID string
	// Ready is the pod's condition.
	Ready bool
}

// Scaler is what the store needs to know of a Scaler.
type Scaler struct {
	Key
	// Labels answer selectors.
	Labels map[string]string
	// Deployment is the target's name.
	Deployment string
	// Route is the InferenceRoute that carries the target's requests, empty if none.
	Route string
}

// Route is what the store needs to know of an InferenceRoute.
type Route struct {
	Key
	// Service is the InferenceService of its label, empty if none.
	Service string
	// Weights has the weight of each Deployment among the route's targets.
	Weights map[string]int64
}

// Service is what the store needs to know of an InferenceService.
type Service struct {
	Key
	// Labels answer selectors.
	Labels map[string]string
}

// pod is a Pod with what its agent said.
type pod struct {
	Pod
	track agentTrack
}

// activator is an Activator with what it said.
type activator struct {
	Activator
	track activatorTrack
}

// space is one namespace. The two indexes hold the same pods as pods.
type space struct {
	pods         map[string]*pod
	byDeployment map[string]map[string]*pod
	byService    map[string]map[string]*pod
	scalers      map[string]Scaler
	routes       map[string]Route
	services     map[string]Service
}

func newSpace() *space {
	return &space{
		pods: map[string]*pod{}, byDeployment: map[string]map[string]*pod{}, byService: map[string]map[string]*pod{},
		scalers: map[string]Scaler{}, routes: map[string]Route{}, services: map[string]Service{},
	}
}

func (s *space) empty() bool {
	return len(s.pods)+len(s.scalers)+len(s.routes)+len(s.services) == 0
}

// SetPod adds a pod or replaces what is known of it. Its readings are kept while
// the UID is the same.
func (s *Store) SetPod(p Pod) {
	p.Labels = maps.Clone(p.Labels)
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.space(p.Namespace)
	old := sp.pods[p.Name]
	n := &pod{Pod: p}
	if old != nil {
		if old.UID == p.UID {
			n.track = old.track
		}
		sp.unindex(old)
	}
	sp.pods[p.Name] = n
	index(sp.byDeployment, p.Deployment, n)
	index(sp.byService, p.Service, n)
}

// DeletePod forgets a pod and its readings. One of another UID stays.
func (s *Store) DeletePod(k Key, uid string) {
	s.change(k.Namespace, func(sp *space) {
		if p := sp.pods[k.Name]; p != nil && p.UID == uid {
			sp.unindex(p)
			delete(sp.pods, k.Name)
		}
	})
}

// SetScaler adds or replaces a Scaler.
func (s *Store) SetScaler(sc Scaler) {
	sc.Labels = maps.Clone(sc.Labels)
	s.change(sc.Namespace, func(sp *space) { sp.scalers[sc.Name] = sc })
}

// DeleteScaler forgets a Scaler.
func (s *Store) DeleteScaler(k Key) {
	s.change(k.Namespace, func(sp *space) { delete(sp.scalers, k.Name) })
}

// SetRoute adds or replaces an InferenceRoute.
func (s *Store) SetRoute(r Route) {
	r.Weights = maps.Clone(r.Weights)
	s.change(r.Namespace, func(sp *space) { sp.routes[r.Name] = r })
}

// DeleteRoute forgets an InferenceRoute.
func (s *Store) DeleteRoute(k Key) {
	s.change(k.Namespace, func(sp *space) { delete(sp.routes, k.Name) })
}

// SetService adds or replaces an InferenceService.
func (s *Store) SetService(svc Service) {
	svc.Labels = maps.Clone(svc.Labels)
	s.change(svc.Namespace, func(sp *space) { sp.services[svc.Name] = svc })
}

// DeleteService forgets an InferenceService.
func (s *Store) DeleteService(k Key) {
	s.change(k.Namespace, func(sp *space) { delete(sp.services, k.Name) })
}

// SetActivator adds an activator or replaces what is known of it. Its readings
// are kept while the UID is the same.
func (s *Store) SetActivator(a Activator) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &activator{Activator: a}
	if old := s.activators[a.Key]; old != nil && old.UID == a.UID {
		n.track = old.track
	}
	s.activators[a.Key] = n
}

// DeleteActivator forgets an activator and its readings. One of another UID stays.
func (s *Store) DeleteActivator(k Key, uid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.activators[k]; a != nil && a.UID == uid {
		delete(s.activators, k)
	}
}

// space returns a namespace, made if need be. The caller holds mu.
func (s *Store) space(namespace string) *space {
	sp := s.spaces[namespace]
	if sp == nil {
		sp = newSpace()
		s.spaces[namespace] = sp
	}
	return sp
}

// change runs f on a namespace and forgets the namespace when nothing is left in it.
func (s *Store) change(namespace string, f func(*space)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.space(namespace)
	f(sp)
	if sp.empty() {
		delete(s.spaces, namespace)
	}
}

func index(idx map[string]map[string]*pod, key string, p *pod) {
	if key == "" {
		return
	}
	if idx[key] == nil {
		idx[key] = map[string]*pod{}
	}
	idx[key][p.Name] = p
}

func (s *space) unindex(p *pod) {
	for _, at := range []struct {
		idx map[string]map[string]*pod
		key string
	}{{s.byDeployment, p.Deployment}, {s.byService, p.Service}} {
		delete(at.idx[at.key], p.Name)
		if len(at.idx[at.key]) == 0 {
			delete(at.idx, at.key)
		}
	}
}
