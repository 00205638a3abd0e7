package control

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/internal/apiservertest"
)

func TestMain(m *testing.M) { apiservertest.Main(m) }

// cluster is an API server with a namespace of the test's own. The tests play
// Kubernetes' controllers.
type cluster struct {
	t         *testing.T
	config    *rest.Config
	kube      kubernetes.Interface
	rawserve  versioned.Interface
	namespace string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	config := apiservertest.Start(t)
	config.QPS = -1
	c := &cluster{t: t, config: config, namespace: apiservertest.Namespace(t, config)}
	var err error
	c.kube, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	c.rawserve, err = versioned.NewForConfig(config)
	require.NoError(t, err)
	// Later tests have controllers of their own, which would go on with what is left.
	t.Cleanup(func() {
		err := c.rawserve.ServingV1beta1().InferenceServices(c.namespace).DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{})
		require.NoError(t, err)
	})
	return c
}

// runtime installs a ClusterServingRuntime for the time of the test.
func (c *cluster) runtime(name, format, image string) {
	c.t.Helper()
	yes, one := true, "1"
	r := &v1alpha1.ClusterServingRuntime{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ServingRuntimeSpec{
		SupportedModelFormats: []v1alpha1.SupportedModelFormat{{Name: format, Version: &one, AutoSelect: &yes}},
		ProtocolVersions:      []v1beta1.ProtocolVersion{v1beta1.ProtocolV1, v1beta1.ProtocolV2},
		ServingRuntimePodSpec: v1alpha1.ServingRuntimePodSpec{Containers: []corev1.Container{{
			Name: v1beta1.ContainerServer, Image: image, Args: []string{"--model_name={{.Name}}"},
		}}},
	}}
	_, err := c.rawserve.ServingV1alpha1().ClusterServingRuntimes().Create(c.t.Context(), r, metav1.CreateOptions{})
	require.NoError(c.t, err)
	c.t.Cleanup(func() {
		err := c.rawserve.ServingV1alpha1().ClusterServingRuntimes().Delete(context.Background(), name, metav1.DeleteOptions{})
		require.NoError(c.t, err)
	})
}

// model creates an InferenceService from the text of its spec.predictor.
func (c *cluster) model(name, predictor string, edit ...func(*v1beta1.InferenceService)) *v1beta1.InferenceService {
	c.t.Helper()
	isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.namespace}}
	require.NoError(c.t, yaml.UnmarshalStrict([]byte(predictor), &isvc.Spec.Predictor))
	for _, e := range edit {
		e(isvc)
	}
	isvc, err := c.rawserve.ServingV1beta1().InferenceServices(c.namespace).Create(c.t.Context(), isvc, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return isvc
}

func (c *cluster) get(name string) *v1beta1.InferenceService {
	c.t.Helper()
	isvc, err := c.rawserve.ServingV1beta1().InferenceServices(c.namespace).Get(c.t.Context(), name, metav1.GetOptions{})
	require.NoError(c.t, err)
	return isvc
}

// edit changes an InferenceService, and tries again where the controller was faster.
func (c *cluster) edit(name string, change func(*v1beta1.InferenceService)) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		isvc := c.get(name)
		change(isvc)
		_, err := c.rawserve.ServingV1beta1().InferenceServices(c.namespace).Update(c.t.Context(), isvc, metav1.UpdateOptions{})
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

func (c *cluster) deployment(name string) *appsv1.Deployment {
	c.t.Helper()
	d, err := c.kube.AppsV1().Deployments(c.namespace).Get(c.t.Context(), name, metav1.GetOptions{})
	require.NoError(c.t, err)
	return d
}

