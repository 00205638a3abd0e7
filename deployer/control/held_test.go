package control

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/deployer"
)

func TestWhyAPathIsNotConfirmedIsKeptUntilItIs(t *testing.T) {
	route := func(confirmed bool) *rawservev1alpha1.InferenceRoute {
		return &rawservev1alpha1.InferenceRoute{Status: rawservev1alpha1.InferenceRouteStatus{Path: rawservev1alpha1.PathStatus{
			Mode: rawservev1alpha1.PathDirect, Confirmed: confirmed, Reason: "Propagating", Message: "1 of 2 activators listen.", Since: metav1.NowMicro(),
		}}}
	}
	kept := func(r *rawservev1alpha1.InferenceRoute) rawservev1alpha1.PathStatus {
		out, err := hold(r)
		require.NoError(t, err)
		return out.(*held).route.Status.Path
	}
	require.Equal(t, rawservev1alpha1.PathStatus{Mode: rawservev1alpha1.PathDirect, Reason: "Propagating", Message: "1 of 2 activators listen."}, kept(route(false)))
	require.Equal(t, rawservev1alpha1.PathStatus{Mode: rawservev1alpha1.PathDirect, Confirmed: true}, kept(route(true)))
}

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
