package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/strict/stricttest"
)

// TestAmbiguousRequestsReachNobody sends what two servers might read differently,
// while a pod is ready and while the request is held.
func TestAmbiguousRequestsReachNobody(t *testing.T) {
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprintf("held %t", held), func(t *testing.T) {
			r := newRig(t, nil)
			l := &stricttest.Ledger{}
			r.serve(backend(t, l.ServeHTTP), nil)
			for i, c := range stricttest.Cases() {
				if held && (c.Reason == "" || len(c.Goes) > 0) {
					continue
				}
				if !held && i == 0 {
					r.ready("a", "127.0.0.1")
				}
				t.Run(c.Name, func(t *testing.T) {
					stricttest.Talk(t, r.addr(), c)
					require.Equal(t, c.Goes, l.Take())
				})
			}
			require.Eventually(t, func() bool { return r.s.conns.Used() == 0 }, 30*time.Second, time.Millisecond)
		})
	}
}

// TestARefusalIsCountedByItsReason.
func TestARefusalIsCountedByItsReason(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, echo), nil)
	r.ready("a", "127.0.0.1")
	want := map[string]float64{}
	for _, c := range stricttest.Cases() {
		if c.Reason != "" {
			stricttest.Talk(t, r.addr(), c)
			want[string(c.Reason)]++
		}
	}
	require.Len(t, want, 7, "every reason")
	for reason, n := range want {
		require.InDelta(t, n, testutil.ToFloat64(r.s.metrics.malformed.WithLabelValues(reason)), 0, reason)
	}
}

// TestARefusalArrivesAlthoughTheClientGoesOnSending: a connection that is closed
// with unread bytes is reset, and what was sent to the client goes with it.
func TestARefusalArrivesAlthoughTheClientGoesOnSending(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, echo), nil)
	conn, in := raw(t, r.addr(), "POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"+strings.Repeat("x", 60<<10))
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	_, err = io.Copy(io.Discard, in)
	require.NoError(t, err, "it ends without a reset")
}

// TestAWrongRequestDoesNotDisturbTheOneBeforeIt: it is answered after it, however
// long that takes.
func TestAWrongRequestDoesNotDisturbTheOneBeforeIt(t *testing.T) {
	for _, together := range []bool{true, false} {
		t.Run(fmt.Sprintf("together %t", together), func(t *testing.T) {
			r := newRig(t, nil)
			entered, leave := make(chan struct{}), make(chan struct{})
			r.serve(backend(t, func(w http.ResponseWriter, q *http.Request) {
				entered <- struct{}{}
				select {
				case <-leave:
					_, _ = io.WriteString(w, "answer")
				case <-q.Context().Done():
				}
			}), nil)
			r.ready("a", "127.0.0.1")
			first, second := "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\nhi", "\x00 GARBAGE\r\n\r\n"
			if together {
				first, second = first+second, ""
			}
			conn, in := raw(t, r.addr(), first)
			defer conn.Close()
			<-entered
			_, err := io.WriteString(conn, second)
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				return testutil.ToFloat64(r.s.metrics.malformed.WithLabelValues("request_line")) == 1
			}, 30*time.Second, time.Millisecond)
			close(leave)
			res, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "answer", string(body))
			res, err = http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusBadRequest, res.StatusCode)
		})
	}
}

// TestAWrongChunkInAConversationEndsIt: the response has begun, so it is cut off,
// and what follows the chunk is never read as a request.
func TestAWrongChunkInAConversationEndsIt(t *testing.T) {
	r := newRig(t, nil)
	l := &stricttest.Ledger{}
	r.serve(backend(t, func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost {
			l.ServeHTTP(w, q)
			return
		}
		_ = http.NewResponseController(w).EnableFullDuplex()
		buf := make([]byte, 5)
		_, _ = io.ReadFull(q.Body, buf)
		_, _ = w.Write(buf)
		w.(http.Flusher).Flush()
		l.ServeHTTP(w, q)
	}), nil)
	r.ready("a", "127.0.0.1")
	conn, in := raw(t, r.addr(), "POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(res.Body, got)
	require.NoError(t, err)
	_, err = io.WriteString(conn, "x\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: m\r\n\r\n")
	require.NoError(t, err)
	rest, err := io.ReadAll(res.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%q", rest)
	require.Empty(t, l.Take())
}

// TestAnUpgradedConnectionMayStartBeforeItIsAnswered: what a client sends with its
// request for another protocol is of that protocol.
func TestAnUpgradedConnectionMayStartBeforeItIsAnswered(t *testing.T) {
	r := newRig(t, nil)
	r.serve(backend(t, upgrader), nil)
	r.ready("a", "127.0.0.1")
	frames := "\x81\x05hello\r\n\x00\n"
	conn, in := raw(t, r.addr(), "GET / HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"+frames)
	defer conn.Close()
	repeats(t, conn, in, frames)
}

// upgrader changes to a protocol that repeats everything.
func upgrader(w http.ResponseWriter, _ *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_ = rw.Flush()
	_, _ = io.Copy(conn, rw)
}

func repeats(t *testing.T, conn net.Conn, in *bufio.Reader, sent string) {
	t.Helper()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	more := "GET /\n\n\x00more"
	_, err = io.WriteString(conn, more)
	require.NoError(t, err)
	got := make([]byte, len(sent)+len(more))
	_, err = io.ReadFull(in, got)
	require.NoError(t, err)
	require.Equal(t, sent+more, string(got))
}
