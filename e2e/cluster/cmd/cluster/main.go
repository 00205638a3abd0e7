// Command cluster runs a real Kubernetes on this machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/rawserve/rawserve/e2e/cluster"
)

// command is one thing the program can do.
type command struct {
	name, arguments, what string
	run                   func(ctx context.Context, name string, args []string) error
}

var commands = []command{
	{"up", "[flags]", "start the cluster, or mend it", up},
	{"build", "[--link DIR] [BINARY ...]", "build binaries without starting anything; root is not needed", buildBinaries},
	{"down", "", "remove the cluster and all that belongs to it", down},
	{"status", "", "show processes and nodes; fails if something does not work", status},
	{"list", "", "list the clusters of this machine", list},
	{"kubeconfig", "", "print the administrator's kubeconfig", kubeconfig},
	{"load-image", "FILE.tar | --ref REFERENCE --binary FILE | --ref REFERENCE --folder DIR[:PATH]", "put an image on every node", loadImage},
	{"exec", "[--node NODE] -- COMMAND", "run a command inside the cluster's network, with kubectl on its path", execute},
	{"logs", "[--node NODE] [--follow] [COMPONENT]", "print the log of a component, or the end of all logs", logs},
	{"node", "kill NODE | start NODE", "lose a node, or bring it back", node},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, errUnhealthy) && !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "cluster:", err)
		}
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		usage(os.Stderr)
		return flag.ErrHelp
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(ctx, c.name, args[1:])
		}
	}
	usage(os.Stderr)
	return fmt.Errorf("no command %q", args[0])
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: cluster COMMAND [--name NAME] ...\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  cluster %s\n        %s\n", strings.TrimSpace(c.name+" "+c.arguments), c.what)
	}
	fmt.Fprint(w, "\n`cluster COMMAND --help` lists the flags of a command.\n")
}

// flags gives a flag set with the one flag that all commands share.
func flags(command string) (*flag.FlagSet, *string) {
	set := flag.NewFlagSet("cluster "+command, flag.ContinueOnError)
	name := set.String("name", defaultName(), "name of the cluster; $RAWSERVE_CLUSTER is the default")
	return set, name
}

func defaultName() string {
	if name := os.Getenv("RAWSERVE_CLUSTER"); name != "" {
		return name
	}
	return cluster.DefaultName
}

// noArguments fails if something is left over: a forgotten "--" or a typing mistake.
func noArguments(set *flag.FlagSet) error {
	if set.NArg() > 0 {
		return fmt.Errorf("%s takes no argument %q", set.Name(), set.Arg(0))
	}
	return nil
}
