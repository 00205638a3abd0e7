package autoscaler

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// at builds the observation of one second of a target that reports its concurrency.
func at(second int, replicas, ready int32, concurrency float64) Observation {
	now := epoch.Add(time.Duration(second) * time.Second)
	return Observation{
		Now: now, Replicas: replicas, Ready: ready, Waiting: Waiting{Known: true},
		Readings: []Reading{{Metric: v1alpha1.MetricConcurrency, State: v1alpha1.SignalFresh, Value: concurrency, At: now, Over: time.Second}},
		Path:     Path{Wanted: v1alpha1.PathDirect, Mode: v1alpha1.PathDirect, Confirmed: true},
	}
}

func policy(change func(*Policy)) Policy {
	p, errs := PolicyFrom(v1alpha1.ScalerSpec{ScaleTargetRef: v1alpha1.ScaleTargetRef{Name: "iris"}, RouteName: "iris"})
	if len(errs) > 0 {
		panic(errs.ToAggregate())
	}
	p.Metrics[0].Aim = 10
	if change != nil {
		change(&p)
	}
	return p
}

func TestBurstIsMeasuredAgainstReadyReplicas(t *testing.T) {
	p := policy(nil)
	for _, c := range []struct {
		replicas, ready int32
		demand          float64
		burst           bool
	}{
		{1, 1, 10, false}, // 1 of 1
		{1, 1, 11, true},  // 2 of 1
		{2, 2, 30, false}, // 3 of 2
		{2, 2, 31, true},  // 4 of 2
		{2, 1, 20, true},  // 2 of 1: the other is starting
		{1, 0, 11, true},  // none is ready yet: as if one were
	} {
		d, _ := Decide(p, State{}, at(0, c.replicas, c.ready, c.demand))
		require.Equal(t, c.burst, d.Burst, "%+v", c)
	}
}

func TestEveryRuleThatMovedTheNumberIsListedInOrder(t *testing.T) {
	p := policy(func(p *Policy) { p.Max, p.UpRate = 4, 3 })
	d, _ := Decide(p, State{}, at(0, 2, 2, 90))
	require.EqualValues(t, 4, *d.Replicas)
	require.Equal(t, []v1alpha1.RuleTrace{
		{Rule: "demand", From: 2, To: 9, Message: "Concurrency is 90 on average over 1m; at 10 per replica that is 9 replicas."},
		{Rule: "scale-up-rate", From: 9, To: 6, Message: "9 replicas wanted, but maxScaleUpRate 3 allows 6 beside 2 ready."},
		{Rule: "max", From: 6, To: 4, Message: "6 replicas wanted, and maxReplicas is 4; raise it to serve more at a time."},
	}, d.Because)
	require.Equal(t, ReasonMaxReplicas, d.Reason)
}

func TestTheDemandOfAHeldStartIsNotDilutedByTheSilenceBefore(t *testing.T) {
	p := policy(func(p *Policy) { p.Min, p.Metrics[0].Aim = 0, 4 })
	state := State{Initialized: true}
	for second := range 300 {
		_, state = Decide(p, state, at(second, 0, 0, 0))
	}
	o := at(300, 0, 0, 8)
	o.Waiting.Requests = 8
	d, _ := Decide(p, state, o)
	require.EqualValues(t, 2, *d.Replicas)
}

func TestALostReplicaIsNoReasonToShrink(t *testing.T) {
	// 9 of 10 replicas crash under load; the rate is measured against what was asked for.
	p := policy(func(p *Policy) { p.UpRate = 1.5 })
	state := State{}
	for second := range 70 {
		_, state = Decide(p, state, at(second, 10, 10, 95))
	}
	d, _ := Decide(p, state, at(70, 10, 1, 95))
	require.EqualValues(t, 10, *d.Replicas)
}

func TestAStepDownIsMeasuredAgainstWhatIsReadyAndHasItsTime(t *testing.T) {
	state := State{}
	for second := range 70 {
		_, state = Decide(policy(nil), state, at(second, 16, 8, 5))
		state.SteppedDown = 0
	}
	replicas, ready := int32(16), int32(8)
	for _, c := range []struct {
		after time.Duration
		want  int32
	}{
		{0, 4},                       // half of the 8 that are ready
		{20 * time.Millisecond, 4},   // our own write is seen
		{time.Second, 4},             // the next tick
		{1980 * time.Millisecond, 2}, // the one after it, a little early
		{3 * time.Second, 2},
		{4 * time.Second, 1},
	} {
		o := at(70, replicas, ready, 5)
		o.Now = o.Now.Add(c.after)
		var d Decision
		d, state = Decide(policy(nil), state, o)
		require.Equal(t, c.want, *d.Replicas, "after %s: %s", c.after, d.Message)
		replicas, ready = *d.Replicas, *d.Replicas
	}
}

