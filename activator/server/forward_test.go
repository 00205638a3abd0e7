package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

func TestARequestArrivesAsItWasSent(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", h2), func(t *testing.T) {
			r := newRig(t, nil)
			seen := make(chan *http.Request, 1)
			r.serve(backend(t, func(w http.ResponseWriter, q *http.Request) {
				body, _ := io.ReadAll(q.Body)
				seen <- q
				w.Header().Set("X-Model", "iris")
				w.Header().Add("Set-Cookie", "a=1")
				w.Header().Add("Set-Cookie", "b=2")
				w.Header().Set("Trailer", "X-Tokens")
				w.WriteHeader(http.StatusTeapot)
				_, _ = w.Write(body)
				w.Header().Set("X-Tokens", "7")
			}), nil)
			r.ready("a", "127.0.0.1")
			req, err := http.NewRequest(http.MethodPut, r.url("/v1/models/a%2Fb:predict?x=1;y&z=%20"), strings.NewReader("hello"))
			require.NoError(t, err)
			req.Host = "iris.models.example.com"
			req.Header.Set("X-Forwarded-For", "203.0.113.9")
			req.Header.Set("X-Custom", "kept")
			if !h2 {
				req.Header.Set("Connection", "X-Hop")
				req.Header.Set("X-Hop", "dropped")
			}
			res, err := client(t, h2).Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "hello", string(body))
			require.Equal(t, http.StatusTeapot, res.StatusCode)
			require.Equal(t, "iris", res.Header.Get("X-Model"))
			require.Equal(t, []string{"a=1", "b=2"}, res.Header["Set-Cookie"])
			require.Equal(t, "7", res.Trailer.Get("X-Tokens"))
			q := <-seen
			require.Equal(t, http.MethodPut, q.Method)
			require.Equal(t, "/v1/models/a%2Fb:predict?x=1;y&z=%20", q.RequestURI)
			require.Equal(t, "iris.models.example.com", q.Host)
			require.Equal(t, "203.0.113.9, 127.0.0.1", q.Header.Get("X-Forwarded-For"))
			require.Equal(t, "iris.models.example.com", q.Header.Get("X-Forwarded-Host"))
			require.Equal(t, "http", q.Header.Get("X-Forwarded-Proto"))
			require.Equal(t, "kept", q.Header.Get("X-Custom"))
			require.Empty(t, q.Header.Get("X-Hop"))
			require.EqualValues(t, 5, q.ContentLength)
			if h2 {
				require.Equal(t, 2, q.ProtoMajor)
			} else {
				require.Equal(t, 1, q.ProtoMajor)
			}
		})
	}
}

func TestAPodThatRefusesConnectionsCostsNoRequest(t *testing.T) {
	r := newRig(t, nil)
	var served atomic.Int64
	target := backend(t, func(w http.ResponseWriter, q *http.Request) { served.Add(1); echo(w, q) })
	r.serve(target, nil)
	r.ready("dead", "127.0.0.2") // nothing listens there
	r.ready("alive", "127.0.0.1")
	c := client(t, false)
	for i := range 50 {
		got := fetch(c, http.MethodPost, r.url("/"), fmt.Sprint(i))
		require.NoError(t, got.err)
		require.Equal(t, fmt.Sprint(i), got.body)
	}
	require.EqualValues(t, 50, served.Load())
}

func TestWithItsOnlyPodGoneARequestWaitsForTheNext(t *testing.T) {
	r := newRig(t, nil)
	r.scales.replicas = 1
	target := backend(t, echo)
	r.serve(target, nil)
	r.ready("dead", "127.0.0.2")
	got := send(client(t, false), http.MethodPost, r.url("/"), strings.Repeat("x", 100_000))
	r.waiting(1)
	r.ready("alive", "127.0.0.1")
	answer := <-got
	require.Equal(t, 200, answer.code)
	require.Len(t, answer.body, 100_000)
	require.EqualValues(t, 1, r.stats().Forwarded, "counted once")
	require.Empty(t, r.scales.written())
}

func TestAPodThatTakesConnectionsAgainIsUsedAgain(t *testing.T) {
	r := newRig(t, nil)
	port := freePort(t)
	r.serve(port, nil)
	r.ready("a", "127.0.0.1")
	got := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	backendOn(t, fmt.Sprint("127.0.0.1:", port), func(http.ResponseWriter, *http.Request) {})
	require.Equal(t, 200, (<-got).code)
}

func TestABrokenConnectionIsNotTriedAgain(t *testing.T) {
	r := newRig(t, nil)
	var tries atomic.Int64
	r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) {
		tries.Add(1)
		_, _ = io.Copy(io.Discard, q.Body)
		panic(http.ErrAbortHandler)
	}), nil)
	r.ready("a", "127.0.0.1")
	got := fetch(client(t, false), http.MethodPost, r.url("/"), "x")
	require.Equal(t, 502, got.code)
	require.Equal(t, "UpstreamUnreachable", got.header.Get("Rawserve-Reason"))
	require.EqualValues(t, 1, tries.Load())
}

