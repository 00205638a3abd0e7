package scrape

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"

	activator "github.com/rawserve/rawserve/activator/server"
	agent "github.com/rawserve/rawserve/agent/server"
	rawservefake "github.com/rawserve/rawserve/api/client/clientset/versioned/fake"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler/collect"
	autoscaler "github.com/rawserve/rawserve/autoscaler/control"
)

const (
	namespace = "models"
	isvc      = "iris"
	name      = "iris-predictor"
	revision  = "iris-predictor-00001"
)

var quiet = slog.New(slog.DiscardHandler)

// scales and acks stand for the API server.
type scales struct{}

func (scales) GetScale(context.Context, string, string) (*autoscalingv1.Scale, error) {
	return &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 1}}, nil
}

func (scales) RaiseScale(context.Context, string, string, activator.Raise) (bool, error) {
	return true, nil
}

type acks struct{}

func (acks) Acknowledge(context.Context, types.NamespacedName, types.UID, v1alpha1.ActivatorAck) error {
	return nil
}

// noSpans takes every span.
type noSpans struct{}

func (noSpans) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (noSpans) Shutdown(context.Context) error                             { return nil }

// idle says that nothing is asked for.
type idle struct{}

func (idle) Collect(_ context.Context, wanted map[string][]string) collect.Snapshot {
	out := collect.Snapshot{}
	for ns, metrics := range wanted {
		n := collect.Namespace{Values: map[string]map[string]collect.Value{}, Errors: map[string]string{}}
		for _, metric := range metrics {
			n.Values[metric] = map[string]collect.Value{name: {At: time.Now(), Over: time.Second}}
		}
		out[ns] = n
	}
	return out
}

// programs are an activator, an agent in front of a model server, and a controller.
type programs struct {
	// url is the model through the activator.
	url string
	// targets are the addresses of their metrics, by job.
	targets map[string]string
	kube    *kubefake.Clientset
}

// freePort is a port that nobody listens on just now, among those of routes if it is
// for one.
var nextPort atomic.Int32

func freePort(t *testing.T) int {
	for range 1000 {
		port := 10_000 + int(nextPort.Add(1))
		if ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			ln.Close()
			return port
		}
	}
	require.FailNow(t, "no port is free")
	return 0
}

// model fails where it is told to, and takes a moment for every answer.
func model(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Path == "/fail" {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	time.Sleep(20 * time.Millisecond)
	_, _ = io.WriteString(w, "ok")
}

func start(t *testing.T) *programs {
	ctx, stop := context.WithCancel(context.Background())
	running := make(chan struct{}, 10)
	begun := 0
	run := func(f func(context.Context) error) {
		begun++
		go func() {
			_ = f(ctx)
			running <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		stop()
		for range begun {
			<-running
		}
	})
	server := httptest.NewServer(http.HandlerFunc(model))
	t.Cleanup(server.Close)

	agentConfig := agent.Default()
	port := freePort(t)
	agentConfig.Forwards = agent.Forwards{{Listen: port, Server: server.Listener.Addr().(*net.TCPAddr).Port}}
	agentConfig.ContainerConcurrency, agentConfig.SpoolDir = 1, t.TempDir()
	a, err := agent.New(agentConfig, quiet)
	require.NoError(t, err)
	require.NoError(t, a.Listen(ctx))
	run(a.Serve)
	agentAdmin := httptest.NewServer(a.AdminHandler())
	t.Cleanup(agentAdmin.Close)

	listen := freePort(t)
	route := &v1alpha1.InferenceRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "u", Generation: 1},
		Spec: v1alpha1.InferenceRouteSpec{
			ServiceName: name,
			Ports:       []v1alpha1.RoutePort{{ServicePort: 80, TargetPort: int32(port), ListenPort: int32(listen)}},
			Targets: []v1alpha1.RouteTarget{{
				Revision: revision, DeploymentName: name, Weight: 100,
				PodSelector: map[string]string{"rawserve.dev/revision": revision},
			}},
		},
		Status: v1alpha1.InferenceRouteStatus{ObservedGeneration: 1, Path: v1alpha1.PathStatus{Mode: v1alpha1.PathActivator, Confirmed: true}},
	}
	// No Service belongs to it, so that the path loop leaves its status alone after once.
	scaler := &v1alpha1.Scaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "s", Generation: 1},
		Spec:       v1alpha1.ScalerSpec{ScaleTargetRef: v1alpha1.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: name}, RouteName: name, MinReplicas: ptr.To[int32](1)},
	}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "d", Generation: 1},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](1),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"rawserve.dev/revision": revision}},
		},
	}
	kube, rawserve := kubefake.NewClientset(deployment), rawservefake.NewClientset(route, scaler)

	config := activator.Default()
	config.BindAddress, config.Queue.SpoolDir = "127.0.0.1", t.TempDir()
	config.Shutdown.Delay, config.Shutdown.Timeout = metav1.Duration{}, metav1.Duration{Duration: 5 * time.Second}
	config.Tracing.SampleRatio = 1
	config.AccessLog.SampleRatio = 1
	s, err := activator.New(activator.Options{
		Config: config, Pod: types.NamespacedName{Namespace: "rawserve-system", Name: "activator-1"},
		Scales: scales{}, Acks: acks{}, Log: quiet, Spans: noSpans{},
	})
	require.NoError(t, err)
	run(s.Serve)
	run(func(ctx context.Context) error { return s.Watch(ctx, kube, rawserve) })
	admin := httptest.NewServer(s.AdminHandler())
	t.Cleanup(admin.Close)

	registry := prometheus.NewRegistry()
	c, err := autoscaler.New(autoscaler.Options{
		Kubernetes: kube, Rawserve: rawserve, Metrics: idle{}, Events: events.NewFakeRecorder(1000), Registerer: registry, Logger: quiet,
	})
	require.NoError(t, err)
	run(c.Run)
	controller := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(controller.Close)

	return &programs{
		url: "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(listen)),
		targets: map[string]string{
			"activator": admin.Listener.Addr().String(), "rawserve-agents": agentAdmin.Listener.Addr().String(), "controller": controller.Listener.Addr().String(),
		},
		kube: kube,
	}
}

// ready makes the model's only pod ready.
func (p *programs) ready(t *testing.T) {
	_, err := p.kube.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "iris-1", UID: "p",
			Labels: map[string]string{"rawserve.dev/revision": revision, "serving.kserve.io/inferenceservice": isvc},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "127.0.0.1",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// traffic keeps two clients busy, one of which fails now and then, until ctx is done.
func (p *programs) traffic(ctx context.Context, path string) {
	for ctx.Err() == nil {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
		if err != nil {
			return
		}
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}
