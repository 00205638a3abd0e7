// Package window keeps a signal's last minutes in buckets of one second and
// averages them. What a value means, and whether an average may be acted on, is
// the caller's.
//
// A second without a reading is unknown, not zero: averages are taken over the
// seconds that have one. So a signal that stops does not decay (as in Knative),
// and a hole between two readings does not pull the average down either (Knative
// counts it as zero there). How much is unknown is told by LongestGap; callers
// that would act on low values ask it first.
package window

import (
	"math"
	"slices"
	"time"
)

// absent marks a second without a reading. Readings are never negative.
const absent = -1

// Window is a ring of one-second buckets. The zero value holds nothing and has
// no room; make one with New. It is a value to keep in other state: Clone copies
// it, and JSON carries it exactly.
type Window struct {
	// Newest is the Unix second of the newest bucket with a reading. 0 means that
	// there is none.
	Newest int64 `json:"newest,omitempty"`
	// Values has one bucket per second, that of second s at index s modulo its
	// length; -1 where there was no reading.
	Values []float64 `json:"values,omitempty"`
}

// New returns an empty window over the given time, rounded up to whole seconds.
func New(over time.Duration) Window {
	return Window{Values: empty(seconds(over))}
}

// Clone returns a copy that shares nothing with w.
func (w Window) Clone() Window {
	w.Values = slices.Clone(w.Values)
	return w
}

// Empty reports whether the window holds no reading.
func (w Window) Empty() bool { return w.Newest == 0 }

// Reset forgets all readings.
func (w *Window) Reset() {
	w.Newest = 0
	for i := range w.Values {
		w.Values[i] = absent
	}
}

// Resize makes room for another time and keeps the newest readings that fit. It
// leaves the old buckets untouched, so that it may be called on a shallow copy.
func (w *Window) Resize(over time.Duration) {
	size := seconds(over)
	if size == len(w.Values) {
		return
	}
	old := *w
	w.Values = empty(size)
	if old.Newest == 0 {
		return
	}
	for s := old.Newest - int64(min(size, len(old.Values))) + 1; s <= old.Newest; s++ {
		w.Values[index(s, size)] = old.Values[index(s, len(old.Values))]
	}
}

// Record puts down that the signal had the value, as a mean, over the time that
// ended at the given instant. At least the second of the instant is filled; a
// second that has a reading already takes the later one, so recording one reading
// twice changes nothing. Values that are no numbers or below zero, readings older
// than the window and those before 1970 are dropped.
func (w *Window) Record(at time.Time, over time.Duration, value float64) {
	size := len(w.Values)
	last := at.Unix()
	if size == 0 || last <= 0 || !(value >= 0) || math.IsInf(value, 1) || w.Newest-last >= int64(size) {
		return
	}
	if w.Newest == 0 {
		w.Newest = last
	}
	for ; w.Newest < last; w.Newest++ {
		if last-w.Newest > int64(size) {
			w.Newest = last - int64(size)
		}
		w.Values[index(w.Newest+1, size)] = absent
	}
	// A mean over (8.4s, 10.4s] fills the seconds 9 and 10: whole seconds back from
	// the instant, so that readings one second apart fill one bucket each.
	first := last - int64(over/time.Second) + 1
	first = max(min(first, last), w.Newest-int64(size)+1)
	for s := first; s <= last; s++ {
		w.Values[index(s, size)] = value
	}
}

// Average is the mean of the readings in the last seconds up to the newest
// reading; false without any.
func (w Window) Average(over time.Duration) (float64, bool) {
	var sum float64
	var n int
	w.each(over, func(value float64) {
		if value != absent {
			sum += value
			n++
		}
	})
	if n == 0 {
		return 0, false
	}
	return sum / float64(n), true
}

// LongestGap is the longest run of seconds without a reading in the last seconds
// up to the newest reading; all of them when the window is empty or shorter.
func (w Window) LongestGap(over time.Duration) time.Duration {
	if w.Newest == 0 || seconds(over) > len(w.Values) {
		return over
	}
	var longest, run int
	w.each(over, func(value float64) {
		run++
		if value != absent {
			run = 0
		}
		longest = max(longest, run)
	})
	return time.Duration(longest) * time.Second
}

// each calls f with every bucket of the time, oldest first.
func (w Window) each(over time.Duration, f func(float64)) {
	if w.Newest == 0 {
		return
	}
	size := len(w.Values)
	n := min(seconds(over), size)
	at := index(w.Newest-int64(n)+1, size)
	for range n {
		f(w.Values[at])
		if at++; at == size {
			at = 0
		}
	}
}

func seconds(over time.Duration) int {
	return max(1, int((over+time.Second-1)/time.Second))
}

func index(second int64, size int) int {
	return int(((second % int64(size)) + int64(size)) % int64(size))
}

func empty(size int) []float64 {
	values := make([]float64, size)
	for i := range values {
		values[i] = absent
	}
	return values
}
