package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAScaleIsRaisedFromZeroAndOnlyFromZero(t *testing.T) {
	for name, c := range map[string]struct {
		scales *fakeScales
		again  bool
		raised bool
		calls  []string
		left   int32
	}{
		"zero, in one round trip":                   {scales: &fakeScales{}, raised: true, calls: []string{"raise"}, left: 3},
		"not zero":                                  {scales: &fakeScales{replicas: 7}, calls: []string{"raise", "get"}, left: 7},
		"looked at again, not zero":                 {scales: &fakeScales{replicas: 7}, again: true, calls: []string{"get"}, left: 7},
		"looked at again, zero":                     {scales: &fakeScales{}, again: true, raised: true, calls: []string{"get", "raise"}, left: 3},
		"a server that writes zeros out":            {scales: &fakeScales{explicit: true}, raised: true, calls: []string{"raise", "get", "raise"}, left: 3},
		"others write and leave it at zero":         {scales: &fakeScales{conflicts: 3}, raised: true, calls: []string{"raise", "get", "raise", "get", "raise", "get", "raise"}, left: 3},
		"somebody raises between read and write":    {scales: &fakeScales{explicit: true, rival: 5}, calls: []string{"raise", "get", "raise", "get"}, left: 5},
		"somebody raises at the very same moment":   {scales: &fakeScales{rival: 5}, calls: []string{"raise", "get"}, left: 5},
		"to a number below, which is left as it is": {scales: &fakeScales{rival: 1}, calls: []string{"raise", "get"}, left: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.scales.raised = make(chan struct{}, 1)
				raise := raiseScale
				if c.again {
					raise = raiseScaleAgain
				}
				raised, err := raise(t.Context(), c.scales, "models", "iris", 3)
				require.NoError(t, err)
				require.Equal(t, c.raised, raised)
				require.Equal(t, c.calls, c.scales.calls)
				require.Equal(t, c.left, c.scales.replicas)
			})
		})
	}
}

func TestConflictsAreNotAnsweredInARush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scales := newFakeScales(0)
		scales.conflicts = 1 << 20
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := raiseScale(ctx, scales, "models", "iris", 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, len(scales.calls), 50)
	})
}

func TestAWriteThatIsRefusedThoughNothingChangedIsAnError(t *testing.T) {
	scales := newFakeScales(0)
	scales.refuse = true
	_, err := raiseScale(t.Context(), scales, "models", "iris", 1)
	require.ErrorContains(t, err, "raising the scale of deployment models/iris to 1: the API server refuses it")
}

func TestTheErrorOfAnAPIServerThatIsAwayIsPassedOn(t *testing.T) {
	away := errors.New("connection refused")
	scales := newFakeScales(0)
	scales.fail = away
	_, err := raiseScale(t.Context(), scales, "models", "iris", 1)
	require.ErrorIs(t, err, away)
	require.ErrorContains(t, err, "raising the scale of deployment models/iris to 1")
	_, err = raiseScaleAgain(t.Context(), scales, "models", "iris", 1)
	require.ErrorContains(t, err, "reading the scale of deployment models/iris")
}
