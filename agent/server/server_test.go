package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/rawserve/rawserve/agent"
)

func TestRequestsPassUnchangedAndAreCounted(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", h2), func(t *testing.T) {
			r := newRig(t, upstream(t, func(w http.ResponseWriter, q *http.Request) {
				body, _ := io.ReadAll(q.Body)
				fmt.Fprintf(w, "%s %s %s %d %v %s", q.Method, q.RequestURI, q.Host, q.ProtoMajor, q.Header["X-Forwarded-For"], body)
			}), nil)
			got := fetch(client(t, h2), http.MethodPost, "http://"+r.addr+"/v1/models/iris:predict?a=b", "hello")
			proto := 1
			if h2 {
				proto = 2
			}
			require.Equal(t, fmt.Sprintf("POST /v1/models/iris:predict?a=b %s %d [] hello", r.addr, proto), got.body)
			require.Eventually(t, func() bool { return r.stats().Completed == 1 }, 5*time.Second, time.Millisecond)
			st := r.stats()
			require.EqualValues(t, 1, st.Requests)
			require.Zero(t, st.InFlight)
			require.Positive(t, st.InFlightSeconds)
			require.Positive(t, st.StartedAt)
			require.Greater(t, st.Now, st.StartedAt)
			metrics := r.get("/metrics").body
			require.Contains(t, metrics, "rawserve_agent_requests_total{code=\"2xx\"} 1\n")
			require.Contains(t, metrics, "rawserve_agent_first_byte_seconds_count 1\n")
			require.NotContains(t, metrics, "server_ready_timestamp", "this pod's readiness is kubelet's")
		})
	}
}

func TestAStreamIsInFlightUntilItsEnd(t *testing.T) {
	next := make(chan struct{})
	r := newRig(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "token\n")
		w.(http.Flusher).Flush()
		<-next
	}), nil)
	res, err := client(t, false).Get("http://" + r.addr)
	require.NoError(t, err)
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "token\n", line)
	require.EqualValues(t, 1, r.stats().InFlight)
	close(next)
	require.Eventually(t, func() bool { return r.stats().InFlight == 0 }, 5*time.Second, time.Millisecond)
}

func TestTheLimitIsHardAndTheRestWaitInOrder(t *testing.T) {
	var inside, most atomic.Int64
	var mu sync.Mutex
	var order []string
	step := make(chan struct{})
	r := newRig(t, upstream(t, func(_ http.ResponseWriter, q *http.Request) {
		n := inside.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		mu.Lock()
		order = append(order, q.URL.Path)
		mu.Unlock()
		<-step
		inside.Add(-1)
	}), func(c *Config) { c.ContainerConcurrency, c.QueueDepth = 1, 4 })
	c := client(t, false)
	replies := make(chan reply, 5)
	for i := range 5 {
		go func() { replies <- fetch(c, http.MethodPost, fmt.Sprintf("http://%s/%d", r.addr, i), "x") }()
		require.Eventually(t, func() bool { return r.stats().InFlight == int64(i+1) }, 5*time.Second, time.Millisecond)
		r.queued(i)
	}
	require.Equal(t, 4, r.stats().Queued)
	full := fetch(c, http.MethodPost, "http://"+r.addr+"/x", "x")
	require.Equal(t, 503, full.code)
	require.Equal(t, "QueueFull", full.header.Get("Rawserve-Reason"))
	require.Equal(t, "1", full.header.Get("Retry-After"))
	for range 5 {
		step <- struct{}{}
	}
	for range 5 {
		require.Equal(t, 200, (<-replies).code)
	}
	require.EqualValues(t, 1, most.Load())
	require.Equal(t, []string{"/0", "/1", "/2", "/3", "/4"}, order)
}

