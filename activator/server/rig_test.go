package server

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// fakeScales is one Deployment's scale.
type fakeScales struct {
	mu        sync.Mutex
	replicas  int32
	version   int
	explicit  bool  // a zero is written out, and so is not recognised in one step
	conflicts int   // how many writes meet one of somebody else's that leaves it at zero
	rival     int32 // what somebody else sets before the last write is tried
	refuse    bool  // no write is ever taken
	fail      error // what every call fails with
	calls     []string
	writes    []int32
	raised    chan struct{} // one value for each write
}

func newFakeScales(replicas int32) *fakeScales {
	return &fakeScales{replicas: replicas, raised: make(chan struct{}, 100)}
}

func (f *fakeScales) GetScale(_ context.Context, namespace, name string) (*autoscalingv1.Scale, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "get")
	if f.fail != nil {
		return nil, f.fail
	}
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: strconv.Itoa(f.version)},
		Spec:       autoscalingv1.ScaleSpec{Replicas: f.replicas},
	}, nil
}

func (f *fakeScales) RaiseScale(_ context.Context, _, _ string, r Raise) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "raise")
	switch {
	case f.fail != nil:
		return false, f.fail
	case f.refuse:
		return false, nil
	case f.conflicts > 0:
		f.conflicts--
		f.version++
		return false, nil
	case f.rival > 0 && (r.ResourceVersion != "" || !f.explicit):
		f.replicas, f.rival = f.rival, 0
		f.version++
	}
	if r.ResourceVersion == "" && (f.explicit || f.replicas != 0) {
		return false, nil
	}
	if r.ResourceVersion != "" && r.ResourceVersion != strconv.Itoa(f.version) {
		return false, nil
	}
	f.version++
	f.replicas = r.To
	f.writes = append(f.writes, f.replicas)
	f.raised <- struct{}{}
	return true, nil
}

func (f *fakeScales) written() []int32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int32{}, f.writes...)
}

type noAcks struct{}

func (noAcks) Acknowledge(context.Context, types.NamespacedName, types.UID, v1alpha1.ActivatorAck) error {
	return nil
}

// rig is an activator on loopback with one route.
type rig struct {
	t      testing.TB
	s      *Server
	scales *fakeScales
	port   int
	route  *v1alpha1.InferenceRoute
	stop   context.CancelFunc
	ended  chan struct{}
	serial int64
}

func newRig(t testing.TB, change func(*Config)) *rig { return newRigWith(t, change, nil) }

// newRigWith lets the options be changed too.
func newRigWith(t testing.TB, change func(*Config), options func(*Options)) *rig {
	config := Default()
	config.BindAddress = "127.0.0.1"
	config.Queue.SpoolDir = t.TempDir()
	config.Shutdown.Delay = metav1.Duration{}
	config.Shutdown.Timeout = metav1.Duration{Duration: 5 * time.Second}
	if change != nil {
		change(&config)
	}
	require.NoError(t, config.Validate())
	scales := newFakeScales(0)
	o := Options{
		Config: config, Pod: types.NamespacedName{Namespace: "rawserve-system", Name: "activator-1"},
		Scales: scales, Acks: noAcks{}, Log: slog.New(slog.DiscardHandler),
	}
	if options != nil {
		options(&o)
	}
	s, err := New(o)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	r := &rig{t: t, s: s, scales: scales, port: freePort(t), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		_ = s.Serve(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
	})
	return r
}

// nextPort goes through the ports of routes.
var nextPort atomic.Int32

// freePort finds a port that nobody listens on, among those of routes. Servers
// that listen on a port of the kernel's choice get one above them, so none of
// them takes it before the route does.
func freePort(t testing.TB) int {
	for range 1000 {
		port := 10_000 + int(nextPort.Add(1))%22_000
		if ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			ln.Close()
			return port
		}
	}
	require.FailNow(t, "no port of routes is free")
	return 0
}

// serve applies a route to the pods' port; change may alter it first.
func (r *rig) serve(targetPort int, change func(*v1alpha1.InferenceRouteSpec)) map[types.NamespacedName]ack {
	r.serial++
	r.route = &v1alpha1.InferenceRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "models", Name: "iris-predictor", UID: "u", Generation: r.serial},
		Spec: v1alpha1.InferenceRouteSpec{
			ServiceName: "iris-predictor",
			Ports:       []v1alpha1.RoutePort{{ServicePort: 80, TargetPort: int32(targetPort), ListenPort: int32(r.port)}},
			Targets: []v1alpha1.RouteTarget{{
				Revision: "iris-predictor-00001", DeploymentName: "iris-predictor", Weight: 100,
				PodSelector: map[string]string{"rawserve.dev/revision": "iris-predictor-00001"},
			}},
		},
	}
	if change != nil {
		change(&r.route.Spec)
	}
	return r.s.applyRoutes([]*v1alpha1.InferenceRoute{r.route}, time.Now())
}

// podOf is a ready pod of the route's first target.
func podOf(name, ip string, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "models", Name: name, UID: types.UID(name),
			Labels: map[string]string{"rawserve.dev/revision": "iris-predictor-00001"},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
		},
	}
}

func (r *rig) ready(name, ip string) { r.s.podChanged(nil, podOf(name, ip, true)) }

func (r *rig) url(path string) string { return "http://" + r.addr() + path }
func (r *rig) addr() string           { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

func (r *rig) stats() RouteStats {
	all := r.s.Stats()
	require.Len(r.t, all.Routes, 1)
	return all.Routes[0]
}

// waiting waits until exactly n requests are held.
func (r *rig) waiting(n int64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.stats().Waiting == n }, 30*time.Second, time.Millisecond)
}

// backend serves handler on 127.0.0.1, for HTTP/1.1 and HTTP/2 without TLS.
func backend(t testing.TB, handler http.HandlerFunc) int {
	_, port := backendOn(t, "127.0.0.1:0", handler)
	return port
}

func backendOn(t testing.TB, addr string, handler http.HandlerFunc) (*httptest.Server, int) {
	ln, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	b := httptest.NewUnstartedServer(handler)
	b.Listener.Close()
	b.Listener = ln
	b.Config.Protocols = new(http.Protocols)
	b.Config.Protocols.SetHTTP1(true)
	b.Config.Protocols.SetUnencryptedHTTP2(true)
	b.Start()
	t.Cleanup(b.Close)
	return b, ln.Addr().(*net.TCPAddr).Port
}

// echo answers with the request's body. It reads it to the end first: Go's
// HTTP/1.1 server drops what is unread once the response begins.
func echo(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	_, _ = w.Write(body)
}

// client is an HTTP/1.1 client, or one that speaks HTTP/2 from the first byte.
func client(t testing.TB, h2 bool) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 1000, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// reply is a whole response.
type reply struct {
	code   int
	body   string
	header http.Header
	err    error
}

func fetch(c *http.Client, method, url, body string) reply {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	res, err := c.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, string(b), res.Header, err}
}

// send starts a request and returns where its response will be.
func send(c *http.Client, method, url, body string) <-chan reply {
	out := make(chan reply, 1)
	go func() { out <- fetch(c, method, url, body) }()
	return out
}

// raw opens a connection and writes a request on it.
func raw(t testing.TB, addr, request string) (net.Conn, *bufio.Reader) {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	return conn, bufio.NewReader(conn)
}
