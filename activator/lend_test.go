package activator

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// members are the pools of several activators with the same pods.
func members(n, pods, limit int) []*Pool {
	out := make([]*Pool, n)
	for i := range out {
		out[i] = newPool(uint64(i))
		out[i].SetLimit(limit)
		out[i].SetMember(Member{Index: i, Count: n})
		// Each learns of them in another order.
		for j := range pods {
			pod := fmt.Sprint("pod-", (i+j)%pods)
			out[i].SetReady(pod, pod)
		}
	}
	return out
}

// fill takes grants until there are no more, and counts them by pod.
func fill(t *testing.T, p *Pool, into map[string]int) (grants []Grant) {
	t.Helper()
	for {
		g, ok := p.TryAcquire()
		if !ok {
			return grants
		}
		into[g.Pod]++
		grants = append(grants, g)
		require.Less(t, len(grants), 1000)
	}
}

func TestActivatorsTogetherFillEachPodAndNoMore(t *testing.T) {
	for _, c := range []struct{ activators, pods, limit int }{{2, 2, 1}, {2, 3, 1}, {2, 1, 4}, {3, 7, 2}, {4, 2, 5}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inside := map[string]int{}
			for _, p := range members(c.activators, c.pods, c.limit) {
				fill(t, p, inside)
			}
			want := map[string]int{}
			for i := range c.pods {
				want[fmt.Sprint("pod-", i)] = c.limit
			}
			require.Equal(t, want, inside)
		})
	}
}

func TestSharesFollowThePodsAndTheMembers(t *testing.T) {
	p := members(2, 2, 1)[0]
	grants := fill(t, p, map[string]int{})
	require.Len(t, grants, 1)
	w := p.Enqueue(Who{})
	require.Empty(t, granted([]*Waiter{w}))
	// The other activator has gone.
	p.SetMember(Member{})
	require.Equal(t, []int{0}, granted([]*Waiter{w}))
	p.SetMember(Member{Index: 0, Count: 2})
	later := p.Enqueue(Who{})
	p.Release(&grants[0])
	require.Equal(t, []int{0}, granted([]*Waiter{later}), "its own pod")
	// A pod more, of which it has the only slot.
	last := p.Enqueue(Who{})
	p.SetReady("pod-2", "pod-2")
	require.Equal(t, []int{0}, granted([]*Waiter{last}))
}

func TestWhatOthersLeaveUnusedIsBorrowed(t *testing.T) {
	p := members(2, 2, 2)[0]
	inside := map[string]int{}
	grants := fill(t, p, inside)
	require.Equal(t, map[string]int{"pod-0": 2}, inside)
	require.Empty(t, p.Borrowable(4), "nobody waits")
	ws := enqueue(p, 3)
	require.Equal(t, []Loan{{Pod: "pod-1", Addr: "pod-1", Limit: 2}}, p.Borrowable(4))
	// One of its two slots is free.
	require.True(t, p.Borrow("pod-1", 1, 0))
	require.Equal(t, []int{0}, granted(ws))
	borrowed := (<-ws[0].Verdict).Grant
	require.Equal(t, "pod-1", borrowed.Pod)
	// It is used and kept; there is no more.
	require.False(t, p.Borrow("pod-1", 2, 0))
	require.Empty(t, granted(ws[1:]))
	p.Release(&borrowed)
	require.Equal(t, []int{0}, granted(ws[1:]))
	borrowed = (<-ws[1].Verdict).Grant
	// Those whose it is have come: their requests wait in the pod.
	require.False(t, p.Borrow("pod-1", 3, 1))
	p.Release(&borrowed)
	require.Empty(t, granted(ws[2:]))
	// What is its own comes first.
	p.Borrow("pod-1", 0, 0)
	require.Equal(t, []int{0}, granted(ws[2:]))
	p.Release(&grants[0])
	g, ok := p.TryAcquire()
	require.True(t, ok)
	require.Equal(t, "pod-0", g.Pod)
}

func TestLoansAreGivenBack(t *testing.T) {
	p := members(2, 2, 1)[0]
	own := fill(t, p, map[string]int{})
	w := p.Enqueue(Who{})
	p.Borrow("pod-1", 0, 0)
	borrowed := (<-w.Verdict).Grant
	require.Len(t, p.Borrowable(4), 1, "in use")
	p.Release(&borrowed)
	require.Empty(t, p.Borrowable(4), "not in use")
	w = p.Enqueue(Who{})
	require.Empty(t, granted([]*Waiter{w}))
	p.Borrow("pod-1", 0, 0)
	borrowed = (<-w.Verdict).Grant
	p.GiveBack("pod-1") // its agent says nothing
	p.Release(&borrowed)
	w = p.Enqueue(Who{})
	require.Empty(t, granted([]*Waiter{w}))
	p.Borrow("unknown", 0, 0)
	p.SetUnready("pod-1")
	require.False(t, p.Borrow("pod-1", 0, 0))
	// The pod that is left is the only one, of which the first has the only slot.
	p.Release(&own[0])
	require.Equal(t, []int{0}, granted([]*Waiter{w}))
}

func TestWithoutALimitNothingIsDivided(t *testing.T) {
	p := members(2, 2, 0)[0]
	seen := map[string]bool{}
	for range 100 {
		g, ok := p.TryAcquire()
		require.True(t, ok)
		seen[g.Pod] = true
	}
	require.Len(t, seen, 2)
	require.Empty(t, p.Borrowable(4))
}
