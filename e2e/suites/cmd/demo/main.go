// Command demo shows rawserve's main job on a real cluster: a trained
// scikit-learn model at zero is woken by a request, follows a load, and returns
// to zero.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rawserve/rawserve/e2e/suites/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	name := flag.String("cluster", "rawserve-demo", "name of the local cluster")
	contextName := flag.String("context", "", "kubeconfig context of a cluster to use instead of a local one; KUBECONFIG does the same")
	down := flag.Bool("down", false, "remove everything that the demo made")
	flag.Parse()

	if *down {
		return remove(ctx, *name, *contextName)
	}
	env, err := harness.Open(ctx, harness.Options{Name: *name, Context: *contextName, InstallDeps: true, Models: true, Progress: os.Stdout})
	if err != nil {
		return err
	}
	return show(ctx, env, *name)
}

// remove takes away the local cluster or, on another cluster, what was applied to it.
func remove(ctx context.Context, name, contextName string) error {
	if !harness.Foreign(contextName) {
		if err := harness.Down(ctx, name, os.Stdout); err != nil {
			return err
		}
		fmt.Printf("Cluster %s is gone, with all of its processes, mounts and networks.\n", name)
		return nil
	}
	return harness.Uninstall(ctx, contextName, os.Stdout, demoNamespace, storeNamespace)
}
