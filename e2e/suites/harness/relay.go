package harness

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// relayPod stands inside a cluster whose network is out of reach from here and
// opens connections on request.
const relayPod = `
apiVersion: v1
kind: Namespace
metadata:
  name: rawserve-relay
  labels: {pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: v1
kind: Pod
metadata:
  name: relay
  namespace: rawserve-relay
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: relay
    image: ` + TestServerImage + `
    imagePullPolicy: IfNotPresent
    args: [--relay]
    readinessProbe: {httpGet: {path: /v2/health/live, port: 8080}, periodSeconds: 1}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`

// relay is a tunnel to relayPod.
type relay struct {
	address string
}

// openRelay starts the relay and forwards a local port to it until ctx is done.
func (e *Env) openRelay(ctx context.Context) (*relay, error) {
	if _, err := e.KubectlInput(ctx, relayPod, "apply", "-f", "-"); err != nil {
		return nil, fmt.Errorf("starting the relay: %w", err)
	}
	if _, err := e.Kubectl(ctx, "wait", "-n", "rawserve-relay", "--for=condition=Ready", "--timeout=2m", "pod/relay"); err != nil {
		return nil, fmt.Errorf("starting the relay: %w", err)
	}
	ports, err := forwardPort(ctx, e.Config, "/api/v1/namespaces/rawserve-relay/pods/relay/portforward")
	if err != nil {
		return nil, fmt.Errorf("reaching the relay: %w", err)
	}
	return &relay{address: fmt.Sprintf("127.0.0.1:%d", ports[0].Local)}, nil
}

func forwardPort(ctx context.Context, config *rest.Config, path string) ([]portforward.ForwardedPort, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, base.JoinPath(path))
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:8080"}, ctx.Done(), ready, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
		return forwarder.GetPorts()
	case err := <-failed:
		return nil, err
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("forwarding %s: not ready after 30 s", path)
	}
}

// dial opens a connection from the relay to address.
func (r *relay) dial(ctx context.Context, address string) (net.Conn, error) {
	if r == nil {
		return nil, fmt.Errorf("dialing %s: no way into the cluster's network yet", address)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.address)
	if err != nil {
		return nil, fmt.Errorf("dialing the relay: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address); err != nil {
		conn.Close()
		return nil, fmt.Errorf("asking the relay for %s: %w", address, err)
	}
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("asking the relay for %s: %w", address, err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		conn.Close()
		return nil, fmt.Errorf("dialing %s through the relay: %s", address, resp.Status)
	}
	_ = conn.SetDeadline(time.Time{})
	return &relayed{Conn: conn, reader: reader}, nil
}

// relayed is a connection whose first bytes may have been read already.
type relayed struct {
	net.Conn
	reader *bufio.Reader
}

func (c *relayed) Read(p []byte) (int, error) { return c.reader.Read(p) }