func TestRetryAfterAFailedStartWhileRequestsKeepWaiting(t *testing.T) {
	p := policy(func(p *Policy) { p.Min, p.ProgressDeadline = 0, 20*time.Second })
	state := State{Initialized: true}
	replicas, second := int32(0), 0
	var starts []int
	for ; second < 200; second++ {
		o := at(second, replicas, 0, 3)
		o.Waiting.Requests = 3
		var d Decision
		d, state = Decide(p, state, o)
		if replicas == 0 && *d.Replicas > 0 {
			starts = append(starts, second)
		}
		replicas = *d.Replicas
	}
	require.Equal(t, []int{0, 81, 162}, starts, "20 s of trying from the second after, then a stable window of rest")
}

func TestSeveralReadingsThatMakeNoSenseAreAbsent(t *testing.T) {
	for _, value := range []float64{math.NaN(), math.Inf(1), -3} {
		d, _ := Decide(policy(nil), State{}, at(0, 3, 3, value))
		require.EqualValues(t, 3, *d.Replicas)
		require.Equal(t, ReasonNoData, d.Reason)
		require.Equal(t, v1alpha1.SignalAbsent, d.Signals[0].State)
	}
}

func TestExcessBurstCapacity(t *testing.T) {
	require.EqualValues(t, 0, ExcessBurstCapacity(3, 10, 0, 1e6))
	require.EqualValues(t, -1, ExcessBurstCapacity(100, 10, -1, 0))
	require.EqualValues(t, 3, ExcessBurstCapacity(3, 10, 12, 15))
	require.EqualValues(t, -6, ExcessBurstCapacity(2, 10, 10, 15.5))
}

func TestDurableStateIsSmall(t *testing.T) {
	p := policy(func(p *Policy) { p.DownDelay = time.Hour })
	state := State{}
	for second := range 4000 {
		_, state = Decide(p, state, at(second, 500, 400, 5000-float64(second)))
	}
	data, err := json.Marshal(state.Durable())
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), 100, string(data))
}

// world draws an arbitrary policy and a run of observations from a seed.
type world struct {
	*rand.Rand
	policy Policy
	now    time.Time
	seen   Observation
}

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 7)), now: epoch}
	w.policy = policy(func(p *Policy) {
		p.Min = w.Int32N(3)
		if w.IntN(2) == 0 {
			p.Max = p.Min + w.Int32N(20) + 1
		}
		p.Initial = w.Int32N(3)
		p.Activation = 1 + w.Int32N(3)
		if p.Max > 0 {
			p.Activation = min(p.Activation, p.Max)
		}
		p.StableWindow = time.Duration(6+w.IntN(20)) * time.Second
		p.BurstWindow = max(time.Second, (p.StableWindow / 10).Round(time.Second))
		p.UpRate = 1 + 9*w.Float64() + 0.01
		p.DownRate = 1 + 3*w.Float64() + 0.01
		if w.IntN(2) == 0 {
			p.DownDelay = time.Duration(w.IntN(20)) * time.Second
		}
		p.Retention = time.Duration(w.IntN(10)) * time.Second
		p.ProgressDeadline = time.Duration(5+w.IntN(60)) * time.Second
		p.BurstCapacity, p.Capacity = int64(w.IntN(12))-1, 10
		if w.IntN(3) == 0 {
			p.Metrics = append(p.Metrics, Metric{Name: v1alpha1.MetricRPS, Aim: 5})
		}
	})
	w.seen.Replicas = w.Int32N(6)
	return w
}

func (w *world) step() Observation {
	w.now = w.now.Add(time.Second)
	if w.IntN(50) == 0 {
		w.now = w.now.Add(time.Duration(w.IntN(60)) * time.Second)
	}
	o := Observation{Now: w.now, Replicas: w.seen.Replicas, Path: w.seen.Path, Unreachable: w.IntN(60) == 0}
	o.Ready = w.Int32N(o.Replicas + 1)
	if w.IntN(2) == 0 {
		o.Ready = o.Replicas
	}
	busy := w.IntN(3) > 0
	for _, name := range []v1alpha1.MetricName{v1alpha1.MetricConcurrency, v1alpha1.MetricRPS} {
		r := Reading{Metric: name, State: v1alpha1.SignalFresh, At: w.now, Over: time.Second}
		if busy {
			r.Value = float64(w.IntN(80))
		}
		switch w.IntN(20) {
		case 0:
			r.State = v1alpha1.SignalAbsent
		case 1:
			r.State = v1alpha1.SignalPartial
		case 2:
			r.State = v1alpha1.SignalStale
		}
		o.Readings = append(o.Readings, r)
	}
	o.Waiting = Waiting{Known: w.IntN(20) > 0}
	if o.Waiting.Known && busy && w.IntN(3) == 0 {
		o.Waiting.Requests = float64(w.IntN(5))
	}
	return o
}

