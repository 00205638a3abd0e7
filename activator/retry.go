package activator

import "time"

const (
	// leastRetry is what Retry-After can say at least, and maxRetry what makes sense at
	// most: who waits for longer has given up.
	leastRetry = time.Second
	maxRetry   = 10 * time.Minute
)

// RetryInput is what is known when a request is turned away that found no room, or
// no pod in time.
type RetryInput struct {
	// Now is the moment.
	Now time.Time
	// Starting is since when the start under way lasts; zero without one.
	Starting time.Time
	// Startup is how long starts take.
	Startup Startup
	// Ready is the number of pods that take requests.
	Ready int
	// Wait is how long requests that were released lately had waited; 0 if unknown.
	Wait time.Duration
}

// RetryAfter is when it is worth to try again. With pods that serve it is when
// those before are likely to be through: as long as others had to wait. Without, it
// is what is left of the start: one that takes 30 s and began 20 s ago has 10 s to
// go. One that is overdue is looked for again after a tenth of its time.
func RetryAfter(in RetryInput) time.Duration {
	wait := in.Wait
	if in.Ready == 0 {
		wait = in.Startup.Estimate()
		if !in.Starting.IsZero() {
			wait = max(wait-in.Now.Sub(in.Starting), wait/10)
		}
	}
	return min(max(wait, leastRetry), maxRetry)
}

// Waits averages how long requests waited, the latest counting a tenth. The zero
// value has seen none.
type Waits struct{ mean time.Duration }

// Observe returns the average with one more wait.
func (w Waits) Observe(d time.Duration) Waits {
	if w.mean == 0 {
		return Waits{max(d, time.Nanosecond)}
	}
	return Waits{w.mean + (d-w.mean)/10}
}

// Mean is the average, 0 before the first.
func (w Waits) Mean() time.Duration { return w.mean }
