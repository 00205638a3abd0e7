package server

import (
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("a life", func(t *testing.T) {
		r := newRig(t, nil)
		agentPort := backend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		r.serveWithAgent(backend(t, echo), agentPort)
		r.s.podChanged(nil, podOf("never", "127.0.0.1", false))
		c := client(t, false)
		conn, _ := raw(t, r.addr(), "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 10\r\n\r\nhalf")
		held := send(c, http.MethodPost, r.url("/"), "x")
		r.waiting(2)
		conn.Close()
		r.waiting(1)
		r.serve(backend(t, echo), nil)
		r.ready("a", "127.0.0.1")
		require.Equal(t, 200, (<-held).code)
	})
	http.DefaultClient.CloseIdleConnections()
	// Not require.Eventually, which looks from a goroutine of its own.
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}
