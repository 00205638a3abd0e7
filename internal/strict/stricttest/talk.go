package stricttest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/answer"
)

// Ledger writes down what reaches a server, once the body has come to its end.
type Ledger struct {
	mu   sync.Mutex
	done []string
}

// ServeHTTP reads the request and answers nothing but 200.
func (l *Ledger) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = append(l.done, fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, body))
}

// Take returns what has been written since the last call, each as "METHOD target body".
func (l *Ledger) Take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := l.done
	l.done = nil
	return done
}

// Talk sends a case and reads the answers: n of the model's, and where the rest
// is refused a 400 and the connection's end.
func Talk(t testing.TB, addr string, c Case) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(conn, c.Raw)
	require.NoError(t, err)
	in := bufio.NewReader(conn)
	for i := range c.Goes {
		res, err := http.ReadResponse(in, nil)
		require.NoError(t, err, "response %d", i)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode, "response %d", i)
	}
	if c.Reason == "" {
		return
	}
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.True(t, res.Close)
	if c.Entered {
		require.Equal(t, string(answer.BadRequest), res.Header.Get(answer.Header))
	}
	_, err = in.ReadByte()
	require.ErrorIs(t, err, io.EOF, "nothing comes after it")
}
