// Package budget bounds what may be held at a time: requests, bytes in memory,
// bytes on disk. Budgets nest, so that one route cannot use up what all share.
package budget

import "sync/atomic"

// Budget is an amount of which shares are taken and given back. Taking never
// blocks. A nil Budget is unlimited.
type Budget struct {
	parent *Budget
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

// SetLimit changes the limit. What is already taken stays taken.
func (b *Budget) SetLimit(limit int64) { b.limit.Store(limit) }

// Take takes n units and reports whether there was room; if not, nothing is taken.
func (b *Budget) Take(n int64) bool {
	if b == nil || n <= 0 {
		return true
	}
	if b.used.Add(n) > b.limit.Load() {
		b.used.Add(-n)
		return false
	}
	if !b.parent.Take(n) {
		b.used.Add(-n)
		return false
	}
	return true
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
