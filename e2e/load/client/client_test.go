package client

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/e2e/load"
	"github.com/rawserve/rawserve/e2e/load/backend"
)

// serve runs a server until the test ends and returns its address.
func serve(t *testing.T, srv *http.Server) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-ended
	})
	return ln.Addr().String()
}

// short is enough: every client calls once at least. Events come by themselves.
const (
	short  = 20 * time.Millisecond
	events = 300 * time.Millisecond
)

func TestEveryCellIsAnsweredByTheBackend(t *testing.T) {
	addr := serve(t, backend.Server())
	for _, cell := range load.Matrix() {
		if cell.Clients > 32 {
			continue
		}
		t.Run(cell.Name(), func(t *testing.T) {
			warm, d := 0, short
			if cell.Protocol == load.Events {
				d = events
			}
			r, err := Run(t.Context(), Options{Cell: cell, Addr: addr, WarmUp: short, Duration: d}, func() { warm++ })
			require.NoError(t, err)
			require.Equal(t, 1, warm)
			require.Zero(t, r.Errors, r.FirstError)
			require.Positive(t, r.Requests)
			require.Positive(t, r.P50)
			require.GreaterOrEqual(t, r.P99, r.P50)
			require.GreaterOrEqual(t, r.Elapsed, short)
		})
	}
}

func TestConnectionsAreKeptOrNotAsTheCellSays(t *testing.T) {
	for _, keep := range []bool{true, false} {
		srv := backend.Server()
		var conns, requests atomic.Int64
		inner := srv.Handler
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			inner.ServeHTTP(w, r)
		})
		srv.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				conns.Add(1)
			}
		}
		cell := load.Cell{Protocol: load.HTTP1, Body: 1 << 10, Clients: 3, KeepAlive: keep}
		r, err := Run(t.Context(), Options{Cell: cell, Addr: serve(t, srv), WarmUp: short, Duration: short}, func() {})
		require.NoError(t, err)
		require.Zero(t, r.Errors, r.FirstError)
		if keep {
			require.Equal(t, int64(3), conns.Load())
		} else {
			require.Equal(t, requests.Load(), conns.Load())
		}
	}
}

// The requests are written by hand, so somebody else has to read them.
func TestTheStandardLibraryReadsTheRequestAsItIsMeant(t *testing.T) {
	got := make(chan *http.Request, 1)
	addr := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != strings.Repeat("x", 1<<10) {
			t.Errorf("the body is %q (%v)", body, err)
		}
		got <- r
		_, _ = io.WriteString(w, load.Answer(1<<10))
	})})
	o := Options{Cell: load.Cell{Protocol: load.HTTP1, Body: 1 << 10, Clients: 1}, Addr: addr, Header: map[string]string{"Knative-Serving-Revision": "iris-00001"}}
	c := newRaw(o)
	defer c.close()
	require.NoError(t, c.call(t.Context()))
	r := <-got
	require.Equal(t, http.MethodPost, r.Method)
	require.Equal(t, "/v2/models/iris/infer", r.URL.Path)
	require.Equal(t, host, r.Host)
	require.Equal(t, int64(1<<10), r.ContentLength)
	require.Equal(t, "iris-00001", r.Header.Get("Knative-Serving-Revision"))
	require.True(t, r.Close)
}

// scripted answers one request after the other with these bytes, and closes where one is empty.
func scripted(t *testing.T, answers ...string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for len(answers) > 0 {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			br := bufio.NewReader(conn)
			for len(answers) > 0 {
				if _, err := http.ReadRequest(br); err != nil {
					break
				}
				answer := answers[0]
				answers = answers[1:]
				if answer == "" {
					break
				}
				_, _ = io.WriteString(conn, answer)
				if strings.Contains(answer, "close") {
					break
				}
			}
			conn.Close()
		}
	}()
	return ln.Addr().String()
}

func TestAnswersAreReadAsTheStandardLibraryReadsThem(t *testing.T) {
	for name, answer := range map[string]string{
		"a length":                  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"a length in small letters": "HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nok, and what is not read",
		"one chunk":                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"two chunks":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
		"the connection's end":      "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
		"not ok":                    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nok",
		"another body":              "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
		"too short":                 "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok",
		"a chunk that is none":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
		"no answer":                 "",
	} {
		t.Run(name, func(t *testing.T) {
			want := false
			res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
			if err == nil {
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				want = err == nil && res.StatusCode == http.StatusOK && string(body) == "ok"
			}
			c := newRaw(Options{Cell: load.Cell{Protocol: load.HTTP1, Clients: 1, KeepAlive: true}, Addr: scripted(t, answer)})
			defer c.close()
			err = c.call(t.Context())
			require.Equal(t, want, err == nil, "%v", err)
		})
	}
}

func TestAClientGoesOnAfterAnErrorOnANewConnection(t *testing.T) {
	good := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	addr := scripted(t, good, "", good)
	c := newRaw(Options{Cell: load.Cell{Protocol: load.HTTP1, Clients: 1, KeepAlive: true}, Addr: addr})
	defer c.close()
	require.NoError(t, c.call(t.Context()))
	require.Error(t, c.call(t.Context()))
	require.NoError(t, c.call(t.Context()))
}

func TestErrorsAreCountedAndTheFirstIsKept(t *testing.T) {
	var n atomic.Int64
	addr := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%2 == 0 {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok")
	})})
	cell := load.Cell{Protocol: load.HTTP1, Clients: 1, KeepAlive: true}
	r, err := Run(t.Context(), Options{Cell: cell, Addr: addr, WarmUp: short, Duration: time.Minute}, func() {})
	require.NoError(t, err)
	require.Equal(t, int64(maxErrors), r.Errors, "a client that meets errors does not go on for ever")
	require.Contains(t, r.FirstError, "503")
	require.Positive(t, r.Requests)
}

func TestNobodyThereIsAnErrorAtOnce(t *testing.T) {
	for _, cell := range []load.Cell{
		{Protocol: load.HTTP1, Clients: 1, KeepAlive: true},
		{Protocol: load.GRPC, Body: 1 << 10, Clients: 1, KeepAlive: true},
		{Protocol: load.Events, Clients: 1, KeepAlive: true},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := ln.Addr().String()
		ln.Close()
		_, err = Run(t.Context(), Options{Cell: cell, Addr: addr, WarmUp: short, Duration: short}, func() {})
		require.ErrorContains(t, err, addr)
	}
}

func FuzzRawAnswerNeverTakesTheWrongOne(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		r := &raw{want: "ok", conn: discard{}, br: bufio.NewReader(strings.NewReader(answer))}
		if _, err := r.exchange(); err != nil {
			return
		}
		if !bytes.HasPrefix([]byte(answer), []byte("HTTP/1.1 200 ")) || !strings.Contains(answer, "o") || !strings.Contains(answer, "k") {
			t.Errorf("%q was taken", answer)
		}
	})
}

// discard is a connection whose writes go nowhere.
type discard struct{ net.Conn }

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) SetDeadline(time.Time) error { return nil }
