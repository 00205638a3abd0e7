package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/ptr"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/suites/load"
)

// replicas keeps a service at so many.
func replicas(n int32) func(*v1beta1.InferenceService) {
	return func(s *v1beta1.InferenceService) {
		s.Spec.Predictor.MinReplicas, s.Spec.Predictor.MaxReplicas = ptr.To(n), n
	}
}

// burstCapacity says how much room the direct path needs; "-1" forbids it.
func burstCapacity(n string) func(*v1beta1.InferenceService) {
	return harness.Annotate("autoscaling.knative.dev/target-burst-capacity", n)
}

// TestRollingRestartOfModelsFailsNoRequest replaces all pods of two models, with
// their agents, under constant load: one is reached directly, one through activators.
func TestRollingRestartOfModelsFailsNoRequest(t *testing.T) {
	ns := namespace(t)
	ledger := openBooks(t, ns)
	var all []caller
	for name, burst := range map[string]string{"direct": "0", "through": "-1"} {
		require.NoError(t, env.Create(t.Context(), ns, harness.TestService(name, []string{abrupt, ledger.flag()}, named("h2c"), replicas(2), burstCapacity(burst))))
	}
	for name, confirmed := range map[string]routeIs{"direct": confirmedDirect, "through": confirmedActivatorOnly} {
		_, err := env.WaitReady(t.Context(), ns, name, 2*time.Minute)
		require.NoError(t, err)
		_, err = env.WaitReplicas(t.Context(), ns, name+"-predictor", 2, time.Minute)
		require.NoError(t, err)
		_, err = env.WaitRoute(t.Context(), ns, name+"-predictor", "have its path", time.Minute, confirmed)
		require.NoError(t, err)
		all = append(all, callers(t, env.Dial, ns, name, map[string]int{http1: 3, h2c: 2, rpc: 2})...)
	}
	r := during(t, all, load.Options{Interval: 20 * time.Millisecond, Timeout: 30 * time.Second}, 15*time.Second, func(ctx context.Context) error {
		var both errgroup.Group
		for _, name := range []string{"direct", "through"} {
			both.Go(func() error {
				if _, err := env.Kubectl(ctx, "rollout", "restart", "-n", ns, "deployment/"+name+"-predictor"); err != nil {
					return err
				}
				_, err := env.Kubectl(ctx, "rollout", "status", "-n", ns, "deployment/"+name+"-predictor", "--timeout=3m")
				return err
			})
		}
		return both.Wait()
	})
	r.requireNoFailure(t)
	ledger.requireOnce(t, r)
}
