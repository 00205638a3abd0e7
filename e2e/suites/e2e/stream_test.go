package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/testserver/oip"
)

// tokens is a stream of tokens on its way to a client.
type tokens struct {
	what string
	// begun is closed with the first token, when pod is known.
	begun chan struct{}
	once  sync.Once
	pod   string
	got   int
	took  time.Duration
	err   error
}

func (s *tokens) first(pod string) { s.once.Do(func() { s.pod = pod; close(s.begun) }) }

// events reads a stream of n server-sent events and makes sure that it is whole.
func (s *tokens) events(ctx context.Context, client *http.Client, url string, n int, pause time.Duration) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/stream?n=%d&interval=%s", url, n, pause), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var i int
		if lines.Text() == "" {
			continue
		}
		if _, err := fmt.Sscanf(lines.Text(), "data: %d", &i); err != nil || i != s.got {
			return fmt.Errorf("token %d is %q", s.got, lines.Text())
		}
		s.got++
		s.first(resp.Header.Get("X-Server-Name"))
	}
	return lines.Err()
}

// answers sends n requests on a gRPC stream and reads the answers, which the server
// takes its time for.
func (s *tokens) answers(ctx context.Context, client oip.GRPCInferenceServiceClient, model string, n int, pause time.Duration) error {
	stream, err := client.ModelStreamInfer(metadata.AppendToOutgoingContext(ctx, "x-delay", pause.String()))
	if err != nil {
		return err
	}
	for i := range n {
		if err := stream.Send(&oip.ModelInferRequest{ModelName: model, Id: fmt.Sprint(i), Inputs: tensor}); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if err == io.EOF { //nolint:errorlint // gRPC's own
			return nil
		}
		if err != nil {
			return err
		}
		if answer.Id != fmt.Sprint(s.got) {
			return fmt.Errorf("answer %d is that of %q", s.got, answer.Id)
		}
		s.got++
		header, err := stream.Header()
		if err != nil {
			return err
		}
		s.first(header.Get("x-server-name")[0])
	}
}

// openStreams opens two streams of each protocol. What it returns waits for their ends.
func openStreams(t *testing.T, ns, name string, n int, pause time.Duration) ([]*tokens, func()) {
	t.Helper()
	var all []*tokens
	var wg sync.WaitGroup
	open := func(what string, read func(*tokens) error) {
		s := &tokens{what: name + " " + what, begun: make(chan struct{})}
		all = append(all, s)
		wg.Go(func() {
			began := time.Now()
			s.err = read(s)
			s.took = time.Since(began)
			s.first("")
		})
	}
	for range 2 {
		for _, h2 := range []bool{false, true} {
			client := streamClient(t, h2)
			open(fmt.Sprintf("events, HTTP/2 %t", h2), func(s *tokens) error {
				return s.events(t.Context(), client, harness.PredictorURL(ns, name), n, pause)
			})
		}
		client := rpcClient(t, env.Dial, ns, name)
		open("gRPC", func(s *tokens) error { return s.answers(t.Context(), client, name, n, pause) })
	}
	for _, s := range all {
		<-s.begun
	}
	return all, wg.Wait
}

