package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dial opens a connection on which the test writes what it likes.
func dial(t testing.TB, addr, request string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	return conn.(*net.TCPConn), bufio.NewReader(conn)
}

// TestAClientTakenForGoneGetsNoMadeUpAnswer: a client that has closed its sending
// side counts as gone. If it is still there it must not read a 200 that no model gave.
func TestAClientTakenForGoneGetsNoMadeUpAnswer(t *testing.T) {
	post := "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 5\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		queued  bool
	}{
		"whole request, in the server":  {post + "hello", false},
		"half a request, in the server": {post + "he", false},
		"whole request, in the queue":   {post + "hello", true},
		"half a request, in the queue":  {post + "he", true},
	} {
		t.Run(name, func(t *testing.T) {
			entered, leave := make(chan struct{}, 2), make(chan struct{})
			r := newRig(t, upstream(t, func(_ http.ResponseWriter, q *http.Request) {
				entered <- struct{}{}
				select {
				case <-leave:
				case <-q.Context().Done():
				}
			}), func(c *Config) { c.ContainerConcurrency = 1 })
			defer close(leave)
			if c.queued {
				dial(t, r.addr, "GET / HTTP/1.1\r\nHost: m\r\n\r\n")
				<-entered
			}
			conn, in := dial(t, r.addr, c.request)
			if c.queued {
				r.queued(1)
			} else {
				<-entered
			}
			require.NoError(t, conn.CloseWrite())
			got, err := io.ReadAll(in)
			require.NoError(t, err)
			require.Empty(t, string(got))
			require.Eventually(t, func() bool { return r.s.traffic.codes[5].Load() == 1 }, 30*time.Second, time.Millisecond)
		})
	}
}

// TestAnAnswerThatBreaksOffWithItsClientDoesNotLookWhole is the same within a response.
func TestAnAnswerThatBreaksOffWithItsClientDoesNotLookWhole(t *testing.T) {
	r := newRig(t, upstream(t, func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprint(w, "token")
		w.(http.Flusher).Flush()
		<-q.Context().Done()
	}), nil)
	conn, in := dial(t, r.addr, "GET / HTTP/1.1\r\nHost: m\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	defer res.Body.Close()
	_, err = io.ReadFull(res.Body, make([]byte, 5))
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	_, err = io.ReadAll(res.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}
