package server

import (
	"context"
	"sync"
	"time"

	"github.com/rawserve/rawserve/agent"
)

// prober asks the server for its readiness and tells those who wait for it.
type prober struct {
	probe *agent.Probe
	ask   func(ctx context.Context) agent.Reply
	// again makes the next question come at once.
	again chan struct{}

	mu    sync.Mutex
	state agent.Readiness
	// ready is closed while the server is ready.
	ready chan struct{}
	// first is when the server was ready for the first time; zero before.
	first time.Time
}

func newProber(p *agent.Probe) *prober {
	return &prober{probe: p, ask: question(p), again: make(chan struct{}, 1), ready: make(chan struct{})}
}

// run asks until ctx is done.
func (p *prober) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.again:
		case <-timer.C:
		}
		asking, cancel := context.WithTimeout(ctx, p.probe.Timeout())
		reply := p.ask(asking)
		cancel()
		if ctx.Err() != nil {
			return
		}
		timer.Reset(p.note(reply, time.Now()))
	}
}

// note takes a reply in and returns the pause before the next question.
func (p *prober) note(reply agent.Reply, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.state.Ready
	p.state = p.state.Next(p.probe, reply, now)
	switch {
	case p.state.Ready && !was:
		close(p.ready)
		if p.first.IsZero() {
			p.first = now
		}
	case !p.state.Ready && was:
		p.ready = make(chan struct{})
	}
	return p.state.Pause(p.probe, reply, now)
}

// firstReady is when the server was ready for the first time; zero before.
func (p *prober) firstReady() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

// refused is called when a request met a server that does not listen. That is
// as good as a probe, and earlier.
func (p *prober) refused() {
	p.note(agent.Refused, time.Now())
	select {
	case p.again <- struct{}{}:
	default:
	}
}

func (p *prober) isReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.Ready
}

// wait waits until the server is ready and reports whether it is.
func (p *prober) wait(ctx context.Context) bool {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	select {
	case <-ready:
		return true
	default:
	}
	select {
	case <-ready:
		return true
	case <-ctx.Done():
		return false
	}
}
