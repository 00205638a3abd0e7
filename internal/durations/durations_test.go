package durations

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAHistogramCountsCumulatively(t *testing.T) {
	var h Histogram
	h.Observe(5 * time.Millisecond)
	h.Observe(20 * time.Millisecond)
	h.Observe(time.Hour)
	var b strings.Builder
	h.Write(&b, "x_seconds", "Help.")
	require.Contains(t, b.String(), "# TYPE x_seconds histogram\n")
	require.Contains(t, b.String(), "x_seconds_bucket{le=\"0.005\"} 1\n")
	require.Contains(t, b.String(), "x_seconds_bucket{le=\"0.025\"} 2\n")
	require.Contains(t, b.String(), "x_seconds_bucket{le=\"300\"} 2\n")
	require.Contains(t, b.String(), "x_seconds_bucket{le=\"+Inf\"} 3\n")
	require.Contains(t, b.String(), "x_seconds_sum 3600.025\n")
	require.Contains(t, b.String(), "x_seconds_count 3\n")
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(20 * time.Millisecond)
	}
}
