package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rawserve/rawserve/e2e/cluster"
)

// extraArgs collects COMPONENT:ARGUMENT pairs.
type extraArgs map[string][]string

func (e extraArgs) String() string { return "" }

func (e extraArgs) Set(text string) error {
	component, argument, ok := strings.Cut(text, ":")
	if !ok || !strings.HasPrefix(argument, "--") {
		return errors.New("want COMPONENT:--ARGUMENT=VALUE")
	}
	e[component] = append(e[component], argument)
	return nil
}

func up(ctx context.Context, command string, args []string) error {
	set, name := flags(command)
	extra := extraArgs{}
	nodes := set.Int("nodes", 0, "number of nodes; 0 keeps what there is, or makes one")
	install := set.Bool("install-deps", false, "install missing packages with apt-get")
	metrics := set.Bool("wait-metrics", false, "wait until the metrics API answers, about 25 s")
	timeout := set.Duration("timeout", 2*time.Minute, "how long the start may take, without the build")
	set.Var(extra, "extra-arg", "argument for a component, as COMPONENT:--ARGUMENT=VALUE; may be repeated; none keeps those given before")
	if err := set.Parse(args); err != nil {
		return err
	}
	if err := noArguments(set); err != nil {
		return err
	}
	options := cluster.Options{
		Name: *name, Nodes: *nodes, InstallDeps: *install, WaitMetrics: *metrics,
		Timeout: *timeout, Progress: os.Stderr,
	}
	if len(extra) > 0 {
		options.ExtraArgs = extra
	}
	c, err := cluster.Up(ctx, options)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "kubectl works with --kubeconfig %s, or as `cluster exec --name %s -- kubectl`\n", c.Kubeconfig(), c.Name())
	return nil
}

func down(ctx context.Context, command string, args []string) error {
	set, name := flags(command)
	if err := set.Parse(args); err != nil {
		return err
	}
	if err := noArguments(set); err != nil {
		return err
	}
	return cluster.Down(ctx, cluster.Options{Name: *name, Progress: os.Stderr})
}

func list(_ context.Context, command string, args []string) error {
	set, _ := flags(command)
	if err := set.Parse(args); err != nil {
		return err
	}
	names, err := cluster.Names()
	for _, name := range names {
		fmt.Println(name)
	}
	return err
}

// errUnhealthy is told by the table; only the exit code is left to give.
var errUnhealthy = errors.New("the cluster is not healthy")

func status(ctx context.Context, command string, args []string) error {
	set, name := flags(command)
	if err := set.Parse(args); err != nil {
		return err
	}
	c, err := cluster.Find(*name)
	if err != nil {
		return err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "COMPONENT\tNODE\tPID\tUPTIME\tSTATE")
	for _, p := range s.Components {
		pid, uptime := "-", "-"
		if p.PID > 0 {
			pid, uptime = fmt.Sprint(p.PID), p.Uptime.Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Name, orDash(p.Node), pid, uptime, orWorks(p.Problem))
	}
	fmt.Fprintln(w, "\t\t\t\t\nNODE\tREADY\t\t\tMESSAGE")
	for _, n := range s.Nodes {
		fmt.Fprintf(w, "%s\t%t\t\t\t%s\n", n.Name, n.Ready, n.Message)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if s.Problem != "" {
		fmt.Println("nodes:", s.Problem)
	}
	if !s.Healthy() {
		return errUnhealthy
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func orWorks(problem string) string {
	if problem == "" {
		return "works"
	}
	return problem
}

func kubeconfig(_ context.Context, command string, args []string) error {
	set, name := flags(command)
	path := set.Bool("path", false, "print the file's path instead")
	if err := set.Parse(args); err != nil {
		return err
	}
	c, err := cluster.Find(*name)
	if err != nil {
		return err
	}
	if *path {
		fmt.Println(c.Kubeconfig())
		return nil
	}
	text, err := os.ReadFile(c.Kubeconfig())
	if err != nil {
		return fmt.Errorf("reading kubeconfig: %w", err)
	}
	_, err = os.Stdout.Write(text)
	return err
}

func node(ctx context.Context, command string, args []string) error {
	set, name := flags(command)
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() < 2 {
		return errors.New("want `cluster node kill NODE` or `cluster node start NODE`")
	}
	verb, target := set.Arg(0), set.Arg(1)
	// Flags may also stand last, where they are mostly typed.
	if err := set.Parse(set.Args()[2:]); err != nil {
		return err
	}
	c, err := cluster.Find(*name)
	if err != nil {
		return err
	}
	switch verb {
	case "kill":
		return c.KillNode(ctx, target)
	case "start":
		return c.StartNode(ctx, target)
	}
	return fmt.Errorf("node %q: use kill or start", verb)
}
