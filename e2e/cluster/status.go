package cluster

import (
	"context"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rawserve/rawserve/e2e/cluster/internal/process"
)

// Status is how a cluster is at one moment.
type Status struct {
	Name       string
	Components []ComponentStatus
	Nodes      []NodeStatus
	// Problem says why the nodes could not be asked for. Empty if they could.
	Problem string
}

// ComponentStatus is how one process is.
type ComponentStatus struct {
	Name string
	// Node is empty for the control plane.
	Node string
	// PID is 0 if the process does not run.
	PID    int
	Uptime time.Duration
	// Problem is empty if the process says that it works.
	Problem string
	Log     string
}

// NodeStatus is how a node is, as Kubernetes sees it.
type NodeStatus struct {
	Name    string
	Ready   bool
	Message string
	// Reported is when the kubelet last said so.
	Reported time.Time
}

// Healthy says whether every process works and every node is ready.
func (s Status) Healthy() bool {
	for _, c := range s.Components {
		if c.Problem != "" {
			return false
		}
	}
	for _, n := range s.Nodes {
		if !n.Ready {
			return false
		}
	}
	return s.Problem == ""
}

// Status looks at the cluster.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	processes := c.all()
	status := Status{Name: c.plan.Name, Components: make([]ComponentStatus, len(processes))}
	var group errgroup.Group
	for i, p := range processes {
		group.Go(func() error {
			state := ComponentStatus{Name: p.Component, Node: p.Node, Log: p.Log}
			found, ok, err := c.running(p)
			if err != nil {
				return err
			}
			if !ok {
				state.Problem = "does not run"
			} else {
				state.PID, state.Uptime = found.PID, found.Uptime()
				if err := c.healthy(ctx, p); err != nil {
					state.Problem = err.Error()
				}
			}
			status.Components[i] = state
			return nil
		})
	}
	err := group.Wait()
	if err != nil {
		return Status{}, err
	}
	if status.Nodes, err = c.nodeStates(ctx); err != nil {
		status.Problem = err.Error()
	}
	return status, nil
}

// LogFile is the log of a component on a node; the node is empty for the first
// and for the control plane.
func (c *Cluster) LogFile(component, node string) (string, error) {
	if err := checkComponent(component); err != nil {
		return "", err
	}
	n, err := c.node(node)
	if err != nil {
		return "", err
	}
	return filepath.Join(c.plan.LogDir(), n.LogName(component)+".log"), nil
}

// Tail is the end of a log, at most n bytes of whole lines.
func Tail(file string, n int64) string { return process.Tail(file, n) }
