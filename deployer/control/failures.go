package control

import (
	"errors"
	"sync"
	"time"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer/status"
)

// Failures that are expected to go away are in no status until they have lasted:
// while the API server elects a leader, or a webhook is restarted, no healthy
// model becomes unready.
const (
	toleratedFor   = 30 * time.Second
	toleratedTimes = 5
	// leftoverFor is the same for an object that is to be gone: objects without
	// finalizers go at once.
	leftoverFor = 5 * time.Second
)

// lasting is the problem of a failure that was expected to go away and did not;
// nil as long as that may still be.
func lasting(err error, f failure, now time.Time) *status.Problem {
	since := now.Sub(f.since)
	var left leftover
	switch {
	case errors.As(err, &left):
		if since >= leftoverFor {
			return &status.Problem{Reason: reasonObjectTerminating, Message: left.message()}
		}
	case since >= toleratedFor && f.times >= toleratedTimes:
		return &status.Problem{Reason: v1beta1.ReasonReconcileFailed, Message: err.Error() + ". It is tried again."}
	}
	return nil
}

// failure is a row of passes that failed.
type failure struct {
	since time.Time
	times int
}

// failures are the current ones of each InferenceService.
type failures struct {
	mu    sync.Mutex
	byKey map[string]failure
}

// failed notes one more.
func (f *failures) failed(key string, now time.Time) failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	row, ok := f.byKey[key]
	if !ok {
		row.since = now
	}
	row.times++
	f.byKey[key] = row
	return row
}

func (f *failures) forget(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.byKey, key)
}
