package apiservertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// pollEvery is how often readiness is asked for while starting.
const pollEvery = 50 * time.Millisecond

// server is one running pair of etcd and kube-apiserver.
type server struct {
	config    *rest.Config
	etcd      *process
	apiserver *process
	dir       string
}

// startServer starts both processes, waits until they serve and installs the CRDs.
func startServer(ctx context.Context, b binaries) (*server, error) {
	dir, err := os.MkdirTemp("", "apiservertest-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	s := &server{dir: dir}
	if err := s.start(ctx, b); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *server) start(ctx context.Context, b binaries) error {
	files, err := writeCertificates(s.dir)
	if err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return fmt.Errorf("finding free ports: %w", err)
	}
	etcdURL := "http://" + loopback(ports[0])
	if s.etcd, err = startProcess(ctx, b.etcd, filepath.Join(s.dir, "etcd.log"), etcdArgs(s.dir, etcdURL, "http://"+loopback(ports[1]))); err != nil {
		return err
	}
	if err := s.etcd.waitFor(ctx, func(ctx context.Context) bool { return answers(ctx, http.DefaultClient, etcdURL+"/health") }); err != nil {
		return err
	}
	if s.apiserver, err = startProcess(ctx, b.apiserver, filepath.Join(s.dir, "kube-apiserver.log"), apiserverArgs(files, etcdURL, ports[2])); err != nil {
		return err
	}
	s.config = &rest.Config{
		Host: "https://" + loopback(ports[2]),
		TLSClientConfig: rest.TLSClientConfig{
			CAFile:   files.ca,
			CertFile: files.clientCert,
			KeyFile:  files.clientKey,
		},
		QPS: -1, // tests are to find our own limits, not the client's
	}
	client, err := rest.HTTPClientFor(s.config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := s.apiserver.waitFor(ctx, func(ctx context.Context) bool { return answers(ctx, client, s.config.Host+"/readyz") }); err != nil {
		return err
	}
	return installCRDs(ctx, s.config)
}

// stop ends both processes and removes their data.
func (s *server) stop() {
	// The API server first: without etcd it would only log errors until killed.
	s.apiserver.stop()
	s.etcd.stop()
	// Best effort: a leftover in the temporary folder harms nobody.
	_ = os.RemoveAll(s.dir)
}

func etcdArgs(dir, clientURL, peerURL string) []string {
	return []string{
		"--data-dir=" + filepath.Join(dir, "etcd"),
		"--listen-client-urls=" + clientURL,
		"--advertise-client-urls=" + clientURL,
		"--listen-peer-urls=" + peerURL,
		"--initial-advertise-peer-urls=" + peerURL,
		"--initial-cluster=default=" + peerURL,
		// Nothing here outlives the test, and syncing dominates on slow disks.
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

func apiserverArgs(f files, etcdURL string, port int) []string {
	return []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + f.servingCert,
		"--tls-private-key-file=" + f.servingKey,
		"--client-ca-file=" + f.ca,
		// Aggregated API servers under test trust the API server by these.
		"--requestheader-client-ca-file=" + f.ca,
		"--requestheader-allowed-names=" + frontProxyName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + f.proxyCert,
		"--proxy-client-key-file=" + f.proxyKey,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + f.servingKey,
		"--service-account-signing-key-file=" + f.servingKey,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=RBAC",
		// No controller makes service accounts, so pods must do without.
		"--disable-admission-plugins=ServiceAccount",
		"--allow-privileged=true",
		"--watch-cache=true",
	}
}

// freePorts returns ports that were free a moment ago, all different.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var listen net.ListenConfig
	var ports []int
	for range n {
		l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		// Held until all are found, so that none is given twice.
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func answers(ctx context.Context, client *http.Client, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// poll calls done until it says so, ctx ends or ended is closed.
func poll(ctx context.Context, ended <-chan struct{}, done func(context.Context) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return wait.PollUntilContextCancel(ctx, pollEvery, true, func(ctx context.Context) (bool, error) { return done(ctx), nil })
}
