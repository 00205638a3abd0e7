package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
)

// openSocket opens a WebSocket to a predictor, waiting at zero until there is a pod.
func openSocket(t *testing.T, ns, name string) (*websocket.Conn, string) {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: env.Dial, HandshakeTimeout: 30 * time.Second}
	conn, resp, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(harness.PredictorURL(ns, name), "http")+"/ws", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	t.Cleanup(func() { conn.Close() })
	return conn, resp.Header.Get("X-Server-Name")
}

func requireEcho(t *testing.T, conn *websocket.Conn, message string) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(message)))
	_, got, err := conn.ReadMessage()
	require.NoError(t, err, message)
	require.Equal(t, message, string(got))
}

// TestWebSocketsEchoFromZeroAndCloseNormallyWithTheirPod opens a WebSocket at zero,
// through an activator, and another to the pod itself once the path is direct. When the
// pod is deleted both echo until its grace is nearly over, and are then closed by the
// server's own farewell, not cut.
func TestWebSocketsEchoFromZeroAndCloseNormallyWithTheirPod(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("socket", []string{abrupt}, burstCapacity("0"),
		harness.Annotate("autoscaling.knative.dev/initial-scale", "0"), func(s *v1beta1.InferenceService) {
			s.Spec.Predictor.TerminationGracePeriodSeconds = ptr.To[int64](15)
			s.Spec.Predictor.MaxReplicas = 1
		})))
	_, err := env.WaitRoute(t.Context(), ns, "socket-predictor", "be confirmed", time.Minute, confirmedAtZero)
	require.NoError(t, err)

	through, pod := openSocket(t, ns, "socket")
	requireEcho(t, through, "from zero")
	_, err = env.WaitRoute(t.Context(), ns, "socket-predictor", "be direct", time.Minute, confirmedDirect)
	require.NoError(t, err)
	direct, samePod := openSocket(t, ns, "socket")
	require.Equal(t, pod, samePod)
	sockets := map[string]*websocket.Conn{"through an activator": through, "direct": direct}
	for way, conn := range sockets {
		requireEcho(t, conn, way)
		requireEcho(t, conn, strings.Repeat("x", 300_000))
	}

	require.NoError(t, env.Kube.CoreV1().Pods(ns).Delete(t.Context(), pod, metav1.DeleteOptions{}))
	began := time.Now()
	closed := map[string]chan error{}
	for way, conn := range sockets {
		closed[way] = make(chan error, 1)
		go func() { closed[way] <- echoUntilClosed(conn) }()
	}
	for way, ended := range closed {
		err := <-ended
		t.Logf("%s: closed %s after the pod's deletion: %v", way, time.Since(began).Round(time.Second/10), err)
		require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%s: %v", way, err)
	}
	require.Greater(t, time.Since(began), 8*time.Second, "open for as long as the grace allows")

	next, other := openSocket(t, ns, "socket")
	require.NotEqual(t, pod, other)
	requireEcho(t, next, "again")
}

// echoUntilClosed sends messages until the other side says goodbye, and returns that.
func echoUntilClosed(conn *websocket.Conn) error {
	for i := 0; ; i++ {
		message := fmt.Sprint(i)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		// What is sent across the farewell may not reach anybody: the farewell is read next.
		_ = conn.WriteMessage(websocket.TextMessage, []byte(message))
		_, got, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if string(got) != message {
			return fmt.Errorf("message %d came back as %q", i, got)
		}
		time.Sleep(50 * time.Millisecond) // the pace of a conversation
	}
}
