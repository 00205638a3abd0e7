package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	rawserve "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
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
	// The status follows the Deployment a moment later.
	_, err := env.WaitService(t.Context(), ns, "v2", "be on standby and Ready", 10*time.Second, func(i *v1beta1.InferenceService) bool {
		ready := v1beta1.FindCondition(i.Status.Conditions, v1beta1.ConditionReady)
		states := i.Status.ModelStatus.ModelRevisionStates
		return ready != nil && ready.Status == corev1.ConditionTrue && states != nil && states.ActiveModelState == v1beta1.ModelStandby
	})
	require.NoError(t, err)

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

// TestCyclesOfIdleZeroAndBurstLoseNothing sends bursts at the moments at which a
// request could fall between pods and activators. The clients are the same
// throughout, so that connections of one burst are used again by the next, after
// idleness and zero.
func TestCyclesOfIdleZeroAndBurstLoseNothing(t *testing.T) {
	const rounds, burst = 2, 15 * time.Second
	ns := namespace(t)
	toZero(t, ns, harness.TestService("cycles", []string{"--delay=50ms"}, func(s *v1beta1.InferenceService) {
		s.Annotations["autoscaling.knative.dev/target"] = "4"
	}))
	clients := []*http.Client{env.HTTPClient(true), env.HTTPClient(false)}
	t.Cleanup(clients[0].CloseIdleConnections)
	moments := []struct {
		what  string
		await func(t *testing.T)
	}{
		{"at zero", func(t *testing.T) { atZero(t, ns, "cycles") }},
		{"with a replica, while the path is being led through activators", func(t *testing.T) { pathTurns(t, ns, "cycles") }},
		{"while the last pod is going", func(t *testing.T) {
			_, err := env.WaitDeployment(t.Context(), ns, "cycles-predictor", "be asked to go to zero", time.Minute, asksForZero)
			require.NoError(t, err)
		}},
	}
	for round := range rounds {
		for _, m := range moments {
			m.await(t)
			for _, client := range clients {
				r, survived := cycleBurst(t.Context(), client, ns, "cycles", burst/2)
				t.Logf("round %d, %s, %d requests on connections from before: %s", round, m.what, survived, r)
				require.Empty(t, r.Failures, m.what)
				require.NotZero(t, r.Succeeded)
			}
		}
	}
}

// pathTurns waits for the moment at which the autoscaler wants activators in the
// path, while the Service still leads to a replica.
func pathTurns(t *testing.T, ns, name string) {
	t.Helper()
	for _, wanted := range []rawserve.PathMode{rawserve.PathDirect, rawserve.PathActivator} {
		_, err := env.WaitRoute(t.Context(), ns, name+"-predictor", "be wanted "+string(wanted), time.Minute,
			func(r *rawserve.InferenceRoute) bool { return r.Spec.Path == wanted })
		require.NoError(t, err)
	}
	d, err := env.Kube.AppsV1().Deployments(ns).Get(t.Context(), name+"-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	require.False(t, asksForZero(d), "a replica is still there")
}

// cycleBurst sends load, and counts the requests on connections that have been
// idle for seconds: within a burst none is.
func cycleBurst(ctx context.Context, client *http.Client, ns, name string, duration time.Duration) (load.Result, int64) {
	var survived atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if c.IdleTime > 3*time.Second {
			survived.Add(1)
		}
	}})
	url := harness.PredictorURL(ns, name) + "/v2/models/" + name + "/infer"
	r := load.Run(ctx, load.Options{
		Client: client, Clients: 8, Duration: duration,
		Request: func(ctx context.Context, _ int64) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(v2Body))
		},
	})
	return r, survived.Load()
}
