package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

func debugGet(s *Server, host, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = host
	s.DebugHandler().ServeHTTP(w, r)
	return w
}

func (r *rig) debug() RouteState {
	r.t.Helper()
	w := debugGet(r.s, "localhost:8082", "/debug/routes/models/iris-predictor")
	require.Equal(r.t, http.StatusOK, w.Code, w.Body)
	var out RouteState
	require.NoError(r.t, json.Unmarshal(w.Body.Bytes(), &out))
	return out
}

// TestDebugTellsTheStateOfARoute in the order in which a start goes.
func TestDebugTellsTheStateOfARoute(t *testing.T) {
	r := newRig(t, nil)
	port := backend(t, echo)
	r.serve(port, func(s *v1alpha1.InferenceRouteSpec) { s.ContainerConcurrency = 2 })
	key := types.NamespacedName{Namespace: "models", Name: "iris-predictor"}
	rt := r.s.find(key)
	rt.plan.Load().targets[0].pool.SetMember(activator.Member{Count: 1})
	held := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	<-r.scales.raised
	require.Eventually(t, func() bool { return r.debug().Targets[0].Start.LastRaise != nil }, 10*time.Second, time.Millisecond)
	got := r.debug()
	require.EqualValues(t, 1, got.Queue.Held)
	require.NotEqual(t, "0s", got.Queue.OldestWait)
	require.Equal(t, map[string]string{strconv.Itoa(r.port): strconv.Itoa(port)}, got.Ports)
	require.Equal(t, "10m0s", got.Timeouts.Queue)
	require.Len(t, got.Targets, 1)
	require.Equal(t, 1, got.Targets[0].Waiting)
	require.Equal(t, 2, got.Targets[0].ContainerConcurrency)
	require.EqualValues(t, 1, got.Targets[0].Start.LastRaise.To)
	require.NotNil(t, got.Targets[0].Start.WaitingSince)

	r.ready("a", "127.0.0.1")
	require.Equal(t, http.StatusOK, (<-held).code)
	require.Eventually(t, func() bool { s := r.debug(); return s.Targets[0].Start.LastStart != nil && s.Queue.Held == 0 }, 10*time.Second, time.Millisecond)
	got = r.debug()
	require.Nil(t, got.Targets[0].Start.WaitingSince)
	require.Equal(t, []PodState{{Name: "a", Address: "127.0.0.1", Phase: "Running", Takes: true, Share: 2}}, got.Targets[0].Pods)

	var list []RouteSummary
	require.NoError(t, json.Unmarshal(debugGet(r.s, "127.0.0.1:8082", "/debug/routes").Body.Bytes(), &list))
	require.Equal(t, []RouteSummary{{Namespace: "models", Name: "iris-predictor", Targets: []SummaryOfStart{{Revision: "iris-predictor-00001", Ready: 1}}}}, list)
	unknown := debugGet(r.s, "localhost", "/debug/routes/models/other")
	require.Equal(t, http.StatusNotFound, unknown.Code)
	require.Contains(t, unknown.Body.String(), "serves no route models/other")
}

func TestDebugRemembersTheLastTwentyEjections(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, nil)
	target := r.s.find(types.NamespacedName{Namespace: "models", Name: "iris-predictor"}).plan.Load().targets[0]
	for i := range 25 {
		r.s.ejected(target, fmt.Sprintf("pod-%d", i), ejectedBroken, io.ErrUnexpectedEOF)
	}
	got := r.debug().Ejections
	require.Len(t, got, 20)
	require.Equal(t, "pod-24", got[0].Pod, "the latest first")
	require.Equal(t, "pod-5", got[19].Pod)
	require.Equal(t, "broken", got[0].Cause)
	require.Equal(t, "unexpected EOF", got[0].Error)
	require.Equal(t, "iris-predictor-00001", got[0].Revision)
	require.False(t, got[0].At.IsZero())
}

// TestDebugIsReachedOnLoopbackOnly starts it as the process does, and asks on every
// address that this machine has.
func TestDebugIsReachedOnLoopbackOnly(t *testing.T) {
	port := freePort(t)
	r := newRig(t, func(c *Config) { c.BindAddress = "" })
	r.s.config.Debug.Port = port
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.s.Debug().Run(ctx) }()
	defer func() {
		stop()
		require.NoError(t, <-ended)
	}()
	url := func(host, path string) string { return "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + path }
	c := client(t, false)
	require.Eventually(t, func() bool {
		return fetch(c, http.MethodGet, url("127.0.0.1", "/debug/routes"), "").code == http.StatusOK
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusOK, fetch(c, http.MethodGet, url("127.0.0.1", "/debug/pprof/goroutine?debug=1"), "").code)
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	others := []string{"127.0.0.2"} // another address of loopback is another address
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			others = append(others, n.IP.String())
		}
	}
	for _, host := range others {
		require.Error(t, fetch(c, http.MethodGet, url(host, "/debug/routes"), "").err, host)
	}
	// Nor on the port that everybody in the cluster may ask.
	for _, path := range []string{"/debug/routes", "/debug/pprof/"} {
		w := httptest.NewRecorder()
		r.s.AdminHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusNotFound, w.Code, path)
	}
}

// TestDebugIsNotReadByAPageUnderAnotherName whose address was changed to 127.0.0.1.
func TestDebugIsNotReadByAPageUnderAnotherName(t *testing.T) {
	r := newRig(t, nil)
	for host, want := range map[string]int{"localhost:8082": 200, "127.0.0.1:9000": 200, "[::1]:8082": 200, "localhost": 200, "evil.example.com": 403, "evil.example.com:8082": 403, "": 403} {
		require.Equal(t, want, debugGet(r.s, host, "/debug/routes").Code, host)
	}
}

func TestAnActivatorWhoseDebugPortIsTakenServes(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	r := newRig(t, nil)
	r.s.config.Debug.Port = ln.Addr().(*net.TCPAddr).Port
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.s.Debug().Run(ctx) }()
	select {
	case err := <-ended:
		require.Fail(t, "the process would end", "%v", err)
	case <-time.After(50 * time.Millisecond):
	}
	stop()
	require.NoError(t, <-ended)
}
