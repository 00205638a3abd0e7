package inflight

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAreaIsTheSumOfTheTimesInside(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	var c Counter
	require.Equal(t, Reading{}, c.Read(at(0)))
	c.Enter(at(1))
	c.Enter(at(2))
	require.Equal(t, Reading{InFlight: 2, Entered: 2, InFlightSeconds: 2}, c.Read(at(2.5)))
	c.Leave(at(3))
	c.Leave(at(4.25))
	require.Equal(t, Reading{Entered: 2, Left: 2, InFlightSeconds: 4.25}, c.Read(at(10)))
}

func TestTinyStaysAreNotLostInALargeArea(t *testing.T) {
	start := time.Unix(0, 0)
	var c Counter
	for range 1000 {
		c.Enter(start)
	}
	year := start.Add(365 * 24 * time.Hour)
	before := c.Read(year).InFlightSeconds
	for i := range 1000 {
		c.Read(year.Add(time.Duration(i+1) * time.Microsecond))
	}
	require.InDelta(t, 1.0, c.Read(year.Add(time.Millisecond)).InFlightSeconds-before, 1e-5)
}

func TestAClockReadBeforeTheLockNeverTakesAreaAway(t *testing.T) {
	start := time.Unix(0, 0)
	var c Counter
	c.Enter(start)
	c.Enter(start.Add(2 * time.Second))
	c.Leave(start.Add(time.Second))
	require.InDelta(t, 2.0, c.Read(start.Add(2*time.Second)).InFlightSeconds, 1e-9)
	require.InDelta(t, 3.0, c.Read(start.Add(3*time.Second)).InFlightSeconds, 1e-9)
}

func TestManyGoroutinesLeaveNothingInside(t *testing.T) {
	var c Counter
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				c.Enter(time.Now())
				c.Leave(time.Now())
			}
		})
	}
	wg.Wait()
	r := c.Read(time.Now())
	require.Zero(t, r.InFlight)
	require.EqualValues(t, 8000, r.Entered)
	require.EqualValues(t, 8000, r.Left)
}

func BenchmarkEnterLeave(b *testing.B) {
	var c Counter
	b.ReportAllocs()
	for b.Loop() {
		c.Enter(time.Now())
		c.Leave(time.Now())
	}
}
