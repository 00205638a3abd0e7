// Package durations counts how long things took, cheaply enough to do it for each
// request: some ten nanoseconds and no lock. Both ends of the data path use the
// same buckets, so that their quantiles compare. How a histogram is published is
// left to callers; the agent, which is to stay small, uses Write.
package durations

import (
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of the buckets; one more has what is above.
var Bounds = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
	30 * time.Second, time.Minute, 5 * time.Minute,
}

// Histogram counts durations. The zero value is ready for use by any number of
// goroutines.
type Histogram struct {
	buckets [len(Bounds) + 1]atomic.Uint64
	nanos   atomic.Int64
}

// Reading is a Histogram at one moment.
type Reading struct {
	// Buckets has for each of Bounds how many took at most that long.
	Buckets [len(Bounds)]uint64
	// Count is how many there were, Sum what they took together.
	Count uint64
	Sum   time.Duration
}

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.nanos.Add(int64(d))
}

// Read returns the counts. One that is observed meanwhile may be in the sum and
// not yet in the count, or the other way round.
func (h *Histogram) Read() Reading {
	var r Reading
	for i := range Bounds {
		r.Count += h.buckets[i].Load()
		r.Buckets[i] = r.Count
	}
	r.Count += h.buckets[len(Bounds)].Load()
	r.Sum = time.Duration(h.nanos.Load())
	return r
}

// Write prints the histogram in Prometheus' text format.
func (h *Histogram) Write(w io.Writer, name, help string) {
	r := h.Read()
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name)
	for i, bound := range Bounds {
		fmt.Fprintf(w, "%s_bucket{le=\"%s\"} %d\n", name, strconv.FormatFloat(bound.Seconds(), 'g', -1, 64), r.Buckets[i])
	}
	fmt.Fprintf(w, "%s_bucket{le=\"+Inf\"} %d\n", name, r.Count)
	fmt.Fprintf(w, "%s_sum %g\n%s_count %d\n", name, r.Sum.Seconds(), name, r.Count)
}
