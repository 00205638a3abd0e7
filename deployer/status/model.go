package status

import (
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// model is modelStatus. Like KServe it judges by the newest pod, but a replica
// that starts beside others of the same revision does not turn a loaded model into
// one in progress, and a new revision that fails does show while the old one serves.
func (w world) model(previous v1beta1.ModelStatus) v1beta1.ModelStatus {
	out := *previous.DeepCopy()
	if w.in.Problem != nil {
		w.problem(&out)
		return out
	}
	states := v1beta1.ModelRevisionStates{ActiveModelState: v1beta1.ModelPending}
	if out.ModelRevisionStates != nil {
		states = *out.ModelRevisionStates
	}
	states.TargetModelState = w.target()
	switch states.TargetModelState {
	case v1beta1.ModelLoaded, v1beta1.ModelStandby:
		out.TransitionStatus = v1beta1.TransitionUpToDate
		states.ActiveModelState = states.TargetModelState
	case v1beta1.ModelFailedToLoad:
		out.TransitionStatus = v1beta1.TransitionBlockedByFailedLoad
	default:
		out.TransitionStatus = v1beta1.TransitionInProgress
	}
	if states.TargetModelState != v1beta1.ModelLoaded && w.available == 0 && states.ActiveModelState == v1beta1.ModelLoaded {
		states.ActiveModelState = v1beta1.ModelPending
	}
	out.ModelRevisionStates = &states

	ready := 0
	for _, pod := range w.in.Pods {
		if serves(pod) {
			ready++
		}
	}
	out.ModelCopies = &v1beta1.ModelCopies{TotalCopies: ready, FailedCopies: w.failing}
	w.lastFailure(&out)
	return out
}

// target is the state of the latest revision's model.
func (w world) target() v1beta1.ModelState {
	switch {
	case w.in.Deployment == nil:
		return v1beta1.ModelPending
	case w.startFailed(), w.asleep() && w.failedBefore:
		return v1beta1.ModelFailedToLoad
	case w.asleep():
		return v1beta1.ModelStandby
	case w.available > 0 && (w.rolledOut || w.previous.LatestReadyRevision == w.in.Revision):
		return v1beta1.ModelLoaded
	case w.in.Scaler == nil && w.asked == 0 && w.available == 0:
		// Somebody else scales, and asks for nothing.
		return v1beta1.ModelStandby
	case w.newest == nil:
		return v1beta1.ModelPending
	case w.failure != nil:
		return v1beta1.ModelFailedToLoad
	case downloading(w.newest) || started(w.newest):
		return v1beta1.ModelLoading
	default:
		return v1beta1.ModelPending
	}
}

// lastFailure records the newest pod's failure, and clears one that a later
// revision or a corrected specification has left behind.
func (w world) lastFailure(out *v1beta1.ModelStatus) {
	switch {
	case w.failure != nil:
		f := w.failure
		out.LastFailureInfo = &v1beta1.FailureInfo{
			Location: f.pod, Reason: f.reason, Message: f.message, ModelRevisionName: f.revision, ExitCode: f.exitCode, Time: f.at,
		}
		if out.LastFailureInfo.Message == "" {
			out.LastFailureInfo.Message = f.sentence()
		}
	case w.startFailed() && (out.LastFailureInfo == nil || out.LastFailureInfo.ModelRevisionName != w.in.Revision):
		out.LastFailureInfo = &v1beta1.FailureInfo{
			Reason: v1beta1.FailureModelLoadFailed, Message: w.startFailure(), ModelRevisionName: w.in.Revision, Time: w.in.Now.DeepCopy(),
		}
	case out.TransitionStatus == v1beta1.TransitionUpToDate && out.LastFailureInfo != nil && out.LastFailureInfo.ModelRevisionName != w.in.Revision:
		out.LastFailureInfo = nil
	}
}

// problem is modelStatus of a specification that was not put into effect. What
// runs goes on, so the active state stays.
func (w world) problem(out *v1beta1.ModelStatus) {
	p := w.in.Problem
	if p.Failure == "" {
		return
	}
	out.TransitionStatus = v1beta1.TransitionInvalidSpec
	states := v1beta1.ModelRevisionStates{ActiveModelState: v1beta1.ModelPending}
	if out.ModelRevisionStates != nil {
		states = *out.ModelRevisionStates
	}
	states.TargetModelState = v1beta1.ModelFailedToLoad
	out.ModelRevisionStates = &states
	if last := out.LastFailureInfo; last == nil || last.Reason != p.Failure || last.Message != p.Message {
		out.LastFailureInfo = &v1beta1.FailureInfo{Reason: p.Failure, Message: p.Message, Time: w.in.Now.DeepCopy()}
	}
}
