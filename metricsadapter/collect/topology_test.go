package collect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/metricsadapter/store"
)

// modelPod is a ready pod of deployment iris-predictor with an agent.
func modelPod(name, ip string, port int32) *corev1.Pod {
	yes := true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ml", Name: name, UID: "uid-1",
			Labels:          map[string]string{"serving.kserve.io/inferenceservice": "iris", "component": "predictor", "pod-template-hash": "7d9c"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "iris-predictor-7d9c", Controller: &yes}},
			Annotations:     map[string]string{"long": "text"},
		},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "agent", Ports: []corev1.ContainerPort{{Name: "agent-port", ContainerPort: 9081}, {Name: "agent-admin", ContainerPort: port}}}},
			Containers:     []corev1.Container{{Name: "kserve-container", Image: "model"}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip,
			Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

func TestPodIsRead(t *testing.T) {
	usual := store.Pod{Key: store.Key{Namespace: "ml", Name: "a"}, UID: "uid-1", Deployment: "iris-predictor", Service: "iris", Ready: true}
	url := "http://10.0.0.1:9082/stats"
	rows := map[string]struct {
		edit func(*corev1.Pod)
		want func(*store.Pod)
		gone bool
		url  string
	}{
		"ready, with an agent": {url: url},
		"an IPv6 address":      {edit: func(p *corev1.Pod) { p.Status.PodIP = "fd00::1" }, url: "http://[fd00::1]:9082/stats"},
		"not ready":            {edit: func(p *corev1.Pod) { p.Status.Conditions[1].Status = corev1.ConditionFalse }, want: func(p *store.Pod) { p.Ready = false }, url: url},
		"no conditions yet":    {edit: func(p *corev1.Pod) { p.Status.Conditions = nil }, want: func(p *store.Pod) { p.Ready = false }, url: url},
		"no address yet":       {edit: func(p *corev1.Pod) { p.Status.PodIP = "" }},
		"no agent":             {edit: func(p *corev1.Pod) { p.Spec.InitContainers = nil }},
		"an agent beside the server": {edit: func(p *corev1.Pod) {
			p.Spec.Containers, p.Spec.InitContainers = append(p.Spec.Containers, p.Spec.InitContainers...), nil
		}, url: url},
		"terminating":                     {edit: func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }, want: func(p *store.Pod) { p.Terminating = true }, url: url},
		"evicted":                         {edit: func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, gone: true},
		"completed":                       {edit: func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, gone: true},
		"of a bare ReplicaSet":            {edit: func(p *corev1.Pod) { delete(p.Labels, "pod-template-hash") }, want: func(p *store.Pod) { p.Deployment = "" }, url: url},
		"of a ReplicaSet named otherwise": {edit: func(p *corev1.Pod) { p.OwnerReferences[0].Name = "iris-predictor" }, want: func(p *store.Pod) { p.Deployment = "" }, url: url},
		"without owner":                   {edit: func(p *corev1.Pod) { p.OwnerReferences = nil }, want: func(p *store.Pod) { p.Deployment = "" }, url: url},
		"of a transformer, whose requests reach the predictor too": {edit: func(p *corev1.Pod) { p.Labels["component"] = "transformer" }, want: func(p *store.Pod) { p.Service = "" }, url: url},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			p := modelPod("a", "10.0.0.1", 9082)
			if row.edit != nil {
				row.edit(p)
			}
			slimmed, err := slim(p)
			require.NoError(t, err)
			for _, p := range []*corev1.Pod{p, slimmed.(*corev1.Pod)} {
				want := usual
				want.Labels = p.Labels
				if row.want != nil {
					row.want(&want)
				}
				got, ok := podOf(p)
				require.Equal(t, !row.gone, ok)
				if ok {
					require.Equal(t, want, got)
				}
				at, ok := agentTarget(p)
				require.Equal(t, row.url != "", ok)
				require.Equal(t, row.url, at.url)
			}
			require.Empty(t, slimmed.(*corev1.Pod).Annotations)
		})
	}
}

func TestActivatorThatIsLeavingIsNotReady(t *testing.T) {
	p := modelPod("a", "10.0.0.1", 1)
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "admin", ContainerPort: 8081}}
	got, ok := activatorOf(p)
	require.True(t, ok)
	require.True(t, got.Ready)
	at, ok := activatorTarget(p)
	require.True(t, ok)
	require.Equal(t, "http://10.0.0.1:8081/stats", at.url)

	p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	got, ok = activatorOf(p)
	require.True(t, ok)
	require.False(t, got.Ready)
}

func TestWeightsOfARouteAreThoseOfItsDeployments(t *testing.T) {
	r := &rawservev1alpha1.InferenceRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "iris-predictor", Labels: map[string]string{"serving.kserve.io/inferenceservice": "iris"}},
		Spec: rawservev1alpha1.InferenceRouteSpec{Targets: []rawservev1alpha1.RouteTarget{
			{Revision: "iris-predictor-00001", DeploymentName: "iris-predictor", Weight: 90},
			{Revision: "iris-predictor-00002", DeploymentName: "iris-predictor-00002", Weight: 10},
		}},
	}
	require.Equal(t, store.Route{
		Key: store.Key{Namespace: "ml", Name: "iris-predictor"}, Service: "iris",
		Weights: map[string]int64{"iris-predictor": 90, "iris-predictor-00002": 10},
	}, routeOf(r))
}
