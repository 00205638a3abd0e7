package forward

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
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
		defer x.End()
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

// rawClient sends text over a connection of its own.
func rawClient(t *testing.T, addr, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	return conn, bufio.NewReader(conn)
}

// bounded starts a proxy with limits that answers 504 to what takes too long.
func bounded(t *testing.T, limit func(*Exchange), addr string) (proxy string, outcomes <-chan Outcome) {
	t.Helper()
	f := New(Options{})
	t.Cleanup(f.CloseIdle)
	ended := make(chan Outcome, 10)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		x := f.Begin(w, r)
		defer x.End()
		limit(x)
		out := x.Try(addr)
		ended <- out
		switch out.Result {
		case Done:
		case TimedOut:
			w.WriteHeader(http.StatusGatewayTimeout)
		default:
			panic(http.ErrAbortHandler)
		}
	}), ended
}

func TestStalledUploadIsAnsweredWhenItsTimeIsOver(t *testing.T) {
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	addr, ended := bounded(t, func(x *Exchange) { x.Deadline = time.Now().Add(50 * time.Millisecond) }, server)
	_, in := rawClient(t, addr, "POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 100000\r\n\r\nsome")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	require.True(t, res.Close)
	require.Equal(t, TimedOut, (<-ended).Result)
}

func TestClientThatReadsNothingIsCutWhenItsTimeIsOver(t *testing.T) {
	for name, limit := range map[string]func(*Exchange){
		"total": func(x *Exchange) { x.Deadline = time.Now().Add(100 * time.Millisecond) },
		"idle":  func(x *Exchange) { x.Idle = 50 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				for piece := make([]byte, 1<<20); ; {
					if _, err := w.Write(piece); err != nil {
						return
					}
				}
			})
			addr, ended := bounded(t, limit, server)
			rawClient(t, addr, "GET / HTTP/1.1\r\nHost: m\r\n\r\n")
			require.Equal(t, Cut, (<-ended).Result)
		})
	}
}

func TestHeaderOfAStreamIsSentBeforeItsFirstByte(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		first := make(chan struct{})
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			_ = http.NewResponseController(w).Flush()
			<-first
			_, _ = io.WriteString(w, "token")
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+proxy(t, server), nil)
		require.NoError(t, err)
		res, err := client(t, h2).Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		close(first)
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "token", string(got))
	})
}

// TestRequestThatAPeerPassedOnToNobodyIsSentElsewhere has an agent say that its
// server is down after it has read the request.
func TestRequestThatAPeerPassedOnToNobodyIsSentElsewhere(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		down := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Reason", "Down")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		up := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		})
		f := New(Options{Reserved: "X-Reason", FromPeer: true})
		t.Cleanup(f.CloseIdle)
		front := serve(t, func(w http.ResponseWriter, r *http.Request) {
			x := f.Begin(w, r)
			defer x.End()
			x.Refusals = []string{"Down"}
			require.Equal(t, Refused, x.Try(down).Result)
			if !x.Replayable() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			require.Equal(t, Done, x.Try(up).Result)
		})
		for _, c := range []struct {
			length, status int
		}{{10, 200}, {replayBytes, 200}, {replayBytes + 1, 503}} {
			body := strings.Repeat("b", c.length)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+front, strings.NewReader(body))
			require.NoError(t, err)
			res, err := client(t, h2).Do(req)
			require.NoError(t, err)
			got, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, c.status, res.StatusCode, c.length)
			if c.status == http.StatusOK {
				require.True(t, body == string(got), "%d of %d bytes", len(got), c.length)
			}
		}
	})
}

// TestServerCannotSpeakForAPeer: what says that nothing was executed must not come
// from whoever may have executed it.
func TestServerCannotSpeakForAPeer(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Reason", "Down") })
	f := New(Options{Reserved: "X-Reason"})
	t.Cleanup(f.CloseIdle)
	front := serve(t, func(w http.ResponseWriter, r *http.Request) {
		x := f.Begin(w, r)
		defer x.End()
		x.Refusals = []string{"Down"}
		require.Equal(t, Done, x.Try(server).Result)
	})
	res, err := client(t, false).Get("http://" + front)
	require.NoError(t, err)
	res.Body.Close()
	require.Empty(t, res.Header.Get("X-Reason"))
}

// TestNoStreamIsLostWhenAServerGoesAway has a server that ends its connections
// with every response, as a draining agent does.
func TestNoStreamIsLostWhenAServerGoesAway(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Connection", "close")
		_, _ = w.Write(body)
	})
	front := proxy(t, server)
	c := client(t, true)
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			for range 100 {
				res, err := c.Post("http://"+front, "text/plain", strings.NewReader("hello"))
				if err != nil {
					return err
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(body) != "hello" {
					return fmt.Errorf("status %d, %q, %w", res.StatusCode, body, err)
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}
