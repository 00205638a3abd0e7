package e2e

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/suites/load"
	"github.com/rawserve/rawserve/e2e/testserver/oip"
)

// TestMovingThePathLosesAndRepeatsNothing switches a model between direct and through
// activators, under load on connections and streams that stay throughout, and then
// lets it go to zero twice and come back by requests on connections of before. Every
// request has an id that the servers enter in a ledger.
func TestMovingThePathLosesAndRepeatsNothing(t *testing.T) {
	const switches = 4
	ns := namespace(t)
	ledger := openBooks(t, ns)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("moving", []string{"--delay=5ms", abrupt, ledger.flag()}, named("h2c"), burstCapacity("0"), func(s *v1beta1.InferenceService) {
		s.Spec.Predictor.MinReplicas, s.Spec.Predictor.MaxReplicas = ptr.To[int32](2), 2
	})))
	_, err := env.WaitReady(t.Context(), ns, "moving", 2*time.Minute)
	require.NoError(t, err)
	_, err = env.WaitReplicas(t.Context(), ns, "moving-predictor", 2, time.Minute)
	require.NoError(t, err)
	_, err = env.WaitRoute(t.Context(), ns, "moving-predictor", "be direct", time.Minute, confirmedDirect)
	require.NoError(t, err)

	var dialled atomic.Int64
	dial := counting(env.Dial, &dialled)
	staying := callers(t, dial, ns, "moving", map[string]int{http1: 3, h2c: 2, rpc: 2})
	steady := append(staying, callers(t, env.Dial, ns, "moving", map[string]int{anew: 3})...)
	all := steady
	var streams []*streamCaller
	for _, name := range []string{"moving-stream-0", "moving-stream-1"} {
		s := &streamCaller{client: rpcClient(t, dial, ns, "moving"), model: "moving"}
		streams = append(streams, s)
		all = append(all, caller{name: name, call: s.call})
	}
	pace := load.Options{Interval: 20 * time.Millisecond, Timeout: 30 * time.Second}
	moved := during(t, all, pace, 2*time.Second, func(ctx context.Context) error {
		for i := range switches {
			burst, wanted, what := "-1", confirmedActivatorOnly, "lead through the activators only"
			if i%2 == 1 {
				burst, wanted, what = "0", confirmedDirect, "be direct again"
			}
			if err := annotate(ctx, ns, "moving", "autoscaling.knative.dev/target-burst-capacity", burst); err != nil {
				return err
			}
			if _, err := env.WaitRoute(ctx, ns, "moving-predictor", what, time.Minute, wanted); err != nil {
				return err
			}
			// The load goes on in the new state: nodes take a second for what comes in a row.
			select {
			case <-ctx.Done():
			case <-time.After(3 * time.Second):
			}
		}
		return nil
	})
	moved.requireNoFailure(t)
	for _, s := range streams {
		require.NoError(t, s.finish())
		require.Equal(t, 1, s.opened, "a stream stays where it is")
	}
	t.Logf("%d connections of %d callers that keep theirs", dialled.Load(), len(staying)+len(streams))

	back := calls{}
	_, err = env.Kubectl(t.Context(), "patch", "-n", ns, "isvc/moving", "--type=merge", "-p", `{"spec":{"predictor":{"minReplicas":0}}}`)
	require.NoError(t, err)
	for _, round := range []string{"1", "2"} {
		atZero(t, ns, "moving")
		o := pace
		o.Duration = 4 * time.Second
		r := callAll(t.Context(), steady, round, o)
		t.Log(r)
		r.requireNoFailure(t)
		for name, c := range r {
			back[name+"-"+round] = c
		}
	}
	ledger.requireOnce(t, moved, back)
}

// annotate sets an annotation of an InferenceService.
func annotate(ctx context.Context, ns, name, key, value string) error {
	_, err := env.Kubectl(ctx, "annotate", "--overwrite", "-n", ns, "isvc/"+name, key+"="+value)
	return err
}

// TestCallsAreSpreadOverPodsAndNotByConnection sends calls of three protocols, of which
// two use one connection each, to a model whose pods take one call at a time. From zero
// all of them are answered; with all pods there, none is idle while calls wait.
func TestCallsAreSpreadOverPodsAndNotByConnection(t *testing.T) {
	const pods, work = 4, 150 * time.Millisecond
	ns := namespace(t)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("spread", []string{"--delay=" + work.String()}, named("h2c"), burstCapacity("-1"),
		harness.Annotate("autoscaling.knative.dev/initial-scale", "0"), func(s *v1beta1.InferenceService) {
			s.Spec.Predictor.MaxReplicas = pods
			s.Spec.Predictor.ContainerConcurrency = ptr.To[int64](1)
		})))
	_, err := env.WaitRoute(t.Context(), ns, "spread-predictor", "be confirmed", time.Minute, confirmedActivatorOnlyOrAtZero)
	require.NoError(t, err)
	onHTTP2, onRPC := httpCall(t, env.Dial, harness.PredictorURL(ns, "spread")+"/v2/models/spread/infer", h2c), rpcCall(rpcClient(t, env.Dial, ns, "spread"), "spread")
	onHTTP1 := httpCall(t, env.Dial, harness.PredictorURL(ns, "spread")+"/v2/models/spread/infer", http1)
	var all []caller
	for range 33 {
		all = append(all, caller{http1, onHTTP1}, caller{h2c, onHTTP2}, caller{rpc, onRPC})
	}
	all = append(all, caller{http1, onHTTP1})
	for i := range all {
		all[i].name += "-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
	}
	r := callAll(t.Context(), all, "zero", load.Options{Duration: time.Minute, MaxRequests: 1})
	r.requireNoFailure(t)

	_, err = env.WaitReplicas(t.Context(), ns, "spread-predictor", pods, time.Minute)
	require.NoError(t, err)
	before := executedByPod(t, ns, "spread")
	require.Len(t, before, pods)
	began := time.Now()
	r = callAll(t.Context(), all, "four", load.Options{Duration: time.Minute, MaxRequests: 2})
	took := time.Since(began)
	r.requireNoFailure(t)
	ideal := time.Duration(r.sent()) * work / pods
	t.Logf("%d calls on %d pods took %s; pods that are never idle need %s", r.sent(), pods, took, ideal)
	require.Less(t, took, ideal*5/4, "pods were idle while calls waited")
	for pod, s := range executedByPod(t, ns, "spread") {
		n := s.Executed - before[pod].Executed
		t.Logf("pod %s executed %d, at most %d at a time", pod, n, s.MaxInflight)
		require.EqualValues(t, 1, s.MaxInflight, pod)
		require.InDelta(t, float64(r.sent())/pods, float64(n), float64(r.sent())/pods/4, "pod %s", pod)
	}
	requireStreamsOnDifferentPods(t, ns, pods)
}

// requireStreamsOnDifferentPods opens as many streams as there are pods on one
// connection: each counts as one call, for as long as it is open.
func requireStreamsOnDifferentPods(t *testing.T, ns string, pods int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := rpcClient(t, env.Dial, ns, "spread")
	names := map[string]bool{}
	for range pods {
		s, err := client.ModelStreamInfer(ctx)
		require.NoError(t, err)
		require.NoError(t, s.Send(&oip.ModelInferRequest{ModelName: "spread", Id: "s", Inputs: tensor}))
		_, err = s.Recv()
		require.NoError(t, err)
		header, err := s.Header()
		require.NoError(t, err)
		names[header.Get("x-server-name")[0]] = true
	}
	require.Len(t, names, pods, "streams of one connection are on %v", names)
}
