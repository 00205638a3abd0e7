package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rawserve/rawserve/e2e/cluster"
)

// ErrNoNodes says that a cluster's nodes are not ours to add and to lose.
var ErrNoNodes = errors.New("nodes can be added and lost with a local cluster only")

// AddNode adds a node to the local cluster, or brings one back that was lost, and
// returns its name once it is ready.
func (e *Env) AddNode(ctx context.Context) (string, error) {
	local := e.Target.Local
	if local == nil {
		return "", ErrNoNodes
	}
	status, err := local.Status(ctx)
	if err != nil {
		return "", err
	}
	wanted := len(local.Nodes())
	ready := slices.DeleteFunc(slices.Clone(status.Nodes), func(n cluster.NodeStatus) bool { return !n.Ready })
	if len(ready) >= wanted {
		wanted++
	}
	began := time.Now()
	grown, err := cluster.Up(ctx, cluster.Options{Name: local.Name(), Nodes: wanted})
	if err != nil {
		return "", fmt.Errorf("adding a node: %w", err)
	}
	e.Target.Local = grown
	names := grown.Nodes()
	e.Say("%s was added after %s", names[wanted-1], time.Since(began).Round(time.Second/10))
	return names[wanted-1], nil
}

// LoseNode makes a node vanish as if its power had failed.
func (e *Env) LoseNode(ctx context.Context, name string) error {
	if e.Target.Local == nil {
		return ErrNoNodes
	}
	return e.Target.Local.KillNode(ctx, name)
}

// ForgetNode makes Kubernetes forget a node that was lost, and start what ran there
// elsewhere. By itself it waits for minutes, in case the node comes back.
func (e *Env) ForgetNode(ctx context.Context, name string) error {
	if _, err := e.Kubectl(ctx, "delete", "node", name, "--ignore-not-found"); err != nil {
		return err
	}
	_, err := e.Kubectl(ctx, "delete", "pods", "-A", "--field-selector=spec.nodeName="+name, "--force", "--grace-period=0")
	return err
}
