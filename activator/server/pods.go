package server

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// podIndex finds the targets that a pod may belong to. A target is filed under
// one label of its selector, so that a pod's event costs a few look-ups and not
// one comparison for each of ten thousand routes.
type podIndex struct {
	mu      sync.RWMutex
	targets map[string]map[*target]bool
	// lookup lists the known pods that have a label.
	lookup func(label string) []*corev1.Pod
}

func (x *podIndex) init() {
	x.targets = map[string]map[*target]bool{}
	x.lookup = func(string) []*corev1.Pod { return nil }
}

// labelKey is the name under which a label is filed.
func labelKey(namespace, name, value string) string { return namespace + "/" + name + "=" + value }

// revisionLabel tells the pods of one revision from all others.
const revisionLabel = "rawserve.dev/revision"

// selectorKey is the one label that a target is filed under.
func selectorKey(namespace string, selector map[string]string) string {
	if v, ok := selector[revisionLabel]; ok {
		return labelKey(namespace, revisionLabel, v)
	}
	for _, name := range slices.Sorted(maps.Keys(selector)) {
		return labelKey(namespace, name, selector[name])
	}
	return labelKey(namespace, "", "")
}

func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return len(selector) > 0
}

func (x *podIndex) add(t *target, key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.targets[key] == nil {
		x.targets[key] = map[*target]bool{}
	}
	x.targets[key][t] = true
}

func (x *podIndex) remove(t *target, key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.targets[key], t)
	if len(x.targets[key]) == 0 {
		delete(x.targets, key)
	}
}

// find lists the targets filed under one of the pod's labels.
func (x *podIndex) find(obj *corev1.Pod) []*target {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var found []*target
	for k, v := range obj.Labels {
		for t := range x.targets[labelKey(obj.Namespace, k, v)] {
			found = append(found, t)
		}
	}
	return found
}

// watchTarget makes the target follow the pods of its selector.
func (s *Server) watchTarget(t *target, previous, spec *v1alpha1.RouteTarget) {
	if previous != nil {
		if maps.Equal(previous.PodSelector, spec.PodSelector) && previous.AgentPort == spec.AgentPort {
			return
		}
		s.index.remove(t, selectorKey(t.route.key.Namespace, previous.PodSelector))
		s.forgetPods(t)
	}
	key := selectorKey(t.route.key.Namespace, spec.PodSelector)
	// Filed first and listed then: a pod that changes in between is seen twice, not never.
	s.index.add(t, key)
	for _, obj := range s.index.lookup(key) {
		s.targetPodChanged(t, obj)
	}
}

func (s *Server) unwatchTarget(t *target) {
	s.index.remove(t, selectorKey(t.route.key.Namespace, t.spec.Load().PodSelector))
	s.forgetPods(t)
}

func (s *Server) forgetPods(t *target) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.pods {
		t.removePod(name)
	}
}

// podChanged brings a pod's new state to the targets it belongs to. previous is
// its state before, nil if it is new.
func (s *Server) podChanged(previous, obj *corev1.Pod) {
	if previous != nil && !maps.Equal(previous.Labels, obj.Labels) {
		s.podGone(previous)
	}
	for _, t := range s.index.find(obj) {
		s.targetPodChanged(t, obj)
	}
}

// podGone takes a pod away from the targets it belonged to.
func (s *Server) podGone(obj *corev1.Pod) {
	for _, t := range s.index.find(obj) {
		t.mu.Lock()
		if p := t.pods[obj.Name]; p != nil && p.object.UID == obj.UID {
			t.removePod(obj.Name)
			s.startLocked(t)
			t.poke()
		}
		t.mu.Unlock()
	}
}

func (s *Server) targetPodChanged(t *target, obj *corev1.Pod) {
	spec := t.spec.Load()
	if !matches(spec.PodSelector, obj.Labels) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pods[obj.Name]
	var standing activator.Standing
	if p != nil && (p.object.UID != obj.UID || p.object.Status.PodIP != obj.Status.PodIP) {
		if p.object.UID == obj.UID {
			standing = p.standing
		}
		t.removePod(obj.Name)
		p = nil
	}
	if p == nil {
		p = &pod{poke: make(chan struct{}, 1), standing: standing}
		t.pods[obj.Name] = p
		if obj.Status.PodIP != "" {
			// Where the time of a start went can be told from here on.
			s.log.Debug("pod has an address", "namespace", obj.Namespace, "route", t.route.key.Name, "pod", obj.Name, "address", obj.Status.PodIP)
		}
	}
	p.object = obj
	s.settlePod(t, p, int(spec.AgentPort))
	s.startLocked(t)
	s.borrowLocked(t)
	t.poke()
}

