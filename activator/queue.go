package activator

import "container/heap"

// Class is how urgent a request is.
type Class int

const (
	// Normal is what a request is that says nothing, or may not say it.
	Normal Class = iota
	// High is released before all others.
	High
	// Low is released after all others, and the first to go where there is no room.
	Low

	classes = 3
)

// byUrgency has the classes in the order of their release. It is strict: what is
// low waits for as long as anything else does, up to its patience. A share for it
// would be taken from those who were told that they come first.
var byUrgency = [classes]Class{High, Normal, Low}

// Who is who wants a request to be served, and how urgently.
type Who struct {
	// Client tells clients apart.
	Client string
	// Class is the request's.
	Class Class
}

// queue is the held requests of a pool.
type queue struct {
	n      int
	lists  [classes]waiterList
	crowds [classes]crowd
}

func (q *queue) len() int { return q.n }

// first is who is released next, nil where nobody waits.
func (q *queue) first() *Waiter {
	if q.n == 0 {
		return nil // as a rule, and twice for each request
	}
	return q.mostUrgent()
}

func (q *queue) mostUrgent() *Waiter {
	for _, class := range byUrgency {
		if w := q.lists[class].head; w != nil {
			return w
		}
	}
	return nil
}

func (q *queue) insert(w *Waiter) {
	q.n++
	q.lists[w.who.Class].insert(w)
	q.crowds[w.who.Class].insert(w)
}

func (q *queue) remove(w *Waiter) {
	q.n--
	q.lists[w.who.Class].remove(w)
	q.crowds[w.who.Class].remove(w)
}

// displaced is who makes room for a newcomer where there is no more: one of a
// lower class, the lowest first, or one of a client that holds at least two places
// more than the newcomer's. It is the latest of the client with the most. nil:
// nobody; then the newcomer is greedy if its client has as much as anybody, and
// there are others.
func (q *queue) displaced(who Who) (w *Waiter, greedy bool) {
	for i := classes - 1; byUrgency[i] != who.Class; i-- {
		if most := q.crowds[byUrgency[i]].most(); most != nil {
			return most.last, false
		}
	}
	crowd := &q.crowds[who.Class]
	most, own := crowd.most(), crowd.count(who.Client)
	if most == nil {
		return nil, false
	}
	if most.n >= own+2 {
		return most.last, false
	}
	return nil, own > 1 && len(crowd.clients) > 1
}

// crowd is the clients of one class that have requests in the queue, the one with
// the most on top.
type crowd struct {
	clients map[string]*place
	heap    places
}

// place is one client's part of the queue.
type place struct {
	client string
	n      int
	// first and last are the earliest and the latest to arrive.
	first, last *Waiter
	index       int // in the heap
}

func (c *crowd) most() *place {
	if len(c.heap) == 0 {
		return nil
	}
	return c.heap[0]
}

func (c *crowd) count(client string) int {
	if p := c.clients[client]; p != nil {
		return p.n
	}
	return 0
}

func (c *crowd) insert(w *Waiter) {
	p := c.clients[w.who.Client]
	if p == nil {
		if c.clients == nil {
			c.clients = map[string]*place{}
		}
		p = &place{client: w.who.Client}
		c.clients[p.client] = p
		heap.Push(&c.heap, p)
	}
	w.place = p
	p.insert(w)
	p.n++
	heap.Fix(&c.heap, p.index)
}

// insert puts w among its client's. New arrivals are the last and returning ones
// nearly the first, so it looks from both ends.
func (p *place) insert(w *Waiter) {
	switch {
	case p.last == nil:
		p.first, p.last = w, w
	case w.seq >= p.last.seq:
		w.older, p.last.newer, p.last = p.last, w, w
	default:
		next := p.first
		for next.seq <= w.seq {
			next = next.newer
		}
		w.older, w.newer = next.older, next
		if next.older == nil {
			p.first = w
		} else {
			next.older.newer = w
		}
		next.older = w
	}
}

func (c *crowd) remove(w *Waiter) {
	p := w.place
	if w.newer == nil {
		p.last = w.older
	} else {
		w.newer.older = w.older
	}
	if w.older == nil {
		p.first = w.newer
	} else {
		w.older.newer = w.newer
	}
	w.place, w.older, w.newer = nil, nil, nil
	if p.n--; p.n > 0 {
		heap.Fix(&c.heap, p.index)
		return
	}
	heap.Remove(&c.heap, p.index)
	delete(c.clients, p.client)
	if len(c.clients) == 0 {
		*c = crowd{} // a map keeps the room for all it ever had
	}
}

// places is a heap.Interface.
type places []*place

// Len is the number of clients.
func (h places) Len() int { return len(h) }

// Less puts the client with the most on top.
func (h places) Less(i, j int) bool { return h[i].n > h[j].n }

// Swap keeps the places' indexes right.
func (h places) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push adds a client.
func (h *places) Push(x any) {
	p := x.(*place)
	p.index = len(*h)
	*h = append(*h, p)
}

// Pop takes the last out.
func (h *places) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return p
}
