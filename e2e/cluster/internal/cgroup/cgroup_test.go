package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	legacy = `25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 25 0:23 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
27 25 0:24 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
`
	unified = "30 25 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mixture = "31 25 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 none rw\n"
)

func TestParseLayout(t *testing.T) {
	cases := []struct {
		situation, mountinfo string
		want                 Layout
	}{
		{"version 1", legacy, Layout{Roots: []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory"}}},
		{"version 2", unified, Layout{Roots: []string{"/sys/fs/cgroup"}, Unified: true}},
		{"version 2 mounted twice", unified + mixture, Layout{Roots: []string{"/sys/fs/cgroup"}, Unified: true}},
		{"both", legacy + mixture, Layout{Roots: []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"}}},
	}
	for _, c := range cases {
		t.Run(c.situation, func(t *testing.T) {
			got, err := ParseLayout(c.mountinfo)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	_, err := ParseLayout("1 0 0:1 / / rw - ext4 /dev/vda rw\n")
	require.ErrorIs(t, err, ErrNoCgroups)
}

func FuzzParseLayout(f *testing.F) {
	f.Add(legacy)
	f.Add(unified + " - \n - cgroup")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		layout, err := ParseLayout(mountinfo)
		require.Equal(t, err == nil, len(layout.Roots) > 0)
	})
}

// fake makes folders that look like mounted hierarchies.
func fake(t *testing.T, unified bool, names ...string) Layout {
	t.Helper()
	layout := Layout{Unified: unified}
	for _, name := range names {
		root := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.MkdirAll(root, 0o755))
		layout.Roots = append(layout.Roots, root)
	}
	return layout
}

func TestProcsAreThoseOfAllHierarchiesAndAllDescendants(t *testing.T) {
	layout := fake(t, false, "memory", "pids")
	group := layout.At("/rawserve-dev")
	require.NoError(t, layout.At("/rawserve-dev/node-1/system").Ensure())
	for file, text := range map[string]string{
		layout.Roots[0] + "/rawserve-dev/cgroup.procs":               "7\n",
		layout.Roots[0] + "/rawserve-dev/node-1/cgroup.procs":        "",
		layout.Roots[0] + "/rawserve-dev/node-1/system/cgroup.procs": "12\n9\n",
		// A process that was moved out of one hierarchy only is still the cluster's.
		layout.Roots[1] + "/rawserve-dev/node-1/system/cgroup.procs": "9\n30\n0\n",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}

	pids, err := group.Procs()

	require.NoError(t, err)
	require.Equal(t, []int{7, 9, 12, 30}, pids)
}

func TestAMissingGroupHasNoProcesses(t *testing.T) {
	group := fake(t, true, "unified").At("/rawserve-none")
	pids, err := group.Procs()
	require.NoError(t, err)
	require.Empty(t, pids)
	require.False(t, group.Exists())
	require.NoError(t, group.Remove())
}

func TestEnsureCopiesTheCpusetOfTheParent(t *testing.T) {
	layout := fake(t, false, "cpuset")
	write := func(path, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(layout.Roots[0], path), []byte(text), 0o644))
	}
	write("cpuset.cpus", "0-1\n")
	write("cpuset.mems", "0\n")
	// The kernel makes the files with the folder.
	require.NoError(t, os.Mkdir(filepath.Join(layout.Roots[0], "rawserve-dev"), 0o755))
	write("rawserve-dev/cpuset.cpus", "\n")
	write("rawserve-dev/cpuset.mems", "\n")

	require.NoError(t, layout.At("/rawserve-dev").Ensure())

	for name, want := range map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"} {
		got, err := os.ReadFile(filepath.Join(layout.Roots[0], "rawserve-dev", name))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestEnsurePassesControllersDownTheUnifiedTree(t *testing.T) {
	layout := fake(t, true, "unified")
	root := layout.Roots[0]
	require.NoError(t, os.MkdirAll(filepath.Join(root, "rawserve-dev"), 0o755))
	for _, dir := range []string{root, filepath.Join(root, "rawserve-dev")} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("memory\n"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), nil, 0o644))
	}

	require.NoError(t, layout.At("/rawserve-dev/control").Ensure())

	for _, dir := range []string{root, filepath.Join(root, "rawserve-dev")} {
		got, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		require.NoError(t, err)
		require.Equal(t, "+memory", string(got))
	}
	// A leaf that passes controllers on may hold no process.
	require.NoFileExists(t, filepath.Join(root, "rawserve-dev/control/cgroup.subtree_control"))
}

func TestRemoveDeletesFromTheLeavesUp(t *testing.T) {
	layout := fake(t, false, "memory", "pids")
	require.NoError(t, layout.At("/rawserve-dev/node-1/kubepods").Ensure())
	require.True(t, layout.At("/rawserve-dev").Exists())
	require.NoError(t, layout.At("/rawserve-dev").Remove())
	require.False(t, layout.At("/rawserve-dev").Exists())
}