func TestNoRequestOfAClientThatLeftTheQueueIsExecuted(t *testing.T) {
	sized := func(n int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n", n) + strings.Repeat("x", n)
	}
	chunked := func(n int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", n) + strings.Repeat("x", n) + "\r\n0\r\n\r\n"
	}
	for name, c := range map[string]struct {
		request string
		clients int
	}{
		"no body":          {"GET / HTTP/1.1\r\nHost: m\r\n\r\n", 200},
		"512 B":            {sized(512), 200},
		"512 B in a chunk": {chunked(512), 200},
		"100 KB":           {sized(100 << 10), 200},
		"10 MB":            {sized(10 << 20), 5},
	} {
		for _, when := range []string{"while waiting", "just before the turn"} {
			t.Run(name+", "+when, func(t *testing.T) {
				var executed atomic.Int64
				leave := make(chan struct{})
				r := newRig(t, upstream(t, func(_ http.ResponseWriter, q *http.Request) {
					executed.Add(1)
					if q.URL.Path == "/first" {
						<-leave
					}
				}), func(c *Config) { c.ContainerConcurrency, c.QueueDepth = 1, 1000 })
				first := make(chan reply, 1)
				go func() { first <- fetch(client(t, false), http.MethodGet, "http://"+r.addr+"/first", "") }()
				require.Eventually(t, func() bool { return executed.Load() == 1 }, 5*time.Second, time.Millisecond)
				var conns []net.Conn
				for range c.clients {
					conn, err := net.Dial("tcp", r.addr)
					require.NoError(t, err)
					_, err = io.WriteString(conn, c.request)
					require.NoError(t, err)
					conns = append(conns, conn)
				}
				r.queued(c.clients)
				for _, conn := range conns {
					conn.Close()
				}
				if when == "while waiting" {
					r.queued(0)
				}
				close(leave)
				require.Equal(t, 200, (<-first).code)
				require.Equal(t, 200, fetch(client(t, false), http.MethodPost, "http://"+r.addr+"/last", "x").code)
				require.EqualValues(t, 2, executed.Load())
				require.Eventually(t, func() bool {
					return r.stats().InFlight == 0 && r.s.memory.Used() == 0 && r.s.spool.Used() == 0
				}, 5*time.Second, time.Millisecond)
			})
		}
	}
}

func TestReadyAnswersAsSoonAsTheServerDoes(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	probe, err := agent.ParseProbe(fmt.Sprintf(`{"httpGet":{"path":"/health","port":%d,"httpHeaders":[{"name":"X-Key","value":"k"}]}}`, port))
	require.NoError(t, err)
	r := newRig(t, ln.Addr().String(), func(c *Config) { c.Probe = probe })
	require.Equal(t, 503, r.get("/ready").code)
	require.Equal(t, 503, r.get("/ready?wait=20ms").code)
	require.Equal(t, 400, r.get("/ready?wait=soon").code)

	var ready atomic.Bool
	asked := make(chan reply, 1)
	go func() { asked <- r.get("/ready?wait=10s") }()
	ln, err = net.Listen("tcp", ln.Addr().String())
	require.NoError(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !ready.Load() || q.URL.Path != "/health" || q.Header.Get("X-Key") != "k" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go func() { _ = srv.Serve(ln) }()
	ready.Store(true)
	require.Equal(t, 200, (<-asked).code)
	require.Equal(t, 200, r.get("/ready").code)
	require.Regexp(t, `(?m)^rawserve_agent_server_ready_timestamp_seconds \d+\.\d+$`, r.get("/metrics").body)

	// The server is gone: the first request that finds out ends the readiness.
	srv.Close()
	got := fetch(client(t, false), http.MethodPost, "http://"+r.addr, "x")
	require.Equal(t, 503, got.code)
	require.Equal(t, "ServerDown", got.header.Get("Rawserve-Reason"), "nothing was sent to anybody: another pod may be tried")
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Equal(t, 503, r.get("/ready").code)
}

func TestAConnectionThatBreaksAfterTheRequestWasSentIsAnotherMatter(t *testing.T) {
	r := newRig(t, upstream(t, func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		panic(http.ErrAbortHandler)
	}), nil)
	got := fetch(client(t, false), http.MethodPost, "http://"+r.addr, "x")
	require.Equal(t, 502, got.code)
	require.Equal(t, "UpstreamUnreachable", got.header.Get("Rawserve-Reason"), "the model may have done what was asked")
	require.Empty(t, got.header.Get("Retry-After"))
}

func TestWithoutAProbeOnlyKubeletCanTell(t *testing.T) {
	r := newRig(t, "127.0.0.1:1", nil)
	require.Equal(t, 501, r.get("/ready?wait=1s").code)
	require.Equal(t, 200, r.get("/healthz").code)
}

