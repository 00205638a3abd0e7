package activator

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachHundredRequestsAreSplitExactly(t *testing.T) {
	for name, weights := range map[string][]int32{
		"one target":       {100},
		"canary":           {99, 1},
		"thirds":           {33, 33, 34},
		"one without":      {50, 0, 50},
		"only the second":  {0, 100},
		"a sum below 100":  {3, 1},
		"all without":      {0, 0},
		"a negative share": {-5, 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSplit(weights)
			got := make([]int32, len(weights))
			total := int32(0)
			for _, w := range weights {
				total += max(w, 0)
			}
			if total == 0 {
				require.Equal(t, 0, s.Next())
				return
			}
			for range total * 3 {
				got[s.Next()]++
			}
			for i, w := range weights {
				require.Equal(t, 3*max(w, 0), got[i])
			}
		})
	}
}

func TestASplitIsEvenWithin(t *testing.T) {
	s := NewSplit([]int32{75, 25})
	var got []int
	for range 8 {
		got = append(got, s.Next())
	}
	require.Equal(t, []int{0, 0, 1, 0, 0, 0, 1, 0}, got)
}
