package activator

import "time"

// eagerFor is how long a pod that requests wait for may answer at any moment.
const eagerFor = 3 * time.Second

// DialEagerly reports whether a pod is worth several connections at a time. quiet
// and wanted are as for ProbeDelay. A pod that cannot be reached for longer, behind
// a network policy perhaps, would cost 40 of them a second.
func DialEagerly(quiet time.Duration, wanted bool) bool { return wanted && quiet < eagerFor }

// ProbeDelay is the pause before a pod that did not answer is asked again.
// quiet is how long its state has not changed, wanted says whether requests
// wait for it.
//
// The first second counts most: a small server answers then, and each
// millisecond of pause is one more for the client. A pod that has been pulling
// its image for minutes is asked less often: a refused connection costs some
// 50 µs of CPU, so that a hundred such pods take 5 % of a core.
func ProbeDelay(quiet time.Duration, wanted bool) time.Duration {
	switch {
	case !wanted:
		return 250 * time.Millisecond
	case quiet < eagerFor:
		return 5 * time.Millisecond
	case quiet < 30*time.Second:
		return 20 * time.Millisecond
	default:
		return 100 * time.Millisecond
	}
}
