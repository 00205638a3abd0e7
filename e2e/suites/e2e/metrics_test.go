package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/suites/load"
)

// slow sends steady load of a known concurrency until the context ends.
func slow(ctx context.Context, ns, name string, clients int, duration time.Duration) load.Result {
	url := harness.PredictorURL(ns, name) + "/v2/models/" + name + "/infer"
	return load.Run(ctx, load.Options{
		Client: env.HTTPClient(true), Clients: clients, Duration: duration,
		Request: func(ctx context.Context, _ int64) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(v2Body))
		},
	})
}

func TestCustomMetricsShowConcurrencyThroughTheAPI(t *testing.T) {
	ns := namespace(t)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("seen", []string{"--delay=200ms"}, func(s *v1beta1.InferenceService) {
		one := int32(1)
		s.Spec.Predictor.MinReplicas, s.Spec.Predictor.MaxReplicas = &one, 1
	})))
	_, err := env.WaitReady(t.Context(), ns, "seen", time.Minute)
	require.NoError(t, err)
	done := make(chan load.Result, 1)
	go func() { done <- slow(t.Context(), ns, "seen", 6, 12*time.Second) }()

	for _, path := range []string{
		"pods/*/inference_concurrency",
		"scalers.rawserve.dev/seen-predictor/inference_concurrency",
		"inferenceservices.serving.kserve.io/seen/inference_concurrency",
		"inferenceservices.serving.kserve.io/seen/inference_requests_per_second",
	} {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			out, err := env.Kubectl(t.Context(), "get", "--raw", "/apis/custom.metrics.k8s.io/v1beta2/namespaces/"+ns+"/"+path)
			require.NoError(c, err)
			var list v1beta2.MetricValueList
			require.NoError(c, json.Unmarshal([]byte(out), &list))
			require.Len(c, list.Items, 1, out)
			value := list.Items[0].Value.AsApproximateFloat64()
			low, high := 4.0, 6.5 // six clients, each always in one request of 200 ms
			if list.Items[0].Metric.Name == "inference_requests_per_second" {
				low, high = 15, 33
			}
			require.GreaterOrEqual(c, value, low, out)
			require.LessOrEqual(c, value, high, out)
		}, 8*time.Second, 500*time.Millisecond, path)
	}
	r := <-done
	require.Empty(t, r.Failures, r.String())
}

func TestHorizontalPodAutoscalerFollowsTheConcurrencyMetric(t *testing.T) {
	ns := namespace(t)
	_, err := env.KubectlInput(t.Context(), sample(t, "hpa-custom-metrics.yaml"), "apply", "-n", ns, "-f", "-")
	require.NoError(t, err)
	_, err = env.WaitReady(t.Context(), ns, "hpa-custom-metrics", 2*time.Minute)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan load.Result, 1)
	go func() {
		url := harness.PredictorURL(ns, "hpa-custom-metrics") + "/v2/models/hpa-custom-metrics/infer?delay=300ms"
		done <- load.Run(ctx, load.Options{Client: env.HTTPClient(true), Clients: 6, Duration: 90 * time.Second,
			Request: func(ctx context.Context, _ int64) (*http.Request, error) {
				return http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(v2Body))
			}})
	}()
	_, err = env.WaitDeployment(t.Context(), ns, "hpa-custom-metrics-predictor", "be scaled to 3 by the HPA", 100*time.Second,
		func(d *appsv1.Deployment) bool { return *d.Spec.Replicas == 3 })
	cancel()
	<-done
	require.NoError(t, err)
}

func TestScaleFollowsConcurrencyAndSaysWhy(t *testing.T) {
	ns := namespace(t)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("follows", []string{"--delay=300ms"},
		harness.Annotate("autoscaling.knative.dev/target", "2"), harness.Annotate("autoscaling.knative.dev/max-scale", "4"))))
	_, err := env.WaitReady(t.Context(), ns, "follows", time.Minute)
	require.NoError(t, err)
	done := make(chan load.Result, 1)
	go func() { done <- slow(t.Context(), ns, "follows", 10, 20*time.Second) }()
	began := time.Now()
	_, err = env.WaitDeployment(t.Context(), ns, "follows-predictor", "be scaled up by its Scaler", 20*time.Second,
		func(d *appsv1.Deployment) bool { return *d.Spec.Replicas >= 3 })
	t.Logf("scale written %s after the load began", time.Since(began))
	require.NoError(t, err)
	out, err := env.Kubectl(t.Context(), "get", "scaler", "follows-predictor", "-n", ns, "-o", "jsonpath={.status.reason}|{.status.message}|{.status.because[*].rule}")
	require.NoError(t, err)
	require.Regexp(t, `^[A-Z][A-Za-z]+\|.{10,}\|.+`, out, "a reason, a sentence and the rules")
	t.Log(out)
	r := <-done
	require.Empty(t, r.Failures, r.String())
	atZero(t, ns, "follows")
}
