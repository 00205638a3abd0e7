package e2e

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/suites/load"
)

// needsLocalCluster skips what kills processes and nodes, or looks at their memory.
func needsLocalCluster(t *testing.T) {
	t.Helper()
	if env.Target.Local == nil {
		t.Skip("the processes and nodes of this cluster are out of reach")
	}
}

// podsOfSystem are the pods of a part of rawserve that are to stay.
func podsOfSystem(ctx context.Context, component string) ([]corev1.Pod, error) {
	list, err := env.Kube.CoreV1().Pods(harness.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	if err != nil {
		return nil, err
	}
	var pods []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			pods = append(pods, p)
		}
	}
	return pods, nil
}

// TestKilledActivatorFailsOnlyTheRequestsInsideIt kills the process of one of two
// activators, through which every request goes, by SIGKILL: it says goodbye to nobody,
// and its container starts again while nodes still send connections to it. Each client
// has one request inside at a time, so none may fail more often than once.
func TestKilledActivatorFailsOnlyTheRequestsInsideIt(t *testing.T) {
	needsLocalCluster(t)
	ns := namespace(t)
	ledger := openBooks(t, ns)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("killed", []string{"--delay=2ms", ledger.flag()}, alwaysThroughActivator, named("h2c"))))
	_, err := env.WaitReady(t.Context(), ns, "killed", 2*time.Minute)
	require.NoError(t, err)
	_, err = env.WaitRoute(t.Context(), ns, "killed-predictor", "lead through the activators only", time.Minute, confirmedActivatorOnly)
	require.NoError(t, err)

	var patience patience
	var dialled atomic.Int64
	all := callers(t, counting(patience.dial, &dialled), ns, "killed", map[string]int{http1: 4, h2c: 2, rpc: 2})
	var at time.Time
	began := time.Now()
	r := during(t, all, load.Options{Interval: 5 * time.Millisecond, Timeout: 20 * time.Second}, 15*time.Second, func(ctx context.Context) error {
		pods, err := podsOfSystem(ctx, "activator")
		if err != nil {
			return err
		}
		process, err := env.Process(&pods[0], "activator")
		if err != nil {
			return err
		}
		at = time.Now()
		return process.Kill()
	})
	t.Logf("killed %s after the load began; %d clients connected anew, %d times they were refused before", at.Sub(began).Round(time.Millisecond), dialled.Load()-int64(len(all)), patience.again.Load())
	require.Greater(t, dialled.Load(), int64(len(all)), "the activator that was killed had clients")
	failed := r.failures()
	for name, c := range r {
		require.LessOrEqual(t, len(c.Failures), 1, "%s: only what was inside: %v", name, failed)
		for _, f := range c.Failures {
			require.WithinDuration(t, at, began.Add(f.At), time.Second, "%s: %v", name, f.Err)
			require.NotContains(t, strings.ToLower(f.Err.Error()), "status 5", "no activator answers for want of a replica")
		}
	}
	require.LessOrEqual(t, float64(len(failed)), float64(r.sent())/1000, "of %d", r.sent())
	ledger.requireOnce(t, r)
}
