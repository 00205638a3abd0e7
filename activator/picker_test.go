package activator

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// inZones is a pool with so many pods that are near and so many that are not.
func inZones(near, far int) *Pool {
	p := newPool(1)
	for i := range near {
		p.SetReady(fmt.Sprint("near-", i), "10.0.0.1")
		p.SetNear(fmt.Sprint("near-", i), true)
	}
	for i := range far {
		p.SetReady(fmt.Sprint("far-", i), "10.0.0.2")
	}
	return p
}

// take lets n requests in that stay, and returns how many each pod has then.
func take(t *testing.T, p *Pool, n int) map[string]int {
	for range n {
		_, ok := p.TryAcquire()
		require.True(t, ok)
	}
	has := map[string]int{}
	for _, pod := range p.ready {
		has[pod.key] = pod.outstanding
	}
	return has
}

func TestNearPodsComeFirstAsLongAsTheyAreNotMuchBusier(t *testing.T) {
	p := inZones(2, 2)
	require.Equal(t, map[string]int{"near-0": 5, "near-1": 5, "far-0": 0, "far-1": 0}, take(t, p, 10))
	has := take(t, p, 400)
	for _, far := range []string{"far-0", "far-1"} {
		for _, near := range []string{"near-0", "near-1"} {
			require.InDelta(t, has[far]+has[far]/4+nearLead, has[near], 4, "%v", has)
		}
	}
}

func TestAFullNearPodSendsNobodyAwayFromAnIdleOne(t *testing.T) {
	p := inZones(1, 1)
	p.SetLimit(1)
	require.Equal(t, map[string]int{"near-0": 1, "far-0": 0}, take(t, p, 1))
	require.Equal(t, map[string]int{"near-0": 1, "far-0": 1}, take(t, p, 1))
	w := p.Enqueue(Who{})
	require.Empty(t, granted([]*Waiter{w}))
	p.SetReady("far-1", "10.0.0.2")
	require.Equal(t, []int{0}, granted([]*Waiter{w}), "who waits goes anywhere")
}

func TestASlowNearPodGetsLess(t *testing.T) {
	p := inZones(2, 2)
	var quick []Grant
	slow := 0
	for range 400 {
		g, ok := p.TryAcquire()
		require.True(t, ok)
		if g.Pod == "near-0" {
			slow++ // and stays
			continue
		}
		if quick = append(quick, g); len(quick) > 4 {
			p.Release(&quick[0])
			quick = quick[1:]
		}
	}
	require.LessOrEqual(t, slow, 10)
}

func TestWithoutPodsNearbyNothingIsPreferred(t *testing.T) {
	for name, p := range map[string]*Pool{"all are near": inZones(4, 0), "none is": inZones(0, 4)} {
		t.Run(name, func(t *testing.T) {
			for pod, n := range take(t, p, 400) {
				require.InDelta(t, 100, n, 10, pod)
			}
		})
	}
}

func TestAPodStaysNearUntilItIsSaidNotToBe(t *testing.T) {
	p := inZones(1, 1)
	p.SetUnready("near-0")
	p.SetReady("near-0", "10.0.0.9") // restarted with another address
	require.Equal(t, map[string]int{"near-0": 3, "far-0": 0}, take(t, p, 3))
	p.SetNear("near-0", false)
	p.SetNear("far-0", true)
	require.Equal(t, map[string]int{"near-0": 3, "far-0": 3}, take(t, p, 3))
	p.SetNear("unknown", true)

	p = inZones(0, 2)
	p.SetNear("far-1", true)
	require.Equal(t, map[string]int{"far-0": 0, "far-1": 5}, take(t, p, 5))
}

// FuzzPicker has pods come, go, move and fill up, and checks that what is picked has
// room, and that nothing is picked only where nothing has any.
func FuzzPicker(f *testing.F) {
	f.Add(uint64(1), 100)
	f.Fuzz(func(t *testing.T, seed uint64, steps int) {
		r := rand.New(rand.NewPCG(seed, 3))
		p := newPool(seed)
		p.SetLimit(r.IntN(4))
		var grants []Grant
		for range min(max(steps, 0), 1000) {
			key := fmt.Sprint(r.IntN(6))
			switch r.IntN(7) {
			case 0:
				p.SetReady(key, key)
			case 1:
				p.SetNear(key, r.IntN(2) == 0)
			case 2:
				p.Remove(key)
			case 3:
				if len(grants) > 0 {
					p.Release(&grants[0])
					grants = grants[1:]
				}
			default:
				room := false
				for _, pod := range p.ready {
					room = room || p.free(pod, p.limit, false)
				}
				g, ok := p.TryAcquire()
				require.Equal(t, room, ok)
				if ok {
					require.True(t, p.limit == 0 || g.pod.outstanding <= p.limit)
					require.True(t, g.pod.ready)
					grants = append(grants, g)
				}
			}
			require.True(t, len(p.near) < len(p.mine) || len(p.mine) == 0)
		}
	})
}
