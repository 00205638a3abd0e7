package control

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

func TestTheNewestUnreadyPodSaysWhyNothingStarts(t *testing.T) {
	selector := map[string]string{"app": "iris"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "iris"}, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: selector}}}
	born := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pod := func(name string, age time.Duration, status corev1.PodStatus) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ml", Labels: selector, CreationTimestamp: metav1.NewTime(born.Add(-age))}, Status: status}
	}
	waiting := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
	}
	crash := waiting("CrashLoopBackOff", "back-off 10s restarting failed container")
	crash.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Message: "out of\nmemory"}
	download := corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{Name: "storage-initializer",
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1, Message: "404 Not Found"}}}},
		ContainerStatuses: waiting("PodInitializing", "").ContainerStatuses}
	unplaced := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}}}
	ready := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	other := pod("other", 0, waiting("ImagePullBackOff", "not ours"))
	other.Labels = map[string]string{"app": "bert"}
	leaving := pod("leaving", 0, waiting("ImagePullBackOff", "ends anyway"))
	leaving.DeletionTimestamp = &metav1.Time{Time: born}

	for name, c := range map[string]struct {
		pods []*corev1.Pod
		want string
	}{
		"no pod yet":            {nil, ""},
		"an image":              {[]*corev1.Pod{pod("a", 0, waiting("ImagePullBackOff", "no such tag"))}, "ImagePullBackOff: no such tag"},
		"a crash":               {[]*corev1.Pod{pod("a", 0, crash)}, "CrashLoopBackOff: container server exited with code 137 out of memory"},
		"a download":            {[]*corev1.Pod{pod("a", 0, download)}, "Error: container storage-initializer exited with code 1 404 Not Found"},
		"no node":               {[]*corev1.Pod{pod("a", 0, unplaced)}, "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."},
		"merely starting":       {[]*corev1.Pod{pod("a", 0, waiting("ContainerCreating", ""))}, ""},
		"the newest counts":     {[]*corev1.Pod{pod("a", time.Hour, crash), pod("b", 0, waiting("ContainerCreating", ""))}, ""},
		"ready pods say naught": {[]*corev1.Pod{pod("a", time.Hour, crash), pod("b", 0, ready)}, "CrashLoopBackOff: container server exited with code 137 out of memory"},
		"others' pods":          {[]*corev1.Pod{other, leaving}, ""},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, trouble(d, c.pods)) })
	}

	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "exceeded quota: gpus"}}
	require.Equal(t, "FailedCreate: exceeded quota: gpus", trouble(d, nil))
	long := trouble(d, []*corev1.Pod{pod("a", 0, waiting("ErrImagePull", strings.Repeat("ä", 500)))})
	require.LessOrEqual(t, len([]rune(long)), troubleLength+20)
}

func TestAConfirmationHoldsForThePresentSpecificationOnly(t *testing.T) {
	route := func(generation, observed int64, spec, status v1alpha1.PathMode) *v1alpha1.InferenceRoute {
		return &v1alpha1.InferenceRoute{
			ObjectMeta: metav1.ObjectMeta{Generation: generation},
			Spec:       v1alpha1.InferenceRouteSpec{Path: spec, Targets: []v1alpha1.RouteTarget{{DeploymentName: "iris", Weight: 100}}},
			Status:     v1alpha1.InferenceRouteStatus{ObservedGeneration: observed, Path: v1alpha1.PathStatus{Mode: status, Confirmed: true}},
		}
	}
	const direct, activator, only = v1alpha1.PathDirect, v1alpha1.PathActivator, v1alpha1.PathActivatorOnly
	for name, c := range map[string]struct {
		route *v1alpha1.InferenceRoute
		want  bool
	}{
		"as asked":                  {route(3, 3, activator, activator), true},
		"narrower than asked":       {route(3, 3, activator, only), true},
		"of an older specification": {route(4, 3, activator, activator), false},
		"about to be left":          {route(3, 3, direct, activator), false},
		"not entered yet":           {route(3, 3, activator, direct), false},
	} {
		t.Run(name, func(t *testing.T) {
			path, unreachable := pathOf(c.route, "iris")
			require.Equal(t, c.want, path.Confirmed)
			require.False(t, unreachable)
		})
	}
}

