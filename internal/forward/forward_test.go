package forward

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve starts a server for HTTP/1.1 and cleartext HTTP/2.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// proxy starts a server that forwards everything to the addresses in turn,
// until one can be reached.
func proxy(t *testing.T, addrs ...string) string {
	t.Helper()
	f := New(Options{})
	t.Cleanup(f.CloseIdle)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		x := f.Begin(w, r)
		for _, addr := range addrs {
			out := x.Try(addr)
			if out.Result == Unreachable {
				continue
			}
			if out.Result != Done {
				panic(http.ErrAbortHandler)
			}
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	})
}

// client speaks HTTP/2 without TLS, or HTTP/1.1.
func client(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func both(t *testing.T, test func(t *testing.T, h2 bool)) {
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, false) })
	t.Run("HTTP/2", func(t *testing.T) { test(t, true) })
}

func gone(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// TestResponseThatEndsBeforeItsRequestReachesTheClient is how a gRPC server
// refuses a stream: it answers with an error and reads no more.
func TestResponseThatEndsBeforeItsRequestReachesTheClient(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 1))
		w.Header().Set("Trailer", "Status")
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Status", "refused")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	body, sender := io.Pipe()
	defer sender.Close()
	go func() { _, _ = sender.Write([]byte("first message")) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+proxy(t, server), body)
	require.NoError(t, err)
	res, err := client(t, true).Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	_, err = io.ReadAll(res.Body)
	require.NoError(t, err, "the end of the response must not wait for the end of the request")
	require.Equal(t, "refused", res.Trailer.Get("Status"))
}

func TestConversationFlowsMessageByMessage(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			if r.ProtoMajor == 1 {
				require.NoError(t, rc.EnableFullDuplex())
			}
			buf := make([]byte, 8)
			for {
				n, err := r.Body.Read(buf)
				if n > 0 {
					_, _ = w.Write(buf[:n])
					_ = rc.Flush()
				}
				if err != nil {
					return
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		body, sender := io.Pipe()
		go func() { _, _ = sender.Write([]byte("one")) }()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+proxy(t, server), body)
		require.NoError(t, err)
		res, err := client(t, h2).Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		got := make([]byte, 3)
		for _, next := range []string{"two", "end"} {
			_, err = io.ReadFull(res.Body, got)
			require.NoError(t, err)
			_, err = sender.Write([]byte(next))
			require.NoError(t, err)
		}
		_, err = io.ReadFull(res.Body, got)
		require.NoError(t, err)
		require.Equal(t, "end", string(got))
		require.NoError(t, sender.Close())
	})
}

func TestBodyOfAnAttemptThatReachedNobodyGoesToTheNext(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+proxy(t, gone(t), server), strings.NewReader("body"))
		require.NoError(t, err)
		res, err := client(t, h2).Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "body", string(got))
	})
}
