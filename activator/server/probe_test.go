package server

import (
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// serveWithAgent applies a route whose pods have an agent on agentPort.
func (r *rig) serveWithAgent(targetPort, agentPort int) {
	r.serve(targetPort, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].AgentPort = int32(agentPort) })
}

func TestAPodIsUsedWhenItsAgentSaysSoAndKubeletDoesNotYet(t *testing.T) {
	r := newRig(t, nil)
	var ready atomic.Bool
	asked := make(chan string, 1000)
	agentPort := backend(t, func(w http.ResponseWriter, q *http.Request) {
		select {
		case asked <- q.URL.RequestURI():
		default:
		}
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	r.serveWithAgent(backend(t, echo), agentPort)
	got := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	r.s.podChanged(nil, podOf("a", "127.0.0.1", false))
	require.Equal(t, "/ready?wait=1s", <-asked)
	ready.Store(true)
	require.Equal(t, 200, (<-got).code)
}

func TestAnAgentThatIsNotUpYetIsAskedUntilItIs(t *testing.T) {
	r := newRig(t, nil)
	agentPort := freePort(t)
	r.serveWithAgent(backend(t, echo), agentPort)
	got := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	r.s.podChanged(nil, podOf("a", "127.0.0.1", false))
	begun := time.Now()
	backendOn(t, fmt.Sprint("127.0.0.1:", agentPort), func(http.ResponseWriter, *http.Request) {})
	require.Equal(t, 200, (<-got).code)
	t.Logf("answered %s after the agent came up", time.Since(begun))
}

func TestWhereTheAgentCannotTellKubeletDoes(t *testing.T) {
	r := newRig(t, nil)
	agentPort := backend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotImplemented) })
	r.serveWithAgent(backend(t, echo), agentPort)
	got := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	before := podOf("a", "127.0.0.1", false)
	r.s.podChanged(nil, before)
	r.s.podChanged(before, podOf("a", "127.0.0.1", true))
	require.Equal(t, 200, (<-got).code)
	r.s.podChanged(podOf("a", "127.0.0.1", true), before)
	held := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	r.s.podChanged(before, podOf("a", "127.0.0.1", true))
	require.Equal(t, 200, (<-held).code)
}

func TestAPodThatKubeletSawFailStaysOutUntilKubeletTakesItBack(t *testing.T) {
	r := newRig(t, nil)
	// Its agent is one failure behind.
	agentPort := backend(t, func(http.ResponseWriter, *http.Request) {})
	r.serveWithAgent(backend(t, echo), agentPort)
	target := (*r.s.routeList.Load())[0].plan.Load().targets[0]
	up, down := podOf("a", "127.0.0.1", true), podOf("a", "127.0.0.1", false)
	r.s.podChanged(nil, up)
	c := client(t, false)
	require.Equal(t, 200, fetch(c, http.MethodPost, r.url("/"), "x").code)
	before := up
	for range 2 {
		r.s.podChanged(before, down)
		before = down
		require.False(t, target.pool.IsReady("a"))
		target.mu.Lock()
		require.Nil(t, target.pods["a"].stop, "nobody asks the agent")
		target.mu.Unlock()
	}
	got := send(c, http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	r.s.podChanged(down, up)
	require.Equal(t, 200, (<-got).code)
}

func TestAPodWhoseServerIsAwayGetsNoMoreRequests(t *testing.T) {
	r := newRig(t, nil)
	var away atomic.Bool
	agentPort := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	r.serveWithAgent(backend(t, func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.Header().Set("Rawserve-Reason", "UpstreamUnreachable")
			w.WriteHeader(http.StatusBadGateway)
		}
	}), agentPort)
	r.s.podChanged(nil, podOf("a", "127.0.0.1", false))
	c := client(t, false)
	require.Equal(t, 200, fetch(c, http.MethodPost, r.url("/"), "x").code)
	away.Store(true)
	require.Equal(t, 502, fetch(c, http.MethodPost, r.url("/"), "x").code)
	got := send(c, http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	away.Store(false)
	require.Equal(t, 200, (<-got).code)
}

func TestATerminatingPodGetsNoNewRequestAndFinishesItsOwn(t *testing.T) {
	r := newRig(t, nil)
	entered, leave := make(chan struct{}), make(chan struct{})
	r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/slow" {
			close(entered)
			<-leave
		}
	}), nil)
	up := podOf("a", "127.0.0.1", true)
	r.s.podChanged(nil, up)
	c := client(t, false)
	slow := send(c, http.MethodGet, r.url("/slow"), "")
	<-entered
	going := up.DeepCopy()
	now := podOf("x", "", false).CreationTimestamp
	going.DeletionTimestamp = &now
	r.s.podChanged(up, going)
	held := send(c, http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	close(leave)
	require.Equal(t, 200, (<-slow).code)
	r.s.podGone(going)
	r.ready("b", "127.0.0.1")
	require.Equal(t, 200, (<-held).code)
}

func TestADeletedPodsProberStops(t *testing.T) {
	r := newRig(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	hung, released := make(chan struct{}), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		close(hung)
		<-q.Context().Done()
		close(released)
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Close() })
	r.serveWithAgent(1, ln.Addr().(*net.TCPAddr).Port)
	p := podOf("a", "127.0.0.1", false)
	r.s.podChanged(nil, p)
	<-hung
	r.s.podGone(p)
	<-released
}
