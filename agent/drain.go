package agent

import "time"

// Drain is a drain that is under way.
type Drain struct {
	// Since is when it was first asked for.
	Since time.Time
	// Quiet is how long nobody may have been inside.
	Quiet time.Duration
	// Timeout is the longest it may take.
	Timeout time.Duration
}

// Wait is how long to wait before looking again; 0 or less means that nobody need
// be waited for any more. idle is since when nobody is inside, zero while somebody
// is. The quiet time also counts from Since: requests still arrive while the news
// that the pod is leaving travels.
func (d Drain) Wait(now, idle time.Time) time.Duration {
	left := d.Since.Add(d.Timeout).Sub(now)
	if idle.IsZero() {
		return left
	}
	if idle.Before(d.Since) {
		idle = d.Since
	}
	return min(left, idle.Add(d.Quiet).Sub(now))
}

// outlive is more than the part of a pod's grace period that comes after the drain.
const outlive = time.Minute

// Outlived reports that the pod has been there for longer than its grace period,
// of which Timeout is most: it is not stopping.
func (d Drain) Outlived(now time.Time) bool { return now.Sub(d.Since) > d.Timeout+outlive }

// Restart follows a server since a drain's beginning. Kubelet drains a pod that is
// to stop, and also one of whose containers it restarts; only then another server
// takes the place of the one that was drained. The zero value has seen nothing.
type Restart struct {
	// Away: the server that was drained is gone.
	Away bool
	// Back: another listens in its place.
	Back bool

	up bool
}

// Next returns the state after a try to connect: Refused, Ready for a connection,
// or Unready where one cannot tell. drained says whether the drain has answered.
//
// A server that refuses has gone if it did listen, or if the drain has answered, for
// then kubelet stops it. Otherwise it may just not have come up yet, and when it
// does it is still the one that kubelet is about to stop.
func (r Restart) Next(reply Reply, drained bool) Restart {
	switch reply {
	case Refused:
		r.Away, r.Back = r.Away || r.up || drained, false
	case Ready:
		r.up, r.Back = true, r.Away
	}
	return r
}
