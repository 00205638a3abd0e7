package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/rawserve/rawserve/e2e/cluster"
)

// needs is what a cluster that is not ours must offer.
const needs = `the cluster of your kubeconfig is used; it needs
  - Kubernetes 1.32 or later, and cluster-admin for you
  - the images ` + SystemImage + `, ` + TestServerImage + ` (make images) and ` + ModelStoreImage + ` on its nodes or in a registry they pull from
  - no other owner of the API group custom.metrics.k8s.io`

// Target is a cluster and the ways into it.
type Target struct {
	// Kubeconfig is a file with an administrator's credentials.
	Kubeconfig string
	// Kubectl is the program.
	Kubectl string

	local *cluster.Cluster
	relay *relay
}

// Foreign tells whether the user named a cluster to use instead of a local one.
func Foreign(contextName string) bool { return contextName != "" || os.Getenv("KUBECONFIG") != "" }

// openTarget starts the local cluster, or takes the one that the user named.
func openTarget(ctx context.Context, o Options) (*Target, error) {
	if Foreign(o.Context) {
		fmt.Fprintln(o.Progress, needs)
		return foreignTarget(o.Context)
	}
	c, err := cluster.Up(ctx, cluster.Options{Name: o.Name, InstallDeps: o.InstallDeps, WaitMetrics: true, Progress: o.Progress})
	if err != nil {
		return nil, err
	}
	kubectl, err := c.Binary("kubectl")
	if err != nil {
		return nil, err
	}
	return &Target{Kubeconfig: c.Kubeconfig(), Kubectl: kubectl, local: c}, nil
}

// foreignTarget writes the chosen context into a kubeconfig of its own, so that
// kubectl and the clients mean the same cluster whatever is switched meanwhile.
func foreignTarget(contextName string) (*Target, error) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		return nil, errors.New("kubectl is not on PATH; it is needed to use the cluster of a kubeconfig")
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	raw, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextName}).RawConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if contextName != "" {
		raw.CurrentContext = contextName
	}
	if err := clientcmd.ConfirmUsable(raw, ""); err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	file, err := os.CreateTemp("", "rawserve-kubeconfig-")
	if err != nil {
		return nil, fmt.Errorf("writing a kubeconfig: %w", err)
	}
	if err := errors.Join(file.Close(), clientcmd.WriteToFile(raw, file.Name())); err != nil {
		return nil, fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return &Target{Kubeconfig: file.Name(), Kubectl: kubectl}, nil
}

// CanLoadImages tells whether images can be put on the nodes from here.
func (t *Target) CanLoadImages() bool { return t.local != nil }

// LoadImage puts the images of an archive on every node.
func (t *Target) LoadImage(ctx context.Context, archive string) error {
	if t.local == nil {
		return errors.New("images cannot be loaded into a cluster that is not local")
	}
	_, err := t.local.LoadImage(ctx, archive)
	return err
}

// DialContext opens a connection inside the cluster's network, by address or
// by a Service's DNS name.
func (t *Target) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if t.local != nil {
		return t.local.DialContext(ctx, network, address)
	}
	return t.relay.dial(ctx, address)
}

// Down removes the local cluster.
func Down(ctx context.Context, name string, progress io.Writer) error {
	return cluster.Down(ctx, cluster.Options{Name: name, Progress: progress})
}
