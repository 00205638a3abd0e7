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

	options := harness.Options{Name: *name, Owner: "demo", Context: *contextName, InstallDeps: true, Models: true, Progress: os.Stdout}
	if *down {
		return harness.Remove(ctx, options, demoNamespace, storeNamespace)
	}
	env, err := harness.Open(ctx, options)
	if err != nil {
		return err
	}
	return show(ctx, env)
}
