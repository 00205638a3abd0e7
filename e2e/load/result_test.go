package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPercentileIsTheSmallestThatSoManyDoNotExceed(t *testing.T) {
	ms := func(n int) []time.Duration {
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(i+1) * time.Millisecond
		}
		return all
	}
	for name, c := range map[string]struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		"none":                        {nil, 50, 0},
		"one is every percentile":     {ms(1), 99, time.Millisecond},
		"half of two is the first":    {ms(2), 50, time.Millisecond},
		"half of three is the middle": {ms(3), 50, 2 * time.Millisecond},
		"99 of 200 is the 198th":      {ms(200), 99, 198 * time.Millisecond},
		"99 of 100 is not the last":   {ms(100), 99, 99 * time.Millisecond},
		"99 of 50 is the last":        {ms(50), 99, 50 * time.Millisecond},
		"100 is the last":             {ms(7), 100, 7 * time.Millisecond},
		"0 is the first":              {ms(7), 0, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, Percentile(c.sorted, c.p)) })
	}
}

// rounds are samples of 1,000 requests in a second, at this many µs of CPU and at the median.
func rounds(cpu, p50 []int) []Sample {
	out := make([]Sample, len(cpu))
	for i := range out {
		out[i] = Sample{Requests: 1000, Elapsed: time.Second, CPU: time.Duration(cpu[i]) * time.Millisecond, P50: time.Duration(p50[i]) * time.Microsecond, Peak: int64(cpu[i]) << 20}
	}
	return out
}

func TestRatiosAreTakenWithinARound(t *testing.T) {
	// In the second round the machine was three times as slow for everybody.
	s := Series{Cell: Cell{Protocol: HTTP1, Clients: 1, KeepAlive: true}, Samples: map[Hop][]Sample{
		Direct:    rounds([]int{0, 0, 0}, []int{30, 90, 30}),
		GoProxy:   rounds([]int{100, 300, 100}, []int{100, 300, 100}),
		Activator: rounds([]int{80, 240, 90}, []int{80, 240, 90}),
	}}
	rows := s.Rows()
	require.Len(t, rows, 3)
	require.Equal(t, []Hop{Direct, GoProxy, Activator}, []Hop{rows[0].Hop, rows[1].Hop, rows[2].Hop})
	got := rows[2]
	require.InDelta(t, 0.8, got.CPURatio, 1e-9)
	require.InDelta(t, 1000, got.Rate, 1e-9)
	require.Equal(t, 90*time.Millisecond, got.CPUPerThousand)
	require.Equal(t, 90*time.Microsecond, got.P50)
	require.Equal(t, 60*time.Microsecond, got.Added)
	require.Equal(t, int64(240)<<20, got.Peak, "memory is the most of all rounds")
}

func TestRoundsThatBrokeOffAreNotComparedWithOthers(t *testing.T) {
	s := Series{Samples: map[Hop][]Sample{GoProxy: rounds([]int{100}, []int{1}), Agent: rounds([]int{50, 500}, []int{1, 1})}}
	rows := s.Rows()
	require.InDelta(t, 0.5, rows[1].CPURatio, 1e-9)
}

func TestARoundWithoutAnAnswerIsAnErrorAndNoMeasurement(t *testing.T) {
	failed := Sample{Errors: 1, FirstError: "no event came"}
	s := Series{Samples: map[Hop][]Sample{
		GoProxy: rounds([]int{100, 100}, []int{1, 1}),
		Agent:   append([]Sample{failed}, rounds([]int{90}, []int{7})...),
	}}
	got := s.Rows()[1]
	require.InDelta(t, 0.9, got.CPURatio, 1e-9, "only the second round has both")
	require.Equal(t, 90*time.Millisecond, got.CPUPerThousand)
	require.Equal(t, 7*time.Microsecond, got.P50)
	require.Equal(t, int64(1), got.Errors)
	require.Equal(t, "no event came", got.FirstError)
}

func TestNothingMeasuredIsNotDividedBy(t *testing.T) {
	s := Series{Samples: map[Hop][]Sample{GoProxy: {{}}, Agent: {{}}}}
	for _, row := range s.Rows() {
		require.Zero(t, row.Rate)
		require.Zero(t, row.CPURatio)
		require.Zero(t, row.RateRatio)
	}
}
