package server

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rawserve/rawserve/agent"
)

// restartPoll is the pause between looks whether the server listens during a
// drain. A container's restart takes several times as long.
const restartPoll = 100 * time.Millisecond

// drain is a drain that is under way.
type drain struct {
	agent.Drain
	// answered: kubelet has been told that it may stop the server.
	answered atomic.Bool
	// away: the server was seen to be gone.
	away atomic.Bool
}

// startDrain begins a drain unless one is under way, and returns it.
func (s *Server) startDrain(now time.Time) *drain {
	s.drainMu.Lock()
	defer s.drainMu.Unlock()
	if d := s.draining.Load(); d != nil {
		return d
	}
	d := &drain{Drain: agent.Drain{Since: now, Quiet: s.config.DrainQuiet, Timeout: s.config.DrainTimeout}}
	s.draining.Store(d)
	s.log.Info("draining", "quiet", d.Quiet, "timeout", d.Timeout)
	s.conns.sayGoodbyeToAll()
	select {
	case s.drainBegun <- struct{}{}:
	default:
	}
	return d
}

// drainForGood begins the drain from which there is no return.
func (s *Server) drainForGood(now time.Time) {
	s.startDrain(now)
	s.drainMu.Lock()
	s.stopped = true
	s.drainMu.Unlock()
}

// endDrain ends d. Once the agent itself has been told to stop no drain ends.
func (s *Server) endDrain(d *drain, why string) {
	s.drainMu.Lock()
	defer s.drainMu.Unlock()
	if s.stopped || !s.draining.CompareAndSwap(d, nil) {
		return
	}
	s.log.Info("the drain is over: the pod stays", "because", why, "after", time.Since(d.Since))
}

// serveDrain is the preStop hook of the server's container: it answers when the
// server may be stopped.
func (s *Server) serveDrain(w http.ResponseWriter, r *http.Request) {
	d := s.startDrain(time.Now())
	for {
		// Looking a few times in a quiet period is enough: what matters is that
		// nobody was inside for all of it.
		wait := d.Wait(time.Now(), s.traffic.idleSince(s.started))
		if wait <= 0 {
			break
		}
		timer := time.NewTimer(min(wait, 100*time.Millisecond))
		select {
		case <-timer.C:
		case <-r.Context().Done():
			timer.Stop()
			return
		}
	}
	// The last request that kept the drain going left its connection idle a moment
	// after it counted as gone, so that it has been idle for less than the quiet time.
	s.conns.closeIdle(time.Now().Add(-d.Quiet / 2))
	d.answered.Store(true)
	fmt.Fprintln(w, "drained")
}

// watchDrains ends the drains of pods that stay, until ctx is done. Nobody tells
// the agent which they are: kubelet runs the same hook before it stops a pod and
// before it restarts a container whose liveness or startup probe failed.
func (s *Server) watchDrains(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.drainBegun:
		}
		if d := s.draining.Load(); d != nil {
			s.watchDrain(ctx, d)
		}
	}
}

func (s *Server) watchDrain(ctx context.Context, d *drain) {
	var restart agent.Restart
	ticker := time.NewTicker(restartPoll)
	defer ticker.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		reply := askAddr(asking, s.front)
		cancel()
		restart = restart.Next(reply, d.answered.Load())
		if reply == agent.Refused && s.prober != nil {
			// A ready server is asked every few seconds only: it may be gone and back
			// between two questions.
			s.prober.refused()
		}
		d.away.Store(restart.Away)
		switch {
		case restart.Back && (s.prober == nil || s.prober.isReady()):
			s.endDrain(d, "the server has been restarted")
			return
		case d.Outlived(time.Now()):
			// Where a collocated transformer listens in front, a restart of the server
			// behind it cannot be seen.
			s.endDrain(d, "it has outlived its grace period")
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
