package agent

import (
	"container/list"
	"sync"
)

// Limiter lets a fixed number of requests into the server at a time. Those
// beyond wait in the order of their arrival, up to a bound. A nil Limiter lets
// everybody in.
type Limiter struct {
	mu      sync.Mutex
	slots   int
	depth   int
	waiting list.List
}

// Ticket is a place in the queue.
type Ticket struct {
	// Turn is closed when the request may go in.
	Turn <-chan struct{}

	turn    chan struct{}
	element *list.Element
}

// NewLimiter lets slots requests in at a time and depth wait. With slots 0 or
// less it returns nil: no limit.
func NewLimiter(slots, depth int) *Limiter {
	if slots <= 0 {
		return nil
	}
	return &Limiter{slots: slots, depth: depth}
}

// Enter takes a slot, or a place in the queue. With in true the request goes in
// at once; with a ticket it waits for its turn; with neither the queue is full.
func (l *Limiter) Enter() (in bool, ticket *Ticket) {
	if l == nil {
		return true, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slots > 0 {
		l.slots--
		return true, nil
	}
	if l.waiting.Len() >= l.depth {
		return false, nil
	}
	t := &Ticket{turn: make(chan struct{})}
	t.Turn = t.turn
	t.element = l.waiting.PushBack(t)
	return false, t
}

// Leave gives the slot to the first who waits. Each request that went in leaves once.
func (l *Limiter) Leave() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass()
}

// Cancel gives a place in the queue up. If its turn came at the same moment the
// slot goes to the next.
func (l *Limiter) Cancel(t *Ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.element == nil {
		l.pass()
		return
	}
	l.waiting.Remove(t.element)
	t.element = nil
}

// Waiting is the number of requests in the queue.
func (l *Limiter) Waiting() int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting.Len()
}

func (l *Limiter) pass() {
	first := l.waiting.Front()
	if first == nil {
		l.slots++
		return
	}
	t := l.waiting.Remove(first).(*Ticket)
	t.element = nil
	close(t.turn)
}
