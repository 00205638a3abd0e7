package activator

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/answer"
)

func newPool(seed uint64) *Pool {
	r := rand.New(rand.NewPCG(seed, 1))
	return NewPool(r.IntN)
}

// granted lists which waiters have a verdict, in the order given.
func granted(waiters []*Waiter) []int {
	var out []int
	for i, w := range waiters {
		if len(w.verdict) == 1 {
			out = append(out, i)
		}
	}
	return out
}

func enqueue(p *Pool, n int) []*Waiter {
	ws := make([]*Waiter, n)
	for i := range ws {
		ws[i] = p.Enqueue(Who{})
	}
	return ws
}

func TestNothingReadyHoldsAndReadyReleasesInOrder(t *testing.T) {
	p := newPool(1)
	p.SetLimit(1)
	_, ok := p.TryAcquire()
	require.False(t, ok)
	ws := enqueue(p, 3)
	require.Empty(t, granted(ws))
	require.True(t, p.SetReady("a", "10.0.0.1"))
	require.Equal(t, []int{0}, granted(ws))
	for i := range ws {
		v := <-ws[i].Verdict
		require.Equal(t, "10.0.0.1", v.Grant.Addr)
		require.Empty(t, granted(ws), "one at a time")
		p.Release(&v.Grant)
	}
	waiting, ready := p.Waiting()
	require.Equal(t, []int{0, 1}, []int{waiting, ready})
}

func TestANewcomerNeverOvertakesTheQueue(t *testing.T) {
	p := newPool(1)
	p.SetLimit(1)
	p.SetReady("a", "10.0.0.1")
	g, ok := p.TryAcquire()
	require.True(t, ok)
	w := p.Enqueue(Who{})
	p.Release(&g)
	require.Len(t, w.verdict, 1)
	_, ok = p.TryAcquire()
	require.False(t, ok)
}

func TestAThousandHeldMeetANewPodAFewAtATime(t *testing.T) {
	p := newPool(1)
	ws := enqueue(p, 1000)
	p.SetReady("a", "10.0.0.1")
	rounds, done := 0, 0
	for done < len(ws) {
		out := granted(ws)
		require.NotEmpty(t, out)
		require.Equal(t, done, out[0], "in order")
		require.Equal(t, len(out), out[len(out)-1]-done+1, "without gaps")
		require.LessOrEqual(t, len(out), min(firstWindow<<min(rounds, 8), maxWindow))
		for _, i := range out {
			v := <-ws[i].Verdict
			require.True(t, v.Grant.Paced())
			p.Connected(&v.Grant)
			require.False(t, v.Grant.Paced())
		}
		done += len(out)
		rounds++
	}
	require.LessOrEqual(t, rounds, 1000/maxWindow+2)
}

func TestAConnectErrorTakesThePodOutAndKeepsTheOrder(t *testing.T) {
	p := newPool(1)
	p.SetLimit(2)
	ws := enqueue(p, 4)
	p.SetReady("a", "10.0.0.1")
	require.Equal(t, []int{0, 1}, granted(ws))
	first, second := <-ws[0].Verdict, <-ws[1].Verdict
	require.True(t, p.ConnectFailed(&second.Grant))
	again1 := p.Requeue(ws[1])
	require.False(t, p.ConnectFailed(&first.Grant), "it is out already")
	again0 := p.Requeue(ws[0])
	require.Empty(t, granted(ws))
	p.SetReady("b", "10.0.0.2")
	require.Equal(t, []int{0, 1}, granted([]*Waiter{again0, again1, ws[2], ws[3]}))
}

func TestALateConnectErrorSaysNothingAboutThePodReadyAnew(t *testing.T) {
	p := newPool(1)
	p.SetReady("a", "10.0.0.1")
	g, _ := p.TryAcquire()
	p.SetUnready("a")
	p.SetReady("a", "10.0.0.1")
	require.False(t, p.ConnectFailed(&g))
	_, ok := p.TryAcquire()
	require.True(t, ok)
}

func TestOneThatHadNotWaitedGoesBeforeAllThatWait(t *testing.T) {
	p := newPool(1)
	p.SetLimit(1)
	ws := enqueue(p, 2)
	first := p.EnqueueFirst(Who{})
	second := p.EnqueueFirst(Who{})
	p.SetReady("a", "10.0.0.1")
	require.Equal(t, []int{0}, granted([]*Waiter{first, second, ws[0], ws[1]}))
	v := <-first.Verdict
	p.Release(&v.Grant)
	require.Equal(t, []int{1}, granted([]*Waiter{first, second, ws[0], ws[1]}))
}

func TestACancelledRequestGivesItsGrantToTheNext(t *testing.T) {
	p := newPool(1)
	p.SetLimit(1)
	ws := enqueue(p, 3)
	p.Cancel(ws[1])
	p.SetReady("a", "10.0.0.1")
	require.Equal(t, []int{0}, granted(ws))
	p.Cancel(ws[0]) // its grant is on its way
	require.Equal(t, []int{2}, granted(ws))
}

func TestRefuseAnswersAllThatWaitAndNobodyElse(t *testing.T) {
	p := newPool(1)
	ws := enqueue(p, 2)
	a := &answer.Answer{Reason: answer.StartFailed}
	p.Refuse(a)
	later := p.Enqueue(Who{})
	for _, w := range ws {
		require.Equal(t, Verdict{Refused: a}, <-w.Verdict)
	}
	require.Empty(t, granted([]*Waiter{later}))
}

