package answer

import (
	"maps"
	"slices"
	"sync/atomic"
)

// reasons has every Reason, sorted.
var reasons = slices.Sorted(maps.Keys(replies))

// maxReasons is the number of reasons that Counts has room for.
const maxReasons = 32

// Counts counts answers by their reason. The zero value is ready for use by any
// number of goroutines. It is one array, for there is one for each of ten
// thousand routes.
type Counts struct {
	n [maxReasons]atomic.Int64
}

// Add counts one answer. A reason that has no status counts nowhere.
func (c *Counts) Add(r Reason) {
	if i, found := slices.BinarySearch(reasons, r); found {
		c.n[i].Add(1)
	}
}

// Each calls f with every reason, also those that never were given.
func (c *Counts) Each(f func(r Reason, n int64)) {
	for i, r := range reasons {
		f(r, c.n[i].Load())
	}
}
