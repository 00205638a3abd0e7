// Package budget bounds what may be held at a time: requests, bytes in memory,
// bytes on disk. Budgets nest, so that one route cannot use up what all share.
package budget

import (
	"math"
	"sync/atomic"
)

// Refusal says why nothing was taken.
type Refusal string

const (
	// Granted: there was room.
	Granted Refusal = ""
	// Full: this budget or one that it is a part of has no room.
	Full Refusal = "Full"
	// OverShare: there is room, and it is left to others.
	OverShare Refusal = "OverShare"
)

// NoLimit is the limit of a share that has none of its own.
const NoLimit = -1

// Budget is an amount of which shares are taken and given back. Taking never
// blocks. A nil Budget is unlimited.
type Budget struct {
	parent *Budget
	alpha  int64 // 0: no share is kept to
	bare   bool  // nothing is had beyond the share
	limit  atomic.Int64
	used   atomic.Int64
}

// New returns a budget of limit units. What is taken from it is also taken from
// parent, which may be nil.
func New(limit int64, parent *Budget) *Budget {
	b := &Budget{parent: parent}
	b.limit.Store(limit)
	return b
}

// NewShare is New for one of many that share the parent: it gets no more than
// alpha times what is free there. So it may take nearly all while it is alone, and
// what it leaves is enough for others to begin with; as they take more it gets
// less. Nothing has to be known of their number (A. K. Choudhury and E. L. Hahne,
// Dynamic queue length thresholds for shared-memory packet switches, 1998). Its
// first few units it gets also when the share of a namespace that it belongs to is
// used up; but for those all of the namespace together have no more than twice what
// is left, so that one with thousands of routes does not take everything either.
//
// With an alpha of 8 one of 900 units gets 800, and two get 423 each.
func NewShare(limit int64, parent *Budget, alpha int64) *Budget {
	b := New(limit, parent)
	b.alpha = alpha
	return b
}

// NewPart is NewShare without a limit of its own and without those first units, for
// those whose number nobody bounds: there may be a client for each of them. It gets
// alpha times what the parent's limit leaves, and once what the parent's share does:
// that is alpha times what is free of its parent already.
func NewPart(parent *Budget, alpha int64) *Budget {
	b := NewShare(NoLimit, parent, alpha)
	b.bare = true
	return b
}

// SetLimit changes the limit. What is already taken stays taken.
func (b *Budget) SetLimit(limit int64) { b.limit.Store(limit) }

// Take takes n units and reports whether there was room; if not, nothing is taken.
func (b *Budget) Take(n int64) bool { return b.Try(n) == Granted }

// Try is Take that says why there was no room.
func (b *Budget) Try(n int64) Refusal {
	if b == nil || n <= 0 {
		return Granted
	}
	return b.try(n, false)
}

func (b *Budget) try(n int64, spared bool) Refusal {
	if b == nil {
		return Granted
	}
	used := b.used.Add(n)
	var refusal Refusal
	first := b.alpha > 0 && !b.bare && used <= b.floor()
	alpha := b.alpha
	if spared {
		alpha *= 2
	}
	switch limit := b.limit.Load(); {
	case limit != NoLimit && used > limit:
		refusal = Full
	case alpha > 0 && !first && used > b.most(alpha):
		refusal = OverShare
		if b.parent.full(n) {
			refusal = Full
		}
	default:
		refusal = b.parent.try(n, spared || first)
	}
	if refusal != Granted {
		b.used.Add(-n)
	}
	return refusal
}

// most is what the budget may have by its share.
func (b *Budget) most(alpha int64) int64 {
	share, own := b.parent.left()
	if b.bare {
		return min(max(share, 0), alpha*min(max(own, 0), math.MaxInt64/alpha))
	}
	return alpha * max(min(share, own), 0)
}

// floor is what a budget gets however much others of its kind have taken: a 256th.
func (b *Budget) floor() int64 {
	for b.parent != nil && b.alpha > 0 {
		b = b.parent
	}
	return b.limit.Load() / 256
}

// Force takes n units whether there is room or not: for whoever takes the place of
// one who is about to give back.
func (b *Budget) Force(n int64) {
	for ; b != nil; b = b.parent {
		b.used.Add(n)
	}
}

// left is what the budget has left of its share and of its own limit.
func (b *Budget) left() (share, own int64) {
	used, limit := b.used.Load(), b.limit.Load()
	share, own = math.MaxInt64, math.MaxInt64
	if limit != NoLimit {
		own = limit - used
	}
	if b.alpha > 0 {
		share = b.most(b.alpha) - used
	}
	return share, own
}

// full reports whether what is shared has no room for n more units, whoever wants them.
func (b *Budget) full(n int64) bool {
	for ; b != nil; b = b.parent {
		if limit := b.limit.Load(); limit != NoLimit && b.used.Load()+n > limit {
			return true
		}
	}
	return false
}

// Give returns n units taken before.
func (b *Budget) Give(n int64) {
	if b == nil || n <= 0 {
		return
	}
	b.used.Add(-n)
	b.parent.Give(n)
}

// Used is how much is taken now.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}
