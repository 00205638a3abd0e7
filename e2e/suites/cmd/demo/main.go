// Command demo shows rawserve's main job on a real cluster: a trained
// scikit-learn model at zero is woken by a request, follows a load, and returns
// to zero.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rawserve/rawserve/e2e/cluster"
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
	if err := show(ctx, env, *name); err != nil {
		return err
	}
	return nil
}

// remove takes away the local cluster or, on another cluster, what was applied to it.
func remove(ctx context.Context, name, contextName string) error {
	if !cluster.Foreign(contextName) {
		err := cluster.Down(ctx, name)
		if errors.Is(err, cluster.ErrNotFound) {
			fmt.Printf("There is no cluster %s.\n", name)
			return nil
		}
		if err == nil {
			fmt.Printf("The cluster %s and all of its processes, mounts and networks are gone.\n", name)
		}
		return err
	}
	return harness.Uninstall(ctx, contextName, os.Stdout, demoNamespace, storeNamespace)
}
