package store

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAgentRateIsTheDifferenceOverTheAgentsOwnInterval(t *testing.T) {
	second := rate{concurrency: 2, perSecond: 3, window: time.Second}
	rows := map[string]struct {
		readings []AgentReading
		at       []float64 // our clock, in seconds; default: 0, 1, 2, …
		want     rate
		err      error
	}{
		"two readings": {
			readings: []AgentReading{agent(0, 12.5, 100), agent(1, 14.5, 103)},
			want:     second,
		},
		"the answers took unequal time, the agent's clock did not": {
			readings: []AgentReading{agent(0, 12.5, 100), agent(1, 14.5, 103)},
			at:       []float64{0, 1.8},
			want:     second,
		},
		"a single reading of a process that runs for long": {
			readings: []AgentReading{agent(0, 12.5, 100)},
			want:     rate{},
		},
		"a single reading of a process that has just started": {
			readings: []AgentReading{{StartedAt: nanos(0), Now: nanos(2), InflightSeconds: 4, Requests: 6}},
			want:     rate{concurrency: 2, perSecond: 3, window: 2 * time.Second},
		},
		"a restart drops what was before": {
			readings: []AgentReading{agent(0, 1000, 9000), {StartedAt: nanos(0), Now: nanos(1), InflightSeconds: 2, Requests: 3}},
			want:     second,
		},
		"a restart seen right after it": {
			readings: []AgentReading{agent(0, 1000, 9000), {StartedAt: nanos(0.99), Now: nanos(1)}},
			want:     rate{},
		},
		"an answer that was overtaken": {
			readings: []AgentReading{agent(0, 12.5, 100), agent(1, 14.5, 103), agent(0.5, 13, 101)},
			want:     second,
			err:      ErrOutOfOrder,
		},
		"the same answer again": {
			readings: []AgentReading{agent(0, 12.5, 100), agent(1, 14.5, 103), agent(1, 14.5, 103)},
			want:     second,
			err:      ErrOutOfOrder,
		},
		"an answer of the process before the restart": {
			readings: []AgentReading{{StartedAt: nanos(0), Now: nanos(1), InflightSeconds: 2, Requests: 3}, agent(0.9, 50, 50)},
			want:     second,
			err:      ErrOutOfOrder,
		},
		"two answers in a millisecond": {
			readings: []AgentReading{agent(0, 12.5, 100), agent(1, 14.5, 103), agent(1.001, 15, 109)},
			want:     second,
			err:      ErrTooSoon,
		},
		"a long silence": {
			readings: []AgentReading{agent(0, 12.5, 100), agent(60, 14.5, 103)},
			at:       []float64{0, 60},
			want:     rate{},
		},
		"a clock set back within the time readings are used": {
			readings: []AgentReading{agent(100, 12.5, 100), agent(1, 14.5, 103)},
			want:     rate{},
			err:      ErrOutOfOrder,
		},
		"a clock set back is believed once the last reading is too old": {
			readings: []AgentReading{agent(100, 12.5, 100), agent(1, 14.5, 103), agent(5, 15, 105), agent(6, 17, 108)},
			at:       []float64{0, 1, 5, 6},
			want:     second,
		},
		"counters that run backwards in one process": {
			readings: []AgentReading{agent(0, 12.5, 100), agent(1, 11, 90)},
			want:     rate{},
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			var track agentTrack
			var err error
			for i, r := range row.readings {
				when := float64(i)
				if row.at != nil {
					when = row.at[i]
				}
				track, err = track.next(r, at(when))
			}
			require.Equal(t, row.want, track.rate)
			if row.err != nil {
				require.ErrorIs(t, err, row.err)
			}
		})
	}
}

