// Package hotpathtest calls a proxy's handler as Go's server would, again and again
// with the same request, and has a server behind it that allocates nothing. What is
// left to be measured is the proxy's own: its handler and its side of the connection
// to the server.
package hotpathtest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/rawserve/rawserve/internal/clientconn"
)

// Path is a handler with a request for it. It is used by one goroutine.
type Path struct {
	t       testing.TB
	handler http.Handler
	ctx     context.Context //nolint:containedctx // a server's, of the connection
	method  string
	body    []byte
	reader  bytes.Reader
	request http.Request
	header  http.Header
	w       writer
}

// New returns the path of a GET, or of a POST with a body of this length, that comes
// in on a local port. It is called once, so that the connection to the server is there.
func New(t testing.TB, handler http.Handler, port, body int) *Path {
	p := &Path{
		t: t, handler: handler, method: http.MethodGet, body: bytes.Repeat([]byte("x"), body),
		ctx:    clientconn.Context(t.Context(), localConn{port: port}),
		header: http.Header{}, w: writer{header: http.Header{}},
	}
	if body > 0 {
		p.method = http.MethodPost
	}
	p.Call()
	return p
}

var (
	target = &url.URL{Path: "/v1/models/iris:predict"}
	// fields are those of an ordinary client.
	fields = map[string][]string{"Accept": {"*/*"}, "User-Agent": {"bench"}, "Content-Type": {"application/json"}}
)

// Call serves the request once. Making it anew takes two allocations, and one more
// for a body.
func (p *Path) Call() {
	clear(p.header)
	for name, values := range fields {
		p.header[name] = values
	}
	r := http.Request{
		Method: p.method, URL: target, RequestURI: target.Path, Host: "iris.example.com",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: p.header, Body: http.NoBody, ContentLength: int64(len(p.body)), RemoteAddr: "10.0.0.1:40000",
	}
	if len(p.body) > 0 {
		p.reader.Reset(p.body)
		r.Body = io.NopCloser(&p.reader)
	}
	p.request = *r.WithContext(p.ctx)
	clear(p.w.header)
	p.w.code, p.w.n = 0, 0
	p.handler.ServeHTTP(&p.w, &p.request)
	if p.w.code != http.StatusOK || p.w.n != len("ok") {
		p.t.Fatalf("the answer is %d with %d bytes", p.w.code, p.w.n)
	}
}

// writer takes responses and keeps nothing of them.
type writer struct {
	header http.Header
	code   int
	n      int
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}

func (w *writer) Flush() {}

func (w *writer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.n += len(b)
	return len(b), nil
}

// localConn is a connection that came in on a port.
type localConn struct {
	net.Conn
	port int
}

func (c localConn) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: c.port}
}

func (c localConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 40_000}
}

var canned = []byte("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\nok")

// Server answers every request and returns its port. Once a connection is there it
// allocates nothing.
func Server(t testing.TB) int {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		ln.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go answer(conn)
		}
	}()
	return ln.Addr().(*net.TCPAddr).Port
}

// answer ends with the client's end of the connection.
func answer(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 64<<10)
	for readRequest(conn, buf) {
		if _, err := conn.Write(canned); err != nil {
			return
		}
	}
}

// readRequest reads one request.
func readRequest(conn net.Conn, buf []byte) bool {
	for n := 0; ; {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return false
		}
		n += m
		if header := bytes.Index(buf[:n], []byte("\r\n\r\n")); header >= 0 && n == header+4+length(buf[:header]) {
			return true
		}
	}
}

// length is a header's Content-Length, 0 without one.
func length(header []byte) int {
	const name = "Content-Length: "
	at := bytes.Index(header, []byte(name))
	if at < 0 {
		return 0
	}
	n := 0
	for _, c := range header[at+len(name):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}
