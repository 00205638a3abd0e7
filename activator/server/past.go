package server

import (
	"sync"
	"time"
)

// past is what a target remembers of its starts, for traces and for people. It is
// guarded by the target's lock.
type past struct {
	// waiting is since when requests wait for the start that is under way; zero without one.
	waiting time.Time
	raised  raisedAt
	ready   readyAt
	probe   probed
	started startedAt
	failed  failedAt
	// raiseError is why the scale could not be raised at the last try; empty when it could.
	raiseError string
}

// raisedAt is the last raise of the scale.
type raisedAt struct {
	at time.Time
	to int32
}

// readyAt is the last time that a pod began to take requests.
type readyAt struct {
	at  time.Time
	pod string
}

// probed is the last asking of a pod that ended with its being ready.
type probed struct {
	pod          string
	begun, ended time.Time
	asked        int
}

// startedAt is the last start that brought a pod.
type startedAt struct {
	at   time.Time
	took time.Duration
}

// failedAt is the last start that was given up.
type failedAt struct {
	at              time.Time
	reason, message string
}

// ejectionsKept is how many ejections a route remembers.
const ejectionsKept = 20

// Ejection is a pod that was taken out before its readiness told.
type Ejection struct {
	At       time.Time `json:"at"`
	Revision string    `json:"revision"`
	Pod      string    `json:"pod"`
	Cause    string    `json:"cause"`
	Error    string    `json:"error,omitempty"`
}

// ejectionLog has a route's last ejections.
type ejectionLog struct {
	mu   sync.Mutex
	last []Ejection
}

func (l *ejectionLog) add(e Ejection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) >= ejectionsKept {
		l.last = append(l.last[:0], l.last[1:]...)
	}
	l.last = append(l.last, e)
}

// list has the latest first.
func (l *ejectionLog) list() []Ejection {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Ejection, 0, len(l.last))
	for i := len(l.last) - 1; i >= 0; i-- {
		out = append(out, l.last[i])
	}
	return out
}
