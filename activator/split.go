package activator

import (
	"sync/atomic"
)

// Split deals requests out to targets by their weights: exactly so over any
// hundred requests in a row, and evenly within them.
type Split struct {
	slots []uint8
	next  atomic.Uint32
}

// NewSplit returns a split by weights. Targets of weight 0 get nothing; where
// all weights are 0 the first target gets everything.
//
// Weights 75, 25 give 0 0 1 0 0 0 1 0 …: each step every target earns its
// weight, the richest is served and pays the sum.
func NewSplit(weights []int32) *Split {
	total := int32(0)
	for _, w := range weights {
		total += max(w, 0)
	}
	if total == 0 || len(weights) == 1 {
		return &Split{slots: []uint8{0}}
	}
	s := &Split{slots: make([]uint8, total)}
	credit := make([]int32, len(weights))
	for i := range s.slots {
		best := 0
		for t, w := range weights {
			credit[t] += max(w, 0)
			if credit[t] > credit[best] {
				best = t
			}
		}
		credit[best] -= total
		s.slots[i] = uint8(best)
	}
	return s
}

// Next is the index of the target for the next request.
func (s *Split) Next() int {
	if len(s.slots) == 1 {
		return int(s.slots[0])
	}
	return int(s.slots[(s.next.Add(1)-1)%uint32(len(s.slots))])
}
