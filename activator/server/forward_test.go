package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
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

func TestEventsArriveOneByOne(t *testing.T) {
	r := newRig(t, nil)
	next := make(chan string)
	r.serve(backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for event := range next {
			_, _ = io.WriteString(w, event+"\n")
			w.(http.Flusher).Flush()
		}
	}), nil)
	r.ready("a", "127.0.0.1")
	res, err := client(t, false).Get(r.url("/"))
	require.NoError(t, err, "the header comes before the first event")
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for _, event := range []string{"one", "two", "three"} {
		next <- event
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, event+"\n", line)
	}
	close(next)
	_, err = lines.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

func TestBothSidesOfAChunkedConversationAreStreamed(t *testing.T) {
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprintf("held %t", held), func(t *testing.T) {
			r := newRig(t, nil)
			r.serve(backend(t, func(w http.ResponseWriter, q *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				lines := bufio.NewReader(q.Body)
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = io.WriteString(w, "echo "+line)
					w.(http.Flusher).Flush()
				}
			}), nil)
			if !held {
				r.ready("a", "127.0.0.1")
			}
			conn, in := raw(t, r.addr(), "POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
			defer conn.Close()
			if held {
				r.waiting(1)
				r.ready("a", "127.0.0.1")
			}
			res, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			lines := bufio.NewReader(res.Body)
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "echo one\n", line)
			_, err = io.WriteString(conn, "4\r\ntwo\n\r\n")
			require.NoError(t, err)
			line, err = lines.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "echo two\n", line)
			_, err = io.WriteString(conn, "0\r\n\r\n")
			require.NoError(t, err)
			_, err = lines.ReadByte()
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

func TestAnUpgradedConnectionIsJoined(t *testing.T) {
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprintf("held %t", held), func(t *testing.T) {
			r := newRig(t, nil)
			r.serve(backend(t, func(w http.ResponseWriter, q *http.Request) {
				if q.Header.Get("Upgrade") != "echo" || q.Header.Get("Connection") != "Upgrade" {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				conn, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				_ = rw.Flush()
				_, _ = io.Copy(conn, rw)
			}), nil)
			if !held {
				r.ready("a", "127.0.0.1")
			}
			conn, in := raw(t, r.addr(), "GET / HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			defer conn.Close()
			if held {
				r.waiting(1)
				r.ready("a", "127.0.0.1")
			}
			res, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
			require.EqualValues(t, 1, r.stats().InFlight, "in flight as long as it is open")
			for _, word := range []string{"ping", "pong"} {
				_, err = io.WriteString(conn, word)
				require.NoError(t, err)
				got := make([]byte, 4)
				_, err = io.ReadFull(in, got)
				require.NoError(t, err)
				require.Equal(t, word, string(got))
			}
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			_, err = in.ReadByte()
			require.ErrorIs(t, err, io.EOF)
			require.Eventually(t, func() bool { return r.stats().InFlight == 0 }, 5*time.Second, time.Millisecond)
		})
	}
}

func TestAShutdownEndsUpgradedConnections(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Shutdown.Timeout = metav1.Duration{Duration: 100 * time.Millisecond} })
	r.serve(backend(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw)
	}), nil)
	r.ready("a", "127.0.0.1")
	conn, in := raw(t, r.addr(), "GET / HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	defer conn.Close()
	_, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	r.stop()
	_, err = in.ReadByte()
	require.Error(t, err)
	<-r.ended
}

// healthServer is a gRPC service that is at hand: one unary and one streaming call.
type healthServer struct {
	grpc_health_v1.UnimplementedHealthServer
	next chan grpc_health_v1.HealthCheckResponse_ServingStatus
}

func (healthServer) Check(_ context.Context, q *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if q.Service == "broken" {
		return nil, status.Error(codes.NotFound, "no such service")
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

func (h healthServer) Watch(_ *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	for st := range h.next {
		if err := stream.Send(&grpc_health_v1.HealthCheckResponse{Status: st}); err != nil {
			return err
		}
	}
	return nil
}

func TestGRPCWorksFromZeroAndWarm(t *testing.T) {
	r := newRig(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := healthServer{next: make(chan grpc_health_v1.HealthCheckResponse_ServingStatus)}
	g := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(g, h)
	go func() { _ = g.Serve(ln) }()
	t.Cleanup(g.Stop)
	r.serve(ln.Addr().(*net.TCPAddr).Port, nil)
	conn, err := grpc.NewClient(r.addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	c := grpc_health_v1.NewHealthClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	held := make(chan error, 1)
	go func() {
		_, err := c.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		held <- err
	}()
	r.waiting(1)
	leaving, leave := context.WithCancel(ctx)
	left := make(chan error, 1)
	go func() {
		_, err := c.Check(leaving, &grpc_health_v1.HealthCheckRequest{Service: "left"})
		left <- err
	}()
	r.waiting(2)
	leave()
	require.Equal(t, codes.Canceled, status.Code(<-left))
	r.waiting(1)
	require.EqualValues(t, 1, r.stats().Abandoned)
	r.ready("a", "127.0.0.1")
	require.NoError(t, <-held)

	_, err = c.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "broken"})
	require.Equal(t, codes.NotFound, status.Code(err))
	require.Equal(t, "no such service", status.Convert(err).Message())
	stream, err := c.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	for _, st := range []grpc_health_v1.HealthCheckResponse_ServingStatus{1, 2, 3} {
		h.next <- st
		got, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, st, got.Status)
	}
	close(h.next)
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)

	r.serve(1, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].Stopped = true })
	_, err = c.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Contains(t, status.Convert(err).Message(), "stopped")
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
		code     int
	}{
		"no first byte":            {v1alpha1.RouteTimeouts{FirstByte: short}, "/", 504},
		"a pause in the response":  {v1alpha1.RouteTimeouts{Idle: short}, "/begun", 200},
		"no end, nothing begun":    {v1alpha1.RouteTimeouts{Total: short}, "/", 504},
		"no end of what was begun": {v1alpha1.RouteTimeouts{Total: short}, "/begun", 200},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.serve(backend(t, hang), func(s *v1alpha1.InferenceRouteSpec) { s.Timeouts = c.timeouts })
			r.ready("a", "127.0.0.1")
			got := fetch(client(t, false), http.MethodPost, r.url(c.path), "x")
			require.Equal(t, c.code, got.code)
			if c.code == 200 {
				require.Error(t, got.err, "cut")
			} else {
				require.Equal(t, "UpstreamTimeout", got.header.Get("Rawserve-Reason"))
			}
		})
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