func FuzzDecideKeepsItsPromises(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		w := newWorld(seed)
		p := w.policy
		state := State{}
		for range 150 {
			o := w.step()
			d, next := Decide(p, state, o)
			again, nextAgain := Decide(p, state, o)
			require.Equal(t, d, again, "equal arguments, equal decision")
			require.Equal(t, next, nextAgain)
			requirePromises(t, p, state, o, d)

			more := o
			more.Readings = append([]Reading(nil), o.Readings...)
			for i := range more.Readings {
				more.Readings[i].Value += float64(w.IntN(50))
			}
			dMore, _ := Decide(p, state, more)
			require.GreaterOrEqual(t, *dMore.Replicas, *d.Replicas, "more demand never means fewer replicas\n%+v\n%+v", d, dMore)

			data, err := json.Marshal(next)
			require.NoError(t, err)
			state = State{}
			require.NoError(t, json.Unmarshal(data, &state))
			a, _ := Decide(p, state, o)
			b, _ := Decide(p, next, o)
			require.Equal(t, b, a, "a state that went through JSON decides alike")

			w.seen.Replicas = *d.Replicas
			w.seen.Path = Path{Wanted: d.Path, Mode: d.Path, Confirmed: w.IntN(3) > 0}
		}
	})
}

func requirePromises(t *testing.T, p Policy, before State, o Observation, d Decision) {
	t.Helper()
	n := *d.Replicas
	require.NotEmpty(t, d.Message)
	require.NotEmpty(t, d.Reason)
	require.Positive(t, d.NextLook)
	require.GreaterOrEqual(t, n, int32(0))
	if p.Max > 0 {
		require.LessOrEqual(t, n, p.Max)
	}
	if !o.Unreachable {
		require.GreaterOrEqual(t, n, p.Min)
	}
	at := o.Replicas
	for _, step := range d.Because {
		require.Equal(t, at, step.From, "the list of rules has no hole")
		require.NotEqual(t, step.From, step.To)
		at = step.To
	}
	require.Equal(t, n, at, "the list of rules ends at the decision")

	bounds := func(n int32) int32 {
		if p.Max > 0 {
			n = min(n, p.Max)
		}
		return n
	}
	usable := false
	for _, s := range d.Signals {
		usable = usable || s.HasData
	}
	if !usable && d.Reason != ReasonStartFailed {
		require.GreaterOrEqual(t, n, bounds(o.Replicas), "absent data never shrinks")
	}
	if d.Burst && !o.Unreachable && d.Reason != ReasonStartFailed {
		require.GreaterOrEqual(t, n, bounds(o.Replicas), "burst mode never shrinks")
	}
	if n == 0 && o.Replicas > 0 && d.Reason != ReasonStartFailed {
		require.True(t, o.Waiting.Known)
		require.Zero(t, o.Waiting.Requests, "never zero while a request waits")
		require.Zero(t, o.Readings[0].Value, "never zero while a request is in progress")
		require.Equal(t, v1alpha1.SignalFresh, o.Readings[0].State)
		if !o.Unreachable {
			require.True(t, o.Path.throughActivators(), "never zero before the path is confirmed")
		}
		if o.Ready < o.Replicas {
			require.GreaterOrEqual(t, before.StartingSince.before(o.Now), p.ProgressDeadline, "never zero while a replica loads")
		}
	}
	if o.Replicas > 0 && d.Reason == ReasonStartFailed {
		require.Zero(t, o.Ready, "what serves is never given up")
		require.GreaterOrEqual(t, before.NoneReadySince.before(o.Now), p.ProgressDeadline)
	}
	if n == 0 || o.Ready == 0 {
		require.NotEqual(t, v1alpha1.PathDirect, d.Path, "no direct path to nothing")
	}
}

func TestPolicyDefaultsAreThoseOfTheAPI(t *testing.T) {
	p, errs := PolicyFrom(v1alpha1.ScalerSpec{ScaleTargetRef: v1alpha1.ScaleTargetRef{Name: "iris"}})
	require.Empty(t, errs)
	require.Equal(t, Policy{
		Min: 1, Initial: 1, Activation: 1,
		Metrics:      []Metric{{Name: v1alpha1.MetricConcurrency, Full: 100, Aim: 70}},
		Room:         v1alpha1.MetricConcurrency,
		StableWindow: time.Minute, BurstWindow: 6 * time.Second, BurstThreshold: 2,
		UpRate: 1000, DownRate: 2,
		ZeroGrace: 30 * time.Second, ProgressDeadline: 10 * time.Minute,
	}, p)
}

