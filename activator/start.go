package activator

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rawserve/rawserve/internal/answer"
)

const (
	// DefiniteFor is how long every pod must have been failing for good before
	// held requests are answered, ahead of the deadline. A pull that is refused
	// once often succeeds at the second try.
	DefiniteFor = 10 * time.Second
	// DefaultProgressDeadline is the deadline of a start whose target sets none.
	DefaultProgressDeadline = 10 * time.Minute
	// defaultStartup is the estimate of a start before one was measured.
	defaultStartup = 10 * time.Second
)

// Start follows one revision's way from nothing ready to the first ready pod.
// The zero value is a revision that nobody waits for.
type Start struct {
	// Since is when the first request had to wait.
	Since time.Time
	// DefiniteSince is since when every pod fails for good.
	DefiniteSince time.Time
}

// StartInput is what is known at one moment.
type StartInput struct {
	// Now is the moment.
	Now time.Time
	// Waiting is the number of held requests, Ready that of pods that take some.
	Waiting, Ready int
	// Pods are the revision's pods.
	Pods []*corev1.Pod
	// Deadline is the target's; 0 means the default.
	Deadline time.Duration
	// RaiseError says why the scale could not be raised; empty when it could.
	RaiseError string
}

// Next brings the state up to the input. A failure is what requests are to be
// answered with, those held and those that come as long as it lasts; nil means
// that they wait.
func (s Start) Next(in StartInput) (Start, *Failure) {
	if in.Ready > 0 || (in.Waiting == 0 && living(in.Pods) == 0) {
		return Start{}, nil
	}
	if s.Since.IsZero() {
		if in.Waiting == 0 {
			return Start{}, nil
		}
		s.Since = in.Now
	}
	failure := StartFailure(in.Pods)
	if failure.Definite {
		if s.DefiniteSince.IsZero() {
			s.DefiniteSince = in.Now
		}
	} else {
		s.DefiniteSince = time.Time{}
	}
	if failure.Definite && in.Now.Sub(s.DefiniteSince) >= DefiniteFor {
		return s, &failure
	}
	deadline := in.Deadline
	if deadline <= 0 {
		deadline = DefaultProgressDeadline
	}
	if in.Now.Sub(s.Since) < deadline {
		return s, nil
	}
	if failure.Reason == FailureNoPods {
		if in.RaiseError != "" {
			failure.Message = "The scale could not be raised: " + in.RaiseError
		}
		// With no pod there is nothing whose change would end the failure: the
		// next request starts anew.
		s = Start{}
	}
	failure.Message = fmt.Sprintf("No replica came up within %s. %s", deadline, failure.Message)
	return s, &failure
}

func living(pods []*corev1.Pod) int {
	n := 0
	for _, p := range pods {
		if p != nil && p.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

// StartAnswer is the answer for a failure.
func StartAnswer(f Failure, retryAfter time.Duration) *answer.Answer {
	return &answer.Answer{Reason: answer.StartFailed, Message: f.Reason + ": " + f.Message, RetryAfter: retryAfter}
}

// Startup estimates how long a start takes from those that were measured, the
// latest counting 30 %. The zero value says 10 s.
type Startup struct {
	mean time.Duration
}

// Observe returns the estimate after one more start. 10 s and then 20 s give 13 s.
func (s Startup) Observe(took time.Duration) Startup {
	if s.mean == 0 {
		return Startup{mean: max(took, time.Millisecond)}
	}
	return Startup{mean: s.mean + (took-s.mean)*3/10}
}

// Estimate is how long a start takes, as far as is known.
func (s Startup) Estimate() time.Duration {
	if s.mean == 0 {
		return defaultStartup
	}
	return s.mean
}
