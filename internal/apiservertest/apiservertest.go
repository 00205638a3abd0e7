// Package apiservertest gives tests a real kube-apiserver on a real etcd, with
// rawserve's CRDs installed and nothing else: no nodes, no controllers, no
// garbage collection. Pods stay pending and Deployments make no ReplicaSets, so
// tests play those parts themselves.
//
// The binaries kube-apiserver and etcd are taken from the folder that the
// environment variable RAWSERVE_APISERVER_BIN_DIR names, or from PATH. Without
// them tests are skipped; where CI is set they fail.
//
// One server serves all tests of a test binary. Give the package a TestMain that
// calls [Main], else it starts anew for each test that is alone in using it.
// Tests share the server, so each works in a [Namespace] of its own.
package apiservertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// BinDirEnv names the environment variable with the folder of the binaries.
const BinDirEnv = "RAWSERVE_APISERVER_BIN_DIR"

// startTimeout bounds the start of etcd and kube-apiserver together. It takes 3
// to 5 s on a quiet machine and many times that where builds run beside it.
const startTimeout = 2 * time.Minute

// shared is the server of this test binary. users counts the tests that hold it;
// the last one to leave stops it, unless Main keeps it for the next.
var shared struct {
	sync.Mutex
	server *server
	failed error // of the first start: trying again for each test would only take longer
	users  int
	kept   bool
}

// Main runs the tests of a package with one server for all of them, and stops
// it at the end. Call it from TestMain.
func Main(m *testing.M) {
	shared.Lock()
	shared.kept = true
	shared.Unlock()
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.stop()
	}
	os.Exit(code)
}

// Start returns the configuration of a client with all rights and no rate limit.
// It starts the server if no test has done so yet, and skips the test where the
// binaries are missing.
func Start(t testing.TB) *rest.Config {
	t.Helper()
	binaries, err := findBinaries()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v", err)
		}
		t.Skipf("%v", err)
	}

	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.failed == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		shared.server, shared.failed = startServer(ctx, binaries)
	}
	if shared.failed != nil {
		t.Fatalf("starting the API server: %v", shared.failed)
	}
	shared.users++
	t.Cleanup(release)
	return rest.CopyConfig(shared.server.config)
}

// Launch starts a server of its own for a program that is no test: the load suite.
// stop ends it and removes its data. Missing binaries are an error.
func Launch(ctx context.Context) (config *rest.Config, stop func(), err error) {
	binaries, err := findBinaries()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s, err := startServer(ctx, binaries)
	if err != nil {
		return nil, nil, fmt.Errorf("starting the API server: %w", err)
	}
	return rest.CopyConfig(s.config), s.stop, nil
}

func release() {
	shared.Lock()
	defer shared.Unlock()
	shared.users--
	if shared.users > 0 || shared.kept {
		return
	}
	shared.server.stop()
	shared.server = nil
}

var namespaces atomic.Int64

// Namespace creates a namespace that no other test uses and returns its name.
// It is left behind: nothing here could empty it, and the server's data goes as
// a whole.
func Namespace(t testing.TB, config *rest.Config) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	name := fmt.Sprintf("test-%d", namespaces.Add(1))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name,
		// Says in a dump of the server which test an object belongs to.
		Annotations: map[string]string{"test": t.Name()},
	}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating namespace %s: %v", name, err)
	}
	return name
}

type binaries struct{ etcd, apiserver string }

func findBinaries() (binaries, error) {
	etcd, err := findBinary("etcd")
	if err != nil {
		return binaries{}, err
	}
	apiserver, err := findBinary("kube-apiserver")
	return binaries{etcd: etcd, apiserver: apiserver}, err
}

func findBinary(name string) (string, error) {
	if dir := os.Getenv(BinDirEnv); dir != "" {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s is not in %s=%s: build it with 'hack/test.sh' or unset the variable", name, BinDirEnv, dir)
		}
		return path, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not on PATH and %s is unset: run 'make test-unit', which builds and finds it", name, BinDirEnv)
	}
	return path, nil
}

// repositoryFile finds a path of this repository from the working folder of a
// test, which is that of its package.
func repositoryFile(path string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the working folder: %w", err)
	}
	for {
		if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil &&
			strings.HasPrefix(string(mod), "module github.com/rawserve/rawserve\n") {
			return filepath.Join(dir, path), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod of rawserve above the working folder: run the test within the repository")
		}
		dir = parent
	}
}
