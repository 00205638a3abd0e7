package activator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRetryAfterIsWhatIsLeft(t *testing.T) {
	now := time.Unix(1000, 0)
	thirty := Startup{}.Observe(30 * time.Second)
	for name, c := range map[string]struct {
		in   RetryInput
		want time.Duration
	}{
		"a start that has just begun":      {RetryInput{Starting: now, Startup: thirty}, 30 * time.Second},
		"a start of 20 s":                  {RetryInput{Starting: now.Add(-20 * time.Second), Startup: thirty}, 10 * time.Second},
		"an overdue start":                 {RetryInput{Starting: now.Add(-time.Minute), Startup: thirty}, 3 * time.Second},
		"no start under way":               {RetryInput{Startup: thirty}, 30 * time.Second},
		"never seen":                       {RetryInput{Starting: now}, defaultStartup},
		"pods that serve":                  {RetryInput{Ready: 2, Wait: 4 * time.Second, Startup: thirty}, 4 * time.Second},
		"pods that serve, nobody waited":   {RetryInput{Ready: 2, Startup: thirty}, leastRetry},
		"longer than anybody waits for it": {RetryInput{Ready: 1, Wait: time.Hour}, maxRetry},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.Now = now
			require.Equal(t, c.want, RetryAfter(c.in))
		})
	}
}

func TestWaitsFollowTheLatest(t *testing.T) {
	w := Waits{}.Observe(10 * time.Second)
	require.Equal(t, 10*time.Second, w.Mean())
	require.Equal(t, 9*time.Second, w.Observe(0).Mean())
}
