// Command load-proxy is what one would write without rawserve: the standard library's
// reverse proxy, with a large idle pool, pooled buffers and immediate flushing.
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: load-proxy LISTEN SERVER")
		os.Exit(2)
	}
	ln, err := net.Listen("tcp", os.Args[1]) //nolint:noctx // it ends with the process
	if err == nil {
		err = proxy(os.Args[2]).Serve(ln)
	}
	fmt.Fprintln(os.Stderr, "load-proxy:", err)
	os.Exit(1)
}

func proxy(server string) *http.Server {
	target := &url.URL{Scheme: "http", Host: server}
	var both http.Protocols
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	handler := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport:     transports{h1: transport(false), h2: transport(true)},
		FlushInterval: -1,
		BufferPool:    buffers{},
	}
	return &http.Server{Handler: handler, Protocols: &both, ReadHeaderTimeout: time.Minute}
}

func transport(h2 bool) *http.Transport {
	var one http.Protocols
	one.SetHTTP1(!h2)
	one.SetUnencryptedHTTP2(h2)
	return &http.Transport{MaxIdleConnsPerHost: 4096, DisableCompression: true, Protocols: &one}
}

// transports goes on in the protocol that the request came in.
type transports struct{ h1, h2 *http.Transport }

// RoundTrip is for httputil.ReverseProxy.
func (t transports) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.ProtoMajor == 2 {
		return t.h2.RoundTrip(r)
	}
	return t.h1.RoundTrip(r)
}

type buffers struct{}

var pool = sync.Pool{New: func() any { return make([]byte, 32<<10) }}

// Get is for httputil.ReverseProxy.
func (buffers) Get() []byte { return pool.Get().([]byte) }

// Put is for httputil.ReverseProxy.
func (buffers) Put(b []byte) { pool.Put(b) } //nolint:staticcheck // the standard library's interface wants a slice
