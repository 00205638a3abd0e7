package forward

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// front starts a proxy with options before a server.
func front(t *testing.T, o Options, server string) string {
	t.Helper()
	f := New(o)
	t.Cleanup(f.CloseIdle)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		x := f.Begin(w, r)
		defer x.End()
		if x.Try(server).Result != Done {
			panic(http.ErrAbortHandler)
		}
	})
}

// arrives sends fields with a request and returns those that a server gets.
func arrives(t *testing.T, o Options, fields string) http.Header {
	t.Helper()
	got := make(chan http.Header, 1)
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Header
	})
	_, in := rawClient(t, front(t, o, server), "POST / HTTP/1.1\r\nHost: m.example\r\nContent-Length: 2\r\n"+fields+"\r\nhi")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	h := <-got
	h.Del("Content-Length")
	return h
}

func TestFieldsOfOneConnectionGoNoFurther(t *testing.T) {
	require.Equal(t, http.Header{"X-Kept": {"a"}}, arrives(t, Options{}, "X-Kept: a\r\nConnection: x-one , X-Two,,\r\nConnection: keep-alive\r\n"+
		"X-One: a\r\nX-Two: b\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nUpgrade: websocket\r\nTE: gzip\r\n"))
}

// TestAClientCannotDeclareAwayWhatWasSaidOfIt: a proxy in front may have added the
// fields and passed the client's Connection on.
func TestAClientCannotDeclareAwayWhatWasSaidOfIt(t *testing.T) {
	kept := http.Header{
		"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Host": {"public"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=203.0.113.9"},
		"Authorization": {"Bearer t"}, "Cookie": {"a=1"}, "Content-Type": {"application/json"}, "Traceparent": {"00-1-2-01"}, "X-Request-Id": {"7"},
	}
	fields, names := "", []string{"Host", "Content-Length", "close, X-Gone"}
	for name, values := range kept {
		fields += name + ": " + values[0] + "\r\n"
		names = append(names, strings.ToLower(name))
	}
	require.Equal(t, kept, arrives(t, Options{}, fields+"X-Gone: a\r\nConnection: "+strings.Join(names, ",")+"\r\n"))
}

func TestTheChainOfClientsGrowsAndItsBeginningStays(t *testing.T) {
	for name, c := range map[string]struct {
		forwarded bool
		fields    string
		want      http.Header
	}{
		"the first proxy":      {true, "", http.Header{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"m.example"}, "X-Forwarded-Proto": {"http"}}},
		"not asked for it":     {false, "", http.Header{}},
		"a later one":          {true, "X-Forwarded-For: a\r\nX-Forwarded-For: b, c\r\nX-Forwarded-Host: h\r\nX-Forwarded-Proto: https\r\n", http.Header{"X-Forwarded-For": {"a, b, c, 127.0.0.1"}, "X-Forwarded-Host": {"h"}, "X-Forwarded-Proto": {"https"}}},
		"not asked, and later": {false, "X-Forwarded-For: a\r\n", http.Header{"X-Forwarded-For": {"a"}}},
		"with Forwarded": {true, "Forwarded: for=a;host=h\r\nForwarded: for=b\r\n", http.Header{
			"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"m.example"}, "X-Forwarded-Proto": {"http"},
			"Forwarded": {"for=a;host=h, for=b, for=127.0.0.1;proto=http"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, arrives(t, Options{Forwarded: c.forwarded}, c.fields))
		})
	}
	require.Equal(t, `for="[2001:db8::1]";proto=http`, forwardedElement("2001:db8::1"))
}

func TestTrailersAreAnnouncedAndPassedOnBothWays(t *testing.T) {
	both(t, func(t *testing.T, h2 bool) {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			require.Contains(t, r.Trailer, "X-Sum", "announced")
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			w.Header().Set("Trailer", "X-Back")
			_, _ = w.Write(body)
			w.Header().Set("X-Back", r.Trailer.Get("X-Sum")+r.Header.Get("Te"))
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+front(t, Options{}, server), io.MultiReader(strings.NewReader("body")))
		require.NoError(t, err)
		req.Header.Set("Te", "trailers")
		req.Trailer = http.Header{"X-Sum": {"17"}}
		res, err := client(t, h2).Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, "body", string(body))
		require.Equal(t, http.Header{"X-Back": {"17trailers"}}, res.Trailer)
	})
}

// TestAnUpgradeToHTTP2IsDeclined: it would take the requests out of sight.
func TestAnUpgradeToHTTP2IsDeclined(t *testing.T) {
	for _, protocol := range []string{"h2c", "websocket, H2C"} {
		fields := "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + "\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
		require.Empty(t, arrives(t, Options{}, fields))
		require.Empty(t, arrives(t, Options{}, strings.Replace(fields, ", HTTP2-Settings", "", 1)))
	}
}

