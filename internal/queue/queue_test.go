package queue

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func start(t *testing.T, options Options) *Queue {
	t.Helper()
	options.Name = "test"
	options.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	q, err := New(options)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return q
}

func TestAFailingKeyIsRetriedWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		begin := time.Now()
		q := start(t, Options{MinBackoff: time.Second, MaxBackoff: 3 * time.Second, Reconcile: func(context.Context, string) (time.Duration, error) {
			at = append(at, time.Since(begin))
			if len(at) < 5 {
				return 0, errors.New("not yet")
			}
			return 0, nil
		}})
		q.Add("a")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []time.Duration{0, 1 * time.Second, 3 * time.Second, 6 * time.Second, 9 * time.Second}, at)
	})
}

func TestAKeyIsLookedAtAgainAfterTheTimeItAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns int
		q := start(t, Options{Reconcile: func(context.Context, string) (time.Duration, error) {
			turns++
			return 10 * time.Second, nil
		}})
		q.Add("a")
		time.Sleep(35 * time.Second)
		synctest.Wait()
		require.Equal(t, 4, turns)
	})
}

func TestAPanicCostsOneTurnOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns int
		q := start(t, Options{Reconcile: func(context.Context, string) (time.Duration, error) {
			turns++
			if turns == 1 {
				panic("broken")
			}
			return 0, nil
		}})
		q.Add("a")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 2, turns)
	})
}

func TestOneKeyIsNeverWorkedOnTwiceAtATimeAndWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		working := map[string]bool{}
		var most, overlaps, turns int
		q := start(t, Options{Workers: 3, Reconcile: func(_ context.Context, key string) (time.Duration, error) {
			mu.Lock()
			if working[key] {
				overlaps++
			}
			working[key] = true
			turns++
			now := 0
			for _, w := range working {
				if w {
					now++
				}
			}
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			working[key] = false
			mu.Unlock()
			return 0, nil
		}})
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			q.Add(key)
		}
		synctest.Wait()
		q.Add("a") // while it is worked on: one more turn afterwards
		q.Add("a")
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, 3, most)
		require.Zero(t, overlaps)
		require.Equal(t, 6, turns)
	})
}

func TestRunWaitsForTheCallInFlightAndDropsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var finished atomic.Int32
		q, err := New(Options{Name: "test", Reconcile: func(ctx context.Context, _ string) (time.Duration, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			finished.Add(1)
			return 0, ctx.Err()
		}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		q.Add("a")
		q.Add("b")
		done := make(chan error, 1)
		go func() { done <- q.Run(ctx) }()
		synctest.Wait()
		cancel()
		require.NoError(t, <-done)
		require.EqualValues(t, 1, finished.Load())
	})
}

func TestReconcileIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		q := start(t, Options{Timeout: 5 * time.Second, MinBackoff: time.Hour, MaxBackoff: time.Hour, Reconcile: func(ctx context.Context, _ string) (time.Duration, error) {
			<-ctx.Done()
			cause = ctx.Err()
			return 0, cause
		}})
		q.Add("a")
		time.Sleep(6 * time.Second)
		synctest.Wait()
		require.ErrorIs(t, cause, context.DeadlineExceeded)
	})
}

func TestOptionsAreChecked(t *testing.T) {
	nothing := func(context.Context, string) (time.Duration, error) { return 0, nil }
	_, err := New(Options{Reconcile: nothing})
	require.ErrorContains(t, err, "name")
	_, err = New(Options{Name: "a"})
	require.ErrorContains(t, err, "reconcile")
	_, err = New(Options{Name: "a", Reconcile: nothing, Workers: -1})
	require.ErrorContains(t, err, "workers")
}
