package activator

// The lists that a held request is in.
const (
	ofClass  = iota // all of its class
	ofClient        // those of its class and client
	listKinds
)

// link ties a request to its neighbours in one list.
type link struct{ prev, next *Waiter }

// waiterList keeps held requests in the order of their arrival. Taking one out
// of the middle costs the same however many there are: a storm of time-outs
// takes out thousands.
type waiterList struct {
	// by says which of the requests' links the list uses.
	by         int
	head, tail *Waiter
	n          int
}

// insert puts w behind the last one that arrived before it. New arrivals go to
// the end and returning ones to near the front, so it looks from both.
func (l *waiterList) insert(w *Waiter) {
	l.n++
	own := &w.links[l.by]
	switch {
	case l.head == nil:
		l.head, l.tail = w, w
	case w.seq >= l.tail.seq:
		own.prev, l.tail.links[l.by].next, l.tail = l.tail, w, w
	default:
		before := l.head
		for before.seq <= w.seq {
			before = before.links[l.by].next
		}
		own.prev, own.next = before.links[l.by].prev, before
		if own.prev == nil {
			l.head = w
		} else {
			own.prev.links[l.by].next = w
		}
		before.links[l.by].prev = w
	}
}

func (l *waiterList) remove(w *Waiter) {
	own := &w.links[l.by]
	if own.prev == nil {
		l.head = own.next
	} else {
		own.prev.links[l.by].next = own.next
	}
	if own.next == nil {
		l.tail = own.prev
	} else {
		own.next.links[l.by].prev = own.prev
	}
	*own = link{}
	l.n--
}
