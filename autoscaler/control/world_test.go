package control

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"

	applyv1alpha1 "github.com/rawserve/rawserve/api/client/applyconfiguration/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler/collect"
	"github.com/rawserve/rawserve/internal/apiservertest"
)

func TestMain(m *testing.M) { apiservertest.Main(m) }

// patience bounds the wait for one thing to happen on a busy machine.
const patience = 30 * time.Second

// world is a namespace of a real API server, a controller with a clock that the
// test turns, and metrics that the test sets. Nothing else runs: the test plays
// Kubernetes, the deployer and the activators.
type world struct {
	t        *testing.T
	ctx      context.Context
	ns       string
	system   string
	kube     kubernetes.Interface
	rawserve versioned.Interface
	clock    *testclock.FakeClock
	metrics  *fakeMetrics
	recorder *events.FakeRecorder
	registry *prometheus.Registry
	turns    chan string
}

// fakeMetrics answers with what the test says, as of now.
type fakeMetrics struct {
	clock *testclock.FakeClock
	mu    sync.Mutex
	// values by metric, of the only Scaler.
	values map[string]float64
	err    string
}

func (m *fakeMetrics) set(metric string, value float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[metric] = value
}

func (m *fakeMetrics) fail(err string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *fakeMetrics) Collect(_ context.Context, wanted map[string][]string) collect.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := collect.Snapshot{}
	for ns, metrics := range wanted {
		n := collect.Namespace{Values: map[string]map[string]collect.Value{}, Errors: map[string]string{}}
		for _, metric := range metrics {
			if m.err != "" {
				n.Errors[metric] = m.err
			} else {
				n.Values[metric] = map[string]collect.Value{"iris-predictor": {Value: m.values[metric], At: m.clock.Now(), Over: time.Second}}
			}
		}
		out[ns] = n
	}
	return out
}

func newWorld(t *testing.T) *world {
	config := apiservertest.Start(t)
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	rawserve, err := versioned.NewForConfig(config)
	require.NoError(t, err)
	clock := testclock.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return &world{
		t: t, ctx: t.Context(), ns: apiservertest.Namespace(t, config), system: apiservertest.Namespace(t, config),
		kube: kube, rawserve: rawserve, clock: clock,
		metrics:  &fakeMetrics{clock: clock, values: map[string]float64{}},
		recorder: events.NewFakeRecorder(1000),
	}
}

func (w *world) controller() *Controller {
	w.registry = prometheus.NewRegistry()
	w.turns = make(chan string, 100_000)
	log := io.Discard
	if os.Getenv("RAWSERVE_TEST_LOG") != "" {
		log = os.Stderr
	}
	c, err := New(Options{
		Kubernetes: w.kube, Rawserve: w.rawserve, Metrics: w.metrics, Events: w.recorder, Registerer: w.registry,
		SystemNamespace: w.system, Clock: w.clock, Logger: slog.New(slog.NewTextHandler(log, nil)),
		decided: func(queue, key string) {
			if key == w.ns+"/iris-predictor" {
				w.turns <- queue
			}
		},
	})
	require.NoError(w.t, err)
	return c
}

// run starts a controller, waits for its first decision and returns what stops it.
func (w *world) run() (stop func()) {
	stop = w.start()
	w.turn("scalers")
	return stop
}

// start starts a controller and returns what stops it.
func (w *world) start() (stop func()) {
	c := w.controller()
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				require.NoError(w.t, err)
			case <-time.After(patience):
				require.Fail(w.t, "the controller does not stop")
			}
		})
	}
	w.t.Cleanup(stop)
	return stop
}

// turn waits until the queue has worked on the Scaler or route once more.
func (w *world) turn(queue string) {
	w.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case q := <-w.turns:
			if q == queue {
				return
			}
		case <-timeout:
			require.Fail(w.t, "no turn of "+queue)
		}
	}
}

// until turns the clock second by second until the condition holds, and returns
// the number of seconds it took.
func (w *world) until(what string, seconds int, holds func() bool) int {
	w.t.Helper()
	for n := 0; ; n++ {
		if w.soon(holds) {
			return n
		}
		require.Less(w.t, n, seconds, "not within %d seconds: %s\n%s", seconds, what, w.describe())
		w.second()
	}
}

