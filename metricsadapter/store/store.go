// Package store turns readings of agents and activators into the demand of pods,
// Scalers and InferenceServices. It knows no cluster, no network and no clock: its
// callers tell it which objects there are, what was read and when, and ask for
// values at a time of theirs.
//
// It is bounded by the objects it is told of: readings of others are refused, and
// those of a pod go with the pod.
package store

import (
	"fmt"
	"sync"
	"time"
)

// Store holds what is known. It may be used by many goroutines at a time; a query
// sees the state between two changes. Make one with New.
type Store struct {
	mu         sync.RWMutex
	spaces     map[string]*space
	activators map[Key]*activator
}

// New returns an empty store.
func New() *Store {
	return &Store{spaces: map[string]*space{}, activators: map[Key]*activator{}}
}

// ObserveAgent records what the agent of a pod answered to a question asked at
// the given time. An error says why the reading was not used; it is the pod's
// fault or bad luck, never one of the store.
func (s *Store) ObserveAgent(k Key, uid string, r AgentReading, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.spaces[k.Namespace]
	if sp == nil || sp.pods[k.Name] == nil || sp.pods[k.Name].UID != uid {
		return fmt.Errorf("pod %s: %w", k, ErrUnknown)
	}
	p := sp.pods[k.Name]
	track, err := p.track.next(r, at)
	p.track = track
	if err != nil {
		return fmt.Errorf("reading of pod %s: %w", k, err)
	}
	return nil
}

// ObserveActivator records what an activator answered, as ObserveAgent does.
// Readings of one activator must not be given concurrently: the later one would
// find the earlier one's counters missing and be dropped or take its place.
func (s *Store) ObserveActivator(k Key, uid string, r ActivatorReading, at time.Time) error {
	s.mu.RLock()
	a := s.activators[k]
	var last activatorTrack
	if a != nil {
		last = a.track
	}
	s.mu.RUnlock()
	if a == nil || a.UID != uid {
		return fmt.Errorf("activator %s: %w", k, ErrUnknown)
	}

	// With thousands of routes this takes milliseconds, so it is done outside the lock.
	track, err := last.next(r, at)

	s.mu.Lock()
	defer s.mu.Unlock()
	if a = s.activators[k]; a == nil || a.UID != uid {
		return fmt.Errorf("activator %s: %w", k, ErrUnknown)
	}
	a.track = track
	if err != nil {
		return fmt.Errorf("reading of activator %s: %w", k, err)
	}
	return nil
}

// Size says how much the store knows.
type Size struct {
	// Pods, Activators, Scalers, Routes and Services count the objects known.
	Pods, Activators, Scalers, Routes, Services int
	// FreshPods and FreshActivators count those whose last reading may be used.
	FreshPods, FreshActivators int
}

// Size counts what is known at a time.
func (s *Store) Size(now time.Time) Size {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := Size{Activators: len(s.activators)}
	for _, a := range s.activators {
		if a.track.stamp.fresh(now) {
			n.FreshActivators++
		}
	}
	for _, sp := range s.spaces {
		n.Pods += len(sp.pods)
		n.Scalers += len(sp.scalers)
		n.Routes += len(sp.routes)
		n.Services += len(sp.services)
		for _, p := range sp.pods {
			if p.reporting(now) {
				n.FreshPods++
			}
		}
	}
	return n
}