func TestHeldRequestsAreCountedUntilTheyAreForwardedOrAbandoned(t *testing.T) {
	from := RouteReading{Namespace: "ml", Name: "iris", Waiting: 4, WaitingSeconds: 10, Arrivals: 100, Forwarded: 90, Abandoned: 6}
	rows := map[string]struct {
		to   RouteReading
		want rate
	}{
		"ten arrive, none leaves": {
			to:   RouteReading{WaitingSeconds: 19, Arrivals: 110, Forwarded: 90, Abandoned: 6},
			want: rate{concurrency: 9, perSecond: 10, window: time.Second},
		},
		"ten arrive, six are forwarded, one is abandoned": {
			to:   RouteReading{WaitingSeconds: 13, Arrivals: 110, Forwarded: 96, Abandoned: 7},
			want: rate{concurrency: 3, perSecond: 3, window: time.Second},
		},
		"none arrives, all are forwarded": {
			to:   RouteReading{WaitingSeconds: 11, Arrivals: 100, Forwarded: 94, Abandoned: 6},
			want: rate{concurrency: 1, perSecond: 0, window: time.Second},
		},
		"the route was deleted and made again": {
			to:   RouteReading{WaitingSeconds: 2, Arrivals: 5, Forwarded: 1},
			want: rate{concurrency: 2, perSecond: 4, window: time.Second},
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			got, err := held(from, row.to, time.Second)
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

func TestReadingThatCannotBeTrueIsRefusedByField(t *testing.T) {
	good := agent(1, 2, 3)
	require.NoError(t, good.Validate())
	rows := map[string]func(*AgentReading){
		"startedAt":       func(r *AgentReading) { r.StartedAt = 0 },
		"now":             func(r *AgentReading) { r.Now = r.StartedAt - 1 },
		"inflightSeconds": func(r *AgentReading) { r.InflightSeconds = math.Inf(1) },
		"inflight":        func(r *AgentReading) { r.Inflight = -1 },
		"queued":          func(r *AgentReading) { r.Queued = 1e6 + 1 },
		"requests":        func(r *AgentReading) { r.Requests = math.MaxInt64 },
		"completed":       func(r *AgentReading) { r.Completed = -5 },
	}
	for field, spoil := range rows {
		bad := good
		spoil(&bad)
		require.ErrorContains(t, bad.Validate(), field+": ")
	}

	odd := ActivatorReading{StartedAt: old, Now: nanos(0), Routes: []RouteReading{holds("iris", 1), {Namespace: "ml", Name: "b", WaitingSeconds: math.NaN()}}}
	require.ErrorContains(t, odd.Validate(), "routes[1].waitingSeconds: ")
	odd.Routes[1] = RouteReading{Namespace: "ml"}
	require.ErrorContains(t, odd.Validate(), "routes[1].name: ")
	odd.Routes = make([]RouteReading, MaxRoutes+1)
	require.ErrorContains(t, odd.Validate(), "routes: ")
}

func TestAbsurdRateIsRefusedAndTheNextHonestOneIsUsed(t *testing.T) {
	var track agentTrack
	track, err := track.next(agent(0, 0, 0), at(0))
	require.NoError(t, err)
	track, err = track.next(agent(1, 1e9, 5), at(1))
	require.ErrorContains(t, err, "mean concurrency")
	require.Equal(t, rate{}, track.rate)
	track, err = track.next(agent(2, 1e9+2, 8), at(2))
	require.NoError(t, err)
	require.Equal(t, rate{concurrency: 2, perSecond: 3, window: time.Second}, track.rate)
}

// FuzzAgentRate gives an agent's track any sequence of readings: whatever a pod
// says, its rate is a number that is bounded and not negative.
func FuzzAgentRate(f *testing.F) {
	f.Add(old, nanos(0), 12.5, int64(100), old, nanos(1), 14.5, int64(103), 1.0)
	f.Add(old, nanos(0), 1000.0, int64(9000), nanos(0), nanos(1), 0.0, int64(0), 1.0)
	f.Add(old, nanos(0), 0.0, int64(0), old, nanos(0.2), math.MaxFloat64, int64(math.MaxInt64), 0.0)
	f.Fuzz(func(t *testing.T, s1, n1 int64, a1 float64, r1 int64, s2, n2 int64, a2 float64, r2 int64, gap float64) {
		if math.IsNaN(gap) || math.Abs(gap) > 1e6 {
			return
		}
		first := AgentReading{StartedAt: s1, Now: n1, InflightSeconds: a1, Requests: r1}
		second := AgentReading{StartedAt: s2, Now: n2, InflightSeconds: a2, Requests: r2}
		var track agentTrack
		for i, r := range []AgentReading{first, second, first, second} {
			before := track
			var err error
			track, err = track.next(r, at(float64(i)*gap))
			c, n := track.rate.concurrency, track.rate.perSecond
			require.False(t, math.IsNaN(c) || math.IsNaN(n))
			require.True(t, c >= 0 && c <= MaxConcurrency, "concurrency %v", c)
			require.True(t, n >= 0 && n <= MaxRate, "rate %v", n)
			require.True(t, track.rate.window >= 0 && track.rate.window <= MaxInterval)
			if err == nil && before.stamp.startedAt != r.StartedAt {
				// After a restart nothing of the process before may be in the rate.
				fresh, _ := agentTrack{}.next(r, at(float64(i)*gap))
				require.Equal(t, fresh.rate, track.rate)
			}
		}
	})
}

// FuzzHeld does the same for a route of an activator.
func FuzzHeld(f *testing.F) {
	f.Add(10.0, int64(100), int64(90), int64(6), 13.0, int64(110), int64(96), int64(7), int64(time.Second))
	f.Fuzz(func(t *testing.T, w1 float64, a1, f1, b1 int64, w2 float64, a2, f2, b2, window int64) {
		from := RouteReading{Namespace: "n", Name: "r", WaitingSeconds: w1, Arrivals: a1, Forwarded: f1, Abandoned: b1}
		to := RouteReading{Namespace: "n", Name: "r", WaitingSeconds: w2, Arrivals: a2, Forwarded: f2, Abandoned: b2}
		if from.validate() != nil || to.validate() != nil || window < int64(MinInterval) || window > int64(MaxInterval) {
			return
		}
		got, _ := held(from, to, time.Duration(window))
		require.True(t, got.concurrency >= 0 && got.concurrency <= MaxConcurrency, "waiting %v", got.concurrency)
		require.True(t, got.perSecond >= 0 && got.perSecond <= MaxRate, "rate %v", got.perSecond)
	})
}
