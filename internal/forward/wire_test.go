package forward

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"
)

// raw starts a server that is told each accepted connection, counted from 1.
func raw(t *testing.T, handle func(n int64, conn net.Conn, in *bufio.Reader)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	var n atomic.Int64
	served.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				handle(n.Add(1), conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() { ln.Close(); served.Wait() })
	return ln.Addr().String()
}

// drain reads one request to its end.
func drain(in *bufio.Reader) (*http.Request, error) {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return r, err
}

const yes = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"

// TestConnectionThatTheServerClosedIsNotUsed: it is seen before anything is sent,
// so that also what must not be repeated goes through.
func TestConnectionThatTheServerClosedIsNotUsed(t *testing.T) {
	closed := make(chan struct{}, 1)
	server := raw(t, func(_ int64, conn net.Conn, in *bufio.Reader) {
		if _, err := drain(in); err == nil {
			_, _ = io.WriteString(conn, yes)
		}
		conn.Close()
		closed <- struct{}{}
	})
	front := proxy(t, server)
	c := client(t, false)
	for range 20 {
		res, err := c.Post("http://"+front, "text/plain", strings.NewReader("once"))
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		<-closed
	}
}

// TestOnlyWhatMayBeRepeatedIs has a server that ends a kept connection with the
// second request, which it may have executed.
func TestOnlyWhatMayBeRepeatedIs(t *testing.T) {
	for _, c := range []struct {
		method string
		header http.Header
		want   Result
	}{
		{http.MethodGet, nil, Done},
		{http.MethodPost, nil, Failed},
		{http.MethodPost, http.Header{"Idempotency-Key": {"1"}}, Done},
	} {
		server := raw(t, func(n int64, conn net.Conn, in *bufio.Reader) {
			for i := 0; ; i++ {
				if _, err := drain(in); err != nil || n == 1 && i == 1 {
					return
				}
				_, _ = io.WriteString(conn, yes)
			}
		})
		addr, ended := bounded(t, func(*Exchange) {}, server)
		send := func() Result {
			req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+addr, strings.NewReader("x"))
			require.NoError(t, err)
			req.Header = c.header.Clone()
			res, err := client(t, false).Do(req)
			if err == nil {
				res.Body.Close()
			}
			return (<-ended).Result
		}
		require.Equal(t, Done, send(), c.method)
		require.Equal(t, c.want, send(), "%s %v", c.method, c.header)
	}
}

func TestInformationalResponsesArePassedOn(t *testing.T) {
	for name, length := range map[string]int{"wire": 4, "transport": replayBytes + 1} {
		t.Run(name, func(t *testing.T) {
			server := raw(t, func(_ int64, conn net.Conn, in *bufio.Reader) {
				for {
					if _, err := drain(in); err != nil {
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </model>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"+yes)
				}
			})
			var hints []textproto.MIMEHeader
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
					require.Equal(t, http.StatusEarlyHints, code)
					hints = append(hints, header)
					return nil
				},
			})
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+proxy(t, server), strings.NewReader(strings.Repeat("b", length)))
			require.NoError(t, err)
			res, err := client(t, false).Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, "yes", string(body))
			require.Equal(t, []textproto.MIMEHeader{{"Link": {"</model>"}}}, hints)
			require.NotContains(t, res.Header, "Link", "a hint is no part of the response")
		})
	}
}

func TestResponsesThatMakeNoSenseFail(t *testing.T) {
	for name, response := range map[string]string{
		"header without end":  "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 1100),
		"unasked upgrade":     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n",
		"not HTTP":            "220 mail.example ESMTP\r\n",
		"ends in the header":  "HTTP/1.1 200 OK\r\nContent-Le",
		"informational storm": strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInformational+1),
	} {
		t.Run(name, func(t *testing.T) {
			server := raw(t, func(_ int64, conn net.Conn, in *bufio.Reader) {
				if _, err := drain(in); err == nil {
					_, _ = io.WriteString(conn, response)
				}
			})
			addr, ended := bounded(t, func(*Exchange) {}, server)
			_, err := client(t, false).Post("http://"+addr, "", strings.NewReader("x"))
			require.Error(t, err)
			require.Equal(t, Failed, (<-ended).Result)
		})
	}
}

