package activator

// waiterList keeps held requests in the order of their arrival. Taking one out
// of the middle costs the same however many there are: a storm of time-outs
// takes out thousands.
type waiterList struct {
	head, tail *Waiter
	n          int
}

// insert puts w behind the last one that arrived before it. New arrivals go to
// the end and returning ones to near the front, so it looks from both.
func (l *waiterList) insert(w *Waiter) {
	w.queued = true
	l.n++
	switch {
	case l.head == nil:
		l.head, l.tail = w, w
	case w.seq >= l.tail.seq:
		w.prev, l.tail.next, l.tail = l.tail, w, w
	default:
		before := l.head
		for before.seq <= w.seq {
			before = before.next
		}
		w.prev, w.next = before.prev, before
		if before.prev == nil {
			l.head = w
		} else {
			before.prev.next = w
		}
		before.prev = w
	}
}

func (l *waiterList) remove(w *Waiter) {
	if w.prev == nil {
		l.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	l.n--
}
