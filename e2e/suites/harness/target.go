package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/rawserve/rawserve/e2e/cluster"
)

// needs is what a cluster that is not ours must offer.
const needs = `The cluster of your kubeconfig is used. It needs
  - Kubernetes 1.32 or later, and cluster-admin for you;
  - the images ` + SystemImage + ` and ` + TestServerImage + ` (make images) and ` + ModelStoreImage + `
    (make model-images) on its nodes, or in a registry that they pull from under these names;
  - no other owner of the API group custom.metrics.k8s.io.`

// Target is a cluster and the ways into it.
type Target struct {
	cluster.Target
	// Kubectl is the program.
	Kubectl string

	relay *relay
}

// use says which cluster is meant.
func (o Options) use() cluster.UseOptions {
	return cluster.UseOptions{
		Context: o.Context,
		Local:   cluster.Options{Name: o.Name, Owner: o.Owner, InstallDeps: o.InstallDeps, WaitMetrics: true, Progress: o.Progress},
	}
}

// openTarget starts the local cluster, or takes the one that the user named.
func openTarget(ctx context.Context, o Options) (*Target, error) {
	found, err := cluster.Use(ctx, o.use())
	if err != nil {
		return nil, err
	}
	t := &Target{Target: found}
	if t.Local != nil {
		t.Kubectl, err = t.Local.Binary("kubectl")
		return t, err
	}
	fmt.Fprintln(o.Progress, needs)
	return t, t.settle()
}

// settle writes the chosen context into a kubeconfig of its own, so that kubectl
// and the clients mean the same cluster whatever is switched meanwhile.
func (t *Target) settle() error {
	var err error
	if t.Kubectl, err = exec.LookPath("kubectl"); err != nil {
		return errors.New("kubectl is not on PATH; it is needed to use the cluster of a kubeconfig")
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	raw, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: t.Context}).RawConfig()
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if t.Context != "" {
		raw.CurrentContext = t.Context
	}
	dir, err := os.MkdirTemp("", "rawserve-kubeconfig-")
	if err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	t.Kubeconfig = filepath.Join(dir, "config")
	if err := clientcmd.WriteToFile(raw, t.Kubeconfig); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return nil
}

// CanLoadImages tells whether images can be put on the nodes from here.
func (t *Target) CanLoadImages() bool { return t.Local != nil }

// DialContext opens a connection inside the cluster's network, by address or
// by a Service's DNS name.
func (t *Target) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if t.Local != nil {
		return t.Local.DialContext(ctx, network, address)
	}
	return t.relay.dial(ctx, address)
}
