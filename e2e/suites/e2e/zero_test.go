package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/suites/load"
)

// toZero creates a test service and waits until it is Ready and at zero.
func toZero(t *testing.T, ns string, s *v1beta1.InferenceService) {
	t.Helper()
	require.NoError(t, env.Create(t.Context(), ns, s))
	_, err := env.WaitReady(t.Context(), ns, s.Name, 2*time.Minute)
	require.NoError(t, err)
	atZero(t, ns, s.Name)
}

func atZero(t *testing.T, ns, name string) {
	t.Helper()
	_, err := env.WaitReplicas(t.Context(), ns, name+"-predictor", 0, 2*time.Minute)
	require.NoError(t, err)
}

// post sends a body and returns the answer's status and body.
func post(ctx context.Context, client *http.Client, url, body string) (int, string, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), resp.Header, err
}

const v2Body = `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`

func TestV1RequestIsAnsweredFromZero(t *testing.T) {
	ns := namespace(t)
	toZero(t, ns, harness.TestService("v1", nil))
	status, body, _, err := post(t.Context(), env.HTTPClient(false), harness.PredictorURL(ns, "v1")+"/v1/models/v1:predict", `{"instances":[[1,2]]}`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, "predictions")
}

func TestV2RequestIsAnsweredFromZeroAndReadyStaysTrue(t *testing.T) {
	ns := namespace(t)
	toZero(t, ns, harness.TestService("v2", nil))
	isvc, err := env.WaitReady(t.Context(), ns, "v2", 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, v1beta1.ModelState("Standby"), isvc.Status.ModelStatus.ModelRevisionStates.ActiveModelState)

	status, body, _, err := post(t.Context(), env.HTTPClient(false), harness.PredictorURL(ns, "v2")+"/v2/models/v2/infer", v2Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
	var answer struct {
		ModelName string `json:"model_name"`
		Outputs   []any  `json:"outputs"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	require.Equal(t, "v2", answer.ModelName)
	require.NotEmpty(t, answer.Outputs)
	atZero(t, ns, "v2")
}

// TestTheFirstRequestAfterReadyIsAnswered looks at the moment in which a pod is
// ready and the nodes do not know of it yet.
func TestTheFirstRequestAfterReadyIsAnswered(t *testing.T) {
	ns := namespace(t)
	for i, edit := range []func(*v1beta1.InferenceService){
		func(*v1beta1.InferenceService) {},
		func(s *v1beta1.InferenceService) { s.Spec.Predictor.MinReplicas = ptr.To[int32](1) },
		harness.Annotate("serving.kserve.io/autoscalerClass", "external"),
		harness.Annotate("autoscaling.knative.dev/initial-scale", "0"),
	} {
		name := fmt.Sprintf("first-%d", i)
		require.NoError(t, env.Create(t.Context(), ns, harness.TestService(name, nil, edit)))
		_, err := env.WaitReady(t.Context(), ns, name, time.Minute)
		require.NoError(t, err)
		for range 20 {
			status, body, _, err := post(t.Context(), env.HTTPClient(false), harness.PredictorURL(ns, name)+"/v2/models/"+name+"/infer", v2Body)
			require.NoError(t, err, name)
			require.Equal(t, http.StatusOK, status, body)
		}
	}
}

func TestTwentyFiveServicesFromZeroAtOnceAreAllAnswered(t *testing.T) {
	const n = 25
	ns := namespace(t)
	name := func(i int) string { return fmt.Sprintf("many-%02d", i) }
	for i := range n {
		// Created at zero: 25 first starts at once would only test the machine.
		require.NoError(t, env.Create(t.Context(), ns, harness.TestService(name(i), nil, harness.Annotate("autoscaling.knative.dev/initial-scale", "0"))))
	}
	for i := range n {
		_, err := env.WaitReady(t.Context(), ns, name(i), 2*time.Minute)
		require.NoError(t, err)
		atZero(t, ns, name(i))
	}
	client := env.HTTPClient(false)
	failures := make([]error, n)
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			began := time.Now()
			status, body, _, err := post(t.Context(), client, harness.PredictorURL(ns, name(i))+"/v2/models/"+name(i)+"/infer", v2Body)
			if took[i] = time.Since(began); err == nil && status != http.StatusOK {
				err = fmt.Errorf("status %d: %s", status, body)
			}
			failures[i] = err
		})
	}
	wg.Wait()
	for i, err := range failures {
		require.NoError(t, err, name(i))
	}
	t.Logf("answered from zero after %s", took)
}

func TestCyclesOfIdleZeroAndBurstLoseNothing(t *testing.T) {
	const cycles, burst = 4, 15 * time.Second
	ns := namespace(t)
	toZero(t, ns, harness.TestService("cycles", []string{"--delay=50ms"}, func(s *v1beta1.InferenceService) {
		s.Annotations["autoscaling.knative.dev/target"] = "4"
	}))
	url := harness.PredictorURL(ns, "cycles") + "/v2/models/cycles/infer"
	for i := range cycles {
		for _, keepAlive := range []bool{true, false} {
			r := load.Run(t.Context(), load.Options{
				Client: env.HTTPClient(keepAlive), Clients: 8, Duration: burst / 2,
				Request: func(ctx context.Context, _ int64) (*http.Request, error) {
					return http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(v2Body))
				},
			})
			t.Logf("cycle %d, keep-alive %t: %s", i, keepAlive, r)
			require.Empty(t, r.Failures)
			require.NotZero(t, r.Succeeded)
		}
		if i%2 == 0 {
			atZero(t, ns, "cycles")
		} else {
			// On its way to zero: the path is being switched or the pod is going.
			_, err := env.WaitDeployment(t.Context(), ns, "cycles-predictor", "be asked to go to zero", time.Minute, asksForZero)
			require.NoError(t, err)
		}
	}
}
