package activator

// pick chooses the pod with fewer requests of two that are drawn at random. Two
// draws keep a slow pod from filling up, and unlike a look at all of them they
// do not send every activator's next request to the same idle pod. Where both
// are full, any pod that is not will do, the emptiest first. nil: all are full.
func (p *Pool) pick(paced bool) *poolPod {
	var best *poolPod
	switch n := len(p.ready); n {
	case 0:
		return nil
	case 1:
		best = p.ready[0]
	default:
		i := p.rand(n)
		j := p.rand(n - 1)
		if j >= i {
			j++
		}
		best = p.ready[i]
		if p.ready[j].outstanding < best.outstanding {
			best = p.ready[j]
		}
	}
	if p.free(best, paced) {
		return best
	}
	best = nil
	for _, pod := range p.ready {
		if p.free(pod, paced) && (best == nil || pod.outstanding < best.outstanding) {
			best = pod
		}
	}
	return best
}

func (p *Pool) free(pod *poolPod, paced bool) bool {
	return (p.limit == 0 || pod.outstanding < p.limit) && (!paced || pod.connecting < pod.window)
}
