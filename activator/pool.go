package activator

import (
	"cmp"
	"slices"
	"sync"

	"github.com/rawserve/rawserve/internal/answer"
)

// firstWindow is how many released requests may be on their way to a new pod at
// a time, none of them connected yet, so that no pod meets a thousand
// connections at once. Each connection made widens the window by one, up to
// maxWindow. Wider ones do not release faster: they dial for requests that would
// have found a connection of an answered one. A thousand held requests cost
// 150 ms of CPU (clients and server included) with a window of 8, 230 ms with 32
// and 280 ms with 512.
const (
	firstWindow = 8
	maxWindow   = 16
)

// Pool is the pods of one revision and the requests that wait for them. Requests
// of a class are served strictly in the order of their arrival. All methods may be called
// from any goroutine.
type Pool struct {
	rand func(n int) int

	mu     sync.Mutex
	limit  int    // requests in one pod at a time, from all activators; 0: no limit
	member Member // who has which part of it
	pods   map[string]*poolPod
	ready  []*poolPod
	// mine are the ready pods of which this activator has a part, near those of them
	// that come before the others; empty where that is all or none of them.
	mine, near []*poolPod
	queue      queue
	seq        uint64
}

type poolPod struct {
	key, addr   string
	ready       bool
	near        bool
	generation  uint64 // grows each time the pod becomes ready
	outstanding int
	connecting  int
	window      int
	share       int // this activator's part of the limit
	extra       int // what it may use beyond that now
}

// Grant is the right to send one request to one pod. It ends with one call of
// Release or ConnectFailed.
type Grant struct {
	// Pod is the key of the pod.
	Pod string
	// Addr is the pod's address, without a port.
	Addr string

	pod        *poolPod
	generation uint64
	paced      bool
}

// Paced reports whether Connected must be called as soon as the request has a connection.
func (g *Grant) Paced() bool { return g.paced }

// Waiter is one held request.
type Waiter struct {
	// Verdict receives exactly one value, unless Cancel came first.
	Verdict <-chan Verdict

	verdict chan Verdict
	who     Who
	seq     uint64
	queued  bool
	links   [listKinds]link
	// place is its client's part of the queue.
	place *place
}

// Verdict ends a wait.
type Verdict struct {
	// Grant is what was waited for, where Refused is nil.
	Grant Grant
	// Refused says why no pod will come.
	Refused *answer.Answer
}

// NewPool returns an empty pool. rand returns a number in [0, n).
func NewPool(rand func(n int) int) *Pool {
	return &Pool{rand: rand, pods: map[string]*poolPod{}}
}

// SetLimit sets how many requests may be in one pod at a time; 0 means no limit.
func (p *Pool) SetLimit(limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = limit
	p.divide()
	p.dispatch()
}

// SetMember sets which part of the limit is this activator's.
func (p *Pool) SetMember(m Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.member == m {
		return
	}
	p.member = m
	p.divide()
	p.dispatch()
}

// TryAcquire grants a pod at once, unless none is free or others wait already.
func (p *Pool) TryAcquire() (Grant, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue.first() != nil {
		return Grant{}, false
	}
	pod := p.pick(false)
	if pod == nil {
		return Grant{}, false
	}
	return p.grant(pod, false), true
}

// Enqueue puts a request at the end of the queue, behind all of its class. A pod
// that became free meanwhile is granted through the verdict like any other.
func (p *Pool) Enqueue(who Who) *Waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	w := &Waiter{verdict: make(chan Verdict, 1), who: who, seq: p.seq}
	w.Verdict = w.verdict
	p.queue.insert(w)
	p.dispatch()
	return w
}

// Requeue puts a request whose grant came to nothing back to where its arrival
// puts it: before all that came after it.
func (p *Pool) Requeue(old *Waiter) *Waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &Waiter{verdict: make(chan Verdict, 1), who: old.who, seq: old.seq}
	w.Verdict = w.verdict
	p.queue.insert(w)
	p.dispatch()
	return w
}

// EnqueueFirst holds a request that had been granted a pod without waiting,
// which then could not be reached. It came before all of its class that wait.
func (p *Pool) EnqueueFirst(who Who) *Waiter {
	return p.Requeue(&Waiter{who: who})
}

// Displace makes room for a request of who that there is no room for, by answering
// one that waits with a, and reports whether it could. Where it could not, greedy
// says that it is this client who has taken the room of others.
func (p *Pool) Displace(who Who, a *answer.Answer) (done, greedy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, greedy := p.queue.displaced(who)
	if w == nil {
		return false, greedy
	}
	p.queue.remove(w)
	w.verdict <- Verdict{Refused: a}
	return true, false
}

// Cancel takes a request out of the queue. If it was granted a pod at the same
// moment the grant is given back. A cancelled request never gets another.
func (p *Pool) Cancel(w *Waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.queued {
		p.queue.remove(w)
		return
	}
	select {
	case v := <-w.verdict:
		if v.Refused == nil {
			p.release(&v.Grant)
		}
	default:
	}
}

// Connected says that a paced request has its connection, which makes room for the next.
func (p *Pool) Connected(g *Grant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unpace(g) && g.pod.window < maxWindow {
		g.pod.window++
	}
	p.dispatch()
}

