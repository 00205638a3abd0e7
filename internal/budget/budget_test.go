package budget

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARefusedShareIsTakenNowhere(t *testing.T) {
	all := New(10, nil)
	a, b := New(8, all), New(8, all)
	require.True(t, a.Take(8))
	require.Equal(t, Full, a.Try(1), "own limit")
	require.Equal(t, Full, b.Try(3), "limit of all")
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
	b.Force(1)
	b.Give(1 << 60)
	require.Zero(t, b.Used())
}

// flood takes one unit after the other and returns how many it got, and why no more.
func flood(b *Budget) (n int64, why Refusal) {
	for {
		if why = b.Try(1); why != Granted {
			return n, why
		}
		n++
	}
}

func TestAFloodLeavesRoomForOthers(t *testing.T) {
	all := New(900, nil)
	got, why := flood(NewShare(NoLimit, all, 8))
	require.EqualValues(t, 800, got)
	require.Equal(t, OverShare, why)
	quiet := NewShare(NoLimit, all, 8)
	for range 10 {
		require.True(t, quiet.Take(1))
	}
}

func TestFloodsShareWhatThereIs(t *testing.T) {
	all := New(900, nil)
	a, b := NewShare(NoLimit, all, 8), NewShare(NoLimit, all, 8)
	for a.Take(1) || b.Take(1) {
	}
	// The first has what it took while it was alone until some of it comes back.
	a.Give(a.Used())
	b.Give(b.Used())
	for range 2000 {
		a.Take(1)
		b.Take(1)
	}
	require.InDelta(t, 423, a.Used(), 2)
	require.InDelta(t, 423, b.Used(), 2)
}

// TestFloodsOfOneNamespaceLeaveRoomForItsOthersAndForOtherNamespaces has ten routes
// of one namespace take all they get.
func TestFloodsOfOneNamespaceLeaveRoomForItsOthersAndForOtherNamespaces(t *testing.T) {
	all := New(10_000, nil)
	namespace := NewShare(NoLimit, all, 8)
	for range 10 {
		_, why := flood(NewShare(NoLimit, namespace, 8))
		require.Equal(t, OverShare, why)
	}
	require.Greater(t, namespace.Used(), int64(8_000))
	require.True(t, NewShare(NoLimit, namespace, 8).Take(1), "a quiet route of the namespace")
	require.True(t, NewShare(NoLimit, NewShare(NoLimit, all, 8), 8).Take(100), "a route of another namespace")
}

func TestManyQuietRoutesOfANamespaceLeaveRoomForOthers(t *testing.T) {
	all := New(10_000, nil)
	namespace := NewShare(NoLimit, all, 8)
	for range 2000 {
		route := NewShare(NoLimit, namespace, 8)
		for range 39 { // its first units
			route.Take(1)
		}
	}
	require.Greater(t, namespace.Used(), int64(8_900))
	require.True(t, NewShare(NoLimit, NewShare(NoLimit, all, 8), 8).Take(200), "a route of another namespace")
}

// TestFloodsOfManyClientsLeaveRoomForOtherRoutes has each request be another client's.
func TestFloodsOfManyClientsLeaveRoomForOtherRoutes(t *testing.T) {
	all := New(10_000, nil)
	namespace := NewShare(NoLimit, all, 8)
	route := NewShare(NoLimit, namespace, 8)
	for range 20_000 {
		NewPart(route, 8).Take(1)
	}
	require.InDelta(t, 8_740, route.Used(), 40, "what one route has at most")
	require.True(t, NewShare(NoLimit, namespace, 8).Take(39), "another route of the namespace")
	require.True(t, NewShare(NoLimit, NewShare(NoLimit, all, 8), 8).Take(200), "a route of another namespace")
}

func TestAFloodOfOneClientLeavesRoomForOthersOfItsRoute(t *testing.T) {
	route := NewShare(NoLimit, NewShare(NoLimit, New(10_000, nil), 8), 8)
	got, why := flood(NewPart(route, 8))
	require.Equal(t, OverShare, why)
	require.InDelta(t, 8_648, got, 1, "alone it has nearly as much as its route")
	require.True(t, NewPart(route, 8).Take(100), "a quiet client")
	route = NewShare(900, New(1_000_000, nil), 8)
	got, _ = flood(NewPart(route, 8))
	require.EqualValues(t, 800, got, "of a route with a limit")
	require.True(t, NewPart(route, 8).Take(80), "a quiet client of it")
}

func TestAnOwnLimitIsExact(t *testing.T) {
	got, why := flood(NewShare(7, New(900, nil), 8))
	require.EqualValues(t, 7, got)
	require.Equal(t, Full, why)
}

func TestWhatIsUsedUpIsFullForEverybody(t *testing.T) {
	all := New(100, nil)
	all.Force(100)
	require.Equal(t, Full, NewShare(NoLimit, all, 8).Try(1))
}

// FuzzBudgets takes and gives at random and compares with sums.
func FuzzBudgets(f *testing.F) {
	f.Add(int64(50), int64(8), []byte{1, 2, 3, 200, 4, 130})
	f.Fuzz(func(t *testing.T, limit, alpha int64, steps []byte) {
		limit, alpha = limit&0xffff, 1+alpha&0xf
		all := New(limit, nil)
		spaces := []*Budget{NewShare(NoLimit, all, alpha), NewShare(NoLimit, all, alpha)}
		leaves := []*Budget{NewPart(spaces[0], alpha), NewShare(9, spaces[0], alpha), NewShare(NoLimit, spaces[1], alpha), New(5, all)}
		held := make([]int64, len(leaves))
		for _, s := range steps {
			i, n := int(s)%len(leaves), int64(s>>3&7)
			if s >= 128 {
				n = min(n, held[i])
				leaves[i].Give(n)
				held[i] -= n
			} else if leaves[i].Take(n) {
				held[i] += n
			}
			for i, b := range leaves {
				require.Equal(t, held[i], b.Used())
			}
			require.Equal(t, held[0]+held[1], spaces[0].Used())
			require.Equal(t, held[0]+held[1]+held[2]+held[3], all.Used())
			require.LessOrEqual(t, all.Used(), limit)
			require.LessOrEqual(t, held[1], int64(9))
		}
	})
}

func BenchmarkNested(b *testing.B) {
	route := NewShare(NoLimit, NewShare(NoLimit, New(1000, nil), 8), 8)
	for name, leaf := range map[string]*Budget{"route": route, "client": NewPart(route, 8)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				leaf.Take(1)
				leaf.Give(1)
			}
		})
	}
}
