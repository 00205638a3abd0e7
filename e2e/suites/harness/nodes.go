package harness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rawserve/rawserve/e2e/cluster"
)

// ErrNoNodes says that a cluster's nodes are not ours to add and to lose.
var ErrNoNodes = errors.New("nodes can be added and lost with a local cluster only")

// AddNode adds a node to the local cluster and returns its name once it is ready.
func (e *Env) AddNode(ctx context.Context) (string, error) {
	local := e.Target.Local
	if local == nil {
		return "", ErrNoNodes
	}
	began := time.Now()
	grown, err := cluster.Up(ctx, cluster.Options{Name: local.Name(), Nodes: len(local.Nodes()) + 1})
	if err != nil {
		return "", fmt.Errorf("adding a node: %w", err)
	}
	e.Target.Local = grown
	names := grown.Nodes()
	name := names[len(names)-1]
	e.Say("%s was added after %s", name, time.Since(began).Round(time.Second/10))
	return name, nil
}

// LoseNode makes a node vanish as if its power had failed.
func (e *Env) LoseNode(ctx context.Context, name string) error {
	if e.Target.Local == nil {
		return ErrNoNodes
	}
	return e.Target.Local.KillNode(ctx, name)
}

// DropNode takes the node away again that was added last, whether or not it has been
// lost, and has what ran there started elsewhere. By itself Kubernetes waits for
// minutes, in case the node comes back.
func (e *Env) DropNode(ctx context.Context) error {
	local := e.Target.Local
	if local == nil {
		return ErrNoNodes
	}
	names := local.Nodes()
	smaller, err := local.DropNode(ctx)
	if err != nil {
		return err
	}
	e.Target.Local = smaller
	_, err = e.Kubectl(ctx, "delete", "pods", "-A", "--field-selector=spec.nodeName="+names[len(names)-1], "--force", "--grace-period=0")
	return err
}
