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
	w.queued = true
	q.lists[w.who.Class].insert(w)
	q.crowds[w.who.Class].insert(w)
}

func (q *queue) remove(w *Waiter) {
	q.n--
	w.queued = false
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
			return most.own.tail, false
		}
	}
	crowd := &q.crowds[who.Class]
	most, own := crowd.most(), crowd.count(who.Client)
	if most == nil {
		return nil, false
	}
	if most.own.n >= own+2 {
		return most.own.tail, false
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
	own    waiterList
	index  int // in the heap
}

func (c *crowd) most() *place {
	if len(c.heap) == 0 {
		return nil
	}
	return c.heap[0]
}

func (c *crowd) count(client string) int {
	if p := c.clients[client]; p != nil {
		return p.own.n
	}
	return 0
}

func (c *crowd) insert(w *Waiter) {
	p := c.clients[w.who.Client]
	if p == nil {
		if c.clients == nil {
			c.clients = map[string]*place{}
		}
		p = &place{client: w.who.Client, own: waiterList{by: ofClient}}
		c.clients[p.client] = p
		heap.Push(&c.heap, p)
	}
	w.place = p
	p.own.insert(w)
	heap.Fix(&c.heap, p.index)
}

func (c *crowd) remove(w *Waiter) {
	p := w.place
	w.place = nil
	p.own.remove(w)
	if p.own.n > 0 {
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
func (h places) Less(i, j int) bool { return h[i].own.n > h[j].own.n }

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
