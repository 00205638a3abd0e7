package autoscaler

import (
	"slices"
	"time"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler/window"
)

// Instant is a moment in nanoseconds since 1970; 0 means never. Unlike time.Time
// it survives JSON bit by bit.
type Instant int64

// instant converts a time.
func instant(t time.Time) Instant { return Instant(t.UnixNano()) }

// before reports how long ago i was; 0 for never and for the future.
func (i Instant) before(now time.Time) time.Duration {
	if i == 0 {
		return 0
	}
	return max(0, time.Duration(instant(now)-i))
}

// clock writes the instant for people.
func (i Instant) clock() string { return time.Unix(0, int64(i)).UTC().Format("15:04:05 UTC") }

// State is what a decision hands to the next one. The zero value knows nothing:
// nothing shrinks until a stable window has been observed.
type State struct {
	// Windows hold the signals' last minutes. They are not durable.
	Windows []SignalWindow `json:"windows,omitempty"`
	// Burst is set in burst mode.
	Burst *Burst `json:"burst,omitempty"`
	// Delayed has the numbers wanted within the scale-down delay, the largest first.
	Delayed []Wanted `json:"delayed,omitempty"`
	// Initialized is true once the target was ready with its initial replicas, or
	// starting them was given up.
	Initialized bool `json:"initialized,omitempty"`
	// StartingSince is since when replicas are asked for that are not ready.
	StartingSince Instant `json:"startingSince,omitempty"`
	// NoneReadySince is since when replicas are asked for and none is ready.
	NoneReadySince Instant `json:"noneReadySince,omitempty"`
	// GaveUp is when a start was given up; until the next one it is the reason why
	// nothing runs.
	GaveUp Instant `json:"gaveUp,omitempty"`
	// GaveUpWhy is what its pods said then.
	GaveUpWhy string `json:"gaveUpWhy,omitempty"`
	// Retry is true once a start may be tried again after that.
	Retry bool `json:"retry,omitempty"`
	// IdleSince is since when every decision saw that there was nothing to serve.
	IdleSince Instant `json:"idleSince,omitempty"`
	// SteppedDown is when fewer replicas were wanted than there were for the last time.
	SteppedDown Instant `json:"steppedDown,omitempty"`
	// PathAsked is since when going to zero waits for the path.
	PathAsked Instant `json:"pathAsked,omitempty"`
	// RoomSince is since when the replicas have the room that the direct path needs.
	RoomSince Instant `json:"roomSince,omitempty"`
}

// SignalWindow is the window of one signal.
type SignalWindow struct {
	Name   v1alpha1.MetricName `json:"name"`
	Window window.Window       `json:"window"`
}

// Burst is the state of burst mode.
type Burst struct {
	// Last is when demand was over the threshold for the last time.
	Last Instant `json:"last"`
	// Peak is the largest number asked for in this burst.
	Peak int32 `json:"peak"`
}

// Wanted is a number that was wanted at a moment.
type Wanted struct {
	At       Instant `json:"at"`
	Replicas int32   `json:"replicas"`
}

// Durable is the part that a new leader cannot do without: what was decided once
// and for all, and since when a start lasts. Windows, burst mode and delays start
// anew; meanwhile nothing shrinks, for at least as long as they would have held.
func (s State) Durable() State {
	return State{
		Initialized: s.Initialized, StartingSince: s.StartingSince, NoneReadySince: s.NoneReadySince,
		GaveUp: s.GaveUp, GaveUpWhy: s.GaveUpWhy, Retry: s.Retry,
	}
}

// clone copies the state deeply.
func (s State) clone() State {
	s.Windows = slices.Clone(s.Windows)
	for i := range s.Windows {
		s.Windows[i].Window = s.Windows[i].Window.Clone()
	}
	if s.Burst != nil {
		burst := *s.Burst
		s.Burst = &burst
	}
	s.Delayed = slices.Clone(s.Delayed)
	return s
}

// window returns the signal's window, made or resized to fit.
func (s *State) window(name v1alpha1.MetricName, over time.Duration) *window.Window {
	for i := range s.Windows {
		if s.Windows[i].Name == name {
			s.Windows[i].Window.Resize(over)
			return &s.Windows[i].Window
		}
	}
	s.Windows = append(s.Windows, SignalWindow{Name: name, Window: window.New(over)})
	return &s.Windows[len(s.Windows)-1].Window
}

// keepWindows drops the windows of signals that are not asked for any more.
func (s *State) keepWindows(policy Policy) {
	s.Windows = slices.DeleteFunc(s.Windows, func(w SignalWindow) bool {
		return w.Name != v1alpha1.MetricConcurrency && !slices.ContainsFunc(policy.Metrics, func(m Metric) bool { return m.Name == w.Name })
	})
}

// forget drops what was seen, when the target goes to zero: the next start is
// judged by its own demand.
func (s *State) forget() {
	for i := range s.Windows {
		s.Windows[i].Window.Reset()
	}
	s.Burst, s.Delayed = nil, nil
	s.IdleSince, s.PathAsked, s.SteppedDown = 0, 0, 0
}
