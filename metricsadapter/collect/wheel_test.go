package collect

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/metricsadapter/store"
)

func numbered(i int) target {
	return target{id: id{kindAgent, store.Key{Namespace: "ml", Name: fmt.Sprint("pod", i)}}, uid: fmt.Sprint("uid", i), url: "http://pod/stats"}
}

func TestEveryTargetIsAskedOnceASecondAndTheyAreSpreadOverIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel()
		const n = 1000
		for i := range n {
			w.set(numbered(i))
		}
		asked := map[id][]time.Time{}
		perSlot := map[time.Time]int{}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+5*time.Millisecond)
		defer cancel()
		start := time.Now()
		w.turnRound(ctx, func(tn *turn) bool {
			asked[tn.id] = append(asked[tn.id], time.Now())
			perSlot[time.Now()]++
			return false // answered within no time
		})
		require.Len(t, asked, n)
		for id, at := range asked {
			require.Len(t, at, 10, id)
			for i := 1; i < len(at); i++ {
				require.Equal(t, time.Second, at[i].Sub(at[i-1]))
			}
			require.LessOrEqual(t, at[0].Sub(start), time.Second)
		}
		for _, k := range perSlot {
			require.Less(t, k, 30, "10 are expected in each hundredth")
		}
	})
}

func TestTargetThatIsStillBeingAskedIsNotAskedAgain(t *testing.T) {
	w, now := newWheel(), time.Unix(0, 0)
	one := numbered(1)
	w.set(one)
	var at *turn
	asks := 0
	ask := func(tn *turn) bool { at = tn; asks++; return true }
	w.due(one.slot(), now, ask)
	w.due(one.slot(), now.Add(time.Second), ask)
	require.Equal(t, 1, asks)
	w.done(at, outcome{}, now)
	w.due(one.slot(), now.Add(2*time.Second), ask)
	require.Equal(t, 2, asks)
}

func TestOnlyTimeoutsMakeATargetBeAskedLessOften(t *testing.T) {
	rows := map[string]struct {
		outcome outcome
		asks    int // in 60 s
	}{
		"answers":   {outcome{}, 60},
		"refuses":   {outcome{failed: true}, 60},
		"times out": {outcome{failed: true, timeout: true}, 16}, // 1, 2 and 3, then after 1, 2, 4, 5, 5, …
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			w := newWheel()
			one := numbered(1)
			w.set(one)
			asks, losses := 0, 0
			for sec := range 60 {
				now := time.Unix(int64(sec), 0)
				var at *turn
				w.due(one.slot(), now, func(tn *turn) bool { at = tn; return true })
				if at != nil {
					asks++
					if w.done(at, row.outcome, now) == lost {
						losses++
					}
				}
			}
			require.InDelta(t, row.asks, asks, 1)
			if row.outcome.failed {
				require.Equal(t, 1, losses, "said once")
				require.Equal(t, recovered, w.done(w.turns[one.id], outcome{}, time.Unix(61, 0)))
			}
			require.Equal(t, unchanged, w.done(w.turns[one.id], outcome{}, time.Unix(62, 0)))
		})
	}
}

func TestTargetThatMovedIsAskedAtItsNewPlaceOnly(t *testing.T) {
	w := newWheel()
	one := numbered(1)
	w.set(one)
	moved := one
	moved.uid, moved.url = "another", "http://elsewhere/stats"
	w.set(moved)
	var urls []string
	for s := range slots {
		w.due(s, time.Unix(0, 0), func(tn *turn) bool { urls = append(urls, tn.url); return false })
	}
	require.Equal(t, []string{"http://elsewhere/stats"}, urls)
	w.remove(one.id)
	require.Zero(t, w.len())
}
