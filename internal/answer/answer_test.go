package answer

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnAnswerIsJSONWithItsReason(t *testing.T) {
	w := httptest.NewRecorder()
	(&Answer{Reason: QueueFull, Message: "too \"many\"", RetryAfter: 1500 * time.Millisecond}).
		Write(w, httptest.NewRequest(http.MethodPost, "/", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.JSONEq(t, `{"error":"too \"many\""}`, w.Body.String())
	require.Equal(t, "QueueFull", w.Header().Get("Rawserve-Reason"))
	require.Equal(t, "2", w.Header().Get("Retry-After"))
}

func TestAGRPCClientGetsAStatusAndNoBody(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/x/Y", nil)
	r.ProtoMajor = 2
	r.Header.Set("Content-Type", "application/grpc+proto")
	w := httptest.NewRecorder()
	(&Answer{Reason: QueueTimeout, Message: "100 % später"}).Write(w, r)
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Empty(t, body)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "4", res.Header.Get("Grpc-Status"))
	require.Equal(t, "100 %25 sp%C3%A4ter", res.Header.Get("Grpc-Message"))
}

func TestEveryReasonHasAStatus(t *testing.T) {
	want := map[Reason]int{
		QueueFull: 503, ShareExceeded: 429, DeadlineExceeded: 504, QueueTimeout: 504, StartFailed: 503, Stopped: 503,
		UpstreamUnreachable: 502, ServerDown: 503, UpstreamTimeout: 504, Draining: 503, Overloaded: 503, BadRequest: 400,
	}
	got := map[Reason]int{}
	for reason := range replies {
		got[reason] = (&Answer{Reason: reason}).Status()
	}
	require.Equal(t, want, got)
}
