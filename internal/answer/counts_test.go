package answer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachReasonIsCountedByItself(t *testing.T) {
	require.LessOrEqual(t, len(reasons), maxReasons, "raise maxReasons")
	var c Counts
	for i, r := range reasons {
		for range i {
			c.Add(r)
		}
	}
	c.Add("NobodyKnows")
	got := map[Reason]int64{}
	c.Each(func(r Reason, n int64) { got[r] = n })
	want := map[Reason]int64{}
	for i, r := range reasons {
		want[r] = int64(i)
	}
	require.Equal(t, want, got)
}
