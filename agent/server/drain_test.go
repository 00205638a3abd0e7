package server

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/agent"
)

// modelServer is a server that can be stopped and started on the same port.
type modelServer struct {
	t       testing.TB
	addr    string
	handler http.HandlerFunc
	http    *http.Server
}

func newModelServer(t testing.TB, handler http.HandlerFunc) *modelServer {
	m := &modelServer{t: t, addr: "127.0.0.1:0", handler: handler}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *modelServer) start() {
	ln, err := net.Listen("tcp", m.addr)
	require.NoError(m.t, err)
	m.addr = ln.Addr().String()
	m.http = &http.Server{Handler: m.handler, Protocols: new(http.Protocols)}
	m.http.Protocols.SetHTTP1(true)
	m.http.Protocols.SetUnencryptedHTTP2(true)
	srv := m.http
	go func() { _ = srv.Serve(ln) }()
}

func (m *modelServer) stop() { m.http.Close() }

func (m *modelServer) probe() *agent.Probe {
	_, port, err := net.SplitHostPort(m.addr)
	require.NoError(m.t, err)
	p, err := agent.ParseProbe(fmt.Sprintf(`{"httpGet":{"path":"/","port":%s}}`, port))
	require.NoError(m.t, err)
	return p
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, 30*time.Second, time.Millisecond, what)
}

func ok(http.ResponseWriter, *http.Request) {}

// TestADrainIsOverOnceTheServerIsBack: kubelet runs the preStop hook also before it
// restarts a container whose liveness probe failed. The pod stays, and so does the agent.
func TestADrainIsOverOnceTheServerIsBack(t *testing.T) {
	for _, probed := range []bool{true, false} {
		t.Run(fmt.Sprintf("probed %t", probed), func(t *testing.T) {
			m := newModelServer(t, ok)
			r := newRig(t, m.addr, func(c *Config) {
				c.DrainQuiet = 10 * time.Millisecond
				if probed {
					c.Probe = m.probe()
				}
			})
			for range 2 { // it may happen again
				if probed {
					require.Equal(t, 200, r.get("/ready?wait=10s").code)
				}
				require.Equal(t, 200, r.get("/drain").code)
				if probed {
					require.Equal(t, 503, r.get("/ready").code)
				}
				d := r.s.draining.Load()
				require.NotNil(t, d)
				m.stop()
				eventually(t, "the server's end is noticed", d.away.Load)
				require.Same(t, d, r.s.draining.Load(), "the pod may be stopping")
				m.start()
				eventually(t, "the drain is over", func() bool { return r.s.draining.Load() == nil })
				if probed {
					require.Equal(t, 200, r.get("/ready").code)
				}
				got := fetch(client(t, false), http.MethodGet, "http://"+r.addr, "")
				require.Equal(t, 200, got.code)
				require.False(t, got.closes)
			}
		})
	}
}

func TestADrainThatTheAgentsOwnStopFollowsIsNeverOver(t *testing.T) {
	m := newModelServer(t, ok)
	r := newRig(t, m.addr, func(c *Config) { c.DrainQuiet = 10 * time.Millisecond })
	require.Equal(t, 200, r.get("/drain").code)
	d := r.s.draining.Load()
	r.stop()
	<-r.ended
	r.s.endDrain(d, "it is back")
	require.Same(t, d, r.s.draining.Load())
}

// TestAfterTheDrainARequestWhoseServerIsGoneIsToldSo: kubelet stops the server once
// the drain has answered, and the agent only after it.
func TestAfterTheDrainARequestWhoseServerIsGoneIsToldSo(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", h2), func(t *testing.T) {
			m := newModelServer(t, ok)
			r := newRig(t, m.addr, func(c *Config) { c.DrainQuiet = 10 * time.Millisecond })
			require.Equal(t, 200, r.get("/drain").code)
			require.Equal(t, 200, fetch(client(t, h2), http.MethodPost, "http://"+r.addr, "x").code, "it is still there")
			m.stop()
			got := fetch(client(t, h2), http.MethodPost, "http://"+r.addr, "x")
			require.Equal(t, 503, got.code)
			require.Equal(t, "Draining", got.header.Get("Rawserve-Reason"))
			require.Equal(t, "1", got.header.Get("Retry-After"))
			require.Equal(t, !h2, got.closes)
		})
	}
}
