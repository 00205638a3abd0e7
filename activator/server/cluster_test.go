package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/internal/apiservertest"
)

func TestMain(m *testing.M) { apiservertest.Main(m) }

// cluster is an activator on a real API server.
type cluster struct {
	*rig
	namespace string
	kube      kubernetes.Interface
	rawserve  versioned.Interface
}

// startWatching runs an activator named name against the API server.
func startWatching(t *testing.T, config *rest.Config, name string) *cluster {
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	raws, err := versioned.NewForConfig(config)
	require.NoError(t, err)
	c := &cluster{rig: newRig(t, nil), kube: kube, rawserve: raws}
	c.s.pod.Name = name
	c.s.scales = KubeScales{Client: kube}
	c.s.acks = newAcker(KubeAcks{Client: raws}, name, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.s.Watch(ctx, kube, raws)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	require.Eventually(t, func() bool { return c.s.Ready() == nil }, 30*time.Second, 5*time.Millisecond)
	return c
}

func (c *cluster) createDeployment() {
	zero := int32(0)
	labels := map[string]string{"rawserve.dev/revision": "iris-predictor-00001", modelPods: "iris"}
	_, err := c.kube.AppsV1().Deployments(c.namespace).Create(c.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &zero,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "kserve-container", Image: "none"}}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

func (c *cluster) createPod(name string) {
	_, err := c.kube.CoreV1().Pods(c.namespace).Create(c.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"rawserve.dev/revision": "iris-predictor-00001", modelPods: "iris"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "kserve-container", Image: "none"}}},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	patch := `{"status":{"phase":"Running","podIP":"127.0.0.1","podIPs":[{"ip":"127.0.0.1"}],"conditions":[{"type":"Ready","status":"True"}]}}`
	_, err = c.kube.CoreV1().Pods(c.namespace).Patch(c.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	require.NoError(c.t, err)
}

