package activator

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
)

// Failure says why pods do not come up.
type Failure struct {
	// Reason is kubelet's or the scheduler's word for it, for example ImagePullBackOff.
	Reason string
	// Message is a sentence that names the pod and the container.
	Message string
	// Definite is true where every pod fails in a way that waiting does not cure.
	Definite bool
}

// Reasons for which Kubernetes has no word.
const (
	// FailureNoPods: nothing has created a pod.
	FailureNoPods = "NoPods"
	// FailureNotReady: containers run, but the server does not answer.
	FailureNotReady = "NotReady"
	// FailurePending: the pod is still being prepared.
	FailurePending = "Pending"
)

// definiteReasons are the reasons why a container waits that do not go away by
// themselves. A crash loop counts from the second restart: once is an accident.
var definiteReasons = map[string]bool{
	"ErrImagePull":               true,
	"ImagePullBackOff":           true,
	"ErrImageNeverPull":          true,
	"InvalidImageName":           true,
	"CreateContainerConfigError": true,
	"CreateContainerError":       true,
	"RunContainerError":          true,
}

const (
	crashLoop          = "CrashLoopBackOff"
	definiteRestarts   = 2
	maxMessage         = 400
	unschedulable      = "Unschedulable"
	terminationMissing = "no termination message"
)

// StartFailure reads the state of a revision's pods, none of which is ready. Of
// several pods it reports the one whose failure says most.
func StartFailure(pods []*corev1.Pod) Failure {
	best, rank, definite := Failure{}, -1, true
	for _, pod := range pods {
		if pod == nil || pod.DeletionTimestamp != nil {
			continue
		}
		f, r := podFailure(pod)
		definite = definite && f.Definite
		if r > rank {
			best, rank = f, r
		}
	}
	if rank < 0 {
		return Failure{
			Reason:  FailureNoPods,
			Message: "No pod has been created. Look at the events of the Deployment's ReplicaSet: a quota or an admission webhook may refuse it.",
		}
	}
	best.Definite = definite
	return best
}

// podFailure returns the failure of one pod and how much it says: 3 definite,
// 2 a failure that may pass, 1 a pod that is on its way.
func podFailure(pod *corev1.Pod) (Failure, int) {
	say := func(definite bool, rank int, reason, format string, args ...any) (Failure, int) {
		msg := fmt.Sprintf("Pod %s: ", pod.Name) + fmt.Sprintf(format, args...)
		return Failure{Reason: reason, Message: shorten(msg), Definite: definite}, rank
	}
	statuses := make([]corev1.ContainerStatus, 0, len(pod.Status.InitContainerStatuses)+len(pod.Status.ContainerStatuses))
	statuses = append(append(statuses, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...)
	for _, c := range statuses {
		if w := c.State.Waiting; w != nil && definiteReasons[w.Reason] {
			return say(true, 3, w.Reason, "container %s: %s: %s", c.Name, w.Reason, orElse(w.Message, "no details"))
		}
	}
	for _, c := range statuses {
		if end := crashed(c); end != nil {
			definite := c.RestartCount >= definiteRestarts
			rank := 2
			if definite {
				rank = 3
			}
			return say(definite, rank, crashReason(c), "container %s ends again and again, last with exit code %d (%s): %s",
				c.Name, end.ExitCode, orElse(end.Reason, "Error"), orElse(strings.TrimSpace(end.Message), terminationMissing))
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return say(false, 2, orElse(c.Reason, unschedulable), "no node takes it: %s", orElse(c.Message, "no details"))
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return say(false, 2, orElse(pod.Status.Reason, "Failed"), "%s", orElse(pod.Status.Message, "it has failed"))
	}
	for _, c := range statuses {
		if w := c.State.Waiting; w != nil {
			return say(false, 1, FailurePending, "container %s waits: %s", c.Name, orElse(w.Reason, "no details"))
		}
	}
	if pod.Status.Phase == corev1.PodRunning {
		return say(false, 1, FailureNotReady, "its containers run, but the server does not answer its readiness probe")
	}
	return say(false, 1, FailurePending, "it has not started yet")
}

// crashed returns how the container last ended if it is between two tries.
func crashed(c corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	switch {
	case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
		return c.State.Terminated
	case c.State.Waiting != nil && c.State.Waiting.Reason == crashLoop:
		if end := c.LastTerminationState.Terminated; end != nil {
			return end
		}
		return &corev1.ContainerStateTerminated{}
	}
	return nil
}

func crashReason(c corev1.ContainerStatus) string {
	if c.State.Terminated != nil && c.RestartCount < definiteRestarts {
		return orElse(c.State.Terminated.Reason, "Error")
	}
	return crashLoop
}

// shorten keeps a message within a header's and a log line's measure. The end of
// a long one is kept as well, because that is where a traceback says what went wrong.
func shorten(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= maxMessage {
		return s
	}
	head, tail := s[:maxMessage/2], s[len(s)-maxMessage/2:]
	for !utf8.ValidString(head) {
		head = head[:len(head)-1]
	}
	for !utf8.ValidString(tail) {
		tail = tail[1:]
	}
	return head + " … " + tail
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// PodReady reports whether kubelet holds the pod to be ready, and since when.
func PodReady(pod *corev1.Pod) (bool, time.Time) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue, c.LastTransitionTime.Time
		}
	}
	return false, time.Time{}
}