// second turns the clock by one and waits for the decision.
func (w *world) second() {
	w.t.Helper()
	for len(w.turns) > 0 {
		<-w.turns
	}
	w.clock.Step(time.Second)
	w.turn("scalers")
}

// soon asks again after each turn that is still on its way.
func (w *world) soon(holds func() bool) bool {
	for {
		if holds() {
			return true
		}
		select {
		case <-w.turns:
		case <-time.After(150 * time.Millisecond): // nothing more comes without the clock
			return holds()
		}
	}
}

func (w *world) describe() string {
	s := w.scaler()
	r, _ := w.rawserve.RawserveV1alpha1().InferenceRoutes(w.ns).Get(w.ctx, "iris-predictor", metav1.GetOptions{})
	return fmt.Sprintf("replicas %d, %s: %s, conditions %v, route %v %+v", w.replicas(), s.Status.Reason, s.Status.Message, s.Status.Conditions, r.Spec.Path, r.Status)
}

func (w *world) create(min int32, change func(*v1alpha1.Scaler)) {
	w.t.Helper()
	full := int32(100)
	ten := quantity(10)
	s := &v1alpha1.Scaler{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor", Namespace: w.ns},
		Spec: v1alpha1.ScalerSpec{
			ScaleTargetRef: v1alpha1.ScaleTargetRef{Name: "iris-predictor"},
			RouteName:      "iris-predictor", MinReplicas: &min,
			StableWindow: &metav1.Duration{Duration: 6 * time.Second},
			Metrics:      []v1alpha1.ScalerMetric{{Name: v1alpha1.MetricConcurrency, Target: ten, TargetUtilizationPercentage: &full}},
		},
	}
	if change != nil {
		change(s)
	}
	_, err := w.rawserve.RawserveV1alpha1().Scalers(w.ns).Create(w.ctx, s, metav1.CreateOptions{})
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		err := w.rawserve.RawserveV1alpha1().Scalers(w.ns).Delete(context.Background(), "iris-predictor", metav1.DeleteOptions{})
		if !apierrors.IsNotFound(err) {
			require.NoError(w.t, err)
		}
	})
}

func (w *world) deployment(replicas int32) {
	labels := map[string]string{"app": "isvc.iris-predictor"}
	_, err := w.kube.AppsV1().Deployments(w.ns).Create(w.ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor"},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}},
	}, metav1.CreateOptions{})
	require.NoError(w.t, err)
}

// ready plays Kubernetes: so many replicas are ready, and so many pods report.
func (w *world) ready(n int32) {
	w.t.Helper()
	w.metrics.set(collect.ReportingPods, float64(n))
	patch := fmt.Sprintf(`{"status":{"replicas":%d,"readyReplicas":%d}}`, n, n)
	_, err := w.kube.AppsV1().Deployments(w.ns).Patch(w.ctx, "iris-predictor", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	require.NoError(w.t, err)
}

// scaleTo plays another writer of the scale.
func (w *world) scaleTo(n int32) {
	w.t.Helper()
	scale, err := w.kube.AppsV1().Deployments(w.ns).GetScale(w.ctx, "iris-predictor", metav1.GetOptions{})
	require.NoError(w.t, err)
	scale.Spec.Replicas = n
	_, err = w.kube.AppsV1().Deployments(w.ns).UpdateScale(w.ctx, "iris-predictor", scale, metav1.UpdateOptions{FieldManager: "somebody"})
	require.NoError(w.t, err)
}

// route creates the route and its Service.
func (w *world) route() {
	w.t.Helper()
	_, err := w.kube.CoreV1().Services(w.ns).Create(w.ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "isvc.iris-predictor"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(9081)}}},
	}, metav1.CreateOptions{})
	require.NoError(w.t, err)
	_, err = w.rawserve.RawserveV1alpha1().InferenceRoutes(w.ns).Create(w.ctx, &v1alpha1.InferenceRoute{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor"},
		Spec: v1alpha1.InferenceRouteSpec{
			ServiceName: "iris-predictor",
			Ports:       []v1alpha1.RoutePort{{ServicePort: 80, Name: "http", TargetPort: 9081, ListenPort: 10007}},
			Targets: []v1alpha1.RouteTarget{{Revision: "iris-predictor-00001", DeploymentName: "iris-predictor", Weight: 100,
				PodSelector: map[string]string{"app": "isvc.iris-predictor"}}},
		},
	}, metav1.CreateOptions{})
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		_ = w.rawserve.RawserveV1alpha1().InferenceRoutes(w.ns).Delete(context.Background(), "iris-predictor", metav1.DeleteOptions{})
	})
}

