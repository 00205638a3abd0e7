package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/suites/load"
	"github.com/rawserve/rawserve/e2e/testserver/oip"
)

// caller is a client as a model has many: it keeps its connection, and sends one
// request after another, each named by an id.
type caller struct {
	name string
	call func(ctx context.Context, id string) error
}

// http1 and h2c are callers of HTTP, and rpc of gRPC, on one connection each; anew is
// one of HTTP/1.1 that connects for each request and so meets the endpoints of now;
// stream is one of gRPC that sends its requests as messages of one stream.
const (
	http1  = "http1"
	anew   = "anew"
	h2c    = "h2c"
	rpc    = "rpc"
	stream = "stream"
)

// callers gives so many callers of each protocol to a predictor.
func callers(t *testing.T, dial dialer, ns, name string, counts map[string]int) []caller {
	t.Helper()
	var all []caller
	for _, protocol := range []string{http1, anew, h2c, rpc, stream} {
		for i := range counts[protocol] {
			c := caller{name: fmt.Sprintf("%s-%s-%d", name, protocol, i)}
			switch protocol {
			case http1, anew, h2c:
				c.call = httpCall(t, dial, harness.PredictorURL(ns, name)+"/v2/models/"+name+"/infer", protocol)
			case rpc:
				c.call = rpcCall(rpcClient(t, dial, ns, name), name)
			case stream:
				s := &streamCaller{client: rpcClient(t, dial, ns, name), model: name}
				t.Cleanup(s.end)
				c.call = s.call
			}
			all = append(all, c)
		}
	}
	return all
}

// dialer opens a connection into the cluster.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// patience dials as clients and load balancers do: what is refused, or not answered
// within a second, is tried again a few times. Nothing has been sent by then.
type patience struct{ again atomic.Int64 }

func (p *patience) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	for range 10 {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		conn, err = env.Dial(attempt, network, address)
		cancel()
		if err == nil {
			return conn, nil
		}
		p.again.Add(1)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, err
}

func httpCall(t *testing.T, dial dialer, url, protocol string) func(context.Context, string) error {
	var protocols http.Protocols
	protocols.SetHTTP1(protocol != h2c)
	protocols.SetUnencryptedHTTP2(protocol == h2c)
	transport := &http.Transport{
		DialContext: dial, Protocols: &protocols, DisableKeepAlives: protocol == anew, IdleConnTimeout: 10 * time.Minute,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 2 * time.Second},
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	return func(ctx context.Context, id string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(v2Body))
		if err != nil {
			return err
		}
		// A real client's body comes from somewhere: it cannot be had twice.
		req.GetBody = nil
		req.Header.Set("X-Request-Id", id)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d (%s): %s", resp.StatusCode, resp.Header.Get("Rawserve-Reason"), text)
		}
		return err
	}
}

// rpcClient is a gRPC client with one connection.
func rpcClient(t *testing.T, dial dialer, ns, name string) oip.GRPCInferenceServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+name+"-predictor."+ns+".svc.cluster.local:80",
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }),
		// gRPC does not ask more often than every 10 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return oip.NewGRPCInferenceServiceClient(conn)
}

func rpcCall(client oip.GRPCInferenceServiceClient, model string) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		answer, err := client.ModelInfer(ctx, &oip.ModelInferRequest{ModelName: model, Id: id, Inputs: tensor})
		if err == nil && answer.Id != id {
			err = fmt.Errorf("the answer is that of %q", answer.Id)
		}
		return err
	}
}

// streamCaller sends its requests on one stream, until that ends.
type streamCaller struct {
	client oip.GRPCInferenceServiceClient
	model  string

	// opened counts the streams that were needed.
	opened int
	stream grpc.BidiStreamingClient[oip.ModelInferRequest, oip.ModelInferResponse]
	cancel context.CancelFunc
}

