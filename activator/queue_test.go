package activator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/answer"
)

var displaced = &answer.Answer{Reason: answer.ShareExceeded}

// held enqueues a request of each client, in this order, with a pool that has no pod.
func held(p *Pool, clients ...string) map[string][]*Waiter {
	all := map[string][]*Waiter{}
	for _, c := range clients {
		all[c] = append(all[c], p.Enqueue(Who{Client: c}))
	}
	return all
}

func refused(w *Waiter) bool {
	select {
	case v := <-w.verdict:
		return v.Refused != nil
	default:
		return false
	}
}

func TestUrgentRequestsAreReleasedFirstEachClassInItsOrder(t *testing.T) {
	p := newPool(1)
	p.SetLimit(1)
	classes := []Class{Low, Normal, High, Low, High, Normal}
	var ws []*Waiter
	for _, c := range classes {
		ws = append(ws, p.Enqueue(Who{Class: c}))
	}
	p.SetReady("a", "10.0.0.1")
	var order []int
	for range ws {
		i := granted(ws)
		require.Len(t, i, 1)
		order = append(order, i[0])
		v := <-ws[i[0]].Verdict
		p.Release(&v.Grant)
	}
	require.Equal(t, []int{2, 4, 1, 5, 0, 3}, order)
}

func TestAQuietClientTakesThePlaceOfTheOneWithMost(t *testing.T) {
	p := newPool(1)
	ws := held(p, "flood", "flood", "other", "flood", "flood", "other")
	done, _ := p.Displace(Who{Client: "quiet"}, displaced)
	require.True(t, done)
	require.True(t, refused(ws["flood"][3]), "the latest of the client with the most")
	done, greedy := p.Displace(Who{Client: "flood"}, displaced)
	require.False(t, done)
	require.True(t, greedy)
	waiting, _ := p.Waiting()
	require.Equal(t, 5, waiting)
}

func TestClientsWithAlikePartsDoNotDisplaceEachOther(t *testing.T) {
	p := newPool(1)
	held(p, "a", "b", "c")
	done, greedy := p.Displace(Who{Client: "d"}, displaced)
	require.False(t, done)
	require.False(t, greedy, "the queue is full for whoever comes")
	done, greedy = p.Displace(Who{Client: "a"}, displaced)
	require.False(t, done)
	require.False(t, greedy)
}

func TestAClientThatIsAloneMeetsAFullQueueAndNoShare(t *testing.T) {
	p := newPool(1)
	held(p, "a", "a", "a")
	done, greedy := p.Displace(Who{Client: "a"}, displaced)
	require.False(t, done)
	require.False(t, greedy)
}

func TestTheLeastUrgentGoFirstWhateverTheirClients(t *testing.T) {
	p := newPool(1)
	low := p.Enqueue(Who{Client: "a", Class: Low})
	normal := p.Enqueue(Who{Client: "a"})
	later := p.Enqueue(Who{Client: "b", Class: Low})
	high := Who{Client: "a", Class: High}
	for range 3 {
		done, _ := p.Displace(high, displaced)
		require.True(t, done)
	}
	require.True(t, refused(low))
	require.True(t, refused(later))
	require.True(t, refused(normal))
	p.Enqueue(high)
	done, _ := p.Displace(Who{Client: "z", Class: Low}, displaced)
	require.False(t, done, "nobody makes room for what is less urgent")
}

// FuzzQueue compares the queue with a list that is searched.
func FuzzQueue(f *testing.F) {
	f.Add(uint64(1), 200)
	f.Add(uint64(7), 3000)
	f.Fuzz(func(t *testing.T, seed uint64, steps int) {
		r := rand.New(rand.NewPCG(seed, 2))
		var q queue
		var model []*Waiter // by class, then arrival
		seq := uint64(0)
		rank := func(w *Waiter) int { return slices.Index(byUrgency[:], w.who.Class) }
		insert := func(w *Waiter) {
			q.insert(w)
			i, _ := slices.BinarySearchFunc(model, w, func(a, b *Waiter) int {
				if rank(a) != rank(b) {
					return rank(a) - rank(b)
				}
				if a.seq <= b.seq {
					return -1
				}
				return 1
			})
			model = slices.Insert(model, i, w)
		}
		remove := func(w *Waiter) {
			q.remove(w)
			model = slices.DeleteFunc(model, func(m *Waiter) bool { return m == w })
		}
		for range min(max(steps, 0), 5000) {
			who := Who{Client: fmt.Sprint(r.IntN(5)), Class: Class(r.IntN(classes))}
			switch op := r.IntN(10); {
			case op < 4 || len(model) == 0:
				seq++
				insert(&Waiter{who: who, seq: seq})
			case op < 5:
				insert(&Waiter{who: who, seq: uint64(r.IntN(int(seq) + 1))})
			case op < 8:
				remove(model[r.IntN(len(model))])
			default:
				w, greedy := q.displaced(who)
				checkDisplaced(t, model, who, w, greedy)
				if w != nil {
					remove(w)
				}
			}
			require.Equal(t, len(model), q.len())
			if len(model) == 0 {
				require.Nil(t, q.first())
			} else {
				require.Same(t, model[0], q.first())
			}
		}
	})
}

func checkDisplaced(t *testing.T, model []*Waiter, who Who, w *Waiter, greedy bool) {
	counts := map[Who]int{}
	var lowest *Waiter
	for _, m := range model {
		counts[m.who]++
		lowest = m
	}
	own := counts[who]
	most, clients := 0, 0
	for other, n := range counts {
		if other.Class == who.Class {
			most = max(most, n)
			clients++
		}
	}
	below := lowest != nil && slices.Index(byUrgency[:], lowest.who.Class) > slices.Index(byUrgency[:], who.Class)
	switch {
	case below:
		require.Equal(t, lowest.who.Class, w.who.Class)
	case most >= own+2:
		require.Equal(t, most, counts[w.who])
		require.Equal(t, who.Class, w.who.Class)
	default:
		require.Nil(t, w)
		require.Equal(t, own > 1 && clients > 1, greedy)
		return
	}
	for _, m := range model {
		if m.who == w.who {
			require.LessOrEqual(t, m.seq, w.seq, "the latest of its client")
		}
	}
}