func TestQuestionsByTCPAndGRPC(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := agent.Port(ln.Addr().(*net.TCPAddr).Port)
	h := health.NewServer()
	h.SetServingStatus("loaded", grpc_health_v1.HealthCheckResponse_SERVING)
	h.SetServingStatus("loading", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	g := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(g, h)
	go func() { _ = g.Serve(ln) }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ask := func(p agent.Probe) agent.Reply { return question(&p)(ctx) }
	require.Equal(t, agent.Ready, ask(agent.Probe{TCPSocket: &agent.TCPSocket{Port: port}}))
	require.Equal(t, agent.Ready, ask(agent.Probe{GRPC: &agent.GRPC{Port: port}}))
	require.Equal(t, agent.Ready, ask(agent.Probe{GRPC: &agent.GRPC{Port: port, Service: "loaded"}}))
	require.Equal(t, agent.Unready, ask(agent.Probe{GRPC: &agent.GRPC{Port: port, Service: "loading"}}))
	require.Equal(t, agent.Unready, ask(agent.Probe{GRPC: &agent.GRPC{Port: port, Service: "unknown"}}))
	g.Stop()
	require.Equal(t, agent.Refused, ask(agent.Probe{TCPSocket: &agent.TCPSocket{Port: port}}))
	require.Equal(t, agent.Refused, ask(agent.Probe{GRPC: &agent.GRPC{Port: port}}))
	require.Equal(t, agent.Refused, ask(agent.Probe{HTTPGet: &agent.HTTPGet{Port: port, Scheme: "http", Path: "/"}}))
}

func TestADrainEndsConnectionsAndWaitsForThoseInside(t *testing.T) {
	leave := make(chan struct{})
	entered := make(chan struct{}, 2)
	r := newRig(t, upstream(t, func(_ http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/slow" {
			entered <- struct{}{}
			<-leave
		}
	}), func(c *Config) { c.DrainQuiet = 50 * time.Millisecond })
	slow := make(chan reply, 1)
	c := client(t, false)
	go func() { slow <- fetch(c, http.MethodGet, "http://"+r.addr+"/slow", "") }()
	<-entered
	require.False(t, fetch(c, http.MethodGet, "http://"+r.addr+"/", "").closes)
	drained := make(chan reply, 1)
	go func() { drained <- r.get("/drain") }()
	require.Eventually(t, func() bool { return r.s.draining.Load() != nil }, 5*time.Second, time.Millisecond)
	late := fetch(c, http.MethodGet, "http://"+r.addr+"/", "")
	require.Equal(t, 200, late.code, "who still comes is served")
	require.True(t, late.closes)
	select {
	case <-drained:
		t.Fatal("drained with a request inside")
	default:
	}
	begun := r.s.draining.Load().Since
	close(leave)
	require.Equal(t, 200, (<-slow).code)
	require.Equal(t, 200, (<-drained).code)
	require.GreaterOrEqual(t, time.Since(begun), 50*time.Millisecond)
	require.Equal(t, 200, r.get("/drain").code, "a second call finds it done")
}

func TestADrainEndsAtItsTimeout(t *testing.T) {
	leave := make(chan struct{})
	entered := make(chan struct{})
	r := newRig(t, upstream(t, func(http.ResponseWriter, *http.Request) { close(entered); <-leave }),
		func(c *Config) { c.DrainTimeout = 30 * time.Millisecond })
	slow := make(chan reply, 1)
	go func() { slow <- fetch(client(t, false), http.MethodGet, "http://"+r.addr, "") }()
	<-entered
	require.Equal(t, 200, r.get("/drain").code)
	close(leave)
	<-slow
}

func TestConfigSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	c := Default()
	require.ErrorContains(t, c.Validate(), "--forward: none is given")
	require.ErrorContains(t, c.Forwards.Set("9081"), `"9081" is not LISTEN:SERVER`)
	require.NoError(t, c.Forwards.Set("9081:8080"))
	require.NoError(t, c.Validate())
	require.NoError(t, c.Forwards.Set("9081:8081"))
	require.NoError(t, c.Forwards.Set("9082:9082"))
	require.NoError(t, c.Forwards.Set("0:70000"))
	c.ContainerConcurrency, c.QueueDepth, c.DrainTimeout = -1, -1, 0
	err := c.Validate()
	for _, want := range []string{
		"port 9081 is listened on already", "port 9082 is listened on already", "9082:9082 leads to itself", "0:70000 has a port outside",
		"--container-concurrency: -1", "--queue-depth: -1", "--drain-timeout",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, 100, (&Config{ContainerConcurrency: 2}).queueDepth())
	require.Equal(t, 500, (&Config{ContainerConcurrency: 50}).queueDepth())
}

func TestAHealthReplyIsReadCarefully(t *testing.T) {
	for name, c := range map[string]struct {
		frame []byte
		want  bool
	}{
		"serving":           {[]byte{0, 0, 0, 0, 2, 8, 1}, true},
		"not serving":       {[]byte{0, 0, 0, 0, 2, 8, 2}, false},
		"an empty message":  {[]byte{0, 0, 0, 0, 0}, false},
		"compressed":        {[]byte{1, 0, 0, 0, 2, 8, 1}, false},
		"cut off":           {[]byte{0, 0, 0, 0, 9, 8, 1}, false},
		"no value":          {[]byte{0, 0, 0, 0, 1, 8}, false},
		"nothing":           {nil, false},
		"a field after it":  {[]byte{0, 0, 0, 0, 5, 8, 1, 18, 1, 'x'}, true},
		"an endless varint": {[]byte{0, 0, 0, 0, 2, 0x88, 0x88}, false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, serving(c.frame)) })
	}
}
