package server

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/strict/stricttest"
)

// TestAmbiguousRequestsReachNoServer sends what two servers might read differently,
// while a slot is free and while the request is queued.
func TestAmbiguousRequestsReachNoServer(t *testing.T) {
	for _, queued := range []bool{false, true} {
		t.Run(fmt.Sprintf("queued %t", queued), func(t *testing.T) {
			l := &stricttest.Ledger{}
			entered, leave := make(chan struct{}), make(chan struct{})
			r := newRig(t, upstream(t, func(w http.ResponseWriter, q *http.Request) {
				if q.URL.Path == "/slow" {
					close(entered)
					<-leave
					return
				}
				l.ServeHTTP(w, q)
			}), func(c *Config) { c.ContainerConcurrency = 1 })
			if queued {
				defer close(leave)
				dial(t, r.addr, "GET /slow HTTP/1.1\r\nHost: m\r\n\r\n")
				<-entered
			}
			for _, c := range stricttest.Cases() {
				if queued && (c.Reason == "" || len(c.Goes) > 0) {
					continue
				}
				t.Run(c.Name, func(t *testing.T) {
					stricttest.Talk(t, r.addr, c)
					require.Equal(t, c.Goes, l.Take())
				})
			}
			metrics := r.get("/metrics").body
			require.Contains(t, metrics, `rawserve_agent_malformed_total{reason="host"}`)
			require.NotContains(t, metrics, `rawserve_agent_malformed_total{reason="host"} 0`)
		})
	}
}

// TestAWrongChunkOfAConversationEndsIt: the response has begun, so it is cut off,
// and what follows the chunk is never read as a request.
func TestAWrongChunkOfAConversationEndsIt(t *testing.T) {
	l := &stricttest.Ledger{}
	r := newRig(t, upstream(t, func(w http.ResponseWriter, q *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		buf := make([]byte, 5)
		_, _ = io.ReadFull(q.Body, buf)
		_, _ = w.Write(buf)
		w.(http.Flusher).Flush()
		l.ServeHTTP(w, q)
	}), nil)
	conn, in := dial(t, r.addr, "POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(res.Body, got)
	require.NoError(t, err)
	_, err = io.WriteString(conn, "x\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: m\r\n\r\n")
	require.NoError(t, err)
	_, err = io.ReadAll(res.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Empty(t, l.Take())
}

// TestAnUpgradeMayBeFollowedAtOnce: what a client sends with its request for
// another protocol is of that protocol.
func TestAnUpgradeMayBeFollowedAtOnce(t *testing.T) {
	r := newRig(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw)
	}), nil)
	frames := "\x81\x05hello\r\n\x00\n"
	_, in := dial(t, r.addr, "GET / HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"+frames)
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	got := make([]byte, len(frames))
	_, err = io.ReadFull(in, got)
	require.NoError(t, err)
	require.Equal(t, frames, string(got))
}
