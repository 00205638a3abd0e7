package server

import "k8s.io/apimachinery/pkg/types"

// ackQueue is the order in which routes are acknowledged: those that requests
// come to activators for before all others. Its methods are called by one
// goroutine at a time.
type ackQueue struct {
	urgent      func(types.NamespacedName) bool
	first, rest []types.NamespacedName
	// queued says what is in the queue. A route that became urgent while it waited
	// is in both lists; the second of the two finds it gone.
	queued map[types.NamespacedName]bool
}

func newAckQueue(urgent func(types.NamespacedName) bool) *ackQueue {
	return &ackQueue{urgent: urgent, queued: map[types.NamespacedName]bool{}}
}

// Push adds a route.
func (q *ackQueue) Push(key types.NamespacedName) {
	q.queued[key] = true
	if q.urgent(key) {
		q.first = append(q.first, key)
	} else {
		q.rest = append(q.rest, key)
	}
}

// Touch is told of a route that is added again while it waits.
func (q *ackQueue) Touch(key types.NamespacedName) {
	if q.queued[key] && q.urgent(key) {
		q.first = append(q.first, key)
	}
}

// Len is the number of routes in the queue.
func (q *ackQueue) Len() int { return len(q.queued) }

// Pop takes the next route. It is called only when there is one.
func (q *ackQueue) Pop() types.NamespacedName {
	for {
		var key types.NamespacedName
		if len(q.first) > 0 {
			key, q.first = q.first[0], q.first[1:]
		} else {
			key, q.rest = q.rest[0], q.rest[1:]
		}
		if q.queued[key] {
			delete(q.queued, key)
			return key
		}
	}
}
