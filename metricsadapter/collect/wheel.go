package collect

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	"github.com/rawserve/rawserve/metricsadapter/store"
)

const (
	// period is the time between two questions to the same target.
	period = time.Second
	// slots are the parts of the period that targets are spread over.
	slots = 100
	// patience is how many timeouts in a row a target may have before it is asked
	// less often. A target that cannot be reached holds a worker for the whole
	// timeout; one that refuses holds it for no time and may be asked every second.
	patience = 3
	// longestPause is the longest time between two questions to such a target.
	longestPause = 5 * time.Second
)

// kind is what a target is.
type kind string

const (
	kindAgent     kind = "agent"
	kindActivator kind = "activator"
)

// id names a target.
type id struct {
	kind kind
	key  store.Key
}

// target is somebody to ask once a second.
type target struct {
	id
	uid string
	url string
}

// slot is the target's part of the second: the same in every second, so that its
// readings are a second apart, and far from most others'.
func (t target) slot() int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.kind))
	_, _ = h.Write([]byte(t.uid))
	return int(h.Sum32() % slots)
}

// turn is one target's place in the wheel.
type turn struct {
	target
	busy     bool // asked and not yet answered
	timeouts int
	failures int
	notUntil time.Time
}

// wheel says whom to ask when. Its methods may be called concurrently.
type wheel struct {
	mu    sync.Mutex
	turns map[id]*turn
	slots [slots]map[id]*turn
}

func newWheel() *wheel {
	w := &wheel{turns: map[id]*turn{}}
	for i := range w.slots {
		w.slots[i] = map[id]*turn{}
	}
	return w
}

// set adds a target or replaces one of the same name that is another pod or
// moved elsewhere.
func (w *wheel) set(t target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.turns[t.id]; old != nil {
		if old.target == t {
			return
		}
		delete(w.slots[old.slot()], t.id)
	}
	tn := &turn{target: t}
	w.turns[t.id] = tn
	w.slots[t.slot()][t.id] = tn
}

// remove forgets a target.
func (w *wheel) remove(i id) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.turns[i]; old != nil {
		delete(w.slots[old.slot()], i)
		delete(w.turns, i)
	}
}

func (w *wheel) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.turns)
}

// due calls ask for the targets of a slot whose turn it is. Where ask returns
// false nobody has time; the target's next turn is a second later.
func (w *wheel) due(slot int, now time.Time, ask func(*turn) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.slots[slot] {
		if t.busy || now.Before(t.notUntil) {
			continue
		}
		t.busy = ask(t)
	}
}

// outcome is how a question ended.
type outcome struct {
	failed  bool
	timeout bool
}

// change says what an outcome means to somebody who reads the log.
type change string

const (
	unchanged change = ""
	lost      change = "lost"      // patience times in a row nothing of use came
	recovered change = "recovered" // after that
)

// done notes how a question ended and when it may be asked next.
func (w *wheel) done(t *turn, o outcome, now time.Time) change {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.busy = false
	if !o.failed {
		was := t.failures
		t.failures, t.timeouts, t.notUntil = 0, 0, time.Time{}
		if was >= patience {
			return recovered
		}
		return unchanged
	}
	t.failures++
	if o.timeout {
		t.timeouts++
	} else {
		t.timeouts = 0
	}
	if t.timeouts >= patience {
		t.notUntil = now.Add(min(longestPause, period<<min(t.timeouts-patience, 3)))
	}
	if t.failures == patience {
		return lost
	}
	return unchanged
}

// turnRound turns the wheel until ctx is done: each slot comes up once a period.
// After a delay it catches up, but never asks anybody twice for that.
func (w *wheel) turnRound(ctx context.Context, ask func(*turn) bool) {
	ticker := time.NewTicker(period / slots)
	defer ticker.Stop()
	start := time.Now()
	last := int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		tick := int64(now.Sub(start) / (period / slots))
		for at := max(last+1, tick-slots+1); at <= tick; at++ {
			w.due(int(at%slots), now, ask)
		}
		last = tick
	}
}
