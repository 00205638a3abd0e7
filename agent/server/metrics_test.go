package server

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/agent"
	"github.com/rawserve/rawserve/internal/metricsdoc"
)

// readyProbe asks a server that says yes.
func readyProbe(t *testing.T, upstream string) *agent.Probe {
	t.Helper()
	p, err := agent.ParseProbe(`{"httpGet":{"path":"/","port":` + upstream[strings.LastIndex(upstream, ":")+1:] + `,"host":"127.0.0.1"},"periodSeconds":1}`)
	require.NoError(t, err)
	return p
}

// TestTheMetricsAreWhatPrometheusExpects reads every line, as a scrape does, of an
// agent that has all there is: a limit, a probe and traffic.
func TestTheMetricsAreWhatPrometheusExpects(t *testing.T) {
	up := upstream(t, func(http.ResponseWriter, *http.Request) {})
	r := newRig(t, up, func(c *Config) { c.ContainerConcurrency, c.Probe = 1, readyProbe(t, up) })
	require.Equal(t, http.StatusOK, fetch(client(t, false), http.MethodPost, "http://"+r.addr+"/", "x").code)
	require.Equal(t, http.StatusOK, r.get("/ready?wait=10s").code)
	text := r.get("/metrics").body
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	doc, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	served, err := metricsdoc.Served(strings.NewReader(text))
	require.NoError(t, err)
	require.Empty(t, metricsdoc.Compare(metricsdoc.Parse(string(doc)), served, "rawserve_agent_"))
	require.Contains(t, text, "rawserve_agent_server_ready_timestamp_seconds")
	require.Contains(t, text, "rawserve_agent_max_requests 1\n")
	require.Contains(t, text, "rawserve_agent_max_queued_requests 100\n")
	require.Contains(t, text, "rawserve_agent_rejections_total{reason=\"QueueFull\"} 0\n", "a counter begins at zero, not with the first that it counts")
}

func TestWhatTheAgentAnswersItselfIsCountedByReason(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, upstream(t, func(http.ResponseWriter, *http.Request) { <-release }), func(c *Config) { c.ContainerConcurrency, c.QueueDepth = 1, 1 })
	c := client(t, false)
	done := make(chan reply, 2)
	for range 2 {
		go func() { done <- fetch(c, http.MethodGet, "http://"+r.addr+"/", "") }()
	}
	require.Eventually(t, func() bool { st := r.stats(); return st.InFlight == 2 && st.Queued == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusServiceUnavailable, fetch(c, http.MethodGet, "http://"+r.addr+"/", "").code)
	require.Contains(t, r.get("/metrics").body, "rawserve_agent_rejections_total{reason=\"QueueFull\"} 1\n")
	require.Contains(t, r.get("/metrics").body, "rawserve_agent_draining 0\n")
	close(release)
	<-done
	<-done
	require.Contains(t, r.get("/metrics").body, "rawserve_agent_queue_duration_seconds_count 1\n")
}

// TestTraceContextPassesTheAgentUntouched: the agent takes no part in a trace, so
// that the server's spans hang below those of who called.
func TestTraceContextPassesTheAgentUntouched(t *testing.T) {
	want := map[string]string{
		"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"Tracestate":  "vendor=a,other=b",
		"Baggage":     "tenant=blue;ttl=3",
	}
	for _, h2 := range []bool{false, true} {
		seen := make(chan http.Header, 1)
		r := newRig(t, upstream(t, func(_ http.ResponseWriter, q *http.Request) { seen <- q.Header.Clone() }), nil)
		req, err := http.NewRequest(http.MethodPost, "http://"+r.addr+"/", strings.NewReader("x"))
		require.NoError(t, err)
		for k, v := range want {
			req.Header.Set(k, v)
		}
		res, err := client(t, h2).Do(req)
		require.NoError(t, err)
		res.Body.Close()
		got := <-seen
		for k, v := range want {
			require.Equal(t, []string{v}, got[k])
		}
	}
}
