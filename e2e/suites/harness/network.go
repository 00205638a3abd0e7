package harness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Dialer opens connections inside the cluster's network. It knows Services by
// their DNS names, which the machine outside the cluster cannot look up.
type Dialer struct {
	env *Env

	mu        sync.Mutex
	addresses map[string]string
}

// NewDialer returns a Dialer that remembers the addresses it has looked up.
func (e *Env) NewDialer() *Dialer { return &Dialer{env: e, addresses: map[string]string{}} }

// DialContext opens a connection to address, whose host may be a Service's
// name such as iris-predictor.default.svc.cluster.local.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dialing %s: %w", address, err)
	}
	if ip, err := d.lookup(ctx, host); err != nil {
		return nil, err
	} else if ip != "" {
		host = ip
	}
	return d.env.Target.DialContext(ctx, network, net.JoinHostPort(host, port))
}

// lookup returns the address of a Service, or nothing if the host is no Service's name.
func (d *Dialer) lookup(ctx context.Context, host string) (string, error) {
	name, rest, ok := strings.Cut(strings.TrimSuffix(host, ".svc.cluster.local"), ".")
	if !ok || !strings.HasSuffix(host, ".svc.cluster.local") {
		return "", nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if ip := d.addresses[host]; ip != "" {
		return ip, nil
	}
	service, err := d.env.Kube.CoreV1().Services(rest).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("looking up %s: %w", host, err)
	}
	d.addresses[host] = service.Spec.ClusterIP
	return service.Spec.ClusterIP, nil
}

// HTTPClient returns a client for HTTP/1.1 into the cluster. Without keep-alive
// each request opens a connection of its own, and so meets the endpoints anew.
func (e *Env) HTTPClient(keepAlive bool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:         e.NewDialer().DialContext,
		DisableKeepAlives:   !keepAlive,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     30 * time.Second,
	}}
}
