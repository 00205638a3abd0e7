package server

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/internal/answer"
)

// TestAServerThatIsDownBehindItsAgentCostsNoRequest has the agent of one pod say
// that its server takes no connections. The other pod's address differs, the port
// does not, as in a Deployment.
func TestAServerThatIsDownBehindItsAgentCostsNoRequest(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		r := newRig(t, nil)
		port := backend(t, echo)
		down, _ := backendOn(t, net.JoinHostPort("127.0.0.2", strconv.Itoa(port)), func(w http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(io.Discard, q.Body)
			(&answer.Answer{Reason: answer.ServerDown, Message: "down"}).Write(w, q)
		})
		defer down.Close()
		says := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ready") }
		agent := backend(t, says)
		backendOn(t, net.JoinHostPort("127.0.0.2", strconv.Itoa(agent)), says)
		r.serve(port, func(s *v1alpha1.InferenceRouteSpec) { s.Targets[0].AgentPort = int32(agent) })
		r.ready("down", "127.0.0.2")
		r.ready("up", "127.0.0.1")
		c := client(t, h2)
		for range 20 {
			got := fetch(c, http.MethodPost, r.url("/"), "hello")
			require.NoError(t, got.err)
			require.Equal(t, http.StatusOK, got.code, got.body)
		}
	}
}

func TestAHalfClosedClientGetsNoAnswerThatLooksLikeSuccess(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, echo), nil)
	conn, in := raw(t, r.addr(), "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 5\r\n\r\nhello")
	defer conn.Close()
	r.waiting(1)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	got, _ := io.ReadAll(in)
	require.Empty(t, string(got))
}

// TestTimeoutsFreeThePlaceOfAClientThatHasStalled: whether it stops sending or
// stops reading, the next request gets its turn.
func TestTimeoutsFreeThePlaceOfAClientThatHasStalled(t *testing.T) {
	big := make([]byte, 1<<20)
	server := func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet {
			for {
				if _, err := w.Write(big); err != nil {
					return
				}
			}
		}
		echo(w, q)
	}
	for situation, request := range map[string]string{
		"stops sending": "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 100000\r\n\r\nsome",
		"stops reading": "GET / HTTP/1.1\r\nHost: m\r\n\r\n",
	} {
		t.Run(situation, func(t *testing.T) {
			r := newRig(t, nil)
			r.serve(backend(t, server), func(s *v1alpha1.InferenceRouteSpec) {
				s.Timeouts.Total = metav1.Duration{Duration: 300 * time.Millisecond}
				s.ContainerConcurrency = 1
			})
			r.ready("a", "127.0.0.1")
			conn, _ := raw(t, r.addr(), request)
			defer conn.Close()
			require.Eventually(t, func() bool { return r.stats().InFlight == 1 }, 5*time.Second, time.Millisecond)
			require.Eventually(t, func() bool { return r.stats().InFlight == 0 }, 5*time.Second, time.Millisecond)
			got := fetch(client(t, false), http.MethodPost, r.url("/"), "next")
			require.NoError(t, got.err)
			require.Equal(t, "next", got.body)
		})
	}
}
