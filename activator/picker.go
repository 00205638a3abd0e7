package activator

// pick chooses the pod with fewer requests of two that are drawn at random. Two
// draws keep a slow pod from filling up, and unlike a look at all of them they
// do not send every activator's next request to the same idle pod. Where some pods
// are near, two of those are drawn as well, and theirs is taken unless it is clearly
// busier. Where what was drawn is full, any pod that is not will do, the emptiest
// first. What others lend comes last. nil: all are full.
func (p *Pool) pick(paced bool) *poolPod {
	best := p.draw(p.mine)
	if len(p.near) > 0 {
		if near := p.draw(p.near); p.load(near) <= p.load(best) && p.free(near, near.share, paced) {
			return near
		}
	}
	if best != nil && p.free(best, best.share, paced) {
		return best
	}
	best = nil
	for _, pod := range p.mine {
		if p.free(pod, pod.share, paced) && (best == nil || p.load(pod) < p.load(best)) {
			best = pod
		}
	}
	if best != nil || !p.divided() {
		return best
	}
	for _, pod := range p.ready {
		if pod.extra > 0 && p.free(pod, pod.share+pod.extra, paced) && (best == nil || pod.outstanding < best.outstanding) {
			best = pod
		}
	}
	return best
}

// draw is the pod with fewer requests of two drawn at random, nil if there is none.
func (p *Pool) draw(pods []*poolPod) *poolPod {
	n := len(pods)
	switch n {
	case 0:
		return nil
	case 1:
		return pods[0]
	}
	i := p.rand(n)
	j := p.rand(n - 1)
	if j >= i {
		j++
	}
	if pods[j].outstanding < pods[i].outstanding {
		return pods[j]
	}
	return pods[i]
}

// nearLead is how many requests more a near pod may have than one that is far,
// beside a quarter. A way to another zone costs a millisecond and some money, a
// place behind others in a server may cost seconds.
const nearLead = 4

// load is how busy a pod counts as being. One that is far, with 8 requests inside,
// is as busy as a near one with 14.
func (p *Pool) load(pod *poolPod) int {
	if pod.near || len(p.near) == 0 {
		return pod.outstanding
	}
	return pod.outstanding + pod.outstanding/4 + nearLead
}

// free reports whether a pod may get one more request of at most this many.
func (p *Pool) free(pod *poolPod, most int, paced bool) bool {
	return (p.limit == 0 || pod.outstanding < most) && (!paced || pod.connecting < pod.window)
}
