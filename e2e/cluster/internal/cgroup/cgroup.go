// Package cgroup keeps track of processes by control group. Membership is
// inherited at fork and cannot be lost by a crash, so a group's members are
// exactly what a cluster has started, whoever of its starters is still alive.
// Both versions of cgroups are served, and the mixture of the two.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Layout is where the hierarchies of this machine are mounted.
type Layout struct {
	// Roots are the mount points. A group is a folder of the same name in each.
	Roots []string
	// Unified says that the machine has the single hierarchy of version 2.
	Unified bool
}

// ErrNoCgroups says that no hierarchy is mounted.
var ErrNoCgroups = errors.New("no cgroup hierarchy is mounted: mount one with `mount -t cgroup2 none /sys/fs/cgroup`")

// Detect reads the layout from the kernel.
func Detect() (Layout, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Layout{}, fmt.Errorf("reading mounts: %w", err)
	}
	return ParseLayout(string(mounts))
}

// ParseLayout finds the hierarchies in the text of /proc/self/mountinfo.
func ParseLayout(mountinfo string) (Layout, error) {
	var v1, v2 []string
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		kind := strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) == 0 {
			continue
		}
		switch kind[0] {
		case "cgroup":
			v1 = append(v1, fields[4])
		case "cgroup2":
			v2 = append(v2, fields[4])
		}
	}
	switch {
	case len(v1) > 0:
		// In the mixture runc also makes groups in the second version's mount.
		return Layout{Roots: unique(append(v1, v2...))}, nil
	case len(v2) > 0:
		// Several mounts of version 2 show the same tree: one is enough.
		return Layout{Roots: v2[:1], Unified: true}, nil
	}
	return Layout{}, ErrNoCgroups
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// Group is one group, by its path below every root.
type Group struct {
	Layout Layout
	Path   string
}

// At gives the group of that path.
func (l Layout) At(path string) Group { return Group{Layout: l, Path: path} }

func (g Group) folders() []string {
	var dirs []string
	for _, root := range g.Layout.Roots {
		dirs = append(dirs, filepath.Join(root, g.Path))
	}
	return dirs
}

// ProcsFiles are the files into which a process writes 0 to enter the group.
func (g Group) ProcsFiles() []string {
	var files []string
	for _, dir := range g.folders() {
		files = append(files, filepath.Join(dir, "cgroup.procs"))
	}
	return files
}

// Ensure makes the group and its parents in every hierarchy and makes them fit
// for processes.
func (g Group) Ensure() error {
	for _, root := range g.Layout.Roots {
		dir := root
		for part := range strings.SplitSeq(strings.Trim(g.Path, "/"), "/") {
			if g.Layout.Unified {
				if err := passControllers(dir); err != nil {
					return err
				}
			}
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("making control group: %w", err)
			}
			if err := copyCpuset(parent, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// passControllers lets the children of a version 2 group use all controllers.
func passControllers(dir string) error {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading controllers: %w", err)
	}
	for controller := range strings.FieldsSeq(string(available)) {
		file := filepath.Join(dir, "cgroup.subtree_control")
		if err := os.WriteFile(file, []byte("+"+controller), 0); err != nil && needed(controller) {
			return fmt.Errorf("passing controller %s to the groups below %s (no process may be in that group itself): %w", controller, dir, err)
		}
	}
	return nil
}

// needed says whether the kubelet asks for the controller.
func needed(controller string) bool {
	return slices.Contains([]string{"cpu", "cpuset", "memory", "pids"}, controller)
}

// copyCpuset gives a version 1 cpuset its processors: a new one has none, and
// no process may enter it.
func copyCpuset(parent, dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		file := filepath.Join(dir, name)
		have, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading cpuset: %w", err)
		}
		if strings.TrimSpace(string(have)) != "" {
			continue
		}
		value, err := os.ReadFile(filepath.Join(parent, name))
		if err != nil {
			return fmt.Errorf("reading cpuset of the parent: %w", err)
		}
		// Empty at the root of version 2, where the effective set counts.
		if strings.TrimSpace(string(value)) == "" {
			continue
		}
		if err := os.WriteFile(file, value, 0); err != nil {
			return fmt.Errorf("setting cpuset: %w", err)
		}
	}
	return nil
}

// Procs lists the processes in the group and below it, in any hierarchy.
func (g Group) Procs() ([]int, error) {
	seen := map[int]bool{}
	for _, dir := range g.folders() {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if !entry.IsDir() {
				return nil
			}
			return readPIDs(filepath.Join(path, "cgroup.procs"), seen)
		})
		if err != nil {
			return nil, fmt.Errorf("listing processes of %s: %w", g.Path, err)
		}
	}
	pids := make([]int, 0, len(seen))
	for pid := range seen {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids, nil
}

func readPIDs(file string, into map[int]bool) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for field := range strings.FieldsSeq(string(text)) {
		// 0 stands for a process of another process namespace, which no signal reaches.
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			into[pid] = true
		}
	}
	return nil
}

// Thaw lets frozen processes of the group and below run on: runc freezes a
// container for a moment to kill it, and in version 1 a frozen process does not
// even die. Where there is nothing to thaw, nothing happens.
func (g Group) Thaw() {
	for _, dir := range g.folders() {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				thaw(filepath.Join(path, "freezer.state"), "THAWED")
				thaw(filepath.Join(path, "cgroup.freeze"), "0")
			}
			return nil
		})
	}
}

func thaw(file, value string) {
	// Only where the file exists: a group has no others.
	if f, err := os.OpenFile(file, os.O_WRONLY, 0); err == nil {
		_, _ = f.WriteString(value)
		_ = f.Close()
	}
}

// Exists says whether any hierarchy has the group.
func (g Group) Exists() bool {
	for _, dir := range g.folders() {
		if _, err := os.Stat(dir); err == nil {
			return true
		}
	}
	return false
}

// Remove deletes the group and those below it. It must hold no process.
func (g Group) Remove() error {
	var errs []error
	for _, dir := range g.folders() {
		errs = append(errs, removeTree(dir))
	}
	return errors.Join(errs...)
}

// removeTree deletes folders from the leaves up. The files in them are the
// kernel's and vanish with the folder.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing control group: %w", err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing control group: %w", err)
	}
	return nil
}