func (s *streamCaller) call(ctx context.Context, id string) error {
	if s.stream == nil {
		// It outlives the request that it is opened for.
		streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		opened, err := s.client.ModelStreamInfer(streamCtx)
		if err != nil {
			cancel()
			return err
		}
		s.stream, s.cancel = opened, cancel
		s.opened++
	}
	broken := context.AfterFunc(ctx, s.cancel)
	defer broken()
	err := s.stream.Send(&oip.ModelInferRequest{ModelName: s.model, Id: id, Inputs: tensor})
	var answer *oip.ModelInferResponse
	if err == nil || err == io.EOF { //nolint:errorlint // gRPC's own: Recv has the cause
		answer, err = s.stream.Recv()
	}
	if err != nil {
		s.end()
		return err
	}
	if answer.Id != id {
		return fmt.Errorf("the answer is that of %q", answer.Id)
	}
	return nil
}

// end gives the stream up.
func (s *streamCaller) end() {
	if s.stream != nil {
		s.cancel()
		s.stream = nil
	}
}

// finish closes the stream as a client does that has nothing more to say.
func (s *streamCaller) finish() error {
	if s.stream == nil {
		return nil
	}
	defer s.end()
	if err := s.stream.CloseSend(); err != nil {
		return err
	}
	if _, err := s.stream.Recv(); err != io.EOF { //nolint:errorlint // gRPC's own
		return fmt.Errorf("the stream does not end as it should: %w", err)
	}
	return nil
}

// calls is what came of callers, by name.
type calls map[string]load.Result

// callAll lets callers go on until done is closed, each with a pause between its
// requests. round makes the ids of several loads of the same callers differ.
func callAll(ctx context.Context, all []caller, round string, o load.Options) calls {
	results := make([]load.Result, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			mine := o
			mine.Call = func(ctx context.Context, n int64) error {
				return c.call(ctx, fmt.Sprintf("%s-%s-%d", c.name, round, n))
			}
			results[i] = load.Run(ctx, mine)
		})
	}
	wg.Wait()
	byName := calls{}
	for i, c := range all {
		byName[c.name] = results[i]
	}
	return byName
}

// during lets callers call while something is done, from the moment at which each has
// been answered a few times, and for a while after.
func during(t *testing.T, all []caller, o load.Options, after time.Duration, disturbance func(ctx context.Context) error) calls {
	t.Helper()
	done := make(chan struct{})
	o.Done = done
	flowing := make(chan struct{}, len(all))
	watched := slices.Clone(all)
	for i, c := range all {
		var answered atomic.Int64
		watched[i].call = func(ctx context.Context, id string) error {
			err := c.call(ctx, id)
			if answered.Add(1) == 20 {
				flowing <- struct{}{}
			}
			return err
		}
	}
	var failed error
	go func() {
		defer close(done)
		soon := time.After(30 * time.Second)
		for range all {
			select {
			case <-flowing:
			case <-soon:
				failed = errors.New("not every caller is answered 20 times in 30 s")
				return
			case <-t.Context().Done():
				return
			}
		}
		began := time.Now()
		failed = disturbance(t.Context())
		t.Logf("the disturbance took %s", time.Since(began).Round(time.Millisecond))
		select {
		case <-time.After(after):
		case <-t.Context().Done():
		}
	}()
	r := callAll(t.Context(), watched, "0", o)
	<-done
	t.Log(r)
	require.NoError(t, failed)
	return r
}

func (c calls) sent() (n int64) {
	for _, r := range c {
		n += r.Sent
	}
	return n
}

func (c calls) failures() (all []string) {
	for name, r := range c {
		for _, f := range r.Failures {
			all = append(all, fmt.Sprintf("%s: request %d failed at %s after %s: %v", name, f.N, f.At.Round(time.Millisecond), f.After.Round(time.Millisecond), f.Err))
		}
	}
	slices.Sort(all)
	return all
}

// String has a line for each caller's protocol and one for each failure.
func (c calls) String() string {
	var b strings.Builder
	byProtocol := map[string]load.Result{}
	for name, r := range c {
		protocol := name[:strings.LastIndex(name, "-")]
		sum := byProtocol[protocol]
		sum.Sent += r.Sent
		sum.Failures = append(sum.Failures, r.Failures...)
		sum.Latencies = append(sum.Latencies, r.Latencies...)
		byProtocol[protocol] = sum
	}
	for protocol, sum := range byProtocol {
		slices.Sort(sum.Latencies)
		fmt.Fprintf(&b, "%s: %d sent, %d failed, p50 %s, p99 %s, max %s\n", protocol, sum.Sent, len(sum.Failures),
			sum.Quantile(0.5).Round(10*time.Microsecond), sum.Quantile(0.99).Round(10*time.Microsecond), sum.Quantile(1).Round(time.Millisecond))
	}
	failures := c.failures()
	if len(failures) > 40 {
		failures = append(failures[:40], fmt.Sprintf("and %d more", len(failures)-40))
	}
	return b.String() + strings.Join(failures, "\n")
}

