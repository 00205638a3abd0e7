package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
)

// podsOf notes the pods of a service from now on. The function that it returns
// ends that and gives the address of each that had one.
func podsOf(t *testing.T, ns, name string) func() map[types.UID]string {
	t.Helper()
	w, err := env.Kube.CoreV1().Pods(ns).Watch(t.Context(), metav1.ListOptions{LabelSelector: "serving.kserve.io/inferenceservice=" + name})
	require.NoError(t, err)
	addresses := map[types.UID]string{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok && p.Status.PodIP != "" {
				addresses[p.UID] = p.Status.PodIP
			}
		}
	}()
	return func() map[types.UID]string {
		w.Stop()
		<-done
		return addresses
	}
}

// executions asks the test server in each pod what it has done. A pod that is gone
// took its count with it and fails the test.
func executions(t *testing.T, pods map[types.UID]string) int {
	t.Helper()
	require.NotEmpty(t, pods)
	sum := 0
	for _, address := range pods {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+":8080/stats", nil)
		require.NoError(t, err)
		resp, err := env.HTTPClient(false).Do(req)
		require.NoError(t, err)
		var s struct {
			Executed int `json:"executed"`
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&s))
		resp.Body.Close()
		sum += s.Executed
	}
	return sum
}

// TestAbandonedRequestsAreNeverExecuted lets 200 clients leave while they are
// held at zero, makes sure that all of them were held, and then asks the server
// how many of theirs it has executed.
func TestAbandonedRequestsAreNeverExecuted(t *testing.T) {
	const clients = 200
	// The server takes its time, so that every client has left before it is ready.
	const stay, start = 8 * time.Second, "--startup-delay=16s"
	ns := namespace(t)
	activators, err := env.Activators(t.Context())
	require.NoError(t, err)
	t.Cleanup(activators.Close)
	for _, c := range []struct {
		situation string
		size      int
		chunked   bool
	}{
		{"no body", 0, false},
		{"512 B", 512, false},
		{"100 KB", 100 << 10, false},
		{"10 MB", 10 << 20, false},
		{"100 KB chunked", 100 << 10, true},
	} {
		t.Run(c.situation, func(t *testing.T) {
			name := fmt.Sprintf("gone-%d-%t", c.size, c.chunked)
			toZero(t, ns, harness.TestService(name, []string{start}, harness.Annotate("autoscaling.knative.dev/initial-scale", "0"),
				func(s *v1beta1.InferenceService) { s.Spec.Predictor.MaxReplicas = 1 }))
			before, err := activators.Sum(t.Context(), ns, name+"-predictor")
			require.NoError(t, err)
			pods := podsOf(t, ns, name)
			body := bytes.Repeat([]byte{'1'}, c.size)
			url := harness.PredictorURL(ns, name) + "/v2/models/" + name + "/infer"
			client := env.HTTPClient(false)

			errs := make([]error, clients)
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() {
					var r io.Reader = bytes.NewReader(body)
					if c.chunked {
						r = io.MultiReader(r)
					}
					errs[i] = leaveAfter(t.Context(), stay, client, url, r)
				})
			}
			wg.Wait()
			for i, err := range errs {
				require.ErrorIs(t, err, context.DeadlineExceeded, "client %d leaves by itself", i)
			}
			require.EventuallyWithT(t, func(collect *assert.CollectT) {
				now, err := activators.Sum(t.Context(), ns, name+"-predictor")
				require.NoError(collect, err)
				require.EqualValues(collect, clients, now.Abandoned-before.Abandoned, "every client's request was held: %+v", now)
			}, 5*time.Second, 50*time.Millisecond)

			// This request is held behind the abandoned ones and answered after them.
			status, text, _, err := post(t.Context(), client, url, v2Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, text)
			require.Equal(t, 1, executions(t, pods()), "only the request whose client stayed")
		})
	}
}

// leaveAfter sends a request and gives it up after a while.
func leaveAfter(ctx context.Context, stay time.Duration, client *http.Client, url string, body io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, stay)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	return fmt.Errorf("answered %d", resp.StatusCode)
}