// Release gives a grant back when its request has ended, however it ended.
func (p *Pool) Release(g *Grant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release(g)
}

// ConnectFailed gives a grant back whose pod could not be reached, and takes the
// pod out until it is set ready again. It reports whether the pod was taken out
// by this call: a failure that began before the pod became ready anew says
// nothing about it.
func (p *Pool) ConnectFailed(g *Grant) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ejected := g.pod != nil && g.pod.ready && g.pod.generation == g.generation
	if ejected {
		p.unready(g.pod)
	}
	p.release(g)
	return ejected
}

// SetReady adds a pod or makes it ready again, and reports whether it was not before.
func (p *Pool) SetReady(key, addr string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pod := p.pods[key]
	if pod == nil || pod.addr != addr {
		former := pod
		// Requests of an earlier address hold on to the old value and give back there.
		pod = &poolPod{key: key, addr: addr}
		if former != nil {
			p.unready(former)
			pod.near = former.near
		}
		p.pods[key] = pod
	}
	if pod.ready {
		return false
	}
	pod.ready = true
	pod.generation++
	pod.window = firstWindow
	p.ready = append(p.ready, pod)
	p.divide()
	p.dispatch()
	return true
}

// SetNear says whether a pod is near, and so comes before those that are not. A pod
// that was never ready is not known yet.
func (p *Pool) SetNear(key string, near bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pod := p.pods[key]; pod != nil && pod.near != near {
		pod.near = near
		p.setNear()
	}
}

// SetUnready keeps a pod from getting more requests and reports whether it could get some.
func (p *Pool) SetUnready(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pod := p.pods[key]
	if pod == nil || !pod.ready {
		return false
	}
	p.unready(pod)
	return true
}

// IsReady reports whether a pod may get requests.
func (p *Pool) IsReady(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pod := p.pods[key]
	return pod != nil && pod.ready
}

// Remove forgets a pod. Requests inside it end as they end.
func (p *Pool) Remove(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pod := p.pods[key]; pod != nil {
		p.unready(pod)
		delete(p.pods, key)
	}
}

// Refuse answers all that wait.
func (p *Pool) Refuse(a *answer.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := p.queue.first(); w != nil; w = p.queue.first() {
		p.queue.remove(w)
		w.verdict <- Verdict{Refused: a}
	}
}

// Waiting is the number of requests that wait, Ready that of pods that may get some.
func (p *Pool) Waiting() (waiting, ready int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.len(), len(p.ready)
}

// dispatch grants pods to the first in the queue as long as there are any.
func (p *Pool) dispatch() {
	for w := p.queue.first(); w != nil; w = p.queue.first() {
		pod := p.pick(true)
		if pod == nil {
			return
		}
		p.queue.remove(w)
		w.verdict <- Verdict{Grant: p.grant(pod, true)}
	}
}

func (p *Pool) grant(pod *poolPod, paced bool) Grant {
	pod.outstanding++
	if paced {
		pod.connecting++
	}
	return Grant{Pod: pod.key, Addr: pod.addr, pod: pod, generation: pod.generation, paced: paced}
}

func (p *Pool) release(g *Grant) {
	if g.pod == nil {
		return
	}
	p.unpace(g)
	g.pod.outstanding--
	g.pod = nil
	p.dispatch()
}

func (p *Pool) unpace(g *Grant) bool {
	if !g.paced || g.pod == nil {
		return false
	}
	g.paced = false
	g.pod.connecting--
	return true
}

func (p *Pool) unready(pod *poolPod) {
	if !pod.ready {
		return
	}
	pod.ready, pod.extra = false, 0
	for i, r := range p.ready {
		if r == pod {
			last := len(p.ready) - 1
			p.ready[i] = p.ready[last]
			p.ready[last] = nil
			p.ready = p.ready[:last]
			break
		}
	}
	p.divide()
}

// Divided reports whether the capacity of pods is divided among several activators.
func (p *Pool) Divided() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.divided()
}

func (p *Pool) divided() bool { return p.limit > 0 && p.member.Count > 1 }

// divide says anew which part of which pod is this activator's, and which of those
// are near.
func (p *Pool) divide() {
	p.share()
	p.setNear()
}

func (p *Pool) setNear() {
	clear(p.near)
	p.near = p.near[:0]
	for _, pod := range p.mine {
		if pod.near {
			p.near = append(p.near, pod)
		}
	}
	if len(p.near) == len(p.mine) {
		p.near = p.near[:0]
	}
}

func (p *Pool) share() {
	if !p.divided() {
		p.mine = p.ready
		for _, pod := range p.ready {
			pod.share, pod.extra = p.limit, 0
		}
		return
	}
	// All activators go through the pods in the same order.
	sorted := slices.SortedFunc(slices.Values(p.ready), func(a, b *poolPod) int { return cmp.Compare(a.key, b.key) })
	p.mine = nil
	for i, share := range Shares(len(sorted), p.limit, p.member) {
		pod := sorted[i]
		pod.share = share
		pod.extra = min(pod.extra, p.limit-share)
		if share > 0 {
			p.mine = append(p.mine, pod)
		}
	}
}