func TestARouteThatLeadsElsewhereMakesATargetUnreachable(t *testing.T) {
	r := &v1alpha1.InferenceRoute{Spec: v1alpha1.InferenceRouteSpec{Targets: []v1alpha1.RouteTarget{{DeploymentName: "new", Weight: 70}, {DeploymentName: "old", Weight: 30}}}}
	path, unreachable := pathOf(r, "older")
	require.True(t, unreachable)
	require.True(t, path.Split)
	_, unreachable = pathOf(r, "old")
	require.False(t, unreachable)
	r.Spec.Targets[1].Weight = 0
	path, unreachable = pathOf(r, "old")
	require.False(t, unreachable, "it may get its share back at any time")
	require.False(t, path.Split)
}

func idleController(t *testing.T) *Controller {
	config := &rest.Config{Host: "http://127.0.0.1:1"}
	c, err := New(Options{Kubernetes: kubernetes.NewForConfigOrDie(config), Rawserve: versioned.NewForConfigOrDie(config), Metrics: &many{}, Events: events.NewFakeRecorder(10)})
	require.NoError(t, err)
	return c
}

func TestScalersOfOneRouteAgreeOnTheStrongestPath(t *testing.T) {
	c := idleController(t)
	for _, name := range []string{"iris-1", "iris-2"} {
		require.NoError(t, c.informers.scalers.GetIndexer().Add(&v1alpha1.Scaler{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name}, Spec: v1alpha1.ScalerSpec{RouteName: "iris"},
		}))
	}
	route := &v1alpha1.InferenceRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "iris"}, Spec: v1alpha1.InferenceRouteSpec{Path: v1alpha1.PathActivator}}

	says := func(scaler string, path v1alpha1.PathMode) v1alpha1.PathMode {
		c.hear(scaler, "ml/iris", path)
		return c.agree(route, path)
	}
	require.Equal(t, v1alpha1.PathActivator, says("ml/iris-1", v1alpha1.PathDirect), "the other has not been heard")
	require.Equal(t, v1alpha1.PathActivatorOnly, says("ml/iris-2", v1alpha1.PathActivatorOnly))
	require.Equal(t, v1alpha1.PathActivatorOnly, says("ml/iris-1", v1alpha1.PathDirect), "the canary needs it")
	require.Equal(t, v1alpha1.PathDirect, says("ml/iris-2", ""), "a Scaler without an opinion leaves it to the other")
	require.True(t, c.spokenFor(route))
	require.Empty(t, says("ml/iris-1", ""))
	require.False(t, c.spokenFor(route), "nor has the other one any more")
	require.Equal(t, 1, c.routes.Len(), "so the path loop looks at it")
	c.forget("ml/iris-1")
	c.forget("ml/iris-2")
	require.Empty(t, c.opinions)
}

func TestWhatIsKeptOfOthersSlicesIsWhetherTheyAreReady(t *testing.T) {
	yes := true
	slice := func(managedBy string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: "s", Labels: map[string]string{discoveryv1.LabelManagedBy: managedBy, discoveryv1.LabelServiceName: "iris", "team": "a"}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}}},
		}
	}
	theirs, err := trim(slice("endpointslice-controller.k8s.io"))
	require.NoError(t, err)
	require.Equal(t, []discoveryv1.Endpoint{{Conditions: discoveryv1.EndpointConditions{Ready: &yes}}}, theirs.(*discoveryv1.EndpointSlice).Endpoints)
	require.NotContains(t, theirs.(*discoveryv1.EndpointSlice).Labels, "team")
	ours, err := trim(slice(managedBy))
	require.NoError(t, err)
	require.Equal(t, []string{"10.0.0.1"}, ours.(*discoveryv1.EndpointSlice).Endpoints[0].Addresses)
}

func TestAMissingRouteIsNamed(t *testing.T) {
	c := idleController(t)
	e := &entry{policy: autoscaler.Policy{HasRoute: true}, routeMissing: "iris"}
	able := c.conditions(e, autoscaler.Observation{Ready: 1}, autoscaler.Decision{})[1]
	require.Equal(t, "RouteNotFound", able.Reason)
	require.Contains(t, able.Message, "InferenceRoute iris does not exist")
}
