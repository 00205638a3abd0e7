package control

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/deployer"
)

func TestOnlyAReadyPodWithoutAnAgentKeepsRequestsOnTheServersPort(t *testing.T) {
	pod := func(ready corev1.ConditionStatus, sidecars ...string) *corev1.Pod {
		p := &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
		for _, name := range sidecars {
			p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, corev1.ContainerStatus{Name: name})
		}
		return p
	}
	leaving := pod(corev1.ConditionTrue)
	leaving.DeletionTimestamp = &metav1.Time{}
	for _, c := range []struct {
		situation string
		pod       *corev1.Pod
		want      bool
	}{
		{"ready, made by KServe", pod(corev1.ConditionTrue, "storage-initializer"), true},
		{"ready, with the agent", pod(corev1.ConditionTrue, deployer.AgentContainer, "storage-initializer"), false},
		{"not ready yet", pod(corev1.ConditionFalse), false},
		{"just created, nothing known", &corev1.Pod{}, false},
		{"being deleted", leaving, false},
	} {
		t.Run(c.situation, func(t *testing.T) {
			trimmed, err := trimPod(c.pod)
			require.NoError(t, err)
			require.Equal(t, c.want, withoutAgent(trimmed.(*corev1.Pod)), "what the cache keeps is enough to tell")
		})
	}
}
