package budget

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARefusedShareIsTakenNowhere(t *testing.T) {
	all := New(10, nil)
	a, b := New(8, all), New(8, all)
	require.True(t, a.Take(8))
	require.False(t, a.Take(1), "own limit")
	require.False(t, b.Take(3), "limit of all")
	require.EqualValues(t, 0, b.Used())
	require.True(t, b.Take(2))
	require.EqualValues(t, 10, all.Used())
	a.Give(8)
	b.Give(2)
	require.EqualValues(t, 0, all.Used())
}

func TestALoweredLimitRefusesUntilSharesComeBack(t *testing.T) {
	b := New(4, nil)
	require.True(t, b.Take(4))
	b.SetLimit(2)
	b.Give(1)
	require.False(t, b.Take(1))
	b.Give(2)
	require.True(t, b.Take(1))
}

func TestANilBudgetIsUnlimited(t *testing.T) {
	var b *Budget
	require.True(t, b.Take(1<<60))
	b.Give(1 << 60)
	require.Zero(t, b.Used())
}
