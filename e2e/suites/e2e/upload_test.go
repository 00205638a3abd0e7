package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
)

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestLongUploadIsStreamedInConstantMemory sends 1 GiB through activator and agent to
// a model at zero, so that it is held first, and again to the warm model, and looks at
// the most memory that the two processes were resident with.
func TestLongUploadIsStreamedInConstantMemory(t *testing.T) {
	needsLocalCluster(t)
	const size = 1 << 30
	ns := namespace(t)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("upload", nil, named("h2c"), burstCapacity("-1"),
		harness.Annotate("autoscaling.knative.dev/initial-scale", "0"),
		func(s *v1beta1.InferenceService) { s.Spec.Predictor.MaxReplicas = 1 })))
	_, err := env.WaitRoute(t.Context(), ns, "upload-predictor", "be confirmed", time.Minute, confirmedActivatorOnlyOrAtZero)
	require.NoError(t, err)
	_, err = env.WaitDeployment(t.Context(), ns, "upload-predictor", "be at zero", time.Minute, asksForZero)
	require.NoError(t, err)
	pods, err := podsOfSystem(t.Context(), "activator")
	require.NoError(t, err)
	watched := map[string]harness.Process{}
	for _, p := range pods {
		watched[p.Name], err = env.Process(&p, "activator")
		require.NoError(t, err)
	}
	for _, c := range []struct {
		situation string
		h2        bool
	}{
		{"held at zero, HTTP/1.1", false},
		{"warm, HTTP/1.1", false},
		{"warm, HTTP/2", true},
	} {
		t.Run(c.situation, func(t *testing.T) {
			before := map[string]int64{}
			for name, p := range watched {
				require.NoError(t, p.ForgetPeak())
				before[name], err = p.PeakMemory()
				require.NoError(t, err)
			}
			began := time.Now()
			got, err := upload(t.Context(), streamClient(t, c.h2), harness.PredictorURL(ns, "upload")+"/echo", size)
			took := time.Since(began)
			require.NoError(t, err)
			require.EqualValues(t, size, got)
			t.Logf("1 GiB took %s", took.Round(time.Millisecond))
			for name, p := range watched {
				peak, err := p.PeakMemory()
				require.NoError(t, err)
				t.Logf("%s: %d MiB before, at most %d MiB", name, before[name]>>20, peak>>20)
				require.Less(t, peak-before[name], int64(48<<20), name)
			}
			if len(watched) == len(pods) {
				models, err := modelPods(t.Context(), ns, "upload")
				require.NoError(t, err)
				require.Len(t, models, 1)
				agent, err := env.Process(&models[0], "agent")
				require.NoError(t, err)
				// The first upload is over: how far its agent has come is known by now.
				peak, err := agent.PeakMemory()
				require.NoError(t, err)
				t.Logf("agent: at most %d MiB", peak>>20)
				require.Less(t, peak, int64(48<<20))
				watched["agent"] = agent
			}
		})
	}
}

// upload sends a body of that size and returns how much of it has arrived.
func upload(ctx context.Context, client *http.Client, url string, size int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.LimitReader(zeros{}, size))
	if err != nil {
		return 0, err
	}
	req.ContentLength = size
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var echo struct {
		BodyBytes int64 `json:"bodyBytes"`
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(text, &echo); err != nil {
		return 0, fmt.Errorf("reading %q: %w", text, err)
	}
	return echo.BodyBytes, nil
}
