package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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
