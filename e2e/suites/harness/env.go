// Package harness puts rawserve on a cluster and gives tests and the demo what
// they need of it: clients, a way to send requests into the cluster's network,
// and waits that follow the API server's events.
package harness

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
)

// SystemNamespace is where rawserve's own pods run.
const SystemNamespace = "rawserve-system"

// Options say which cluster is used and what is put on it.
type Options struct {
	// Name is the local cluster's name, unless KUBECONFIG is the file of another one.
	Name string
	// Owner is who opens it. Remove takes a local cluster down that was started for
	// the same owner, and leaves others running.
	Owner string
	// Context is the kubeconfig context of another cluster to use instead.
	Context string
	// InstallDeps lets the local cluster install missing Debian packages.
	InstallDeps bool
	// Models packs the real model server too, which takes a minute the first time.
	Models bool
	// Progress gets lines for a person.
	Progress io.Writer
}

// Env is a cluster with rawserve on it.
type Env struct {
	// Target is the cluster.
	Target *Target
	// Config reaches its API server as administrator.
	Config *rest.Config
	// Kube and Serving are typed clients.
	Kube    kubernetes.Interface
	Serving versioned.Interface

	root     string
	progress io.Writer
	// images maps the names of the images that were loaded to their IDs.
	images map[string]string
}

// Open finds or starts the cluster and puts rawserve on it.
func Open(ctx context.Context, o Options) (*Env, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	root, err := repository()
	if err != nil {
		return nil, err
	}
	target, err := openTarget(ctx, o)
	if err != nil {
		return nil, err
	}
	e, err := connect(target, root, o.Progress)
	if err != nil {
		return nil, err
	}
	if err := e.loadImages(ctx, o); err != nil {
		return nil, err
	}
	if err := e.install(ctx); err != nil {
		return nil, err
	}
	if !target.CanLoadImages() {
		if target.relay, err = e.openRelay(ctx); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func connect(target *Target, root string, progress io.Writer) (*Env, error) {
	config, err := target.RESTConfig()
	if err != nil {
		return nil, err
	}
	// Tests read much at once; the server has its own limits.
	config.QPS, config.Burst = 200, 400
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the Kubernetes client: %w", err)
	}
	serving, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the rawserve client: %w", err)
	}
	return &Env{Target: target, Config: config, Kube: kube, Serving: serving, root: root, progress: progress, images: map[string]string{}}, nil
}

// Root is the folder of the repository.
func (e *Env) Root() string { return e.root }

// Say writes a line for a person.
func (e *Env) Say(format string, args ...any) { fmt.Fprintf(e.progress, format+"\n", args...) }

// repository finds the root of the checkout from the working folder upwards.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "manifests", "default", "kustomization.yaml")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no folder above the working folder holds manifests/default: run this inside a checkout of rawserve")
		}
		dir = parent
	}
}