// settlePod has the pod take requests or not, or somebody find out. It is called
// with the target's lock held.
func (s *Server) settlePod(t *target, p *pod, agentPort int) {
	name := p.object.Name
	var word activator.Word
	p.standing, word = p.standing.Next(p.object, agentPort != 0 && !p.kubelet)
	switch word {
	case activator.TakesNone:
		p.stopProbe()
		t.pool.SetUnready(name)
	case activator.TakesSome:
		t.setReady(name, p.object.Status.PodIP)
	case activator.AskAgent:
		s.ensureProbe(t, p, agentPort)
	}
}

// ensureProbe has the agent asked, unless the pod takes requests already. It is
// called with the target's lock held.
func (s *Server) ensureProbe(t *target, p *pod, agentPort int) {
	if t.pool.IsReady(p.object.Name) || s.base.Err() != nil {
		return
	}
	if p.stop != nil {
		select {
		case p.poke <- struct{}{}:
		default:
		}
		return
	}
	ctx, cancel := context.WithCancel(s.base)
	p.stop = cancel
	pr := &prober{s: s, t: t, p: p, name: p.object.Name, addr: p.object.Status.PodIP, port: agentPort}
	s.work.Go(func() {
		defer cancel()
		pr.run(ctx)
	})
}

// setReady has the pod take requests. It is called with the target's lock held, so
// that one whose hold ends by it finds it written down.
func (t *target) setReady(name, addr string) {
	if t.pool.SetReady(name, addr) {
		t.past.ready = readyAt{at: time.Now(), pod: name}
	}
	t.tellNear(name)
}

// preferredZone is the zone whose pods come first; empty: none do.
func (s *Server) preferredZone(d v1alpha1.TrafficDistribution) string {
	if d != v1alpha1.PreferSameZone {
		return ""
	}
	return s.zone
}

func (t *target) setZone(zone string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.zone == zone {
		return
	}
	t.zone = zone
	for name := range t.pods {
		t.tellNear(name)
	}
}

// tellNear is called with the target's lock held.
func (t *target) tellNear(name string) {
	if p := t.pods[name]; p != nil {
		t.pool.SetNear(name, t.zone != "" && p.object.Labels[corev1.LabelTopologyZone] == t.zone)
	}
}

// probeAgain has a pod asked anew that was taken out.
func (s *Server) probeAgain(t *target, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pods[name]
	if p == nil {
		return
	}
	p.ejections++
	agentPort := int(t.spec.Load().AgentPort)
	if agentPort == 0 || p.kubelet {
		// Nobody but kubelet can tell. Its view is stale right now, so the pod is
		// asked for a connection instead.
		s.ensureDial(t, p)
		return
	}
	s.settlePod(t, p, agentPort)
}

// suspect has the pod at an address asked anew that does not acknowledge what is
// sent to it. It gets nothing before it has answered, and what was sent to it ends
// as it ends.
func (s *Server) suspect(addr string) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return
	}
	for _, rt := range *s.routeList.Load() {
		p := rt.plan.Load()
		if p == nil {
			continue
		}
		for _, t := range p.targets {
			for _, name := range t.podsAt(host) {
				if t.pool.SetUnready(name) {
					s.ejected(t, name, ejectedSilent, nil)
				}
			}
		}
	}
}

func (t *target) podsAt(host string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for name, p := range t.pods {
		if p.object.Status.PodIP == host {
			names = append(names, name)
		}
	}
	return names
}

// removePod is called with the target's lock held.
func (t *target) removePod(name string) {
	if p := t.pods[name]; p != nil {
		p.stopProbe()
		delete(t.pods, name)
	}
	t.pool.Remove(name)
}

func (p *pod) stopProbe() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

func (t *target) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *target) objectsLocked() []*corev1.Pod {
	out := make([]*corev1.Pod, 0, len(t.pods))
	for _, p := range t.pods {
		out = append(out, p.object)
	}
	return out
}