// TestAClientOfHTTP10IsServedAsSuch: no chunks, no upgrade, no early hints, and the
// connection is kept only if it asks for it.
func TestAClientOfHTTP10IsServedAsSuch(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Upgrade", r.Header.Get("Upgrade"))
		require.NotContains(t, r.Header, "X-Forwarded-Host", "it named none")
		if r.URL.Path == "/hinted" {
			w.WriteHeader(http.StatusEarlyHints)
		}
		if r.URL.Path != "/short" {
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.WriteString(w, "answer")
	})
	addr := front(t, Options{Forwarded: true}, server)
	for _, path := range []string{"/streamed", "/hinted"} {
		_, in := rawClient(t, addr, "GET "+path+" HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		res, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Empty(t, res.TransferEncoding)
		require.Empty(t, res.Header.Get("X-Upgrade"))
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "answer", string(body))
	}
	conn, in := rawClient(t, addr, "GET /short HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	for i := range 2 {
		res, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "answer", string(body))
		if i == 0 {
			_, err = io.WriteString(conn, "GET /short HTTP/1.0\r\n\r\n")
			require.NoError(t, err)
		}
	}
	_, err := in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

// TestTheConnectionIsTheClientsToClose: neither side's wish to close concerns the other.
func TestTheConnectionIsTheClientsToClose(t *testing.T) {
	conns := make(chan net.Addr, 10)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conns <- r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if r.URL.Path == "/closing" {
			w.Header().Set("Connection", "close")
		}
		require.False(t, r.Close)
	})
	addr := front(t, Options{}, server)
	conn, in := rawClient(t, addr, "GET /closing HTTP/1.1\r\nHost: m\r\n\r\n")
	for i, next := range []string{"GET / HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n", ""} {
		res, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, i == 1, res.Close)
		_, err = io.WriteString(conn, next)
		require.NoError(t, err)
	}
	_, err := in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

// TestResponsesWithoutABodyHaveNone, and keep what their header says about one.
func TestResponsesWithoutABodyHaveNone(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Length", "1000")
		}
	})
	addr := front(t, Options{}, server)
	conn, in := rawClient(t, addr, "")
	for _, c := range []struct {
		method, path string
		code         int
		field, value string
	}{
		{http.MethodHead, "/", 200, "Content-Length", "1000"},
		{http.MethodGet, "/204", 204, "Content-Length", ""},
		{http.MethodGet, "/304", 304, "Etag", `"x"`},
		{http.MethodHead, "/304", 304, "Etag", `"x"`},
	} {
		_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: m\r\n\r\n", c.method, c.path)
		require.NoError(t, err)
		res, err := http.ReadResponse(in, &http.Request{Method: c.method})
		require.NoError(t, err)
		require.Equal(t, c.code, res.StatusCode)
		require.Equal(t, c.value, res.Header.Get(c.field))
		require.Empty(t, res.TransferEncoding)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Empty(t, body)
		require.Zero(t, in.Buffered(), "the next response follows at once")
	}
}

// TestAClientThatWaitsToBeToldIsToldByTheServer: its 100 comes when the server
// wants the body, and a refusal comes instead of it.
func TestAClientThatWaitsToBeToldIsToldByTheServer(t *testing.T) {
	server := raw(t, func(_ int64, conn net.Conn, in *bufio.Reader) {
		r, err := http.ReadRequest(in)
		if err != nil || r.Header.Get("Expect") != "100-continue" {
			_, _ = io.WriteString(conn, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
			return
		}
		if r.URL.Path == "/refused" {
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	})
	addr := front(t, Options{}, server)
	head := "POST %s HTTP/1.1\r\nHost: m\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"

	conn, in := rawClient(t, addr, fmt.Sprintf(head, "/"))
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusContinue, res.StatusCode)
	_, err = io.WriteString(conn, "body")
	require.NoError(t, err)
	res, err = http.ReadResponse(in, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "body", string(body))

	_, in = rawClient(t, addr, fmt.Sprintf(head, "/refused"))
	res, err = http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	require.True(t, res.Close, "what would follow is a body or a request, and nobody knows which")
}

func TestOthersFieldsAreLeftAlone(t *testing.T) {
	fields := "Via: 1.1 edge\r\nMax-Forwards: 3\r\nAccept: a\r\nAccept: b\r\nUser-Agent: x\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
	require.Equal(t, http.Header{
		"Via": {"1.1 edge"}, "Max-Forwards": {"3"}, "Accept": {"a", "b"}, "User-Agent": {"x"}, "Date": {"Thu, 01 Jan 1970 00:00:00 GMT"},
	}, arrives(t, Options{}, fields))
}

func TestAClientThatNamesNoProgramIsNotGivenOurs(t *testing.T) {
	got := make(chan http.Header, 1)
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Header
	})
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\nhi",
		"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
	} {
		rawClient(t, front(t, Options{}, server), request)
		require.NotContains(t, <-got, "User-Agent")
	}
}
