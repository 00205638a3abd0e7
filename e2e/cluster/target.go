package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rawserve/rawserve/e2e/cluster/image"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// MinorVersion is the oldest supported minor version of Kubernetes 1.
const MinorVersion = 32

// UseOptions says which cluster tests and demonstrations use.
type UseOptions struct {
	// Kubeconfig and Context name a cluster that exists. If both are empty, and
	// $KUBECONFIG as well, a local one is started.
	Kubeconfig, Context string
	// Local is the local cluster. Where $KUBECONFIG is the file of a local cluster,
	// that one is used instead, and started if it has been removed.
	Local Options
}

// Target is the cluster that tests and demonstrations run on.
type Target struct {
	// Kubeconfig is its file. Context is empty for the current one.
	Kubeconfig, Context string
	// Version is the API server's, such as "v1.37.1".
	Version string
	// Local is the cluster if it is one of this machine, otherwise nil. Only then
	// images can be loaded, nodes killed, and pods dialled.
	Local *Cluster
}

// ErrForeign says that something is possible with a local cluster only.
var ErrForeign = errors.New("the cluster is not a local one")

// Use gives the cluster to run on: the one that is named, or a local one, which
// is started if need be. A cluster that exists must be Kubernetes 1.32 or later;
// the user must be its administrator; and its nodes must be able to pull the
// images that are used, as nothing can be loaded onto them from here.
func Use(ctx context.Context, o UseOptions) (Target, error) {
	if name := o.LocalName(); name != "" {
		return useLocal(ctx, name, o.Local)
	}
	target := Target{Kubeconfig: o.kubeconfig(), Context: o.Context}
	if target.Kubeconfig == "" {
		target.Kubeconfig = clientcmd.RecommendedHomeFile
	}
	return target, target.check(ctx)
}

// LocalName names the local cluster that is meant, whether or not it exists. It
// is empty where another cluster is meant. Who removes what was put on a target
// finds by it what Use has used.
func (o UseOptions) LocalName() string {
	switch file := o.kubeconfig(); {
	case o.Context != "":
		return ""
	case file != "":
		return localOf(file)
	}
	return o.Local.withDefaults().Name
}

func (o UseOptions) kubeconfig() string {
	if o.Kubeconfig != "" {
		return o.Kubeconfig
	}
	return os.Getenv("KUBECONFIG")
}

// localOf recognises the kubeconfig of a cluster of this machine, as `cluster
// exec` sets it. That of a cluster which has been removed still names it: shells
// in which it was exported outlive clusters.
func localOf(kubeconfig string) string {
	name := filepath.Base(filepath.Dir(kubeconfig))
	if plan.CheckName(name) != nil || filepath.Clean(kubeconfig) != (plan.Cluster{Name: name}).Kubeconfig() {
		return ""
	}
	return name
}

func useLocal(ctx context.Context, name string, o Options) (Target, error) {
	o.Name = name
	c, err := Up(ctx, o)
	if err != nil {
		return Target{}, err
	}
	target := Target{Kubeconfig: c.Kubeconfig(), Local: c}
	return target, target.check(ctx)
}

// RESTConfig is for clients of the API server.
func (t Target) RESTConfig() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if !strings.Contains(t.Kubeconfig, ":") {
		rules.ExplicitPath = t.Kubeconfig
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: t.Context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s: %w", t.Kubeconfig, err)
	}
	if t.Local != nil {
		config.Dial = t.Local.DialContext
	}
	return config, nil
}

// check asks for what is needed of a cluster.
func (t *Target) check(ctx context.Context) error {
	config, err := t.RESTConfig()
	if err != nil {
		return err
	}
	api, err := newPlainClient(config)
	if err != nil {
		return err
	}
	var v version.Info
	if err := api.get(ctx, "/version", &v); err != nil {
		return fmt.Errorf("asking %s for its version: %w", config.Host, err)
	}
	t.Version = v.GitVersion
	if err := checkVersion(v.Major, v.Minor); err != nil {
		return fmt.Errorf("cluster %s: %w", config.Host, err)
	}
	allowed, err := api.mayDoAnything(ctx)
	if err != nil {
		return fmt.Errorf("asking %s what its user may do: %w", config.Host, err)
	}
	if !allowed {
		return fmt.Errorf("cluster %s: its user is no administrator: give one bound to the cluster role cluster-admin", config.Host)
	}
	return nil
}

// checkVersion takes the parts as Kubernetes gives them: providers add signs to
// the minor version, as in "33+".
func checkVersion(major, minor string) error {
	digits := strings.TrimRightFunc(minor, func(r rune) bool { return r < '0' || r > '9' })
	number, err := strconv.Atoi(digits)
	if err != nil || major != "1" || number < MinorVersion {
		return fmt.Errorf("version %s.%s is not supported: use Kubernetes 1.%d or later", major, minor, MinorVersion)
	}
	return nil
}

// DialContext dials as seen from the cluster, where it is a local one. Pods and
// Services of another cluster cannot be reached from here: send load from a pod.
func (t Target) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if t.Local == nil {
		return nil, fmt.Errorf("dialling %s inside the cluster: %w: send requests from a pod, or by port-forward", address, ErrForeign)
	}
	return t.Local.DialContext(ctx, network, address)
}

// LoadSpec makes an image and puts it on every node of a local cluster.
func (t Target) LoadSpec(ctx context.Context, s image.Spec) error {
	if t.Local == nil {
		return fmt.Errorf("loading image %s: %w: push the image to a registry that its nodes can pull from", s.Reference, ErrForeign)
	}
	_, err := t.Local.LoadSpec(ctx, s)
	return err
}

// LoadImage puts the images of an archive on every node of a local cluster.
func (t Target) LoadImage(ctx context.Context, archive string) error {
	if t.Local == nil {
		return fmt.Errorf("loading %s: %w: push the image to a registry that its nodes can pull from", archive, ErrForeign)
	}
	_, err := t.Local.LoadImage(ctx, archive)
	return err
}
