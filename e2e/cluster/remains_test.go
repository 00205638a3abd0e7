package cluster

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/e2e/cluster/internal/cgroup"
	"github.com/rawserve/rawserve/e2e/cluster/internal/netns"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
	"github.com/rawserve/rawserve/e2e/cluster/internal/process"
)

// requireNothing looks for everything that a cluster could leave.
func requireNothing(t *testing.T, name string) {
	t.Helper()
	c := plan.Cluster{Name: name, Nodes: plan.MaxNodes}
	groups, err := cgroup.Detect()
	require.NoError(t, err)
	require.False(t, groups.At(c.Cgroup()).Exists(), "control groups")
	for _, path := range []string{c.Dir(), c.RunDir(), lockFile(name), "/sys/class/net/" + c.HostInterface()} {
		require.NoFileExists(t, path)
		require.NoDirExists(t, path)
	}
	for _, n := range c.AllNodes() {
		require.False(t, netns.Exists(n.NetnsPath()), n.NetnsPath())
		require.NoFileExists(t, n.NetnsPath())
	}
	mounts, err := mountsBelow([]string{c.Dir(), c.RunDir()})
	require.NoError(t, err)
	require.Empty(t, mounts)
	numbers, err := process.All()
	require.NoError(t, err)
	for _, pid := range numbers {
		// Every process of a cluster names one of its folders, as shims do too.
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil {
			require.False(t, bytes.Contains(command, []byte(c.Dir()+"/")) || bytes.Contains(command, []byte(c.RunDir()+"/")), "process %d: %q", pid, command)
		}
	}
}

// machine is what clusters change of the machine as a whole, and what the last one
// to go changes back.
type machine struct {
	// Shown says which of the folders exist that nodes have their own in the place of.
	Shown map[string]bool
	// Kernel has the settings that kubelets make.
	Kernel map[string]string
	// Clusters are those that live: while there is one, none of it is changed back.
	Clusters []string
}

func lookAtMachine(t *testing.T) machine {
	t.Helper()
	clusters, err := Names()
	require.NoError(t, err)
	m := machine{Shown: map[string]bool{}, Kernel: readKernelSettings(), Clusters: clusters}
	for dir := range (plan.Cluster{Name: "any"}).First().Shown() {
		_, err := os.Stat(dir)
		m.Shown[dir] = err == nil
	}
	return m
}

// requireMachine looks for what the clusters of a test may have left of what all
// clusters share.
func requireMachine(t *testing.T, before machine) {
	t.Helper()
	now := lookAtMachine(t)
	if others := slices.Concat(before.Clusters, now.Clusters); len(others) > 0 {
		t.Logf("mount points and kernel settings are not looked at: the clusters %v need them", others)
		return
	}
	require.Equal(t, before, now, "as before the first cluster")
	require.NoFileExists(t, kernelFile)
}