// TestServerThatReadsNoMoreIsHeard: it says why and closes, and its words must not
// be lost to the error of writing the rest.
func TestServerThatReadsNoMoreIsHeard(t *testing.T) {
	server := raw(t, func(_ int64, conn net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, in)
	})
	res, err := client(t, false).Post("http://"+proxy(t, server), "", strings.NewReader(strings.Repeat("b", replayBytes)))
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
}

// TestConnectionWithMoreThanItsResponseIsNotKept: the rest would be taken for the
// response of somebody else's request.
func TestConnectionWithMoreThanItsResponseIsNotKept(t *testing.T) {
	for name, extra := range map[string]string{"with the response": yes, "later": ""} {
		t.Run(name, func(t *testing.T) {
			more := make(chan struct{})
			said := make(chan struct{})
			server := raw(t, func(n int64, conn net.Conn, in *bufio.Reader) {
				for {
					if _, err := drain(in); err != nil {
						return
					}
					_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d%s", n, extra)
					if n == 1 && extra == "" {
						<-more
						_, _ = io.WriteString(conn, yes)
						close(said)
					}
				}
			})
			front := proxy(t, server)
			get := func() string {
				res, err := client(t, false).Get("http://" + front)
				require.NoError(t, err)
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				return string(body)
			}
			require.Equal(t, "1", get())
			close(more)
			if extra == "" {
				<-said
			}
			require.Equal(t, "2", get())
		})
	}
}

