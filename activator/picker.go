package activator

// pick chooses the pod with fewer requests of two that are drawn at random. Two
// draws keep a slow pod from filling up, and unlike a look at all of them they
// do not send every activator's next request to the same idle pod. Where both
// are full, any pod that is not will do, the emptiest first. What others lend
// comes last. nil: all are full.
func (p *Pool) pick(paced bool) *poolPod {
	var best *poolPod
	switch n := len(p.mine); n {
	case 0:
	case 1:
		best = p.mine[0]
	default:
		i := p.rand(n)
		j := p.rand(n - 1)
		if j >= i {
			j++
		}
		best = p.mine[i]
		if p.mine[j].outstanding < best.outstanding {
			best = p.mine[j]
		}
	}
	if best != nil && p.free(best, best.share, paced) {
		return best
	}
	best = nil
	for _, pod := range p.mine {
		if p.free(pod, pod.share, paced) && (best == nil || pod.outstanding < best.outstanding) {
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

// free reports whether a pod may get one more request of at most this many.
func (p *Pool) free(pod *poolPod, most int, paced bool) bool {
	return (p.limit == 0 || pod.outstanding < most) && (!paced || pod.connecting < pod.window)
}
