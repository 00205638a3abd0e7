package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rawserve/rawserve/e2e/cluster/internal/component"
	"github.com/rawserve/rawserve/e2e/cluster/internal/process"
)

func checkComponent(name string) error {
	if slices.Contains(component.Names, name) {
		return nil
	}
	return fmt.Errorf("component %q is unknown: use one of %s", name, strings.Join(component.Names, ", "))
}

// all lists the processes that the cluster consists of.
func (c *Cluster) all() []component.Process {
	list := c.control()
	for _, n := range c.plan.AllNodes() {
		list = append(list, component.OfNode(n, c.spec.Machine, c.spec.Extra)...)
	}
	return list
}

func (c *Cluster) control() []component.Process {
	return component.Control(c.plan, c.spec.Machine, c.spec.Extra)
}

// running finds the process that runs a component: a member of its control
// group with its executable's name. No file with a number has to be trusted.
func (c *Cluster) running(p component.Process) (process.Process, bool, error) {
	pids, err := c.groups.At(p.Cgroup).Procs()
	if err != nil {
		return process.Process{}, false, err
	}
	for _, pid := range pids {
		found, err := process.Read(pid)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return process.Process{}, false, err
		}
		if found.Name() == filepath.Base(p.Args[0]) {
			return found, true, nil
		}
	}
	return process.Process{}, false, nil
}

// ensureRunning starts a component that does not run, and replaces one that
// runs with other arguments, another binary or an older configuration.
func (c *Cluster) ensureRunning(ctx context.Context, p component.Process) error {
	found, ok, err := c.running(p)
	if err != nil {
		return err
	}
	if ok && sameCommand(found, p.Args) && !newer(p.Config, found) {
		return nil
	}
	if ok {
		if err := c.stop(ctx, p); err != nil {
			return err
		}
	}
	return process.Start(process.Daemon{
		Args:   p.Args,
		Env:    p.Env,
		Log:    p.Log,
		Netns:  p.Netns,
		Mntns:  p.Mntns,
		Groups: c.groups.At(p.Cgroup).ProcsFiles(),
	})
}

func sameCommand(p process.Process, args []string) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
	return err == nil && string(text) == strings.Join(args, "\x00")+"\x00"
}

// newer says whether a file was written after a process has started. Files are
// written only when their content changes.
func newer(file string, p process.Process) bool {
	info, err := os.Stat(file)
	return err == nil && time.Since(info.ModTime()) < p.Uptime()
}

// stopGrace is how long a component may take to end by itself.
const stopGrace = 10 * time.Second

// stop ends one component and leaves the others of its control group alone:
// the containers of a stopped container runtime go on.
func (c *Cluster) stop(ctx context.Context, p component.Process) error {
	signal := unix.SIGTERM
	ctx, cancel := context.WithTimeoutCause(ctx, 2*stopGrace, fmt.Errorf("%s does not end", p.Component))
	defer cancel()
	kill := time.NewTimer(stopGrace)
	defer kill.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		found, ok, err := c.running(p)
		if err != nil || !ok {
			return err
		}
		if err := found.Signal(signal); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-kill.C:
			signal = unix.SIGKILL
		case <-ctx.Done():
			return fmt.Errorf("stopping %s: %w", p.Component, context.Cause(ctx))
		}
	}
}

// logged adds the end of a component's log to what went wrong with it.
func logged(p component.Process, err error) error {
	return fmt.Errorf("%w\nlast lines of %s:\n%s", err, p.Log, process.Tail(p.Log, 3000))
}
