package harness

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

func TestProcessesOfAContainerAreKnownByItsControlGroup(t *testing.T) {
	proc := fstest.MapFS{
		"1/cgroup":    {Data: []byte("0::/init.scope\n")},
		"20/cgroup":   {Data: []byte("0::/rawserve-x/node-1/pods/pod7/abc123\n")},
		"21/cgroup":   {Data: []byte("5:memory:/rawserve-x/pod7/def456\n0::/\n")},
		"self/cgroup": {Data: []byte("0::/abc123\n")},
	}
	pids, err := inControlGroup(proc, "abc123")
	require.NoError(t, err)
	require.Equal(t, []int{20}, pids)
	pids, err = inControlGroup(proc, "none")
	require.NoError(t, err)
	require.Empty(t, pids)
}

func TestOnlyAContainerThatRunsHasAProcess(t *testing.T) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	pod := &corev1.Pod{Status: corev1.PodStatus{
		InitContainerStatuses: []corev1.ContainerStatus{{Name: "agent", ContainerID: "containerd://a1", State: running}},
		ContainerStatuses:     []corev1.ContainerStatus{{Name: "model", ContainerID: "containerd://m1"}},
	}}
	require.Equal(t, "a1", containerID(pod, "agent"))
	require.Empty(t, containerID(pod, "model"))
	require.Empty(t, containerID(pod, "other"))
}

func TestPeakMemoryIsReadFromTheStatusOfAProcess(t *testing.T) {
	n, err := statusBytes("Name:\tactivator\nVmHWM:\t   2048 kB\nVmRSS:\t 1024 kB\n", "VmHWM")
	require.NoError(t, err)
	require.EqualValues(t, 2<<20, n)
	_, err = statusBytes("Name:\tactivator\n", "VmHWM")
	require.ErrorContains(t, err, "VmHWM")
}
