package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// measured is a run in which the activator, at the same cell as Go's proxy, was so good.
func measured(cell Cell, direct, plain, mine Sample) Run {
	return Run{
		Idle:   map[Hop]int64{GoProxy: 5e6, Activator: 30e6},
		Series: []Series{{Cell: cell, Samples: map[Hop][]Sample{Direct: {direct}, GoProxy: {plain}, Activator: {mine}}}},
	}
}

func at(requests int64, p50 time.Duration, cpu time.Duration, peak int64) Sample {
	return Sample{Requests: requests, Elapsed: time.Second, P50: p50, CPU: cpu, Peak: peak}
}

// outcomes are the verdicts as budget: met.
func outcomes(r Run) map[string]bool {
	got := map[string]bool{}
	for _, v := range r.Verdicts() {
		got[v.Budget] = v.Met
	}
	return got
}

func TestEachBudgetIsMetAndMissedByItsOwnNumber(t *testing.T) {
	one := Cell{Protocol: HTTP1, Clients: 1, KeepAlive: true}
	many := Cell{Protocol: HTTP1, Body: 1 << 10, Clients: 32, KeepAlive: true}
	direct := at(30000, 30*time.Microsecond, 0, 0)
	plain := at(10000, 100*time.Microsecond, time.Second, 15e6)
	const (
		added, rate = "added to the median, one client", "throughput, 32 clients"
		cpu         = "CPU for 1,000 requests"
		memory      = "memory resident"
		growth      = "memory that the load adds"
	)
	for name, c := range map[string]struct {
		cell Cell
		mine Sample
		want map[string]bool
	}{
		"one client, as good in all":       {one, at(10000, 100*time.Microsecond, time.Second, 15e6), map[string]bool{added: true, cpu: true, memory: true, growth: true}},
		"one client, a microsecond slower": {one, at(10000, 101*time.Microsecond, time.Second, 15e6), map[string]bool{added: false, cpu: true, memory: true, growth: true}},
		"many clients, as good in all":     {many, at(10000, time.Second, time.Second, 15e6), map[string]bool{rate: true, cpu: true, memory: true, growth: true}},
		"many clients, fewer requests":     {many, at(9990, 0, 999*time.Millisecond, 15e6), map[string]bool{rate: false, cpu: true, memory: true, growth: true}},
		"more CPU":                         {many, at(10000, 0, 1010*time.Millisecond, 15e6), map[string]bool{rate: true, cpu: false, memory: true, growth: true}},
		"more memory, but from the start":  {many, at(10000, 0, time.Second, 40e6), map[string]bool{rate: true, cpu: true, memory: false, growth: true}},
		"more memory by the load":          {many, at(10000, 0, time.Second, 41e6), map[string]bool{rate: true, cpu: true, memory: false, growth: false}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, outcomes(measured(c.cell, direct, plain, c.mine))) })
	}
}

func TestFailedRequestsMeetNoBudget(t *testing.T) {
	mine := at(20000, 0, time.Second, 10e6)
	mine.Errors, mine.FirstError = 1, "the answer is 503"
	got := outcomes(measured(Cell{Protocol: HTTP1, Clients: 32, KeepAlive: true}, Sample{}, at(10000, 0, time.Second, 15e6), mine))
	require.False(t, got["no request fails"])
	require.False(t, got["throughput, 32 clients"], "requests that fail are fast")
}

func TestEventsMayComeFiveMillisecondsLater(t *testing.T) {
	cell := Cell{Protocol: Events, Clients: 8, KeepAlive: true}
	direct := at(100, time.Millisecond, 0, 0)
	require.True(t, outcomes(measured(cell, direct, direct, at(100, 6*time.Millisecond, time.Second, 1)))["events are flushed"])
	require.False(t, outcomes(measured(cell, direct, direct, at(100, 6*time.Millisecond+1, time.Second, 1)))["events are flushed"])
}

func TestWhatWasNotMeasuredHasNoVerdict(t *testing.T) {
	require.Empty(t, Run{}.Verdicts())
	r := Run{Series: []Series{{Cell: Quick()[0], Samples: map[Hop][]Sample{Activator: {at(1, 1, 1, 1)}}}}}
	require.Empty(t, r.Verdicts(), "there is nothing to compare with")
}
