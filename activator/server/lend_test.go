package server

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// modelPod is a pod with room for one request and an agent that knows of it, on an
// address of its own.
type modelPod struct {
	ip      string
	mu      sync.Mutex
	inside  int
	waiting int
	asked   chan struct{} // one value for each look at its load
	entered chan string
	leave   chan struct{}
}

func (m *modelPod) set(inside, waiting int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inside, m.waiting = inside, waiting
}

func (m *modelPod) agent(w http.ResponseWriter, q *http.Request) {
	if q.URL.Path != "/stats" {
		return
	}
	m.mu.Lock()
	fmt.Fprintf(w, `{"inflight": %d, "queued": %d}`, m.inside, m.waiting)
	m.mu.Unlock()
	select {
	case m.asked <- struct{}{}:
	default:
	}
}

func (m *modelPod) serve(_ http.ResponseWriter, q *http.Request) {
	m.entered <- q.URL.Path
	<-m.leave
}

// podsWithAgents are pods whose servers and agents have the same ports, as pods have.
func podsWithAgents(t *testing.T, n int) (pods []*modelPod, port, agentPort int) {
	listen := func(ip string, port int) net.Listener {
		ln, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
		require.NoError(t, err)
		return ln
	}
	for i := range n {
		m := &modelPod{
			ip: fmt.Sprint("127.0.0.", i+11), asked: make(chan struct{}, 1),
			entered: make(chan string, 10), leave: make(chan struct{}),
		}
		pods = append(pods, m)
		for _, s := range []struct {
			port    *int
			handler http.HandlerFunc
		}{{&port, m.serve}, {&agentPort, m.agent}} {
			ln := listen(m.ip, *s.port)
			*s.port = ln.Addr().(*net.TCPAddr).Port
			srv := &http.Server{Handler: s.handler}
			go func() { _ = srv.Serve(ln) }()
			t.Cleanup(func() { srv.Close() })
		}
	}
	return pods, port, agentPort
}

// oneOfTwo is an activator that shares a route with another one, and the pool of
// the route's pods, each for one request at a time.
func oneOfTwo(t *testing.T, pods []*modelPod, port, agentPort int) (*rig, *activator.Pool) {
	r := newRig(t, nil)
	r.serve(port, func(s *v1alpha1.InferenceRouteSpec) {
		s.ContainerConcurrency = 1
		s.Targets[0].AgentPort = int32(agentPort)
	})
	both := r.route.DeepCopy()
	both.Status.Activators = []v1alpha1.ActivatorAck{{Name: "activator-1", Generation: 1}, {Name: "activator-2", Generation: 1}}
	r.s.routeHandler(make(chan struct{}, 1)).OnUpdate(r.route, both)
	pool := r.s.find(types.NamespacedName{Namespace: "models", Name: "iris-predictor"}).plan.Load().targets[0].pool
	require.True(t, pool.Divided())
	return r, pool
}

func TestAnActivatorBorrowsWhatTheOtherLeavesUnused(t *testing.T) {
	for name, fromZero := range map[string]bool{"warm": false, "from zero": true} {
		t.Run(name, func(t *testing.T) {
			pods, port, agentPort := podsWithAgents(t, 2)
			r, pool := oneOfTwo(t, pods, port, agentPort)
			ready := func() {
				for i, m := range pods {
					r.s.podChanged(nil, podOf(fmt.Sprint("pod-", i), m.ip, true))
				}
			}
			c := client(t, false)
			var replies []<-chan reply
			if !fromZero {
				ready()
				require.Eventually(t, func() bool { _, n := pool.Waiting(); return n == 2 }, 10*time.Second, time.Millisecond)
			}
			for range 2 {
				replies = append(replies, send(c, http.MethodGet, r.url("/"), ""))
			}
			if fromZero {
				r.waiting(2)
				ready()
			}
			// One in each, though only one of the pods is its own.
			<-pods[0].entered
			<-pods[1].entered
			for _, m := range pods {
				close(m.leave)
			}
			for _, ch := range replies {
				require.Equal(t, 200, (<-ch).code)
			}
		})
	}
}

func TestAnActivatorLeavesTheOtherWhatItUses(t *testing.T) {
	pods, port, agentPort := podsWithAgents(t, 2)
	r, pool := oneOfTwo(t, pods, port, agentPort)
	for _, m := range pods {
		m.set(1, 0) // by the other one's requests, as far as they are not ours
	}
	for i, m := range pods {
		r.s.podChanged(nil, podOf(fmt.Sprint("pod-", i), m.ip, true))
	}
	require.Eventually(t, func() bool { _, n := pool.Waiting(); return n == 2 }, 10*time.Second, time.Millisecond)
	c := client(t, false)
	first := send(c, http.MethodGet, r.url("/first"), "")
	var own, others *modelPod
	select {
	case <-pods[0].entered:
		own, others = pods[0], pods[1]
	case <-pods[1].entered:
		own, others = pods[1], pods[0]
	}
	second := send(c, http.MethodGet, r.url("/second"), "")
	r.waiting(1)
	for range 3 {
		<-others.asked
	}
	require.Empty(t, others.entered)
	require.EqualValues(t, 1, r.stats().Waiting)
	// The other one's request is done.
	others.set(0, 0)
	require.Equal(t, "/second", <-others.entered)
	close(own.leave)
	close(others.leave)
	require.Equal(t, 200, (<-first).code)
	require.Equal(t, 200, (<-second).code)
}
