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

// Wait is how long to wait before looking again; 0 or less means that the drain
// is over. idle is since when nobody is inside, zero while somebody is. The quiet
// time also counts from Since: requests still arrive while the news that the pod
// is leaving travels.
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
