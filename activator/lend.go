package activator

// Borrowable lists pods whose agents are worth asking whether others leave room
// in them: those that lend already, and, as long as requests wait, up to most
// others, drawn at random. Where nobody waits and nothing borrowed is in use all
// is given back and the list is empty.
func (p *Pool) Borrowable(most int) []Loan {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.divided() {
		return nil
	}
	var loans []Loan
	var others []*poolPod
	used := p.queue.first() != nil
	for _, pod := range p.ready {
		used = used || (pod.extra > 0 && pod.outstanding > pod.share)
		switch {
		case pod.extra > 0:
			loans = append(loans, p.loan(pod))
		case pod.share < p.limit:
			others = append(others, pod)
		}
	}
	if !used {
		for _, pod := range p.ready {
			pod.extra = 0
		}
		return nil
	}
	if p.queue.first() == nil {
		return loans
	}
	for i := 0; i < most && i < len(others); i++ {
		j := i + p.rand(len(others)-i)
		others[i], others[j] = others[j], others[i]
		loans = append(loans, p.loan(others[i]))
	}
	return loans
}

func (p *Pool) loan(pod *poolPod) Loan {
	return Loan{Pod: pod.key, Addr: pod.addr, Limit: p.limit, Share: pod.share, Extra: pod.extra, Outstanding: pod.outstanding}
}

// Borrow is told what a pod's agent has said: how many requests are inside, and
// how many of them wait there. It reports whether there is more to use now.
func (p *Pool) Borrow(key string, inside, waiting int) bool {
	return p.borrow(key, func(l Loan) int { return l.Next(inside, waiting) })
}

// GiveBack is told that a pod's agent has said nothing.
func (p *Pool) GiveBack(key string) {
	p.borrow(key, func(Loan) int { return 0 })
}

func (p *Pool) borrow(key string, next func(Loan) int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pod := p.pods[key]
	if pod == nil || !pod.ready || !p.divided() {
		return false
	}
	before := pod.extra
	pod.extra = next(p.loan(pod))
	p.dispatch()
	return pod.extra > before
}
