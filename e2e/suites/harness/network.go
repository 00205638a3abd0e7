package harness

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Dial opens a connection inside the cluster's network, by address or by a
// Service's DNS name.
func (e *Env) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return e.Target.DialContext(ctx, network, address)
}

// HTTPClient returns a client for HTTP/1.1 into the cluster. Without keep-alive
// each request opens a connection of its own, and so meets the endpoints anew.
// With it, connections are kept for longer than a service takes to zero and back:
// if one ends in between, the other side has ended it.
func (e *Env) HTTPClient(keepAlive bool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:         e.Dial,
		DisableKeepAlives:   !keepAlive,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     10 * time.Minute,
	}}
}
