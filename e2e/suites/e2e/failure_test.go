package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/suites/load"
)

func asksForZero(d *appsv1.Deployment) bool { return d.Spec.Replicas != nil && *d.Spec.Replicas == 0 }

func TestPodThatCannotStartFromZeroIsNamedToWhoWaits(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	for _, c := range []struct {
		situation, name string
		breakIt         func(*v1beta1.InferenceService)
		reason          string
	}{
		{"the server crashes", "crashes", func(s *v1beta1.InferenceService) {
			s.Spec.Predictor.Containers[0].Args = append(s.Spec.Predictor.Containers[0].Args, "--crash")
		}, "CrashLoopBackOff"},
		{"the image cannot be pulled", "missing", func(s *v1beta1.InferenceService) {
			s.Spec.Predictor.Containers[0].Image = "rawserve/not-there:none"
		}, "ImagePull"},
	} {
		t.Run(c.situation, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, env.Create(t.Context(), ns, harness.TestService(c.name, nil, c.breakIt,
				harness.Annotate("autoscaling.knative.dev/initial-scale", "0"),
				harness.Annotate("serving.knative.dev/progress-deadline", "60s"))))
			_, err := env.WaitDeployment(t.Context(), ns, c.name+"-predictor", "be there at zero", time.Minute, asksForZero)
			require.NoError(t, err)
			_, err = env.WaitRoute(t.Context(), ns, c.name+"-predictor", "be confirmed", time.Minute, confirmedAtZero)
			require.NoError(t, err)

			began := time.Now()
			status, body, header, err := post(t.Context(), env.HTTPClient(false), harness.PredictorURL(ns, c.name)+"/v2/models/m/infer", v2Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusServiceUnavailable, status, body)
			require.Contains(t, body, c.reason)
			require.Equal(t, "StartFailed", header.Get("Rawserve-Reason"))
			require.Less(t, time.Since(began), 75*time.Second, "the progress deadline is 60 s")
			_, err = env.WaitDeployment(t.Context(), ns, c.name+"-predictor", "return to zero", 2*time.Minute, asksForZero)
			require.NoError(t, err)
		})
	}
}

// disturb runs load against a warm service and one at zero that is woken again
// and again, while something is done to rawserve.
func disturb(t *testing.T, ns, name string, duration time.Duration, disturbance func(ctx context.Context)) load.Result {
	t.Helper()
	url := harness.PredictorURL(ns, name) + "/v2/models/" + name + "/infer"
	done := make(chan struct{})
	go func() {
		defer close(done)
		disturbance(t.Context())
	}()
	r := load.Run(t.Context(), load.Options{
		Client: env.HTTPClient(false), Clients: 4, Interval: 10 * time.Millisecond, Duration: duration,
		Request: func(ctx context.Context, _ int64) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(v2Body))
		},
	})
	<-done
	t.Log(r)
	return r
}

// alwaysThroughActivator keeps a service behind the activators.
func alwaysThroughActivator(s *v1beta1.InferenceService) {
	one := int32(1)
	s.Spec.Predictor.MinReplicas = &one
	s.Annotations["autoscaling.knative.dev/target-burst-capacity"] = "-1"
}

func TestActivatorRestartUnderLoadFailsNoRequest(t *testing.T) {
	ns := namespace(t)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("through", nil, alwaysThroughActivator)))
	_, err := env.WaitReady(t.Context(), ns, "through", 2*time.Minute)
	require.NoError(t, err)
	_, err = env.WaitRoute(t.Context(), ns, "through-predictor", "lead through the activators only", time.Minute, confirmedActivatorOnly)
	require.NoError(t, err)

	t.Run("rolling restart", func(t *testing.T) {
		r := disturb(t, ns, "through", 70*time.Second, func(ctx context.Context) {
			_, err := env.Kubectl(ctx, "rollout", "restart", "-n", harness.SystemNamespace, "deployment/activator")
			require.NoError(t, err)
			_, err = env.Kubectl(ctx, "rollout", "status", "-n", harness.SystemNamespace, "deployment/activator", "--timeout=3m")
			require.NoError(t, err)
		})
		require.Empty(t, r.Failures)
		require.NotZero(t, r.Succeeded)
	})
	t.Run("deletion of one pod", func(t *testing.T) {
		r := disturb(t, ns, "through", 40*time.Second, func(ctx context.Context) {
			deleteOnePod(ctx, t, "activator")
		})
		require.Empty(t, r.Failures)
		require.NotZero(t, r.Succeeded)
	})
}

func deleteOnePod(ctx context.Context, t *testing.T, component string) {
	t.Helper()
	pods, err := env.Kube.CoreV1().Pods(harness.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	require.NoError(t, err)
	require.NotEmpty(t, pods.Items)
	require.NoError(t, env.Kube.CoreV1().Pods(harness.SystemNamespace).Delete(ctx, pods.Items[0].Name, metav1.DeleteOptions{}))
}

func TestWithoutControllerAndAdapterWarmRoutesWorkAndZeroWakes(t *testing.T) {
	ns := namespace(t)
	warm := harness.TestService("warm", nil, func(s *v1beta1.InferenceService) {
		one := int32(1)
		s.Spec.Predictor.MinReplicas = &one
	})
	require.NoError(t, env.Create(t.Context(), ns, warm))
	toZero(t, ns, harness.TestService("asleep", nil))
	_, err := env.WaitReady(t.Context(), ns, "warm", time.Minute)
	require.NoError(t, err)

	ctx := t.Context()
	parts := []string{"deployment/controller", "deployment/metrics-adapter"}
	_, err = env.Kubectl(ctx, append([]string{"scale", "-n", harness.SystemNamespace, "--replicas=0"}, parts...)...)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		_, err := env.Kubectl(ctx, append([]string{"scale", "-n", harness.SystemNamespace, "--replicas=2"}, parts...)...)
		require.NoError(t, err)
		for _, p := range parts {
			_, err = env.Kubectl(ctx, "rollout", "status", "-n", harness.SystemNamespace, p, "--timeout=3m")
			require.NoError(t, err)
		}
		_, err = env.Kubectl(ctx, "wait", "--for=condition=Available", "--timeout=60s", "apiservice/v1beta2.custom.metrics.k8s.io")
		require.NoError(t, err)
	})
	for _, component := range []string{"controller", "metrics-adapter"} {
		_, err = env.Kubectl(ctx, "wait", "--for=delete", "--timeout=90s", "-n", harness.SystemNamespace, "pod", "-l", "app.kubernetes.io/component="+component)
		require.NoError(t, err)
	}
	r := disturb(t, ns, "warm", 5*time.Second, func(context.Context) {})
	require.Empty(t, r.Failures)
	status, body, _, err := post(ctx, env.HTTPClient(false), harness.PredictorURL(ns, "asleep")+"/v2/models/asleep/infer", v2Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
}
