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

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/e2e/suites/harness"
)

// executions asks the test server what it has done.
func executions(t *testing.T, ns, name string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, harness.PredictorURL(ns, name)+"/stats", nil)
	require.NoError(t, err)
	resp, err := env.HTTPClient(false).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var s struct {
		Executed int `json:"executed"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&s))
	return s.Executed
}

// TestAbandonedRequestsAreNeverExecuted lets 200 clients leave while they are
// held at zero, and then asks the server how many of theirs it has executed.
func TestAbandonedRequestsAreNeverExecuted(t *testing.T) {
	const clients = 200
	ns := namespace(t)
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
			// The server takes its time, so that every client has left before it is ready.
			toZero(t, ns, harness.TestService(name, []string{"--startup-delay=12s"}, harness.Annotate("autoscaling.knative.dev/initial-scale", "0")))
			body := bytes.Repeat([]byte{'1'}, c.size)
			url := harness.PredictorURL(ns, name) + "/v2/models/" + name + "/infer"
			client := env.HTTPClient(false)
			began := time.Now()
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
					defer cancel()
					var r io.Reader = bytes.NewReader(body)
					if c.chunked {
						r = io.MultiReader(r)
					}
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, r)
					if err != nil {
						t.Error(err)
						return
					}
					if resp, err := client.Do(req); err == nil {
						resp.Body.Close()
						t.Errorf("answered %d after %s; the client should have left first", resp.StatusCode, time.Since(began))
					}
				})
			}
			wg.Wait()
			// This request is held behind the abandoned ones and answered after them.
			status, text, _, err := post(t.Context(), client, url, v2Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, text)
			require.Equal(t, 1, executions(t, ns, name), "only the request whose client stayed")
		})
	}
}
