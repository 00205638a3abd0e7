package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/rawserve/rawserve/e2e/cluster"
)

// Remove takes away what Open has made with the same options: the local cluster
// if it was started for the owner; otherwise rawserve, and the namespaces that the
// caller has made.
func Remove(ctx context.Context, o Options, namespaces ...string) error {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	name := o.use().LocalName()
	if name == "" {
		return uninstall(ctx, o, namespaces)
	}
	c, err := cluster.Find(name)
	if err != nil && !errors.Is(err, cluster.ErrNotFound) {
		return err
	}
	if err == nil && c.Owner() != o.Owner {
		if err := uninstall(ctx, o, namespaces); err != nil {
			return err
		}
		fmt.Fprintf(o.Progress, "Cluster %s was not started for this and stays; `make cluster-down CLUSTER=%s` removes it.\n", name, name)
		return nil
	}
	// Also one that is not found: a start that was broken off leaves remains.
	if err := cluster.Down(ctx, cluster.Options{Name: name, Progress: o.Progress}); err != nil {
		return err
	}
	fmt.Fprintf(o.Progress, "Cluster %s is gone, with all of its processes, mounts and networks.\n", name)
	return nil
}

// uninstall removes namespaces and rawserve itself from a cluster that stays.
func uninstall(ctx context.Context, o Options, namespaces []string) error {
	root, err := repository()
	if err != nil {
		return err
	}
	target, err := openTarget(ctx, o)
	if err != nil {
		return err
	}
	e, err := connect(target, root, o.Progress)
	if err != nil {
		return err
	}
	for _, ns := range append(namespaces, "rawserve-relay") {
		if _, err := e.Kubectl(ctx, "delete", "namespace", ns, "--ignore-not-found"); err != nil {
			return err
		}
	}
	for _, dir := range []string{"manifests/runtimes", "manifests/default"} {
		if _, err := e.Kubectl(ctx, "delete", "--ignore-not-found", "-k", filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	e.Say("rawserve is gone from the cluster")
	return nil
}