func TestAPodWithANewAddressIsAnotherPod(t *testing.T) {
	p := newPool(1)
	p.SetLimit(1)
	p.SetReady("a", "10.0.0.1")
	old, _ := p.TryAcquire()
	p.SetReady("a", "10.0.0.2")
	g, ok := p.TryAcquire()
	require.True(t, ok)
	require.Equal(t, "10.0.0.2", g.Addr)
	p.Release(&old)
	_, ok = p.TryAcquire()
	require.False(t, ok, "the old address's end makes no room at the new one")
	p.Remove("a")
	p.Release(&g)
	_, ready := p.Waiting()
	require.Zero(t, ready)
}

func TestASlowPodGetsLess(t *testing.T) {
	p := newPool(7)
	for i := range 4 {
		p.SetReady(fmt.Sprint(i), fmt.Sprint(i))
	}
	got := map[string]int{}
	var fast []Grant
	for range 4000 {
		g, ok := p.TryAcquire()
		require.True(t, ok)
		got[g.Pod]++
		// Pod 0 keeps what it gets; the others are done four requests later.
		if g.Pod != "0" {
			fast = append(fast, g)
		}
		if len(fast) > 4 {
			p.Release(&fast[0])
			fast = fast[1:]
		}
	}
	require.Less(t, got["0"], got["1"]/10)
}

// TestLimitAndOrderHoldUnderAnyOperations plays random operations and checks
// after each that no pod is over its limit, no verdict goes to a later arrival
// while an earlier one waits, and nobody gets two.
func TestLimitAndOrderHoldUnderAnyOperations(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := newPool(seed)
		limit := 1 + r.IntN(3)
		p.SetLimit(limit)
		var waiting []*Waiter
		var grants []Grant
		collect := func() {
			rest := waiting[:0]
			stillWaiting := false
			for _, w := range waiting {
				select {
				case v := <-w.Verdict:
					require.False(t, stillWaiting, "a later arrival was served first")
					grants = append(grants, v.Grant)
				default:
					stillWaiting = true
					rest = append(rest, w)
				}
			}
			waiting = rest
		}
		for range 300 {
			pod := fmt.Sprint(r.IntN(3))
			switch r.IntN(9) {
			case 0, 1:
				waiting = append(waiting, p.Enqueue(Who{}))
			case 8:
				p.SetNear(pod, r.IntN(2) == 0)
			case 2:
				p.SetReady(pod, pod)
			case 3:
				p.SetUnready(pod)
			case 4:
				if len(waiting) > 0 {
					i := r.IntN(len(waiting))
					p.Cancel(waiting[i])
					waiting = append(waiting[:i:i], waiting[i+1:]...)
				}
			case 5, 6:
				if len(grants) > 0 {
					i := r.IntN(len(grants))
					p.Release(&grants[i])
					grants = append(grants[:i:i], grants[i+1:]...)
				}
			case 7:
				for i := range grants {
					p.Connected(&grants[i])
				}
			}
			collect()
			inside := map[string]int{}
			for _, g := range grants {
				inside[g.Pod]++
			}
			for pod, n := range inside {
				require.LessOrEqual(t, n, limit, "pod %s", pod)
			}
			n, _ := p.Waiting()
			require.Equal(t, len(waiting), n)
			for _, pod := range p.ready {
				require.False(t, n > 0 && p.free(pod, limit, true), "a pod is free while somebody waits")
			}
		}
		for i := range grants {
			p.Release(&grants[i])
		}
		collect()
		for _, pod := range p.pods {
			require.GreaterOrEqual(t, pod.outstanding, 0)
			require.GreaterOrEqual(t, pod.connecting, 0)
		}
	}
}

func TestManyGoroutinesNeverExceedTheLimit(t *testing.T) {
	p := NewPool(rand.IntN)
	p.SetLimit(2)
	p.SetReady("a", "a")
	p.SetReady("b", "b")
	var mu sync.Mutex
	inside := map[string]int{}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 200 {
				g, ok := p.TryAcquire()
				if !ok {
					g = (<-p.Enqueue(Who{}).Verdict).Grant
					p.Connected(&g)
				}
				mu.Lock()
				inside[g.Pod]++
				over := inside[g.Pod] > 2
				mu.Unlock()
				if over {
					t.Error("over the limit")
				}
				mu.Lock()
				inside[g.Pod]--
				mu.Unlock()
				p.Release(&g)
			}
		})
	}
	wg.Wait()
}

func BenchmarkAcquireRelease(b *testing.B) {
	p := NewPool(rand.IntN)
	for i := range 8 {
		p.SetReady(fmt.Sprint(i), "10.0.0.1")
	}
	b.ReportAllocs()
	for b.Loop() {
		g, _ := p.TryAcquire()
		p.Release(&g)
	}
}

// BenchmarkEnterAndLeaveALongQueue is what a request costs that comes to and leaves
// a queue of ten thousand, of one client or of a thousand.
func BenchmarkEnterAndLeaveALongQueue(b *testing.B) {
	for _, clients := range []int{1, 1000} {
		b.Run(fmt.Sprint(clients, " clients"), func(b *testing.B) {
			p := NewPool(rand.IntN)
			who := make([]Who, clients)
			for i := range who {
				who[i].Client = fmt.Sprint(i)
			}
			for i := range 10_000 {
				p.Enqueue(who[i%clients])
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Cancel(p.Enqueue(who[i%clients]))
			}
		})
	}
}
