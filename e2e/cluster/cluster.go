// Package cluster runs a real Kubernetes on one machine: etcd, the control
// plane, and one or more nodes with kubelet, kube-proxy, containerd and runc,
// built from Go modules and kept in network namespaces of their own.
//
// A cluster outlives the program that started it. What belongs to it is known
// by its control group, its network namespaces and its two folders, so that Down
// finds everything whatever happened to whoever started it.
package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rawserve/rawserve/e2e/cluster/internal/build"
	"github.com/rawserve/rawserve/e2e/cluster/internal/cgroup"
	"github.com/rawserve/rawserve/e2e/cluster/internal/component"
	"github.com/rawserve/rawserve/e2e/cluster/internal/network"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// DefaultName is the name of a cluster whose user gave it none.
const DefaultName = "rawserve"

// Options says which cluster is meant and how it should be.
type Options struct {
	// Name tells clusters on one machine apart. Empty is DefaultName.
	Name string
	// Owner is remembered with a new cluster, by which a program that uses whatever
	// cluster there is knows the ones that it may remove.
	Owner string
	// Nodes is the number of nodes. 0 keeps what the cluster has, or makes one.
	// A cluster grows when more are asked for; it does not shrink.
	Nodes int
	// InstallDeps installs missing packages with apt-get.
	InstallDeps bool
	// ExtraArgs adds arguments to components, by component name, such as
	// "kube-controller-manager": {"--node-monitor-grace-period=10s"}. Nil keeps
	// what the cluster has.
	ExtraArgs map[string][]string
	// WaitMetrics waits until the metrics API answers, which takes two readings
	// ten seconds apart.
	WaitMetrics bool
	// Timeout bounds the start, not the build. 0 is two minutes.
	Timeout time.Duration
	// Progress gets lines for a person. Nil gets none.
	Progress io.Writer
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// Validate says what is wrong with the options, all of it.
func (o Options) Validate() error {
	o = o.withDefaults()
	errs := []error{plan.CheckName(o.Name)}
	if o.Nodes < 0 || o.Nodes > plan.MaxNodes {
		errs = append(errs, fmt.Errorf("nodes %d: use 1 to %d", o.Nodes, plan.MaxNodes))
	}
	if o.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout %s: use a positive duration", o.Timeout))
	}
	for name := range o.ExtraArgs {
		errs = append(errs, checkComponent(name))
	}
	return errors.Join(errs...)
}

// Cluster is a cluster on this machine.
type Cluster struct {
	plan   plan.Cluster
	spec   spec
	groups cgroup.Layout
}

// spec is what is remembered of a cluster between calls.
type spec struct {
	plan.Cluster
	// Layout is that of the version that made the cluster.
	Layout  int               `json:"layout"`
	Owner   string            `json:"owner,omitempty"`
	Machine component.Machine `json:"machine"`
	Extra   component.Extra   `json:"extraArgs,omitempty"`
}

// layout counts the changes after which an older cluster cannot be mended, only
// removed.
const layout = 2

// ErrNotFound says that there is no cluster of that name.
var ErrNotFound = errors.New("no such cluster")

// Find opens a cluster that was started before. Its processes need not run.
func Find(name string) (*Cluster, error) {
	if name == "" {
		name = DefaultName
	}
	if err := plan.CheckName(name); err != nil {
		return nil, err
	}
	file := plan.Cluster{Name: name}.SpecFile()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cluster %s: %w: start it with `cluster up --name %s`", name, ErrNotFound, name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading cluster %s: %w", name, err)
	}
	var s spec
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("reading cluster %s: %s: %w", name, file, err)
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("reading cluster %s: %s: %w", name, file, err)
	}
	groups, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	return &Cluster{plan: s.Cluster, spec: s, groups: groups}, nil
}

// Names lists the clusters of this machine.
func Names() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(plan.StateRoot, "*", "cluster.json"))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(files))
	for _, file := range files {
		names = append(names, filepath.Base(filepath.Dir(file)))
	}
	return names, nil
}

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.plan.Name }

// Owner is who the cluster was started for.
func (c *Cluster) Owner() string { return c.spec.Owner }

// Kubeconfig is the file of the administrator's credentials. It works on the
// host and inside the cluster's namespaces.
func (c *Cluster) Kubeconfig() string { return c.plan.Kubeconfig() }

// Nodes lists the names of the nodes.
func (c *Cluster) Nodes() []string {
	var names []string
	for _, n := range c.plan.AllNodes() {
		names = append(names, n.Name())
	}
	return names
}

// Binary is the file of one of the cluster's programs, such as "kubectl".
func (c *Cluster) Binary(name string) (string, error) {
	file, ok := c.spec.Machine.Binaries[name]
	if !ok {
		return "", fmt.Errorf("cluster %s has no program %q", c.plan.Name, name)
	}
	return file, nil
}

// describe finds the cluster or decides what a new one is to be. The options
// win over what is remembered.
func describe(o Options) (spec, error) {
	s := spec{Layout: layout, Owner: o.Owner, Cluster: plan.Cluster{Name: o.Name, Nodes: max(1, o.Nodes)}}
	known, err := Find(o.Name)
	switch {
	case err == nil:
		if s = known.spec; o.Nodes > s.Nodes {
			s.Nodes = o.Nodes
		}
	case errors.Is(err, ErrNotFound):
		taken, err := network.Prefixes()
		if err != nil {
			return spec{}, err
		}
		if s.Link, err = plan.FreeLink(o.Name, taken); err != nil {
			return spec{}, err
		}
	default:
		return spec{}, err
	}
	if o.ExtraArgs != nil {
		s.Extra = o.ExtraArgs
	}
	return s, nil
}

// save remembers the description. It is the first thing that a new cluster
// leaves on the machine.
func (s spec) save() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("remembering cluster %s: %w", s.Name, err)
	}
	if err := os.MkdirAll(s.Dir(), 0o755); err != nil {
		return fmt.Errorf("remembering cluster %s: %w", s.Name, err)
	}
	return writeFile(s.SpecFile(), append(text, '\n'), 0o644)
}

// writeFile replaces a file in one step, unless it holds that text already: a
// component whose configuration is newer than itself is started anew.
func writeFile(file string, text []byte, mode os.FileMode) error {
	if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.WriteFile(file+".new", text, mode); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return os.Rename(file+".new", file)
}

// lockMachine keeps clusters from coming and going at the same time. It is held
// for milliseconds.
func lockMachine(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(plan.RunRoot, 0o755); err != nil {
		return nil, fmt.Errorf("locking machine: %w", err)
	}
	return build.Lock(ctx, filepath.Join(plan.RunRoot, "machine.lock"), func() {})
}

func lockFile(name string) string { return filepath.Join(plan.RunRoot, name+".lock") }

// lock lets one program at a time change a cluster.
func lock(ctx context.Context, name string, progress *build.Progress) (func(), error) {
	if err := os.MkdirAll(plan.RunRoot, 0o755); err != nil {
		return nil, fmt.Errorf("locking cluster %s: %w", name, err)
	}
	file := lockFile(name)
	return build.Lock(ctx, file, func() { progress.Say("waiting for another program that changes cluster %s (lock %s)", name, file) })
}