// requireNoFailure fails the test with every failure's cause.
func (c calls) requireNoFailure(t *testing.T) {
	t.Helper()
	require.Empty(t, c.failures())
	for name, r := range c {
		require.NotZero(t, r.Succeeded, name)
	}
}

// books is a ledger: a server outside of all that moves, in which every execution is
// entered by its request's id.
type books struct{ url string }

// openBooks starts the ledger on the first node.
func openBooks(t *testing.T, ns string) books {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "ledger"},
		Spec: corev1.PodSpec{
			NodeName: firstNode(t),
			Containers: []corev1.Container{{
				Name: "ledger", Image: harness.TestServerImage, ImagePullPolicy: corev1.PullIfNotPresent,
			}},
		},
	}
	_, err := env.Kube.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = env.Kubectl(t.Context(), "wait", "-n", ns, "--for=condition=Ready", "--timeout=60s", "pod/ledger")
	require.NoError(t, err)
	pod, err = env.Kube.CoreV1().Pods(ns).Get(t.Context(), "ledger", metav1.GetOptions{})
	require.NoError(t, err)
	return books{url: "http://" + net.JoinHostPort(pod.Status.PodIP, "8080")}
}

// flag makes a test server write to the ledger.
func (b books) flag() string { return "--ledger=" + b.url }

// requireOnce compares the ledger with what was sent: whatever was answered has been
// executed, and nothing twice.
func (b books) requireOnce(t *testing.T, all ...calls) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/ledger", nil)
	require.NoError(t, err)
	resp, err := env.HTTPClient(false).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var e struct {
		Executed, Distinct int64
		Repeated           map[string]int64
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&e))
	var sent, failed int64
	for _, c := range all {
		sent += c.sent()
		failed += int64(len(c.failures()))
	}
	t.Logf("%d requests sent, %d of them failed; %d executed, %d of them more than once", sent, failed, e.Distinct, len(e.Repeated))
	require.Empty(t, e.Repeated, "executed more than once")
	require.GreaterOrEqual(t, e.Distinct, sent-failed)
	require.LessOrEqual(t, e.Distinct, sent)
}

// firstNode is a node that no test loses.
func firstNode(t *testing.T) string {
	t.Helper()
	nodes, err := env.Kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, nodes.Items)
	return nodes.Items[0].Name
}

// counting counts the connections that are opened.
func counting(dial dialer, n *atomic.Int64) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		n.Add(1)
		return dial(ctx, network, address)
	}
}

// serverStats is what a test server counts.
type serverStats struct {
	Executed, MaxInflight, Inflight int64
}

// executedByPod asks the test servers of a service, by the names of their pods.
func executedByPod(t *testing.T, ns, name string) map[string]serverStats {
	t.Helper()
	pods, err := modelPods(t.Context(), ns, name)
	require.NoError(t, err)
	all := map[string]serverStats{}
	for _, p := range pods {
		s, err := statsOf(t.Context(), p)
		require.NoError(t, err)
		all[p.Name] = s
	}
	return all
}

// modelPods are the pods of a service that are to stay.
func modelPods(ctx context.Context, ns, name string) ([]corev1.Pod, error) {
	list, err := env.Kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: "serving.kserve.io/inferenceservice=" + name})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), nil
}

func statsOf(ctx context.Context, p corev1.Pod) (s serverStats, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(p.Status.PodIP, "8080")+"/stats", nil)
	if err != nil {
		return s, err
	}
	resp, err := env.HTTPClient(false).Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// abrupt makes a server finish nothing by itself once it is told to stop, as most do:
// whatever is finished is so because it was not told before.
const abrupt = "--grace=1ms"

// onceOnly is a load of one request that may take long.
var onceOnly = load.Options{Duration: time.Minute, MaxRequests: 1, Timeout: 90 * time.Second}
