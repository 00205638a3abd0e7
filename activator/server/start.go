package server

import (
	"context"
	"time"

	"github.com/rawserve/rawserve/activator"
)

const (
	// startTick is how often a start is looked at while nothing happens.
	startTick = 250 * time.Millisecond
	// raiseAgain is how often the scale is looked at while requests wait: somebody
	// may have set it to zero again.
	raiseAgain = time.Second
	// raiseTimeout bounds one try to raise the scale.
	raiseTimeout = 5 * time.Second
)

// start makes sure that a starter works for a target whose requests wait with
// no pod ready. The scale is raised at once, without any loop in between.
func (s *Server) start(t *target) {
	t.mu.Lock()
	s.startLocked(t)
	t.mu.Unlock()
}

func (s *Server) startLocked(t *target) {
	waiting, ready := t.pool.Waiting()
	if waiting == 0 || ready > 0 || t.starting || s.base.Err() != nil {
		return
	}
	t.starting = true
	s.work.Go(func() { s.runStarter(t) })
}

// runStarter raises the scale and watches the pods come up, until one is ready
// or nobody waits and nothing is coming up.
func (s *Server) runStarter(t *target) {
	raise := raiser{s: s, t: t}
	var state activator.Start
	timer := time.NewTimer(startTick)
	defer timer.Stop()
	for {
		if s.judgeStart(t, &state, raise.message) {
			return
		}
		raise.try()
		timer.Reset(min(startTick, raise.pause()))
		select {
		case <-s.base.Done():
			return
		case <-t.wake:
		case <-timer.C:
		}
	}
}

// judgeStart brings the start's state up to now, answers those who wait if
// nothing will come of it, and reports whether the starter's work is done.
func (s *Server) judgeStart(t *target, state *activator.Start, raiseError string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	waiting, ready := t.pool.Waiting()
	if ready > 0 && !state.Since.IsZero() {
		took := now.Sub(state.Since)
		t.startup = t.startup.Observe(took)
		s.log.Info("started", "namespace", t.route.key.Namespace, "route", t.route.key.Name, "revision", t.revision, "took", took, "waiting", waiting)
		s.metrics.started(took)
		t.counters.started.Add(1)
		t.past.started = startedAt{at: now, took: took}
	}
	next, failure := state.Next(activator.StartInput{
		Now: now, Waiting: waiting, Ready: ready, Pods: t.objectsLocked(),
		Deadline: t.spec.Load().ProgressDeadline.Duration, RaiseError: raiseError,
	})
	*state = next
	t.past.waiting, t.past.raiseError = next.Since, raiseError
	if failure == nil {
		t.answer.Store(nil)
	} else {
		answer := activator.StartAnswer(*failure, t.startup.Estimate())
		lasting := answer
		if next == (activator.Start{}) {
			lasting = nil // the next request starts anew, also one that comes at once
		}
		if t.answer.Swap(lasting) == nil {
			t.counters.failed.Add(1)
			t.past.failed = failedAt{at: now, reason: failure.Reason, message: failure.Message}
			s.log.Warn("cannot start", "namespace", t.route.key.Namespace, "route", t.route.key.Name, "revision", t.revision, "reason", failure.Reason, "message", failure.Message)
		}
		t.pool.Refuse(answer)
	}
	if !t.dropped.Load() && (failure != nil || next != (activator.Start{})) {
		return false
	}
	// Decided under the lock that start takes, so that a request which begins to
	// wait now either is seen here or starts anew.
	t.starting = false
	return true
}

// raiser raises one target's scale, again and again while requests wait.
type raiser struct {
	s       *Server
	t       *target
	tried   bool // once already
	next    time.Time
	backoff time.Duration
	message string
}

func (r *raiser) try() {
	waiting, ready := r.t.pool.Waiting()
	spec := r.t.spec.Load()
	if waiting == 0 || ready > 0 || spec.Stopped || time.Now().Before(r.next) {
		return
	}
	if spec.KeepScale {
		r.message = "it belongs to another writer, as the annotation serving.kserve.io/autoscalerClass says, and is raised there or not at all."
		r.next = time.Now().Add(raiseAgain)
		return
	}
	ctx, cancel := context.WithTimeout(r.s.base, raiseTimeout)
	defer cancel()
	key := r.t.route.key
	to := max(spec.ActivationScale, 1)
	begun := time.Now()
	raise := raiseScale
	if r.tried {
		raise = raiseScaleAgain
	}
	r.tried = true
	raised, err := raise(ctx, r.s.scales, key.Namespace, spec.DeploymentName, to)
	if err != nil {
		r.t.counters.unraised.Add(1)
		r.message = err.Error()
		r.backoff = min(max(2*r.backoff, 50*time.Millisecond), 2*time.Second)
		r.next = time.Now().Add(r.backoff)
		r.s.log.Warn("cannot raise the scale", "namespace", key.Namespace, "deployment", spec.DeploymentName, "error", err)
		return
	}
	r.message, r.backoff = "", 0
	r.next = time.Now().Add(raiseAgain)
	if raised {
		r.t.mu.Lock()
		r.t.past.raised = raisedAt{at: time.Now(), to: to}
		r.t.mu.Unlock()
		r.t.counters.raised.Add(1)
		r.s.metrics.raised(time.Since(begun))
		r.s.log.Info("raised the scale from zero", "namespace", key.Namespace, "deployment", spec.DeploymentName, "replicas", to, "took", time.Since(begun))
	}
}

// pause is how long until the next try.
func (r *raiser) pause() time.Duration {
	return max(time.Until(r.next), time.Millisecond)
}
