package activator

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Word says whether a pod takes requests.
type Word string

const (
	// TakesNone: it takes no requests.
	TakesNone Word = "TakesNone"
	// TakesSome: it takes requests.
	TakesSome Word = "TakesSome"
	// AskAgent: it takes requests once its agent has said so.
	AskAgent Word = "AskAgent"
)

// Standing is what is remembered of a pod from one look at it to the next. The
// zero value is a pod that has not been looked at.
type Standing struct {
	// beenReady is set once kubelet has held the pod to be ready.
	beenReady bool
	// failed is set while a pod that was ready is not.
	failed bool
}

// Next looks at a pod. agent says whether it has one that can tell.
//
// Until kubelet first holds the pod to be ready the agent's word alone counts,
// for kubelet is only late: it looks once a second at best, the agent every few
// milliseconds. Later kubelet is the one who knows better: it takes a pod out
// after several failures, while the agent, which has seen one less, still says
// yes. So a pod that kubelet took out stays out until kubelet takes it back, and
// then nobody else is asked.
func (s Standing) Next(pod *corev1.Pod, agent bool) (Standing, Word) {
	ready, since := PodReady(pod)
	s.beenReady = s.beenReady || ready || readyBefore(pod, since)
	back := s.failed && ready
	s.failed = s.beenReady && !ready
	switch {
	case pod.DeletionTimestamp != nil || pod.Status.PodIP == "" ||
		pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded:
		return s, TakesNone
	case s.failed, !agent && !ready:
		return s, TakesNone
	case back, !agent:
		return s, TakesSome
	default:
		return s, AskAgent
	}
}

// firstLook is how far kubelet's first word on a pod's readiness is from the
// pod's start. It writes both at once, in whole seconds.
const firstLook = 2 * time.Second

// readyBefore reports whether a pod whose readiness is since then must have had
// another one before. An activator that has just started has not seen it.
func readyBefore(pod *corev1.Pod, since time.Time) bool {
	start := pod.Status.StartTime
	return start != nil && since.After(start.Add(firstLook))
}
