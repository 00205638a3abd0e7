package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
)

func (r *rig) refused(limit refusedBy) float64 {
	return testutil.ToFloat64(r.s.metrics.refused.WithLabelValues(string(limit)))
}

func TestHeadersOfHeldRequestsAreCounted(t *testing.T) {
	r := newRig(t, nil)
	r.serve(1, nil)
	const n, each = 20, 60 << 10
	header := strings.Repeat("X-A: "+strings.Repeat("y", 1017)+"\r\n", each>>10)
	var conns []net.Conn
	for range n {
		conn, _ := raw(t, r.addr(), "GET / HTTP/1.1\r\nHost: m\r\n"+header+"\r\n")
		conns = append(conns, conn)
	}
	r.waiting(n)
	require.Greater(t, r.s.memory.Used(), int64(n*(requestCost+each)))
	require.Less(t, r.s.memory.Used(), int64(n*(requestCost+each*3/2)))
	for _, conn := range conns {
		conn.Close()
	}
	require.Eventually(t, func() bool { return r.s.memory.Used() == 0 && r.s.inside.Used() == 0 }, 10*time.Second, time.Millisecond)
}

func TestALongHeaderIsRefused(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", h2), func(t *testing.T) {
			r := newRig(t, nil)
			r.serve(backend(t, echo), nil)
			r.ready("a", "127.0.0.1")
			c := client(t, h2)
			for size, code := range map[int]int{50 << 10: 200, 100 << 10: 431} {
				req, err := http.NewRequest(http.MethodGet, r.url("/"), nil)
				require.NoError(t, err)
				req.Header.Set("X-Long", strings.Repeat("x", size))
				res, err := c.Do(req)
				if h2 && code != 200 && err != nil {
					// Its client knows the server's limit and does not even send it.
					continue
				}
				require.NoError(t, err)
				res.Body.Close()
				require.Equal(t, code, res.StatusCode)
			}
		})
	}
}

func TestRequestsBeyondWhatTheActivatorCanTakeAreAnsweredSo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Server)
		limit  refusedBy
	}{
		"in number": {func(s *Server) { s.inside.SetLimit(1) }, refusedByRequests},
		"in memory": {func(s *Server) { s.memory.SetLimit(requestCost * 3 / 2) }, refusedByMemory},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			c.change(r.s)
			entered, leave := make(chan struct{}, 1), make(chan struct{})
			r.serve(backend(t, func(http.ResponseWriter, *http.Request) {
				entered <- struct{}{}
				<-leave
			}), nil)
			r.ready("a", "127.0.0.1")
			first := send(client(t, false), http.MethodGet, r.url("/"), "")
			<-entered
			got := fetch(client(t, false), http.MethodPost, r.url("/"), "x")
			require.NoError(t, got.err)
			require.Equal(t, 503, got.code)
			require.Equal(t, "Overloaded", got.header.Get("Rawserve-Reason"))
			require.Equal(t, "1", got.header.Get("Retry-After"))
			require.EqualValues(t, 1, r.refused(c.limit))
			require.Contains(t, r.scrape(), `rawserve_activator_requests_total{namespace="models",route="iris-predictor",revision="",code="5xx"} 1`+"\n")
			close(leave)
			require.Equal(t, 200, (<-first).code)
			require.Eventually(t, func() bool { return r.s.memory.Used() == 0 && r.s.inside.Used() == 0 }, 10*time.Second, time.Millisecond)
		})
	}
}

func TestHeldRequestsThatAreRefusedAreCountedByTheLimit(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Queue.MaxRequestsTotal = 1
		c.Queue.MaxBytesTotal = resource.MustParse("1Ki")
	})
	r.serve(backend(t, echo), nil)
	held := send(client(t, false), http.MethodGet, r.url("/"), "")
	r.waiting(1)
	require.Equal(t, 503, fetch(client(t, false), http.MethodGet, r.url("/"), "").code)
	require.EqualValues(t, 1, r.refused(refusedByHeldRequests))
	r.s.requests.SetLimit(2)
	require.Equal(t, 503, fetch(client(t, false), http.MethodPost, r.url("/"), strings.Repeat("x", 2<<10)).code)
	require.EqualValues(t, 1, r.refused(refusedByHeldBytes))
	r.ready("a", "127.0.0.1")
	require.Equal(t, 200, (<-held).code)
}

func TestAConnectionBeyondTheLimitIsToldAndClosed(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.MaxConnections = 2 })
	r.serve(backend(t, echo), nil)
	r.ready("a", "127.0.0.1")
	request := "GET / HTTP/1.1\r\nHost: m\r\n\r\n"
	one, in := raw(t, r.addr(), request)
	line, err := in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 200 OK\r\n", line)
	two, in := raw(t, r.addr(), request)
	defer two.Close()
	_, err = in.ReadString('\n')
	require.NoError(t, err)

	three, in := raw(t, r.addr(), request)
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, 503, res.StatusCode)
	require.Equal(t, "Overloaded", res.Header.Get("Rawserve-Reason"))
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), `"error"`)
	_, err = in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	three.Close()
	require.EqualValues(t, 1, r.refused(refusedByConnections))

	one.Close()
	require.Eventually(t, func() bool { return r.s.conns.Used() == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 200, fetch(client(t, false), http.MethodGet, r.url("/"), "").code)
}

func TestAnUpgradedConnectionCountsUntilItEnds(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = buffered.Flush()
		_, _ = io.Copy(conn, buffered)
	}), nil)
	r.ready("a", "127.0.0.1")
	conn, in := raw(t, r.addr(), "GET / HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, 101, res.StatusCode)
	_, err = io.WriteString(conn, "hello")
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(in, got)
	require.NoError(t, err)
	require.EqualValues(t, 1, r.s.conns.Used())
	require.EqualValues(t, 1, r.s.inside.Used())
	conn.Close()
	require.Eventually(t, func() bool { return r.s.conns.Used() == 0 && r.s.inside.Used() == 0 }, 10*time.Second, time.Millisecond)
}