func TestTheConcurrencyTargetIsNeverAboveTheHardLimit(t *testing.T) {
	target := resource.MustParse("50")
	p, errs := PolicyFrom(v1alpha1.ScalerSpec{
		ScaleTargetRef: v1alpha1.ScaleTargetRef{Name: "iris"}, ContainerConcurrency: 10,
		Metrics: []v1alpha1.ScalerMetric{{Name: v1alpha1.MetricConcurrency, Target: &target}, {Name: v1alpha1.MetricRPS}},
	})
	require.Empty(t, errs)
	require.Equal(t, []Metric{{Name: v1alpha1.MetricConcurrency, Full: 10, Aim: 7}, {Name: v1alpha1.MetricRPS, Full: 200, Aim: 140}}, p.Metrics)
}

func TestRoomIsCountedInTheSignalThatReplicasFollow(t *testing.T) {
	const concurrency, rps = v1alpha1.MetricConcurrency, v1alpha1.MetricRPS
	quantity := func(s string) *resource.Quantity { q := resource.MustParse(s); return &q }
	twelve := int64(12)
	for name, c := range map[string]struct {
		metrics []v1alpha1.ScalerMetric
		limit   int64
		room    *int64
		want    Policy
	}{
		"no limit, none asked for":        {nil, 0, nil, Policy{Room: concurrency}},
		"a limit asks for one replica's":  {nil, 10, nil, Policy{Room: concurrency, BurstCapacity: 10, Capacity: 10}},
		"of the limit, whatever the aim":  {[]v1alpha1.ScalerMetric{{Name: concurrency, Target: quantity("5")}}, 10, nil, Policy{Room: concurrency, BurstCapacity: 10, Capacity: 10}},
		"also with replicas by the rate":  {[]v1alpha1.ScalerMetric{{Name: rps}}, 10, nil, Policy{Room: concurrency, BurstCapacity: 10, Capacity: 10}},
		"asked for, a target":             {[]v1alpha1.ScalerMetric{{Name: concurrency, Target: quantity("5")}}, 0, &twelve, Policy{Room: concurrency, BurstCapacity: 12, Capacity: 5}},
		"asked for, a target under limit": {[]v1alpha1.ScalerMetric{{Name: concurrency, Target: quantity("5")}}, 10, &twelve, Policy{Room: concurrency, BurstCapacity: 12, Capacity: 5}},
		"asked for, a limit under target": {[]v1alpha1.ScalerMetric{{Name: concurrency, Target: quantity("50")}}, 10, &twelve, Policy{Room: concurrency, BurstCapacity: 12, Capacity: 10}},
		"asked for, by the rate":          {[]v1alpha1.ScalerMetric{{Name: rps, Target: quantity("30")}}, 10, &twelve, Policy{Room: rps, BurstCapacity: 12, Capacity: 30}},
		"asked for, by both":              {[]v1alpha1.ScalerMetric{{Name: rps}, {Name: concurrency}}, 0, &twelve, Policy{Room: concurrency, BurstCapacity: 12, Capacity: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			p, errs := PolicyFrom(v1alpha1.ScalerSpec{
				ScaleTargetRef: v1alpha1.ScaleTargetRef{Name: "iris"}, ContainerConcurrency: c.limit, Metrics: c.metrics, TargetBurstCapacity: c.room,
			})
			require.Empty(t, errs)
			require.Equal(t, c.want, Policy{Room: p.Room, BurstCapacity: p.BurstCapacity, Capacity: p.Capacity})
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	p := policy(func(p *Policy) { p.Min, p.DownDelay = 0, time.Minute })
	p.Metrics = append(p.Metrics, Metric{Name: v1alpha1.MetricRPS, Aim: 100})
	var state State
	second := 0
	b.ReportAllocs()
	for b.Loop() {
		second++
		o := at(second, 5, 4, 30+float64(second%40))
		o.Readings = append(o.Readings, Reading{Metric: v1alpha1.MetricRPS, State: v1alpha1.SignalFresh, Value: 200, At: o.Now, Over: time.Second})
		_, state = Decide(p, state, o)
	}
}

func BenchmarkDecideAtZero(b *testing.B) {
	p := policy(func(p *Policy) { p.Min = 0 })
	state := State{Initialized: true}
	second := 0
	b.ReportAllocs()
	for b.Loop() {
		second++
		_, state = Decide(p, state, at(second, 0, 0, 0))
	}
}