func streamClient(t *testing.T, h2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	transport := &http.Transport{DialContext: env.Dial, Protocols: &protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestStreamsOutliveScaleDownRolloutAndActivatorRestart opens streams of tokens on
// three pods each of two models, scales them down to one, rolls them out anew and
// restarts the activators meanwhile. Every stream is read to its end.
func TestStreamsOutliveScaleDownRolloutAndActivatorRestart(t *testing.T) {
	t.Parallel()
	const n, pause = 225, 200 * time.Millisecond
	ns := namespace(t)
	paths := map[string]string{"direct": "0", "through": "-1"}
	for name, burst := range paths {
		require.NoError(t, env.Create(t.Context(), ns, harness.TestService(name, []string{abrupt}, named("h2c"), replicas(3), burstCapacity(burst))))
	}
	for name, confirmed := range map[string]routeIs{"direct": confirmedDirect, "through": confirmedActivatorOnly} {
		_, err := env.WaitReplicas(t.Context(), ns, name+"-predictor", 3, 2*time.Minute)
		require.NoError(t, err)
		_, err = env.WaitRoute(t.Context(), ns, name+"-predictor", "have its path", time.Minute, confirmed)
		require.NoError(t, err)
	}
	opened := time.Now()
	var all []*tokens
	var waits []func()
	for name := range paths {
		streams, wait := openStreams(t, ns, name, n, pause)
		all, waits = append(all, streams...), append(waits, wait)
	}
	for name := range paths {
		_, err := env.Kubectl(t.Context(), "patch", "-n", ns, "isvc/"+name, "--type=merge", "-p", `{"spec":{"predictor":{"minReplicas":1,"maxReplicas":1}}}`)
		require.NoError(t, err)
	}
	for name := range paths {
		_, err := env.WaitDeployment(t.Context(), ns, name+"-predictor", "be scaled down to 1", 30*time.Second, func(d *appsv1.Deployment) bool {
			return *d.Spec.Replicas == 1 && d.Status.Replicas == 1
		})
		require.NoError(t, err)
	}
	t.Logf("scaled down %s after the streams were opened", time.Since(opened).Round(time.Second/10))
	for name := range paths {
		_, err := env.Kubectl(t.Context(), "patch", "-n", ns, "isvc/"+name, "--type=json",
			"-p", `[{"op": "add", "path": "/spec/predictor/containers/0/args/-", "value": "--delay=1ms"}]`)
		require.NoError(t, err)
	}
	for name := range paths {
		_, err := env.WaitDeployment(t.Context(), ns, name+"-predictor", "be rolled out", 40*time.Second, func(d *appsv1.Deployment) bool {
			return d.Status.ObservedGeneration == d.Generation && d.Generation > 1 && d.Status.UpdatedReplicas == 1 && d.Status.Replicas == 1 && d.Status.AvailableReplicas == 1 &&
				slices.Contains(d.Spec.Template.Spec.Containers[0].Args, "--delay=1ms")
		})
		require.NoError(t, err)
	}
	t.Logf("rolled out %s after the streams were opened", time.Since(opened).Round(time.Second/10))
	_, err := env.Kubectl(t.Context(), "rollout", "restart", "-n", harness.SystemNamespace, "deployment/activator")
	require.NoError(t, err)
	_, err = env.Kubectl(t.Context(), "rollout", "status", "-n", harness.SystemNamespace, "deployment/activator", "--timeout=3m")
	require.NoError(t, err)
	t.Logf("activators restarted %s after the streams were opened", time.Since(opened).Round(time.Second/10))
	require.Less(t, time.Since(opened), n*pause-time.Second, "the streams outlast what is done to them")
	for _, wait := range waits {
		wait()
	}
	on := map[string]int{}
	for _, s := range all {
		require.NoError(t, s.err, "%s, on pod %s, after %d tokens and %s", s.what, s.pod, s.got, s.took)
		require.Equal(t, n, s.got, s.what)
		on[s.pod]++
	}
	t.Logf("streams by pod: %v", on)
}

// TestADeletedPodFinishesWhatIsInsideWithinItsGrace deletes pods that execute, one
// after another, while requests go on to arrive; and one whose grace is shorter than a
// stream in it, which is then cut and not made to look whole.
func TestADeletedPodFinishesWhatIsInsideWithinItsGrace(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	ledger := openBooks(t, ns)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("finishes", []string{abrupt, ledger.flag()}, replicas(2), burstCapacity("0"))))
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("short", []string{abrupt}, replicas(1), burstCapacity("0"), func(s *v1beta1.InferenceService) {
		s.Spec.Predictor.TerminationGracePeriodSeconds = ptr.To[int64](12)
	})))
	for name, n := range map[string]int32{"finishes": 2, "short": 1} {
		_, err := env.WaitReady(t.Context(), ns, name, 2*time.Minute)
		require.NoError(t, err)
		_, err = env.WaitReplicas(t.Context(), ns, name+"-predictor", n, time.Minute)
		require.NoError(t, err)
	}
	short := &tokens{what: "a stream longer than the grace", begun: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		began := time.Now()
		short.err = short.events(t.Context(), env.HTTPClient(false), harness.PredictorURL(ns, "short"), 600, 100*time.Millisecond)
		short.took = time.Since(began)
		short.first("")
	}()
	<-short.begun
	require.NoError(t, env.Kube.CoreV1().Pods(ns).Delete(t.Context(), short.pod, metav1.DeleteOptions{}))

	r := runLong(t, ns)
	t.Log(r)
	r.requireNoFailure(t)
	ledger.requireOnce(t, r)

	<-ended
	t.Logf("a stream in a pod with 12 s of grace was cut after %s and %d tokens: %v", short.took, short.got, short.err)
	require.Error(t, short.err, "the client can tell that it is not whole")
	require.Greater(t, short.took, 5*time.Second)
	require.Less(t, short.took, 15*time.Second)
}

