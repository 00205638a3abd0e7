package autoscaler

import (
	"fmt"
	"math"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// ExcessBurstCapacity is the room that is left for a burst: what the ready
// replicas can take less the present demand and the room asked for, in requests at a
// time or in requests a second. The path is direct while it is not negative. Asking
// for -1 never leaves room, for 0 always.
//
//	3 ready × 10 − 12 wanted − 15 in progress = 3
func ExcessBurstCapacity(ready int32, capacity float64, wanted int64, demand float64) float64 {
	switch {
	case wanted < 0:
		return -1
	case wanted == 0:
		return 0
	}
	return math.Floor(float64(ready)*capacity - float64(wanted) - demand)
}

// path decides how requests reach the replicas.
//
// What hangs by a thread is decided at once, what only saves a hop takes its time:
// activators are asked for in the second in which they are needed, and are let go
// after room has lasted for a stable window, or, on leaving zero, once a replica
// is ready and nothing waits.
func (e *evaluation) path() (v1alpha1.PathMode, string) {
	if !e.policy.HasRoute || e.seen.Unreachable {
		return "", ""
	}
	present := e.seen.Path.Wanted
	if present == "" {
		present = v1alpha1.PathDirect
	}
	room, roomKnown := 0.0, true
	load := e.roomSignal()
	if e.policy.BurstCapacity > 0 {
		room, roomKnown = ExcessBurstCapacity(e.seen.Ready, e.policy.Capacity, e.policy.BurstCapacity, load.Burst), load.HasData
	}
	if !roomKnown || room < 0 || e.seen.Ready == 0 {
		e.next.RoomSince = 0
	} else if e.next.RoomSince == 0 {
		e.next.RoomSince = instant(e.now)
	}
	switch {
	case e.seen.Path.Split:
		return v1alpha1.PathActivatorOnly, "Weights divide the requests between revisions, which activators do."
	case e.policy.BurstCapacity < 0:
		return v1alpha1.PathActivatorOnly, "targetBurstCapacity -1 sends every request through the activators."
	case e.seen.Unknown != "":
		return present, "The scale target could not be read; the path stays."
	case e.seen.Ready == 0:
		return throughActivators(present), "No replica is ready; activators hold requests until one is."
	case e.toZero:
		return throughActivators(present), "The last replica is about to go; activators take the next request."
	case !e.seen.Waiting.Known:
		return present, fmt.Sprintf("Whether requests wait is not known (%s); the path stays.", orUnknown(e.seen.Waiting.Why))
	case e.waiting():
		return present, waitingWords(e.seen.Waiting.Requests) + " held by activators; the path stays."
	case !roomKnown:
		return present, fmt.Sprintf("%s is not known (%s); the path stays.", title(load.Name), orUnknown(load.Why))
	case room < 0:
		return v1alpha1.PathActivatorOnly, fmt.Sprintf("%s leaves room for %s, less than targetBurstCapacity %d; activators see to it that no replica gets more than it takes.",
			title(load.Name), number(max(0, room+float64(e.policy.BurstCapacity))), e.policy.BurstCapacity)
	case present == v1alpha1.PathActivatorOnly && e.policy.BurstCapacity > 0 && e.next.RoomSince.before(e.now) < e.policy.StableWindow:
		return present, fmt.Sprintf("There is room again for %s; the path is direct once that has lasted %s.", span(e.next.RoomSince.before(e.now)), span(e.policy.StableWindow))
	}
	return v1alpha1.PathDirect, "Replicas are ready and nothing waits."
}

// roomSignal is the signal in which the room for a burst is counted.
func (e *evaluation) roomSignal() Signal {
	for _, s := range e.signals {
		if s.Name == e.policy.Room {
			return s
		}
	}
	return e.watched
}

// throughActivators is the path on which activators hold requests. One that is
// narrowed to them already stays so: the first replicas of a start are those with
// the least room.
func throughActivators(present v1alpha1.PathMode) v1alpha1.PathMode {
	if present == v1alpha1.PathActivatorOnly {
		return present
	}
	return v1alpha1.PathActivator
}
