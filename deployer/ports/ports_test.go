package ports_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/deployer/ports"
)

var monday = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func TestNextIsTheHoldersOwnPlaceWhileThatIsFree(t *testing.T) {
	h := ports.Holder{Namespace: "ml", Route: "iris-predictor", ServicePort: 80}
	free := func(int32) bool { return false }

	first, err := ports.Next(h, free)
	require.NoError(t, err)
	again, err := ports.Next(h, free)
	require.NoError(t, err)
	require.Equal(t, first, again)

	second, err := ports.Next(h, func(p int32) bool { return p == first })
	require.NoError(t, err)
	require.Equal(t, ports.First+(first-ports.First+1)%int32(ports.Size), second, "the next port, around the end")
}

func TestNextFindsTheOnlyFreePort(t *testing.T) {
	for _, only := range []int32{ports.First, ports.Last, 20000} {
		got, err := ports.Next(ports.Holder{Namespace: "ml", Route: "iris", ServicePort: 80}, func(p int32) bool { return p != only })
		require.NoError(t, err)
		require.Equal(t, only, got)
	}
}

func TestNextNamesTheHolderAndTheRemedyWhenFull(t *testing.T) {
	_, err := ports.Next(ports.Holder{Namespace: "ml", Route: "iris", ServicePort: 80}, func(int32) bool { return true })
	require.ErrorIs(t, err, ports.ErrFull)
	require.ErrorContains(t, err, "ml/iris:80")
	require.ErrorContains(t, err, "delete InferenceServices")
}

func TestEveryPortIsGivenOutOnceUntilAllAre(t *testing.T) {
	var book ports.Book
	holders := map[int32]string{}
	for i := range ports.Size {
		route := fmt.Sprintf("model-%d", i)
		got, err := book.Allocate("ml", route, []int32{80})
		require.NoError(t, err)
		port := got[80]
		require.GreaterOrEqual(t, port, ports.First)
		require.LessOrEqual(t, port, ports.Last)
		require.Empty(t, holders[port], "port %d was given to %s before %s", port, holders[port], route)
		holders[port] = route
	}
	_, err := book.Allocate("ml", "one-too-many", []int32{80})
	require.ErrorIs(t, err, ports.ErrFull)

	book.Forget("ml", "model-7")
	got, err := book.Allocate("ml", "one-too-many", []int32{80})
	require.NoError(t, err)
	require.Equal(t, "model-7", holders[got[80]])
}

func TestARouteKeepsItsPortsForLife(t *testing.T) {
	var book ports.Book
	given, err := book.Allocate("ml", "iris", []int32{80, 9000})
	require.NoError(t, err)
	require.Len(t, given, 2)
	require.NotEqual(t, given[80], given[9000])

	again, err := book.Allocate("ml", "iris", []int32{80, 9000})
	require.NoError(t, err)
	require.Equal(t, given, again, "before the route shows")

	book.See("ml", "iris", monday, given)
	again, err = book.Allocate("ml", "iris", []int32{80, 9000})
	require.NoError(t, err)
	require.Equal(t, given, again, "after the route shows")

	var afterRestart ports.Book
	afterRestart.See("ml", "iris", monday, given)
	again, err = afterRestart.Allocate("ml", "iris", []int32{80, 9000})
	require.NoError(t, err)
	require.Equal(t, given, again, "after a restart")

	more, err := afterRestart.Allocate("ml", "iris", []int32{80, 9000, 8081})
	require.NoError(t, err)
	require.Equal(t, given[80], more[80], "with one more port")
	require.Equal(t, given[9000], more[9000], "with one more port")
}

func TestOfTwoRoutesWithOnePortTheOlderKeepsIt(t *testing.T) {
	var book ports.Book
	book.See("ml", "older", monday, map[int32]int32{80: 12345})
	book.See("ml", "a-younger", monday.Add(time.Hour), map[int32]int32{80: 12345})

	older, err := book.Allocate("ml", "older", []int32{80})
	require.NoError(t, err)
	require.Equal(t, map[int32]int32{80: 12345}, older)
	younger, err := book.Allocate("ml", "a-younger", []int32{80})
	require.NoError(t, err)
	require.NotEqual(t, int32(12345), younger[80])

	again, err := book.Allocate("ml", "a-younger", []int32{80})
	require.NoError(t, err)
	require.Equal(t, younger, again, "while the route still shows the old port")
}

func TestAPortOutsideTheRangeIsNotKept(t *testing.T) {
	var book ports.Book
	book.See("ml", "iris", monday, map[int32]int32{80: 443})
	got, err := book.Allocate("ml", "iris", []int32{80})
	require.NoError(t, err)
	require.GreaterOrEqual(t, got[80], ports.First)
}

func TestWhatARouteNoLongerShowsIsFree(t *testing.T) {
	var book ports.Book
	book.See("ml", "iris", monday, map[int32]int32{80: 10001})
	book.See("ml", "iris", monday, map[int32]int32{80: 10002})
	book.See("ml", "other", monday, map[int32]int32{80: 10001})
	other, err := book.Allocate("ml", "other", []int32{80})
	require.NoError(t, err)
	require.Equal(t, int32(10001), other[80])
}