// runLong sends a request of 35 s and six of 12 s, one each second, and deletes every
// pod that is there at the beginning as soon as requests are inside.
func runLong(t *testing.T, ns string) calls {
	t.Helper()
	pods, err := modelPods(t.Context(), ns, "finishes")
	require.NoError(t, err)
	url := harness.PredictorURL(ns, "finishes") + "/v2/models/finishes/infer?delay="
	var mu sync.Mutex
	r := calls{}
	var wg sync.WaitGroup
	send := func(name, delay string) {
		c := caller{name: name, call: httpCall(t, env.Dial, url+delay, http1)}
		wg.Go(func() {
			one := callAll(t.Context(), []caller{c}, "0", onceOnly)
			mu.Lock()
			defer mu.Unlock()
			r[name] = one[name]
		})
	}
	send("long-0", "35s")
	for i := range 6 {
		send(fmt.Sprintf("staggered-%d", i), "12s")
		time.Sleep(time.Second) // the stagger is part of the scenario
	}
	var inside int64
	for _, p := range pods {
		s, err := statsOf(t.Context(), p)
		require.NoError(t, err)
		inside += s.Inflight
	}
	require.EqualValues(t, 7, inside)
	for _, p := range pods {
		require.NoError(t, env.Kube.CoreV1().Pods(ns).Delete(t.Context(), p.Name, metav1.DeleteOptions{}))
	}
	gone := goneAt(t, ns, pods)
	wg.Wait()
	for name, at := range gone() {
		t.Logf("pod %s was gone %s after its deletion", name, at.Round(time.Second/10))
	}
	return r
}

// goneAt notes how long pods take to go, from now on. The function that it returns
// waits for the last of them.
func goneAt(t *testing.T, ns string, pods []corev1.Pod) func() map[string]time.Duration {
	t.Helper()
	began := time.Now()
	left := map[string]bool{}
	for _, p := range pods {
		left[p.Name] = true
	}
	w, err := env.Kube.CoreV1().Pods(ns).Watch(t.Context(), metav1.ListOptions{LabelSelector: "serving.kserve.io/inferenceservice=finishes"})
	require.NoError(t, err)
	result := make(chan map[string]time.Duration, 1)
	go func() {
		defer w.Stop()
		took := map[string]time.Duration{}
		for len(left) > 0 {
			select {
			case e, ok := <-w.ResultChan():
				if !ok {
					result <- took
					return
				}
				if p, isPod := e.Object.(*corev1.Pod); isPod && string(e.Type) == "DELETED" && left[p.Name] {
					delete(left, p.Name)
					took[p.Name] = time.Since(began)
				}
			case <-time.After(time.Minute):
				result <- took
				return
			}
		}
		result <- took
	}()
	return func() map[string]time.Duration { return <-result }
}

// TestEventsArePassedOnAtOnce compares the delay of events to a client that asks the
// pod's server itself, its agent, and the Service with activators in the path, all at
// the same time. Server and client read the same clock.
func TestEventsArePassedOnAtOnce(t *testing.T) {
	const n, pause = 300, 20 * time.Millisecond
	ns := namespace(t)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("events", nil, alwaysThroughActivator)))
	_, err := env.WaitReady(t.Context(), ns, "events", 2*time.Minute)
	require.NoError(t, err)
	_, err = env.WaitRoute(t.Context(), ns, "events-predictor", "lead through the activators only", time.Minute, confirmedActivatorOnly)
	require.NoError(t, err)
	pods, err := modelPods(t.Context(), ns, "events")
	require.NoError(t, err)
	ways := map[string]string{
		"server":              "http://" + net.JoinHostPort(pods[0].Status.PodIP, "8080"),
		"agent":               "http://" + net.JoinHostPort(pods[0].Status.PodIP, "9081"),
		"activator and agent": harness.PredictorURL(ns, "events"),
	}
	var mu sync.Mutex
	medians := map[string]time.Duration{}
	var wg sync.WaitGroup
	for way, url := range ways {
		wg.Go(func() {
			delays, err := eventDelays(t.Context(), url, n, pause)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || len(delays) != n {
				t.Errorf("%s: %d events: %v", way, len(delays), err)
				return
			}
			slices.Sort(delays)
			medians[way] = delays[n/2]
			t.Logf("through %s: p50 %s, p99 %s, max %s", way, delays[n/2], delays[n*99/100], delays[n-1])
		})
	}
	wg.Wait()
	require.Len(t, medians, len(ways))
	added := medians["activator and agent"] - medians["server"]
	t.Logf("activator and agent add %s to an event at the median", added)
	// The promise is 5 ms; a busy machine may take longer, a buffer takes 20 ms and more.
	require.Less(t, added, pause/2)
}

// eventDelays reads events that say when they were sent.
func eventDelays(ctx context.Context, url string, n int, pause time.Duration) ([]time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/stream?n=%d&interval=%s&stamp=true", url, n, pause), nil)
	if err != nil {
		return nil, err
	}
	resp, err := env.HTTPClient(false).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var delays []time.Duration
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		at := time.Now()
		if err == io.EOF { //nolint:errorlint // a reader's own
			return delays, nil
		}
		if err != nil {
			return delays, err
		}
		var i int
		var sent int64
		if strings.TrimSpace(line) == "" {
			continue
		}
		if _, err := fmt.Sscanf(line, "data: %d %d", &i, &sent); err != nil {
			return delays, fmt.Errorf("event %q: %w", line, err)
		}
		delays = append(delays, at.Sub(time.Unix(0, sent)))
	}
}
