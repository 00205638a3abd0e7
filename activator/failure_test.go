package activator

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func podWith(status corev1.PodStatus) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: status}
}

func waitingFor(reason, message string) *corev1.Pod {
	return podWith(corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "kserve-container", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
	}}})
}

func crashing(init bool, name string, restarts int32, code int32, reason, message string) *corev1.Pod {
	c := corev1.ContainerStatus{
		Name: name, RestartCount: restarts,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}},
	}
	if init {
		return podWith(corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{c}})
	}
	return podWith(corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c}})
}

func unschedulablePod() *corev1.Pod {
	return podWith(corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
	}}})
}

func TestStartFailureNamesTheReason(t *testing.T) {
	running := podWith(corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "c", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}})
	going := waitingFor("ImagePullBackOff", "")
	going.DeletionTimestamp = &metav1.Time{}
	for name, c := range map[string]struct {
		pods []*corev1.Pod
		want Failure
	}{
		"no pods at all": {nil, Failure{Reason: FailureNoPods, Message: "No pod has been created. Look at the events of the Deployment's ReplicaSet: a quota or an admission webhook may refuse it."}},
		"only a pod that is going": {[]*corev1.Pod{going},
			Failure{Reason: FailureNoPods, Message: "No pod has been created. Look at the events of the Deployment's ReplicaSet: a quota or an admission webhook may refuse it."}},
		"an image that cannot be pulled": {[]*corev1.Pod{waitingFor("ImagePullBackOff", `Back-off pulling image "nope"`)},
			Failure{"ImagePullBackOff", `Pod p: container kserve-container: ImagePullBackOff: Back-off pulling image "nope"`, true}},
		"the moment between two pulls": {[]*corev1.Pod{waitingFor("ErrImagePull", "not found")},
			Failure{"ErrImagePull", "Pod p: container kserve-container: ErrImagePull: not found", true}},
		"a missing secret": {[]*corev1.Pod{waitingFor("CreateContainerConfigError", `secret "s3" not found`)},
			Failure{"CreateContainerConfigError", `Pod p: container kserve-container: CreateContainerConfigError: secret "s3" not found`, true}},
		"a download that fails again and again": {[]*corev1.Pod{crashing(true, "storage-initializer", 3, 1, "Error", "no object at s3://models/iris\n")},
			Failure{"CrashLoopBackOff", "Pod p: container storage-initializer ends again and again, last with exit code 1 (Error): no object at s3://models/iris", true}},
		"a server that runs out of memory": {[]*corev1.Pod{crashing(false, "kserve-container", 5, 137, "OOMKilled", "")},
			Failure{"CrashLoopBackOff", "Pod p: container kserve-container ends again and again, last with exit code 137 (OOMKilled): no termination message", true}},
		"a first crash may pass": {[]*corev1.Pod{crashing(false, "kserve-container", 1, 1, "Error", "")},
			Failure{"CrashLoopBackOff", "Pod p: container kserve-container ends again and again, last with exit code 1 (Error): no termination message", false}},
		"no node takes it": {[]*corev1.Pod{unschedulablePod()},
			Failure{"Unschedulable", "Pod p: no node takes it: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", false}},
		"one of two may still come": {[]*corev1.Pod{unschedulablePod(), waitingFor("InvalidImageName", "bad")},
			Failure{"InvalidImageName", "Pod p: container kserve-container: InvalidImageName: bad", false}},
		"still pulling": {[]*corev1.Pod{waitingFor("ContainerCreating", "")},
			Failure{FailurePending, "Pod p: container kserve-container waits: ContainerCreating", false}},
		"running and silent": {[]*corev1.Pod{running},
			Failure{FailureNotReady, "Pod p: its containers run, but the server does not answer its readiness probe", false}},
		"evicted": {[]*corev1.Pod{podWith(corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: memory."})},
			Failure{"Evicted", "Pod p: The node was low on resource: memory.", false}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, StartFailure(c.pods))
		})
	}
}

func TestALongTerminationMessageKeepsItsEnd(t *testing.T) {
	f := StartFailure([]*corev1.Pod{crashing(false, "c", 3, 1, "Error", strings.Repeat("é", 3000)+"ValueError: no GPU")})
	require.True(t, utf8.ValidString(f.Message))
	require.LessOrEqual(t, len(f.Message), maxMessage+len(" … "))
	require.True(t, strings.HasSuffix(f.Message, "ValueError: no GPU"))
}

func FuzzStartFailure(f *testing.F) {
	for _, p := range []*corev1.Pod{unschedulablePod(), waitingFor("ImagePullBackOff", "x"), crashing(true, "i", 3, 1, "Error", "m")} {
		data, err := json.Marshal(p.Status)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var status corev1.PodStatus
		if json.Unmarshal(data, &status) != nil {
			return
		}
		got := StartFailure([]*corev1.Pod{podWith(status)})
		if got.Reason == "" || got.Message == "" || !utf8.ValidString(got.Message) {
			t.Fatalf("unusable: %+v", got)
		}
	})
}