// roll plays the Deployment controller at the end of a rollout, and the path loop
// once the nodes know of the pods.
func (c *cluster) roll(name string) {
	c.t.Helper()
	_, err := c.rawserve.RawserveV1alpha1().InferenceRoutes(c.namespace).Patch(c.t.Context(), name, types.MergePatchType,
		[]byte(`{"status":{"path":{"mode":"Direct","confirmed":true}}}`), metav1.PatchOptions{}, "status")
	require.NoError(c.t, err)
	require.Eventually(c.t, func() bool {
		d := c.deployment(name)
		n := *d.Spec.Replicas
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable"},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
			},
		}
		_, err := c.kube.AppsV1().Deployments(c.namespace).UpdateStatus(c.t.Context(), d, metav1.UpdateOptions{FieldManager: "kube-controller-manager"})
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

// eventually waits for something that the controller does.
func (c *cluster) eventually(what string, is func() bool) {
	c.t.Helper()
	require.Eventually(c.t, is, 30*time.Second, 20*time.Millisecond, what)
}

// condition returns the condition of an InferenceService, empty if it has none.
func (c *cluster) condition(name string, t v1beta1.ConditionType) v1beta1.Condition {
	if found := v1beta1.FindCondition(c.get(name).Status.Conditions, t); found != nil {
		return *found
	}
	return v1beta1.Condition{}
}

// running is a controller at work.
type running struct {
	*Controller
	writes *writeLog
	events *events.FakeRecorder
	stop   func()
}

// start runs a controller until the end of the test, or until stop.
func (c *cluster) start() *running {
	c.t.Helper()
	r := &running{writes: &writeLog{}, events: events.NewFakeRecorder(10000)}
	config := rest.CopyConfig(c.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return r.writes.wrap(next) })
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(c.t, err)
	rawserve, err := versioned.NewForConfig(config)
	require.NoError(c.t, err)
	dynamic, err := dynamic.NewForConfig(config)
	require.NoError(c.t, err)
	output := io.Discard
	if testing.Verbose() {
		output = os.Stderr
	}
	r.Controller, err = New(Options{
		Kubernetes: kube, Rawserve: rawserve, Dynamic: dynamic, Config: deployer.DefaultConfig(), Events: r.events,
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(output, nil)),
	})
	require.NoError(c.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(c.t, <-done)
	})
	c.t.Cleanup(r.stop)
	return r
}

// settle waits until the controller has made n passes more and has no more to do.
func (r *running) settle(c *cluster, n uint64) {
	c.t.Helper()
	before := r.passes()
	c.eventually("the controller to settle", func() bool { return r.passes() >= before+n && r.queue.Len() == 0 })
}

// again has the controller make a pass without anything having changed, and waits for it.
func (r *running) again(c *cluster, name string) {
	c.t.Helper()
	before := r.passes()
	r.queue.Add(c.namespace + "/" + name)
	c.eventually("another pass", func() bool { return r.passes() > before })
}

func (r *running) passes() uint64 {
	var n uint64
	for _, outcome := range []string{"done", "problem", "error"} {
		n += histogramCount(r.metrics.passes.WithLabelValues(outcome))
	}
	return n
}

// quiet waits until no write has been made for a while of passes.
func (r *running) quiet(c *cluster, name string) {
	c.t.Helper()
	c.eventually("the controller to come to rest", func() bool {
		before := r.writes.count()
		r.again(c, name)
		return r.writes.count() == before && testutil.CollectAndCount(r.metrics.passes) > 0
	})
}

// writeLog notes the requests that write.
type writeLog struct {
	mu   sync.Mutex
	list []string
}

func (l *writeLog) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet {
			l.mu.Lock()
			l.list = append(l.list, fmt.Sprintf("%s %s", r.Method, r.URL.Path))
			l.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (l *writeLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.list)
}

// since returns the writes after the first n.
func (l *writeLog) since(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.list[n:]...)
}

// of returns the writes to paths with the text.
func (l *writeLog) of(text string) (out []string) {
	for _, w := range l.since(0) {
		if strings.Contains(w, text) {
			out = append(out, w)
		}
	}
	return out
}