// activator creates a ready activator.
func (w *world) activator(name, ip string) {
	w.t.Helper()
	pods := w.kube.CoreV1().Pods(w.system)
	no := int64(0)
	pod, err := pods.Create(w.ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{labelName: "rawserve", labelComponent: "activator"}},
		Spec:       corev1.PodSpec{NodeName: "node-1", TerminationGracePeriodSeconds: &no, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	require.NoError(w.t, err)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	_, err = pods.UpdateStatus(w.ctx, pod, metav1.UpdateOptions{})
	require.NoError(w.t, err)
}

// ack plays an activator that listens for the route as it is now.
func (w *world) ack(name string) {
	w.t.Helper()
	apply := applyv1alpha1.InferenceRoute("iris-predictor", w.ns).WithStatus(applyv1alpha1.InferenceRouteStatus().
		WithActivators(applyv1alpha1.ActivatorAck().WithName(name).WithGeneration(w.inferenceRoute().Generation)))
	_, err := w.rawserve.RawserveV1alpha1().InferenceRoutes(w.ns).ApplyStatus(w.ctx, apply, metav1.ApplyOptions{FieldManager: "rawserve-activator-" + name, Force: true})
	require.NoError(w.t, err)
}

// native plays the endpoint controller: the Service's own slice with so many
// ready endpoints.
func (w *world) native(n int) {
	w.t.Helper()
	slices := w.kube.DiscoveryV1().EndpointSlices(w.ns)
	_ = slices.Delete(w.ctx, "iris-predictor-abcde", metav1.DeleteOptions{})
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor-abcde", Labels: map[string]string{
			discoveryv1.LabelServiceName: "iris-predictor", discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	yes := true
	for i := range n {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.0.%d", i+1)}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}})
	}
	_, err := slices.Create(w.ctx, s, metav1.CreateOptions{})
	require.NoError(w.t, err)
}

func (w *world) replicas() int32 {
	d, err := w.kube.AppsV1().Deployments(w.ns).Get(w.ctx, "iris-predictor", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return -1
	}
	require.NoError(w.t, err)
	return *d.Spec.Replicas
}

func (w *world) scaler() *v1alpha1.Scaler {
	s, err := w.rawserve.RawserveV1alpha1().Scalers(w.ns).Get(w.ctx, "iris-predictor", metav1.GetOptions{})
	require.NoError(w.t, err)
	return s
}

func (w *world) inferenceRoute() *v1alpha1.InferenceRoute {
	r, err := w.rawserve.RawserveV1alpha1().InferenceRoutes(w.ns).Get(w.ctx, "iris-predictor", metav1.GetOptions{})
	require.NoError(w.t, err)
	return r
}

// slice is our EndpointSlice, nil without one.
func (w *world) slice() *discoveryv1.EndpointSlice {
	s, err := w.kube.DiscoveryV1().EndpointSlices(w.ns).Get(w.ctx, "iris-predictor-activators", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(w.t, err)
	return s
}

// told returns the events so far that are not from other tests' leftovers.
func (w *world) told() []string {
	var out []string
	for len(w.recorder.Events) > 0 {
		out = append(out, <-w.recorder.Events)
	}
	return out
}

// gauge reads the value of a metric for the Scaler.
func (w *world) gauge(name string) float64 {
	families, err := w.registry.Gather()
	require.NoError(w.t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if maps.Equal(labels, map[string]string{"namespace": w.ns, "scaler": "iris-predictor"}) {
				return m.GetGauge().GetValue()
			}
		}
	}
	require.Fail(w.t, "no metric "+name)
	return 0
}
