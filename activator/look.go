package activator

import (
	"cmp"
	"slices"
)

// Look is a pool at one moment, for people.
type Look struct {
	// Waiting is the number of requests that wait.
	Waiting int
	// Limit is how many requests may be in one pod at a time, from all activators; 0: no limit.
	Limit int
	// Member says which part of the limit is this activator's.
	Member Member
	// Pods are the pods by their keys' order.
	Pods []PodLook
}

// PodLook is one pod of a pool. What it is as a pod, and why it is not ready, the
// pool does not know.
type PodLook struct {
	// Pod is its key, Addr its address.
	Pod, Addr string
	// Ready says that it may get requests, Near that it comes before those that are not.
	Ready, Near bool
	// Outstanding is the number of requests that it has of this activator, Connecting
	// how many of those released to it have no connection yet.
	Outstanding, Connecting int
	// Share is this activator's part of the limit, Extra what it uses beyond that now.
	// Both are 0 without a limit.
	Share, Extra int
}

// Look returns the pool as it is.
func (p *Pool) Look() Look {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := Look{Waiting: p.queue.len(), Limit: p.limit, Member: p.member, Pods: make([]PodLook, 0, len(p.pods))}
	for _, pod := range p.pods {
		look := PodLook{Pod: pod.key, Addr: pod.addr, Ready: pod.ready, Near: pod.near, Outstanding: pod.outstanding, Connecting: pod.connecting}
		if p.limit > 0 && pod.ready {
			look.Share, look.Extra = pod.share, pod.extra
		}
		out.Pods = append(out.Pods, look)
	}
	slices.SortFunc(out.Pods, func(a, b PodLook) int { return cmp.Compare(a.Pod, b.Pod) })
	return out
}

// Load is the number of pods that may get requests and that of the requests which
// all pods of the pool have of this activator.
func (p *Pool) Load() (ready, outstanding int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pod := range p.pods {
		outstanding += pod.outstanding
	}
	return len(p.ready), outstanding
}