func TestAResponseThatBreaksOffIsNotMadeToLookWhole(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}), nil)
	r.ready("a", "127.0.0.1")
	got := fetch(client(t, false), http.MethodPost, r.url("/"), "x")
	require.Equal(t, 200, got.code)
	require.ErrorIs(t, got.err, io.ErrUnexpectedEOF)
}

// TestTimeoutsEndWhatTakesTooLong tries each limit of a route with each protocol:
// before the response's header an answer says so, after it the response is cut.
func TestTimeoutsEndWhatTakesTooLong(t *testing.T) {
	hang := func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		if q.URL.Path == "/begun" {
			_, _ = io.WriteString(w, "first")
			w.(http.Flusher).Flush()
		}
		<-q.Context().Done()
	}
	short := metav1.Duration{Duration: 50 * time.Millisecond}
	for name, c := range map[string]struct {
		timeouts v1alpha1.RouteTimeouts
		path     string
		reason   string // empty: it is cut
	}{
		"no pod":                   {v1alpha1.RouteTimeouts{Queue: short}, "/", "QueueTimeout"},
		"no pod in all the time":   {v1alpha1.RouteTimeouts{Total: short}, "/", "QueueTimeout"},
		"no first byte":            {v1alpha1.RouteTimeouts{FirstByte: short}, "/", "UpstreamTimeout"},
		"a pause in the response":  {v1alpha1.RouteTimeouts{Idle: short}, "/begun", ""},
		"no end, nothing begun":    {v1alpha1.RouteTimeouts{Total: short}, "/", "UpstreamTimeout"},
		"no end of what was begun": {v1alpha1.RouteTimeouts{Total: short}, "/begun", ""},
	} {
		for _, protocol := range []string{"HTTP/1.1", "h2c", "gRPC"} {
			t.Run(name+", "+protocol, func(t *testing.T) {
				r := newRig(t, nil)
				r.serve(backend(t, hang), func(s *v1alpha1.InferenceRouteSpec) { s.Timeouts = c.timeouts })
				if !strings.HasPrefix(name, "no pod") {
					r.ready("a", "127.0.0.1")
				}
				req, err := http.NewRequest(http.MethodPost, r.url(c.path), strings.NewReader("x"))
				require.NoError(t, err)
				if protocol == "gRPC" {
					req.Header.Set("Content-Type", "application/grpc")
				}
				res, err := client(t, protocol != "HTTP/1.1").Do(req)
				require.NoError(t, err)
				defer res.Body.Close()
				_, err = io.ReadAll(res.Body)
				require.Equal(t, c.reason, res.Header.Get("Rawserve-Reason"))
				switch {
				case c.reason == "":
					require.Equal(t, 200, res.StatusCode)
					require.Error(t, err, "cut")
				case protocol == "gRPC":
					require.Equal(t, 200, res.StatusCode)
					require.Equal(t, "4", res.Header.Get("Grpc-Status"), "DEADLINE_EXCEEDED")
				default:
					require.Equal(t, 504, res.StatusCode)
				}
			})
		}
	}
}

func TestAMalformedBodyIsTheClientsFault(t *testing.T) {
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprintf("held %t", held), func(t *testing.T) {
			r := newRig(t, nil)
			r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) { _, _ = io.Copy(io.Discard, q.Body) }), nil)
			if !held {
				r.ready("a", "127.0.0.1")
			}
			conn, in := raw(t, r.addr(), "POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n")
			defer conn.Close()
			res, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.Equal(t, 400, res.StatusCode)
			require.Equal(t, "BadRequest", res.Header.Get("Rawserve-Reason"))
		})
	}
}

func TestAClientThatLeavesEndsTheWorkInThePod(t *testing.T) {
	r := newRig(t, nil)
	begun, ended := make(chan struct{}), make(chan struct{})
	r.serve(backend(t, func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		close(begun)
		<-q.Context().Done()
		close(ended)
	}), nil)
	r.ready("a", "127.0.0.1")
	conn, _ := raw(t, r.addr(), "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 4\r\n\r\nbody")
	<-begun
	conn.Close()
	<-ended
}

func TestWhileDrainingRequestsAreServedAndConnectionsEnd(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Shutdown.Delay = metav1.Duration{Duration: time.Second} })
	r.serve(backend(t, func(http.ResponseWriter, *http.Request) {}), nil)
	r.s.ready.Store(true)
	require.NoError(t, r.s.Ready())
	held := send(client(t, false), http.MethodPost, r.url("/"), "x")
	r.waiting(1)
	r.stop()
	require.Eventually(t, func() bool { return r.s.Ready() != nil }, 5*time.Second, time.Millisecond)
	r.ready("a", "127.0.0.1")
	require.Equal(t, 200, (<-held).code)
	res, err := client(t, false).Get(r.url("/"))
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, 200, res.StatusCode)
	require.True(t, res.Close, "the connection ends with the response")
	<-r.ended
}
