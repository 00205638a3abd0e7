package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rawserve/rawserve/e2e/cluster/internal/build"
	"github.com/rawserve/rawserve/e2e/cluster/internal/cgroup"
	"github.com/rawserve/rawserve/e2e/cluster/internal/component"
	"github.com/rawserve/rawserve/e2e/cluster/internal/mntns"
	"github.com/rawserve/rawserve/e2e/cluster/internal/network"
	"github.com/rawserve/rawserve/e2e/cluster/internal/pki"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// Up starts the cluster, or mends it: whatever exists and works is kept,
// whatever is missing is made, and a process that has ended is started again on
// its old data. Only remains without a description, which cannot be mended, are
// removed first. It returns when all nodes are ready and names resolve.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	progress := build.NewProgress(o.Progress)
	machine, err := prepare(ctx, o, progress)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, o.Name, progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("not up after %s", o.Timeout))
	defer cancel()
	if err := clearRemains(ctx, o.Name); err != nil {
		return nil, err
	}
	s, err := describe(o)
	if err != nil {
		return nil, err
	}
	if s.Layout != layout {
		return nil, fmt.Errorf("cluster %s was made by another version of this program, which laid it out differently: remove it first with `cluster down --name %s`", o.Name, o.Name)
	}
	s.Machine = machine
	groups, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	c := &Cluster{plan: s.Cluster, spec: s, groups: groups}
	if err := c.start(ctx, o, progress); err != nil {
		return nil, fmt.Errorf("starting cluster %s: %w", o.Name, err)
	}
	progress.Say("cluster %s is up after %s: %d of %d nodes ready", o.Name, time.Since(began).Round(time.Second/10), s.Nodes, s.Nodes)
	return c, nil
}

// clearRemains removes what is left of a cluster that nobody remembers.
func clearRemains(ctx context.Context, name string) error {
	_, err := Find(name)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	return remove(ctx, name)
}

func (c *Cluster) start(ctx context.Context, o Options, progress *build.Progress) error {
	if err := c.layFoundations(ctx); err != nil {
		return err
	}
	archives, err := c.archives(ctx)
	if err != nil {
		return err
	}
	done := progress.Start("starting control plane and container runtimes of " + c.plan.Name)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startAPI(groupCtx) })
	for _, n := range c.plan.AllNodes() {
		group.Go(func() error { return c.startRuntime(groupCtx, n, archives) })
	}
	err = group.Wait()
	done(err)
	if err != nil {
		return err
	}
	done = progress.Start("starting nodes of " + c.plan.Name)
	err = c.startRest(ctx, o)
	done(err)
	return err
}

// layFoundations makes what processes need before they start: folders, keys,
// configuration, networks and control groups.
func (c *Cluster) layFoundations(ctx context.Context) error {
	if err := c.layFolders(ctx); err != nil {
		return err
	}
	if err := c.writeFiles(); err != nil {
		return err
	}
	if err := network.Ensure(ctx, c.plan); err != nil {
		return err
	}
	paths := []string{c.plan.ControlCgroup()}
	for _, n := range c.plan.AllNodes() {
		paths = append(paths, n.SystemCgroup())
	}
	for _, path := range paths {
		if err := c.groups.At(path).Ensure(); err != nil {
			return err
		}
	}
	return nil
}

// layFolders remembers the cluster and makes the nodes' views of the file
// system. Their mount points are shared by all clusters, and the last to go
// removes them: so one cluster at a time comes or goes.
func (c *Cluster) layFolders(ctx context.Context) error {
	unlock, err := lockMachine(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.spec.save(); err != nil {
		return err
	}
	if err := rememberKernelSettings(); err != nil {
		return err
	}
	for _, n := range c.plan.AllNodes() {
		if err := c.ensureMounts(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// ensureMounts makes a node's view of the file system. A node without one has
// just been made, was killed, or was running when the machine went down; then
// what lies in its folder in /run, which is no tmpfs everywhere, is outdated.
func (c *Cluster) ensureMounts(ctx context.Context, n plan.Node) error {
	if mntns.Exists(n.MntnsPath()) {
		return nil
	}
	if err := c.wipeNode(ctx, n); err != nil {
		return fmt.Errorf("clearing %s: %w", n.Name(), err)
	}
	var binds []mntns.Bind
	shown := n.Shown()
	for _, at := range slices.Sorted(maps.Keys(shown)) {
		binds = append(binds, mntns.Bind{From: shown[at], At: at})
	}
	if err := mntns.Ensure(n.MntnsPath(), binds); err != nil {
		return fmt.Errorf("view of %s: %w", n.Name(), err)
	}
	return nil
}

func (c *Cluster) writeFiles() error {
	for _, n := range c.plan.AllNodes() {
		for _, dir := range component.Folders(n) {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("making folders of %s: %w", n.Name(), err)
			}
		}
	}
	for _, f := range component.Files(c.plan, c.spec.Machine) {
		if err := writeFile(f.Path, []byte(f.Text), 0o644); err != nil {
			return err
		}
	}
	return writeKeys(c.plan)
}

// writeKeys makes the certificates that are missing, and kubeconfigs of them.
func writeKeys(c plan.Cluster) error {
	folder, now := pki.Folder(c.PKIDir()), time.Now()
	authority, err := folder.EnsureAuthority("ca", now)
	if err != nil {
		return err
	}
	frontProxy, err := folder.EnsureAuthority("front-proxy-ca", now)
	if err != nil {
		return err
	}
	if _, err := folder.Ensure("service-accounts", pki.SigningKey); err != nil {
		return err
	}
	clients := component.Clients(c)
	for _, cert := range component.Certificates(c) {
		signer := authority
		if cert.FrontProxy {
			signer = frontProxy
		}
		pair, err := folder.Ensure(cert.Name, func() (pki.Pair, error) { return signer.Issue(cert.Request, now) })
		if err != nil {
			return err
		}
		if file, ok := clients[cert.Name]; ok {
			if err := writeFile(file, []byte(component.Kubeconfig(c, authority.Cert, pair)), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// startAPI starts the store and the API server.
func (c *Cluster) startAPI(ctx context.Context) error {
	processes := c.control()[:2]
	for _, p := range processes {
		if err := c.ensureRunning(ctx, p); err != nil {
			return err
		}
	}
	return c.waitHealthy(ctx, processes...)
}

// startRuntime starts a node's container runtime and gives it the images that
// the node's first pods need.
func (c *Cluster) startRuntime(ctx context.Context, n plan.Node, archives []string) error {
	containerd := component.OfNode(n, c.spec.Machine, c.spec.Extra)[0]
	if err := c.ensureRunning(ctx, containerd); err != nil {
		return err
	}
	if err := c.waitHealthy(ctx, containerd); err != nil {
		return err
	}
	for _, archive := range archives {
		if err := c.loadOn(ctx, n, archive); err != nil {
			return logged(containerd, err)
		}
	}
	return nil
}

// startRest starts all that talks to the API server, and waits for the nodes
// and for what runs on them.
func (c *Cluster) startRest(ctx context.Context, o Options) error {
	processes := c.control()[2:]
	for _, n := range c.plan.AllNodes() {
		processes = append(processes, component.OfNode(n, c.spec.Machine, c.spec.Extra)[1:]...)
	}
	for _, p := range processes {
		if err := c.ensureRunning(ctx, p); err != nil {
			return err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.waitHealthy(groupCtx, processes...) })
	group.Go(func() error { return c.applyAddons(groupCtx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := c.waitNodes(ctx); err != nil {
		return err
	}
	return c.waitAddons(ctx, o.WaitMetrics)
}
