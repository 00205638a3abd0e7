package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer/status"
)

func TestModelStatusFollowsTheNewestPod(t *testing.T) {
	for _, c := range []struct {
		situation string
		pods      []*corev1.Pod
		target    v1beta1.ModelState
		failure   *v1beta1.FailureInfo
	}{
		{"none", nil, v1beta1.ModelPending, nil},
		{"pending", []*corev1.Pod{pod("a", monday, first, pendingPod)}, v1beta1.ModelPending, nil},
		{"downloading", []*corev1.Pod{pod("a", monday, first, downloadingPod)}, v1beta1.ModelLoading, nil},
		{"loading", []*corev1.Pod{pod("a", monday, first, loadingPod)}, v1beta1.ModelLoading, nil},
		{"download ended badly", []*corev1.Pod{pod("a", monday, first, ended)}, v1beta1.ModelFailedToLoad,
			&v1beta1.FailureInfo{Location: "a", Reason: v1beta1.FailureModelLoadFailed, Message: "no such bucket", ModelRevisionName: first, ExitCode: 1, Time: &monday}},
		{"download crashes", []*corev1.Pod{pod("a", monday, first, crashing(true, "storage-initializer", "no such bucket", 2))}, v1beta1.ModelFailedToLoad,
			&v1beta1.FailureInfo{Location: "a", Reason: v1beta1.FailureModelLoadFailed, Message: "no such bucket", ModelRevisionName: first, ExitCode: 2, Time: &monday}},
		{"server crashes", []*corev1.Pod{pod("a", monday, first, crashing(false, v1beta1.ContainerServer, "out of memory", 137))}, v1beta1.ModelFailedToLoad,
			&v1beta1.FailureInfo{Location: "a", Reason: v1beta1.FailureModelLoadFailed, Message: "out of memory", ModelRevisionName: first, ExitCode: 137, Time: &monday}},
		{"a container beside the server crashes", []*corev1.Pod{pod("a", monday, first, crashing(false, "metrics", "boom", 1))}, v1beta1.ModelFailedToLoad,
			&v1beta1.FailureInfo{Location: "a", Reason: v1beta1.FailureRuntimeUnhealthy, Message: "boom", ModelRevisionName: first, ExitCode: 1, Time: &monday}},
		{"image cannot be pulled", []*corev1.Pod{pod("a", monday, first, unpullable)}, v1beta1.ModelFailedToLoad,
			&v1beta1.FailureInfo{Location: "a", Reason: v1beta1.FailureRuntimeUnhealthy, Message: "no such image", ModelRevisionName: first}},
		{"a crash without last words", []*corev1.Pod{pod("a", monday, first, crashing(false, v1beta1.ContainerServer, "", 1))}, v1beta1.ModelFailedToLoad,
			&v1beta1.FailureInfo{Location: "a", Reason: v1beta1.FailureModelLoadFailed, Message: "back-off 10s", ModelRevisionName: first, ExitCode: 1, Time: &monday}},
		{"an older one crashed", []*corev1.Pod{pod("b", later, first, downloadingPod), pod("a", monday, first, ended)}, v1beta1.ModelLoading, nil},
		{"made in one second, the last by name counts", []*corev1.Pod{pod("b", monday, first, pendingPod), pod("a", monday, first, loadingPod)}, v1beta1.ModelPending, nil},
		{"one that is being deleted", []*corev1.Pod{pod("a", monday, first, func(p *corev1.Pod) { ended(p); p.DeletionTimestamp = &monday })}, v1beta1.ModelPending, nil},
	} {
		t.Run(c.situation, func(t *testing.T) {
			got := status.Compute(model().with(func(i *status.Input) { i.Pods = c.pods }).Input).ModelStatus
			require.Equal(t, c.target, got.ModelRevisionStates.TargetModelState)
			require.Equal(t, v1beta1.ModelPending, got.ModelRevisionStates.ActiveModelState)
			require.Equal(t, c.failure, got.LastFailureInfo)
		})
	}
}

func TestAFailureIsInTheConditionToo(t *testing.T) {
	got := status.Compute(model().deployed(first, 1, 0, rolling, notAvailable).with(func(i *status.Input) {
		i.Pods = []*corev1.Pod{pod("a", monday, first, crashing(true, "storage-initializer", "no such bucket", 1))}
	}).Input)
	require.Equal(t, "Deployment does not have minimum availability. Container storage-initializer of pod a: CrashLoopBackOff, exit code 1: no such bucket.",
		v1beta1.FindCondition(got.Conditions, v1beta1.ConditionPredictorReady).Message)
}

func TestAnotherReplicaDoesNotTurnALoadedModelIntoOneInProgress(t *testing.T) {
	s := ready().deployed(first, 3, 1, isAvailable, rolledOut).with(func(i *status.Input) {
		i.Pods = []*corev1.Pod{pod("a", monday, first, servingPod), pod("b", later, first, downloadingPod), pod("c", monday, first, ended)}
	})
	got := status.Compute(s.Input)
	require.Equal(t, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) UpToDate Loaded/Loaded", short(got))
	require.Equal(t, &v1beta1.ModelCopies{TotalCopies: 1, FailedCopies: 1}, got.ModelStatus.ModelCopies)
}

func TestAnUpdateIsVisibleWhileTheOldRevisionServes(t *testing.T) {
	s := ready()
	s.Service.Generation = 2
	s.deployed(second, 1, 1, isAvailable, rolling)
	s.Deployment.Status.UpdatedReplicas, s.Deployment.Status.Replicas = 1, 2
	s.Pods = append(s.Pods, pod("b", later, second, downloadingPod))
	s.then()
	require.Equal(t, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) InProgress Loaded/Loading", short(s.Service.Status))
	p := s.Service.Status.Components[v1beta1.ComponentPredictor]
	require.Equal(t, []string{second, first, first, ""}, []string{p.LatestCreatedRevision, p.LatestReadyRevision, p.LatestRolledoutRevision, p.PreviousRolledoutRevision})
	require.Equal(t, first, p.Traffic[0].RevisionName)

	s.Pods[1] = pod("b", later, second, crashing(false, v1beta1.ContainerServer, "bad weights", 3))
	s.then()
	require.Equal(t, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) BlockedByFailedLoad Loaded/FailedToLoad", short(s.Service.Status))
	require.Equal(t, second, s.Service.Status.ModelStatus.LastFailureInfo.ModelRevisionName)

	s.deployed(second, 1, 1, isAvailable, rolledOut)
	s.Pods = []*corev1.Pod{pod("c", later, second, servingPod)}
	s.then()
	require.Equal(t, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) UpToDate Loaded/Loaded", short(s.Service.Status))
	p = s.Service.Status.Components[v1beta1.ComponentPredictor]
	require.Equal(t, []string{second, second, second, first}, []string{p.LatestCreatedRevision, p.LatestReadyRevision, p.LatestRolledoutRevision, p.PreviousRolledoutRevision})
}