func (c *cluster) createRoute(targetPort int) {
	_, err := c.rawserve.RawserveV1alpha1().InferenceRoutes(c.namespace).Create(c.t.Context(), &v1alpha1.InferenceRoute{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor"},
		Spec: v1alpha1.InferenceRouteSpec{
			ServiceName: "iris-predictor",
			Ports:       []v1alpha1.RoutePort{{ServicePort: 80, TargetPort: int32(targetPort), ListenPort: int32(c.port)}},
			Targets: []v1alpha1.RouteTarget{{
				Revision: "iris-predictor-00001", DeploymentName: "iris-predictor", Weight: 100, ActivationScale: 2,
				PodSelector: map[string]string{"rawserve.dev/revision": "iris-predictor-00001"},
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

// acknowledged waits until the status has exactly these entries.
func (c *cluster) acknowledged(want ...v1alpha1.ActivatorAck) {
	c.t.Helper()
	var got []v1alpha1.ActivatorAck
	if !eventually(func() bool {
		r, err := c.rawserve.RawserveV1alpha1().InferenceRoutes(c.namespace).Get(c.t.Context(), "iris-predictor", metav1.GetOptions{})
		require.NoError(c.t, err)
		got = r.Status.Activators
		return len(got) == len(want) && containsAll(got, want)
	}) {
		require.ElementsMatch(c.t, want, got)
	}
}

func eventually(is func() bool) bool {
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(5 * time.Millisecond)
	}
	return true
}

func containsAll(got, want []v1alpha1.ActivatorAck) bool {
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || g == w
		}
		if !found {
			return false
		}
	}
	return true
}

// routePort is a free port within the range that the API allows.
func routePort(t *testing.T) int {
	for port := 20000; port < 20100; port++ {
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no free port from 20000 to 20099")
	return 0
}

func TestFromZeroOnARealAPIServer(t *testing.T) {
	config := apiservertest.Start(t)
	namespace := apiservertest.Namespace(t, config)
	c := startWatching(t, config, "activator-1")
	c.namespace = namespace
	c.port = routePort(t)
	c.createDeployment()
	c.createRoute(backend(t, echo))
	c.acknowledged(v1alpha1.ActivatorAck{Name: "activator-1", Generation: 1})
	// Another one comes, and each knows its place.
	key := types.NamespacedName{Namespace: namespace, Name: "iris-predictor"}
	require.NoError(t, KubeAcks{Client: c.rawserve}.Acknowledge(t.Context(), key, "", v1alpha1.ActivatorAck{Name: "activator-2", Generation: 1}))
	require.True(t, eventually(func() bool {
		rt := c.s.find(key)
		rt.mu.Lock()
		defer rt.mu.Unlock()
		return rt.member.Count == 2
	}))

	begun := time.Now()
	got := send(client(t, false), http.MethodPost, c.url("/"), "hello")
	require.True(t, eventually(func() bool {
		scale, err := c.kube.AppsV1().Deployments(namespace).GetScale(t.Context(), "iris-predictor", metav1.GetOptions{})
		require.NoError(t, err)
		return scale.Spec.Replicas == 2
	}))
	t.Logf("scale seen raised %s after the request", time.Since(begun))
	d, err := c.kube.AppsV1().Deployments(namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	var managers []string
	for _, m := range d.ManagedFields {
		managers = append(managers, m.Manager)
	}
	require.Contains(t, managers, "rawserve-activator")
	c.createPod("iris-1")
	answer := <-got
	require.Equal(t, 200, answer.code)
	require.Equal(t, "hello", answer.body)
}

func TestAcknowledgementsFollowTheRouteAndOtherActivatorsKeepTheirs(t *testing.T) {
	config := apiservertest.Start(t)
	namespace := apiservertest.Namespace(t, config)
	a := startWatching(t, config, "activator-a")
	b := startWatching(t, config, "activator-b")
	a.namespace, b.namespace = namespace, namespace
	// Both listen on the same port of one machine here, so one of them cannot.
	a.port = routePort(t)
	a.createRoute(1)
	routes := a.rawserve.RawserveV1alpha1().InferenceRoutes(namespace)
	require.True(t, eventually(func() bool {
		r, err := routes.Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		require.NoError(t, err)
		return len(r.Status.Activators) == 2
	}))
	r, err := routes.Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	messages := map[bool]int{}
	for _, entry := range r.Status.Activators {
		require.EqualValues(t, 1, entry.Generation)
		messages[entry.Message == ""]++
	}
	require.Equal(t, map[bool]int{true: 1, false: 1}, messages)

	r.Spec.ContainerConcurrency = 4
	_, err = routes.Update(t.Context(), r, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.True(t, eventually(func() bool {
		r, err = routes.Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		require.NoError(t, err)
		for _, entry := range r.Status.Activators {
			if entry.Generation != 2 {
				return false
			}
		}
		return len(r.Status.Activators) == 2
	}))

	// Somebody clears the entries; both are written again.
	r.Status.Activators = nil
	_, err = routes.UpdateStatus(t.Context(), r, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.True(t, eventually(func() bool {
		r, err = routes.Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		require.NoError(t, err)
		return len(r.Status.Activators) == 2
	}))
}

// rivalScales changes the scale between the activator's read and its write.
type rivalScales struct {
	Scales
	meanwhile func()
}

func (r *rivalScales) RaiseScale(ctx context.Context, namespace, name string, raise Raise) (bool, error) {
	if r.meanwhile != nil {
		r.meanwhile()
		r.meanwhile = nil
	}
	return r.Scales.RaiseScale(ctx, namespace, name, raise)
}

// methods counts the requests that a client makes.
type methods struct {
	http.RoundTripper
	seen []string
}

func (m *methods) RoundTrip(r *http.Request) (*http.Response, error) {
	m.seen = append(m.seen, r.Method)
	return m.RoundTripper.RoundTrip(r)
}

func TestScalesOnARealAPIServer(t *testing.T) {
	config := apiservertest.Start(t)
	var requests methods
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		requests.RoundTripper = rt
		return &requests
	})
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	c := &cluster{rig: &rig{t: t}, kube: kube, namespace: apiservertest.Namespace(t, config)}
	c.createDeployment()
	scales := KubeScales{Client: kube}
	set := func(replicas int32) {
		scale, err := scales.GetScale(t.Context(), c.namespace, "iris-predictor")
		require.NoError(t, err)
		scale.Spec.Replicas = replicas
		_, err = kube.AppsV1().Deployments(c.namespace).UpdateScale(t.Context(), "iris-predictor", scale, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	is := func(replicas int32) {
		t.Helper()
		scale, err := scales.GetScale(t.Context(), c.namespace, "iris-predictor")
		require.NoError(t, err)
		require.Equal(t, replicas, scale.Spec.Replicas)
	}

	// From zero, in one round trip.
	var took []time.Duration
	for range 20 {
		set(0)
		requests.seen = nil
		begun := time.Now()
		raised, err := raiseScale(t.Context(), scales, c.namespace, "iris-predictor", 2)
		took = append(took, time.Since(begun))
		require.NoError(t, err)
		require.True(t, raised)
		require.Equal(t, []string{http.MethodPatch}, requests.seen)
		is(2)
	}
	slices.Sort(took)
	t.Logf("raised in %s, at worst %s", took[len(took)/2], took[len(took)-1])

	// Not from anything else, up or down.
	for _, to := range []int32{1, 5} {
		raised, err := raiseScale(t.Context(), scales, c.namespace, "iris-predictor", to)
		require.NoError(t, err)
		require.False(t, raised)
		is(2)
	}

	// With a read in between, and with somebody else at the same moment.
	set(0)
	raised, err := raiseScaleAgain(t.Context(), scales, c.namespace, "iris-predictor", 3)
	require.NoError(t, err)
	require.True(t, raised)
	is(3)
	for _, raise := range []func(context.Context, Scales, string, string, int32) (bool, error){raiseScale, raiseScaleAgain} {
		set(0)
		raised, err = raise(t.Context(), &rivalScales{Scales: scales, meanwhile: func() { set(5) }}, c.namespace, "iris-predictor", 1)
		require.NoError(t, err)
		require.False(t, raised)
		is(5)
	}
	_, err = raiseScale(t.Context(), scales, c.namespace, "missing", 1)
	require.ErrorContains(t, err, "raising the scale of deployment")
}
