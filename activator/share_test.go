package activator

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

func TestSharesOfEachMember(t *testing.T) {
	for name, c := range map[string]struct {
		pods, limit, members int
		want                 [][]int
	}{
		"alone":                            {3, 2, 1, [][]int{{2, 2, 2}}},
		"nobody known":                     {2, 5, 0, [][]int{{5, 5}}},
		"no pods":                          {0, 2, 2, [][]int{{}, {}}},
		"as many pods as members":          {2, 1, 2, [][]int{{1, 0}, {0, 1}}},
		"a multiple":                       {4, 3, 2, [][]int{{3, 0, 3, 0}, {0, 3, 0, 3}}},
		"a remainder that is shared":       {5, 3, 2, [][]int{{3, 0, 3, 0, 2}, {0, 3, 0, 3, 1}}},
		"a remainder that some go without": {4, 1, 3, [][]int{{1, 0, 0, 1}, {0, 1, 0, 0}, {0, 0, 1, 0}}},
		"fewer pods than members":          {2, 3, 4, [][]int{{1, 1}, {1, 1}, {1, 0}, {0, 1}}},
		"fewer slots than members":         {1, 2, 3, [][]int{{1}, {1}, {1}}},
		"one slot":                         {1, 1, 2, [][]int{{1}, {1}}},
		"two slots and five members":       {2, 1, 5, [][]int{{1, 0}, {0, 1}, {1, 0}, {0, 1}, {1, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range max(c.members, 1) {
				require.Equal(t, c.want[i], Shares(c.pods, c.limit, Member{Index: i, Count: c.members}), "member %d", i)
			}
		})
	}
}

func FuzzShares(f *testing.F) {
	f.Add(5, 3, 2)
	f.Add(1, 1, 10)
	f.Add(100, 1000, 7)
	f.Fuzz(func(t *testing.T, pods, limit, members int) {
		if pods < 1 || pods > 200 || limit < 1 || limit > 2000 || members < 1 || members > 50 {
			t.Skip()
		}
		sum := make([]int, pods)
		least, most := pods*limit, 0
		for i := range members {
			total := 0
			for pod, n := range Shares(pods, limit, Member{Index: i, Count: members}) {
				require.True(t, n >= 0 && n <= limit)
				sum[pod] += n
				total += n
			}
			least, most = min(least, total), max(most, total)
		}
		require.Positive(t, least, "nobody goes without")
		require.LessOrEqual(t, most-least, 1, "nobody has more than another")
		if pods*limit >= members {
			for pod, n := range sum {
				require.Equal(t, limit, n, "pod %d is dealt out, and once", pod)
			}
		}
	})
}

func TestMembership(t *testing.T) {
	ack := func(name, message string) v1alpha1.ActivatorAck {
		return v1alpha1.ActivatorAck{Name: name, Generation: 1, Message: message}
	}
	acks := []v1alpha1.ActivatorAck{ack("c", ""), ack("a", ""), ack("x", "Cannot listen on port 10001"), ack("b", "")}
	before := fmt.Sprint(acks)
	firsts := map[string]bool{}
	for i := range 20 {
		route := fmt.Sprint("models/iris-", i)
		seen := map[int]bool{}
		for _, self := range []string{"a", "b", "c"} {
			m := Membership(acks, self, route)
			require.Equal(t, 3, m.Count)
			seen[m.Index] = true
			if m.Index == 0 {
				firsts[self] = true
			}
		}
		require.Equal(t, map[int]bool{0: true, 1: true, 2: true}, seen, "each has a place of its own")
	}
	require.Len(t, firsts, 3, "everybody is the first for some route")
	require.Zero(t, Membership(acks, "x", "r"), "it does not serve the route")
	require.Zero(t, Membership(acks, "unknown", "r"))
	require.Zero(t, Membership(acks[:1], "c", "r"), "it is alone")
	require.Zero(t, Membership(nil, "a", "r"))
	require.Equal(t, before, fmt.Sprint(acks))
}

func TestWhatMayBeBorrowed(t *testing.T) {
	for name, c := range map[string]struct {
		loan            Loan
		inside, waiting int
		want            int
	}{
		"nobody uses it":                      {Loan{Limit: 4}, 0, 0, 4},
		"somebody uses a part":                {Loan{Limit: 4}, 3, 0, 1},
		"it is full":                          {Loan{Limit: 4}, 4, 0, 0},
		"it is more than full":                {Loan{Limit: 4}, 6, 2, 0},
		"what is used is kept":                {Loan{Limit: 4, Share: 1, Extra: 2, Outstanding: 3}, 4, 0, 2},
		"and what is free taken":              {Loan{Limit: 4, Share: 1, Extra: 1, Outstanding: 2}, 3, 0, 2},
		"others wait for it":                  {Loan{Limit: 4, Share: 1, Extra: 2, Outstanding: 3}, 5, 1, 0},
		"the own share is not borrowed":       {Loan{Limit: 4, Share: 2, Outstanding: 0}, 0, 0, 2},
		"nor does it use up what others left": {Loan{Limit: 4, Share: 2, Outstanding: 1}, 3, 0, 0},
		"the agent is behind":                 {Loan{Limit: 2, Outstanding: 2, Extra: 2}, 0, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, c.loan.Next(c.inside, c.waiting))
		})
	}
}
