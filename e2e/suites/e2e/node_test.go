package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/suites/load"
)

// settle is how long after the loss of a node a request may still fail: the time in
// which activators notice by themselves that a pod does not answer any more, and
// clients that a connection does not. Kubernetes takes 50 s.
const settle = 15 * time.Second

// TestLossOfANodeFailsOnlyWhatWasUnderWayThere takes the power of one of two nodes,
// with a pod of the model and an activator on each, under load through the activators.
// Clients are as they should be: they try to connect for a second, ask a silent HTTP/2
// connection whether it is alive, and give a request up after ten seconds. The only
// pod of another model is lost too: its requests are held until there is one again.
func TestLossOfANodeFailsOnlyWhatWasUnderWayThere(t *testing.T) {
	needsLocalCluster(t)
	ns := namespace(t)
	ledger := openBooks(t, ns)
	node, err := env.AddNode(t.Context())
	require.NoError(t, err)
	drop := sync.OnceFunc(func() { dropNode(t) })
	t.Cleanup(drop)
	onePerNode(t, node)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("lost", []string{"--delay=20ms", ledger.flag()}, named("h2c"), replicas(2), burstCapacity("-1"), spreadOverNodes)))
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("only", []string{ledger.flag()}, replicas(1), burstCapacity("-1"), preferNode(node))))
	for name, n := range map[string]int32{"lost": 2, "only": 1} {
		_, err = env.WaitReady(t.Context(), ns, name, 2*time.Minute)
		require.NoError(t, err)
		_, err = env.WaitReplicas(t.Context(), ns, name+"-predictor", n, time.Minute)
		require.NoError(t, err)
		_, err = env.WaitRoute(t.Context(), ns, name+"-predictor", "lead through the activators only", time.Minute, confirmedActivatorOnly)
		require.NoError(t, err)
	}
	pods, err := modelPods(t.Context(), ns, "only")
	require.NoError(t, err)
	require.Equal(t, node, pods[0].Spec.NodeName)

	var patience patience
	all := callers(t, patience.dial, ns, "lost", map[string]int{http1: 8, h2c: 4, rpc: 4})
	waiting := callers(t, patience.dial, ns, "only", map[string]int{anew: 5})
	held := make(chan calls, 1)
	var at time.Time
	began := time.Now()
	r := during(t, all, load.Options{Interval: 20 * time.Millisecond, Timeout: 10 * time.Second}, 30*time.Second, func(ctx context.Context) error {
		at = time.Now()
		err := env.LoseNode(ctx, node)
		go func() { held <- callAll(ctx, waiting, "held", onceOnly) }()
		return err
	})
	t.Logf("lost %s after the load began; %d connections were not answered and tried again", at.Sub(began).Round(time.Millisecond), patience.again.Load())
	t.Log(perSecond(r, began, at))
	require.Empty(t, held, "without a pod requests wait")
	drop()
	answered := <-held
	t.Log(answered)
	answered.requireNoFailure(t)
	ledger.requireOnce(t, r, answered)
	for name, c := range r {
		require.LessOrEqual(t, len(c.Failures), 1, "%s: only what was under way: %v", name, r.failures())
		for _, f := range c.Failures {
			require.WithinRange(t, began.Add(f.At), at, at.Add(settle), "%s: %v", name, f.Err)
		}
	}
}

// spreadOverNodes puts one pod on each node.
func spreadOverNodes(s *v1beta1.InferenceService) {
	s.Spec.Predictor.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.DoNotSchedule,
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"serving.kserve.io/inferenceservice": s.Name}},
	}}
}

// preferNode puts a pod on a node as long as that is there.
func preferNode(node string) func(*v1beta1.InferenceService) {
	return func(s *v1beta1.InferenceService) {
		s.Spec.Predictor.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
				Weight: 100,
				Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
				}},
			}},
		}}
	}
}

// onePerNode moves one of the activators to a new node.
func onePerNode(t *testing.T, node string) {
	t.Helper()
	ctx := t.Context()
	pods, err := podsOfSystem(ctx, "activator")
	require.NoError(t, err)
	require.NoError(t, env.Kube.CoreV1().Pods(harness.SystemNamespace).Delete(ctx, pods[0].Name, metav1.DeleteOptions{}))
	_, err = env.Kubectl(ctx, "rollout", "status", "-n", harness.SystemNamespace, "deployment/activator", "--timeout=2m")
	require.NoError(t, err)
	pods, err = podsOfSystem(ctx, "activator")
	require.NoError(t, err)
	var nodes []string
	for _, p := range pods {
		nodes = append(nodes, p.Spec.NodeName)
	}
	require.Len(t, nodes, 2)
	require.Contains(t, nodes, node)
	require.NotEqual(t, nodes[0], nodes[1])
}

// dropNode leaves the other tests the nodes that they began with.
func dropNode(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	require.NoError(t, env.DropNode(ctx))
	for _, part := range []string{"activator", "controller", "metrics-adapter"} {
		_, err := env.Kubectl(ctx, "rollout", "status", "-n", harness.SystemNamespace, "deployment/"+part, "--timeout=2m")
		require.NoError(t, err)
	}
}

// perSecond counts failures by the second after the loss, in which they failed.
func perSecond(r calls, began, at time.Time) string {
	counts := map[int]int{}
	last := 0
	for _, c := range r {
		for _, f := range c.Failures {
			second := int(began.Add(f.At).Sub(at).Seconds())
			counts[second]++
			last = max(last, second)
		}
	}
	var words []string
	for s := range last + 1 {
		if counts[s] > 0 {
			words = append(words, fmt.Sprintf("%d s: %d", s, counts[s]))
		}
	}
	return "failures by the second after the loss: " + strings.Join(words, ", ")
}
