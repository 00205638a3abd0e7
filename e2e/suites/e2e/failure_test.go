package e2e

import (
	"context"
	"fmt"
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

// disturb sends load to a service, does something to rawserve once answers come,
// and goes on for a while after that is done. The load ends no earlier.
func disturb(t *testing.T, ns, name string, after time.Duration, disturbance func(ctx context.Context) error) load.Result {
	t.Helper()
	url := harness.PredictorURL(ns, name) + "/v2/models/" + name + "/infer"
	flowing, done := make(chan struct{}), make(chan struct{})
	var failed error
	go func() {
		defer close(done)
		select {
		case <-flowing:
		case <-t.Context().Done():
			return
		}
		began := time.Now()
		failed = disturbance(t.Context())
		t.Logf("the disturbance took %s", time.Since(began))
		select {
		case <-time.After(after):
		case <-t.Context().Done():
		}
	}()
	r := load.Run(t.Context(), load.Options{
		Client: env.HTTPClient(false), Clients: 4, Interval: 10 * time.Millisecond, Done: done,
		Request: func(ctx context.Context, n int64) (*http.Request, error) {
			// By the time that this one is made at least 96 others are over.
			if n == 99 {
				close(flowing)
			}
			return http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(v2Body))
		},
	})
	<-done
	t.Log(r)
	require.NoError(t, failed)
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
		// Old activators take requests for 15 s after they were told to stop.
		r := disturb(t, ns, "through", 30*time.Second, func(ctx context.Context) error {
			if _, err := env.Kubectl(ctx, "rollout", "restart", "-n", harness.SystemNamespace, "deployment/activator"); err != nil {
				return err
			}
			_, err := env.Kubectl(ctx, "rollout", "status", "-n", harness.SystemNamespace, "deployment/activator", "--timeout=3m")
			return err
		})
		require.Empty(t, r.Failures)
		require.NotZero(t, r.Succeeded)
	})
	t.Run("deletion of one pod", func(t *testing.T) {
		r := disturb(t, ns, "through", 40*time.Second, func(ctx context.Context) error {
			return deleteOnePod(ctx, "activator")
		})
		require.Empty(t, r.Failures)
		require.NotZero(t, r.Succeeded)
	})
}

func deleteOnePod(ctx context.Context, component string) error {
	pods, err := env.Kube.CoreV1().Pods(harness.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	if err != nil {
		return err
	}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil {
			return env.Kube.CoreV1().Pods(harness.SystemNamespace).Delete(ctx, p.Name, metav1.DeleteOptions{})
		}
	}
	return fmt.Errorf("no pod of %s is there to be deleted", component)
}

func TestKilledControllerAndAdapterFailNoRequestAndZeroWakesWithoutThem(t *testing.T) {
	ns := namespace(t)
	warm := harness.TestService("warm", nil, func(s *v1beta1.InferenceService) {
		one := int32(1)
		s.Spec.Predictor.MinReplicas = &one
	})
	require.NoError(t, env.Create(t.Context(), ns, warm))
	toZero(t, ns, harness.TestService("asleep", nil))
	_, err := env.WaitReady(t.Context(), ns, "warm", time.Minute)
	require.NoError(t, err)

	t.Cleanup(func() { bringBack(t, "controller", "metrics-adapter") })
	r := disturb(t, ns, "warm", 10*time.Second, func(ctx context.Context) error {
		return kill(ctx, "controller", "metrics-adapter")
	})
	require.Empty(t, r.Failures)
	require.NotZero(t, r.Succeeded)
	status, body, _, err := post(t.Context(), env.HTTPClient(false), harness.PredictorURL(ns, "asleep")+"/v2/models/asleep/infer", v2Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
}

// kill takes parts of rawserve away without letting them finish anything.
func kill(ctx context.Context, parts ...string) error {
	for _, part := range parts {
		// First, or the next pods are there before the last one is gone.
		if _, err := env.Kubectl(ctx, "scale", "-n", harness.SystemNamespace, "--replicas=0", "deployment/"+part); err != nil {
			return err
		}
		pods := []string{"-n", harness.SystemNamespace, "pod", "-l", "app.kubernetes.io/component=" + part}
		if _, err := env.Kubectl(ctx, append([]string{"delete", "--grace-period=0", "--force"}, pods...)...); err != nil {
			return err
		}
		if _, err := env.Kubectl(ctx, append([]string{"wait", "--for=delete", "--timeout=90s"}, pods...)...); err != nil {
			return err
		}
	}
	return nil
}

// bringBack starts what kill has taken away, and waits until all of it works.
func bringBack(t *testing.T, parts ...string) {
	ctx := context.Background()
	for _, part := range parts {
		_, err := env.Kubectl(ctx, "scale", "-n", harness.SystemNamespace, "--replicas=2", "deployment/"+part)
		require.NoError(t, err)
	}
	for _, part := range parts {
		_, err := env.Kubectl(ctx, "rollout", "status", "-n", harness.SystemNamespace, "deployment/"+part, "--timeout=3m")
		require.NoError(t, err)
	}
	_, err := env.Kubectl(ctx, "wait", "--for=condition=Available", "--timeout=60s", "apiservice/v1beta2.custom.metrics.k8s.io")
	require.NoError(t, err)
}
