package activator

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestALookAtAPoolShowsWhatEachPodHas(t *testing.T) {
	p := NewPool(func(int) int { return 0 })
	p.SetLimit(2)
	p.SetMember(Member{Index: 0, Count: 1})
	p.SetReady("a", "10.0.0.1")
	p.SetReady("b", "10.0.0.2")
	first, ok := p.TryAcquire()
	require.True(t, ok)
	p.SetUnready("b")
	_, ok = p.TryAcquire()
	require.True(t, ok)
	p.Enqueue(Who{})
	require.Equal(t, Look{
		Waiting: 1, Limit: 2, Member: Member{Index: 0, Count: 1},
		Pods: []PodLook{
			{Pod: "a", Addr: "10.0.0.1", Ready: true, Outstanding: 2, Share: 2},
			{Pod: "b", Addr: "10.0.0.2"},
		},
	}, p.Look())
	ready, outstanding := p.Load()
	require.Equal(t, []int{1, 2}, []int{ready, outstanding})
	p.Release(&first)
	require.Equal(t, 1, p.Look().Pods[0].Connecting, "the one that waited has no connection yet")
}
