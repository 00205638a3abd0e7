package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	agentserver "github.com/rawserve/rawserve/agent/server"
)

// agentBefore starts a real agent in front of a server, and returns its port and
// a function that begins its drain.
func agentBefore(t *testing.T, upstream int) (port int, drain func()) {
	t.Helper()
	config := agentserver.Default()
	config.SpoolDir = ""
	config.DrainQuiet = time.Minute
	port = freePort(t)
	config.Forwards = agentserver.Forwards{{Listen: port, Server: upstream}}
	a, err := agentserver.New(config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, a.Listen(t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = a.Serve(ctx)
	}()
	admin := httptest.NewServer(a.AdminHandler())
	t.Cleanup(func() {
		stop()
		<-ended
		admin.CloseClientConnections()
		admin.Close()
	})
	return port, func() {
		go func() {
			if res, err := http.Get(admin.URL + "/drain"); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		}()
	}
}

// TestNoCallIsLostWhileItsPodDrains is the time between a pod's first word of its
// end and the activator's hearing of it: the agent ends each connection with the
// next response, while the activator still sends it requests.
func TestNoCallIsLostWhileItsPodDrains(t *testing.T) {
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(server.Stop)
	overGRPC := func(t *testing.T, r *rig) func() error {
		conn, err := grpc.NewClient(r.addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		calls := grpc_health_v1.NewHealthClient(conn)
		return func() error {
			_, err := calls.Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
			return err
		}
	}
	overHTTP := func(t *testing.T, r *rig) func() error {
		c := client(t, false)
		return func() error {
			got := fetch(c, http.MethodPost, r.url("/"), strings.Repeat("x", 1000))
			if got.err == nil && got.code != http.StatusOK {
				t.Errorf("status %d: %s", got.code, got.body)
			}
			return got.err
		}
	}
	for name, c := range map[string]struct {
		upstream int
		client   func(*testing.T, *rig) func() error
	}{
		"gRPC":     {ln.Addr().(*net.TCPAddr).Port, overGRPC},
		"HTTP/1.1": {backend(t, echo), overHTTP},
	} {
		t.Run(name, func(t *testing.T) {
			port, drain := agentBefore(t, c.upstream)
			r := newRig(t, nil)
			r.serve(port, nil)
			r.ready("a", "127.0.0.1")
			call := c.client(t, r)
			var before, after atomic.Int64
			draining := make(chan struct{})
			var group sync.WaitGroup
			for range 16 {
				group.Go(func() {
					for after.Load() < 300 {
						if err := call(); err != nil {
							t.Error(err)
							return
						}
						select {
						case <-draining:
							after.Add(1)
						default:
							if before.Add(1) == 200 {
								drain()
								close(draining)
							}
						}
					}
				})
			}
			group.Wait()
		})
	}
}
