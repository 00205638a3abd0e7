package activator

import (
	"hash/fnv"
	"slices"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// Member is an activator's place among those that serve a route. The zero value
// is one that is alone, or does not know of others.
type Member struct {
	// Index is from 0 to Count-1.
	Index int
	// Count is how many there are.
	Count int
}

// Membership reads an activator's place out of the acknowledgements of a route.
// All activators read the same list, so that they come to one division without
// talking. One that is not in it has all to itself until it is. route turns the
// order, so that the same activator is not the first for every route.
func Membership(acks []v1alpha1.ActivatorAck, self, route string) Member {
	var names []string
	for _, a := range acks {
		// One with a message does not serve the route and is no endpoint of it.
		if a.Message == "" {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	i, found := slices.BinarySearch(names, self)
	if !found || len(names) < 2 {
		return Member{}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(route))
	return Member{Index: (i + int(h.Sum32()%uint32(len(names)))) % len(names), Count: len(names)}
}

// Shares divides the capacity of pods, each for limit requests, and returns the
// member's part of each. As many pods as can be dealt out evenly are dealt out
// whole; the slots of the rest are dealt out one by one. 5 pods for 3 requests
// each give the first of two members 3 0 3 0 2 and the second 0 3 0 3 1.
//
// Nobody goes without: where there are fewer slots than members, those who got
// none have one with somebody else, and the pod's agent queues what is too much.
func Shares(pods, limit int, m Member) []int {
	shares := make([]int, pods)
	if m.Count < 2 {
		for i := range shares {
			shares[i] = limit
		}
		return shares
	}
	whole := pods - pods%m.Count
	for i := m.Index; i < whole; i += m.Count {
		shares[i] = limit
	}
	slots := (pods - whole) * limit
	for slot := m.Index; slot < slots; slot += m.Count {
		shares[whole+slot/limit]++
	}
	if whole == 0 && m.Index >= slots && pods > 0 {
		shares[m.Index%pods] = 1
	}
	return shares
}

// Loan is a pod of which this activator has a part, or none, and may use more
// while others leave it unused.
type Loan struct {
	// Pod and Addr are the pod's key and address.
	Pod, Addr string
	// Limit is how many requests the pod takes, Share the activator's part of it,
	// Extra what it may use beyond that now.
	Limit, Share, Extra int
	// Outstanding is the number of this activator's requests in the pod.
	Outstanding int
}

// Next is what the activator may use beyond its share, now that the pod's agent
// has said how many requests are in the pod, from all sides, and how many of them
// wait there for a slot. It may keep what it uses and take what is free. Where
// requests wait somebody uses the slots that are lent, and all are given back.
//
// A pod for 4 with a share of 1, 3 of ours and 1 of somebody else's inside: 2 of
// ours are on loan, nothing is free, it stays at 2.
func (l Loan) Next(inside, waiting int) int {
	if waiting > 0 {
		return 0
	}
	used := max(l.Outstanding-l.Share, 0)
	free := max(l.Limit-max(inside, l.Outstanding), 0)
	if l.Outstanding < l.Share {
		// Those are free for us as they are.
		free = max(free-(l.Share-l.Outstanding), 0)
	}
	return min(used+free, l.Limit-l.Share)
}
