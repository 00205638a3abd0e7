package cluster

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rawserve/rawserve/e2e/cluster/internal/build"
	"github.com/rawserve/rawserve/e2e/cluster/internal/cgroup"
	"github.com/rawserve/rawserve/e2e/cluster/internal/component"
	"github.com/rawserve/rawserve/e2e/cluster/internal/network"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
	"github.com/rawserve/rawserve/e2e/cluster/internal/process"
)

// nodeWithin bounds the loss and the return of a node.
const nodeWithin = 2 * time.Minute

// KillNode makes a node vanish as if its power had failed: kubelet, container
// runtime, proxy and every pod are killed at once and its cable is cut. Kubernetes
// is told nothing. The first node shares its namespace with the control plane,
// which goes on; its cable stays.
func (c *Cluster) KillNode(ctx context.Context, name string) error {
	n, err := c.plan.Find(name)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, c.plan.Name, nil)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, nodeWithin, fmt.Errorf("not gone after %s", nodeWithin))
	defer cancel()
	if n.Index > 1 {
		// First, so that no pod says goodbye to its clients.
		if err := network.Unplug(ctx, n); err != nil {
			return fmt.Errorf("killing %s: %w", name, err)
		}
	}
	if err := c.wipeNode(ctx, n); err != nil {
		return fmt.Errorf("killing %s: %w", name, err)
	}
	return nil
}

// DropNode takes the last node away for good, and returns the cluster as it is then.
// Its pods are lost as with KillNode; Kubernetes is told that there is no such node
// any more, so that others replace them at once.
func (c *Cluster) DropNode(ctx context.Context) (*Cluster, error) {
	n := c.plan.Node(c.plan.Nodes)
	if n.Index == 1 {
		return nil, fmt.Errorf("dropping %s: it is the only node; remove the cluster instead", n.Name())
	}
	unlock, err := lock(ctx, c.plan.Name, nil)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, nodeWithin, fmt.Errorf("not gone after %s", nodeWithin))
	defer cancel()
	for _, step := range []func() error{
		func() error { return c.wipeNode(ctx, n) },
		func() error { return endInside(ctx, []plan.Node{n}) },
		func() error { return unmountBelow(n.Dir()) },
		func() error { return network.RemoveNode(ctx, n) },
		func() error { return removeGroup(ctx, c.groups.At(n.Cgroup())) },
		func() error { return os.RemoveAll(n.Dir()) },
		func() error {
			_, err := c.Kubectl(ctx, nil, "delete", "node", n.Name(), "--ignore-not-found")
			return err
		},
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("dropping %s: %w", n.Name(), err)
		}
	}
	smaller := *c
	smaller.plan.Nodes--
	smaller.spec.Nodes--
	return &smaller, smaller.spec.save()
}

// wipeNode leaves of a node what a machine that has just been switched on has:
// no process, no mount, and nothing in /run.
func (c *Cluster) wipeNode(ctx context.Context, n plan.Node) error {
	if err := endGroup(ctx, c.groups.At(n.Cgroup())); err != nil {
		return err
	}
	if err := unmountBelow(n.RunDir()); err != nil {
		return err
	}
	return os.RemoveAll(n.RunDir())
}

func endGroup(ctx context.Context, group cgroup.Group) error {
	group.Thaw()
	return process.KillAll(ctx, group.Procs, nil)
}

// StartNode brings a killed node back, and returns when it is ready.
func (c *Cluster) StartNode(ctx context.Context, name string) error {
	n, err := c.plan.Find(name)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, c.plan.Name, (*build.Progress)(nil))
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, nodeWithin, fmt.Errorf("not back after %s", nodeWithin))
	defer cancel()
	if err := network.Ensure(ctx, c.plan); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	if err := c.layFolders(ctx); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	if err := c.groups.At(n.SystemCgroup()).Ensure(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	archives, err := c.archives(ctx)
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	began := time.Now().Truncate(time.Second)
	if err := c.startRuntime(ctx, n, archives); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	for _, p := range component.OfNode(n, c.spec.Machine, c.spec.Extra)[1:] {
		if err := c.ensureRunning(ctx, p); err != nil {
			return fmt.Errorf("starting %s: %w", name, err)
		}
		if err := c.waitHealthy(ctx, p); err != nil {
			return fmt.Errorf("starting %s: %w", name, err)
		}
	}
	return poll(ctx, name+" to be ready", func(ctx context.Context) error {
		states, err := c.nodeStates(ctx)
		if err != nil {
			return err
		}
		for _, state := range states {
			// What was reported before the loss may still stand.
			if state.Name == name && state.Ready && !state.Reported.Before(began) {
				return nil
			}
		}
		return fmt.Errorf("%s has not reported that it is ready since %s", name, began.Format(time.TimeOnly))
	})
}
