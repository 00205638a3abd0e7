package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rawserve/rawserve/e2e/cluster/internal/build"
	"github.com/rawserve/rawserve/e2e/cluster/internal/cgroup"
	"github.com/rawserve/rawserve/e2e/cluster/internal/netns"
	"github.com/rawserve/rawserve/e2e/cluster/internal/network"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
	"github.com/rawserve/rawserve/e2e/cluster/internal/process"
)

// downWithin bounds the end of a cluster. Killed processes end in milliseconds;
// the rest is deleting files.
const downWithin = 2 * time.Minute

// Down ends the cluster and removes everything that belongs to it, in whatever
// state it is. That there is no such cluster is no error.
func Down(ctx context.Context, o Options) error {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	progress := build.NewProgress(o.Progress)
	unlock, err := lock(ctx, o.Name, progress)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, downWithin, fmt.Errorf("not down after %s", downWithin))
	defer cancel()
	done := progress.Start("removing cluster " + o.Name)
	err = remove(ctx, o.Name)
	done(err)
	if err != nil {
		return err
	}
	// The lock's holder deletes it: who waits for it notices.
	return os.Remove(lockFile(o.Name))
}

// remove works by name alone, as for a cluster with all the nodes there can be:
// how many there were may not be known any more.
func remove(ctx context.Context, name string) error {
	c := plan.Cluster{Name: name, Nodes: plan.MaxNodes}
	groups, err := cgroup.Detect()
	if err != nil {
		return err
	}
	group := groups.At(c.Cgroup())
	steps := []struct {
		what string
		do   func() error
	}{
		{"ending processes", func() error { return endGroup(ctx, group) }},
		{"ending processes in its namespaces", func() error { return endInside(ctx, c.AllNodes()) }},
		{"unmounting", func() error { return unmountBelow(c.Dir(), c.RunDir()) }},
		{"removing network", func() error { return network.Remove(ctx, c) }},
		{"removing control groups", func() error { return removeGroup(ctx, group) }},
		{"removing folders", func() error { return removeFolders(ctx, c) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("removing cluster %s: %s: %w", name, step.what, err)
		}
	}
	return nil
}

// removeGroup tries for a while: a group stays busy for a moment after its last
// process has ended.
func removeGroup(ctx context.Context, group cgroup.Group) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("still in use after 10s"))
	defer cancel()
	return poll(ctx, "control groups to become free", func(context.Context) error { return group.Remove() })
}

// endInside ends whatever else has entered the nodes' namespaces, such as a
// program that `cluster exec` started. Spared is who asked for the removal.
func endInside(ctx context.Context, nodes []plan.Node) error {
	ids := map[uint64]bool{}
	for _, n := range nodes {
		if !netns.Exists(n.NetnsPath()) {
			continue
		}
		id, err := netns.ID(n.NetnsPath())
		if err != nil {
			return err
		}
		ids[id] = true
	}
	if len(ids) == 0 {
		return nil
	}
	members := func() ([]int, error) {
		pids, err := process.All()
		if err != nil {
			return nil, err
		}
		return slices.DeleteFunc(pids, func(pid int) bool {
			id, err := netns.ID(fmt.Sprintf("/proc/%d/ns/net", pid))
			return err != nil || !ids[id]
		}), nil
	}
	return process.KillAll(ctx, members, process.Lineage())
}

// unmountBelow detaches every mount below the folders, the innermost first. It
// checks that none is left, because what is deleted next must not be reached
// through one.
func unmountBelow(folders ...string) error {
	for range 10 {
		mounts, err := mountsBelow(folders)
		if err != nil {
			return err
		}
		if len(mounts) == 0 {
			return nil
		}
		for _, mount := range slices.Backward(mounts) {
			if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("unmounting %s: %w", mount, err)
			}
		}
	}
	left, err := mountsBelow(folders)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%s is still mounted: unmount it with `umount -R`", strings.Join(left, ", "))
	}
	return nil
}

func mountsBelow(folders []string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading mounts: %w", err)
	}
	return parseMounts(string(text), folders), nil
}

// unescape undoes the kernel's way of writing blanks in mount points.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// parseMounts picks the mount points at or below the folders out of the text of
// /proc/self/mountinfo, in its order, in which a mount follows what it lies on.
func parseMounts(mountinfo string, folders []string) []string {
	var mounts []string
	lines := bufio.NewScanner(strings.NewReader(mountinfo))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		point := unescape.Replace(fields[4])
		for _, dir := range folders {
			if point == dir || strings.HasPrefix(point, dir+"/") {
				mounts = append(mounts, point)
			}
		}
	}
	return mounts
}

// removeFolders deletes the cluster's folders and, with the last cluster, those
// at which nodes had their own shown, if nothing is in them. While another
// cluster lives they stay: deleting a mount point tears the mount off in every
// namespace.
func removeFolders(ctx context.Context, c plan.Cluster) error {
	unlock, err := lockMachine(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := errors.Join(os.RemoveAll(c.RunDir()), os.RemoveAll(c.Dir())); err != nil {
		return err
	}
	others, err := Names()
	if err != nil || len(others) > 0 {
		return err
	}
	for dir := range c.First().Shown() {
		// Fails, as it should, where something of others is in it.
		_ = os.Remove(dir)
	}
	return restoreKernelSettings()
}
