package status

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// podFailure is why a pod does not serve.
type podFailure struct {
	pod, revision string
	container     string
	reason        v1beta1.FailureReason
	// word is Kubernetes' own, for example CrashLoopBackOff.
	word     string
	message  string
	exitCode int32
	at       *metav1.Time
}

// stuck are the reasons for which a container that waits will not start without help.
var stuck = []string{"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}

// failureOf returns why a pod does not serve, or nil while nothing speaks against
// it. The init containers are looked at first: while one of them fails, what the
// others say is a consequence. Pods that are being deleted have no failure: how
// they end is not how the model does.
func failureOf(pod *corev1.Pod) *podFailure {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if f := containerFailure(status); f != nil {
			f.pod, f.revision = pod.Name, pod.Labels[deployer.LabelRevision]
			return f
		}
	}
	return nil
}

func containerFailure(s corev1.ContainerStatus) *podFailure {
	f := &podFailure{container: s.Name, reason: v1beta1.FailureModelLoadFailed}
	switch {
	case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
		f.ended(s.State.Terminated)
	case s.State.Waiting != nil && slices.Contains(stuck, s.State.Waiting.Reason):
		f.word, f.message = s.State.Waiting.Reason, s.State.Waiting.Message
		if last := s.LastTerminationState.Terminated; last != nil {
			f.ended(last)
			f.word = s.State.Waiting.Reason
		} else {
			f.reason = v1beta1.FailureRuntimeUnhealthy
		}
	default:
		return nil
	}
	if s.Name != deployer.StorageInitializerContainer && s.Name != v1beta1.ContainerServer {
		f.reason = v1beta1.FailureRuntimeUnhealthy
	}
	return f
}

// ended takes over what a container said at its end.
func (f *podFailure) ended(t *corev1.ContainerStateTerminated) {
	f.word, f.exitCode = t.Reason, t.ExitCode
	if message := strings.TrimSpace(t.Message); message != "" {
		f.message = message
	}
	if !t.FinishedAt.IsZero() {
		f.at = t.FinishedAt.DeepCopy()
	}
}

// sentence is the failure in words.
func (f *podFailure) sentence() string {
	s := fmt.Sprintf("Container %s of pod %s: %s", f.container, f.pod, f.word)
	if f.exitCode != 0 {
		s += fmt.Sprintf(", exit code %d", f.exitCode)
	}
	if f.message != "" {
		s += ": " + f.message
	}
	return strings.TrimSuffix(s, ".") + "."
}

// downloading says whether the pod's storage initializer runs.
func downloading(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == deployer.StorageInitializerContainer && s.State.Running != nil
	})
}

// started says whether the pod's server runs.
func started(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == v1beta1.ContainerServer && s.State.Running != nil
	})
}

// serves says whether the pod is ready and stays.
func serves(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
