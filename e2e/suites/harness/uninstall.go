package harness

import (
	"context"
	"io"
	"path/filepath"
)

// Uninstall removes namespaces and rawserve itself from a cluster that is not local.
func Uninstall(ctx context.Context, contextName string, progress io.Writer, namespaces ...string) error {
	root, err := repository()
	if err != nil {
		return err
	}
	target, err := openTarget(ctx, Options{Context: contextName, Progress: progress})
	if err != nil {
		return err
	}
	e, err := connect(target, root, progress)
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
