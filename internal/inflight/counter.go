// Package inflight counts requests that are inside something, and integrates
// that count over time, so that any number of readers can compute the mean
// concurrency over an interval of their own. It has no clock: callers say what
// time it is.
package inflight

import (
	"sync"
	"time"
)

// Counter is a time-weighted count. The zero value is ready for use. All
// methods may be called from any goroutine.
type Counter struct {
	mu      sync.Mutex
	n       int64
	entered int64
	left    int64
	// at is the time up to which the area is complete.
	at time.Time
	// The area is kept as whole request-seconds and the nanoseconds beyond, and
	// not as one float, because adding microseconds to a year's worth of seconds
	// would lose them.
	seconds int64
	nanos   int64
}

// Reading is a consistent view of a Counter at one moment.
type Reading struct {
	// InFlight is the number of requests inside.
	InFlight int64
	// Entered is how many ever came in.
	Entered int64
	// Left is how many ever went out.
	Left int64
	// InFlightSeconds is the integral of InFlight over time. Two requests inside
	// for 1.5 s each add 3.
	InFlightSeconds float64
}

// Enter counts one request in.
func (c *Counter) Enter(now time.Time) {
	c.mu.Lock()
	c.advance(now)
	c.n++
	c.entered++
	c.mu.Unlock()
}

// Leave counts one request out. Every Enter is followed by one Leave.
func (c *Counter) Leave(now time.Time) {
	c.mu.Lock()
	c.advance(now)
	c.n--
	c.left++
	c.mu.Unlock()
}

// Read brings the area up to now and returns the count.
func (c *Counter) Read(now time.Time) Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	return Reading{
		InFlight:        c.n,
		Entered:         c.entered,
		Left:            c.left,
		InFlightSeconds: float64(c.seconds) + float64(c.nanos)/1e9,
	}
}

// advance adds the area since the last call. Callers read their clocks before
// they take the lock, so now may lie a little before the last one; then
// nothing is added, and the next call makes up for it.
func (c *Counter) advance(now time.Time) {
	if c.at.IsZero() {
		c.at = now
		return
	}
	d := now.Sub(c.at)
	if d <= 0 {
		return
	}
	c.at = now
	// Whole seconds and the rest are added apart so that n × d cannot overflow.
	c.seconds += c.n * int64(d/time.Second)
	c.nanos += c.n * int64(d%time.Second)
	c.seconds += c.nanos / 1e9
	c.nanos %= 1e9
}