func TestKeptConnectionsAreUsedAgainAndClosedInTime(t *testing.T) {
	var open, made atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	gone := make(chan struct{}, 100)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
			made.Add(1)
		case http.StateClosed:
			open.Add(-1)
			gone <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	f := New(Options{IdleTimeout: 100 * time.Millisecond})
	front := serve(t, func(w http.ResponseWriter, r *http.Request) {
		x := f.Begin(w, r)
		defer x.End()
		require.Equal(t, Done, x.Try(server.Listener.Addr().String()).Result)
	})
	c := client(t, false)
	for range 10 {
		res, err := c.Post("http://"+front, "", strings.NewReader("body"))
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	require.EqualValues(t, 1, made.Load())
	<-gone
	require.Zero(t, open.Load())

	res, err := c.Get("http://" + front)
	require.NoError(t, err)
	res.Body.Close()
	f.CloseIdle()
	<-gone
}

// TestClientThatLeavesEndsItsConnectionToTheServer, which would otherwise bring its
// response to the next.
func TestClientThatLeavesEndsItsConnectionToTheServer(t *testing.T) {
	left := make(chan struct{})
	came := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or Go's server does not notice
		if r.URL.Path == "/slow" {
			close(came)
			<-r.Context().Done()
			close(left)
			return
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	addr, ended := bounded(t, func(*Exchange) {}, server)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-came; cancel() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/slow", strings.NewReader("x"))
	require.NoError(t, err)
	_, err = client(t, false).Do(req)
	require.ErrorIs(t, err, context.Canceled)
	<-left
	require.Equal(t, ClientGone, (<-ended).Result)
	res, err := client(t, false).Get("http://" + addr + "/next")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, "/next", string(body))
}

// TestResponsesOfEveryFraming goes through the kinds of bodies that a response can have.
func TestResponsesOfEveryFraming(t *testing.T) {
	for name, c := range map[string]struct {
		method, response, body string
		code                   int
		kept                   bool
	}{
		"length":            {"GET", yes, "yes", 200, true},
		"chunked":           {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n", "yes", 200, true},
		"until the end":     {"GET", "HTTP/1.0 200 OK\r\n\r\nyes", "yes", 200, false},
		"closing":           {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nyes", "yes", 200, false},
		"HEAD":              {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "", 200, true},
		"no content":        {"POST", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, true},
		"not modified":      {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "", 304, true},
		"empty with length": {"POST", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int64
			server := raw(t, func(n int64, conn net.Conn, in *bufio.Reader) {
				conns.Store(n)
				for {
					if _, err := drain(in); err != nil {
						return
					}
					_, _ = io.WriteString(conn, c.response)
					if !c.kept {
						return
					}
				}
			})
			front := proxy(t, server)
			for range 2 {
				req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+front, nil)
				require.NoError(t, err)
				res, err := client(t, false).Do(req)
				require.NoError(t, err)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				res.Body.Close()
				require.Equal(t, c.code, res.StatusCode)
				require.Equal(t, c.body, string(body))
			}
			want := int64(2)
			if c.kept {
				want = 1
			}
			require.Equal(t, want, conns.Load())
		})
	}
}

// seen is what a server can tell of a request.
type seen struct {
	method, target, host, body string
	header                     http.Header
}

// FuzzWireSendsWhatTheTransportSends compares the two ways to a server.
func FuzzWireSendsWhatTheTransportSends(f *testing.F) {
	f.Add("GET", "/", "model.example", "X-A", "1", "")
	f.Add("POST", "/v1/models/iris:predict?a=b%20c", "iris:80", "Content-Type", "application/json", `{"instances": []}`)
	f.Add("PUT", "//a/../b/%2e%2e/%ZZ", "h", "User-Agent", "", "x")
	f.Add("DELETE", "/a#b", "h", "Accept", " a , b ", "")
	f.Add("PURGE", "*", "", "Cookie", "\t", "")
	requests := make(chan seen, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- seen{r.Method, r.RequestURI, r.Host, string(body), r.Header}
	}))
	f.Cleanup(server.Close)
	fwd := New(Options{})
	f.Cleanup(fwd.CloseIdle)
	addr := server.Listener.Addr().String()
	f.Fuzz(func(t *testing.T, method, target, host, name, value, body string) {
		if !httpguts.ValidHostHeader(host) || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			t.Skip("Go's server refuses it before a handler is called")
		}
		text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s", method, target, host, name, value, len(body), body)
		send := func(wired bool) (seen, bool) {
			in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
			if err != nil || in.ContentLength != int64(len(body)) || in.Method == http.MethodConnect || len(in.Header["Expect"]) > 0 || upgradeType(in.Header) != "" {
				return seen{}, false
			}
			// What Go's server sees to before a handler is called.
			delete(in.Header, "Content-Length")
			x := fwd.Begin(httptest.NewRecorder(), in)
			defer x.End()
			x.url.Host = addr
			var res *http.Response
			if whole, ok := x.whole(); wired && ok {
				res, err = x.sendWhole(t.Context(), addr, whole)
			} else {
				x.out.Body = nil
				if x.body != nil {
					x.out.Body = x.body.attempt()
				}
				res, err = fwd.h1.RoundTrip(&x.out)
			}
			if err != nil {
				return seen{}, false
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				return seen{}, false // refused by the server itself
			}
			return <-requests, true
		}
		a, ok := send(false)
		if !ok {
			t.Skip("no request that both can send")
		}
		b, ok := send(true)
		require.True(t, ok)
		require.Equal(t, a, b)
	})
}

func BenchmarkRequestHeader(b *testing.B) {
	in, err := http.ReadRequest(bufio.NewReader(strings.NewReader("POST /v2/models/iris/infer HTTP/1.1\r\nHost: iris\r\nContent-Type: application/json\r\n" +
		"Accept: */*\r\nUser-Agent: bench\r\nX-Request-Id: 1\r\nTraceparent: 00-1-2-01\r\nContent-Length: 3\r\n\r\nabc")))
	require.NoError(b, err)
	x := New(Options{}).Begin(httptest.NewRecorder(), in)
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = x.appendHeader(buf[:0], "10.0.0.1:8080", 3)
	}
}
