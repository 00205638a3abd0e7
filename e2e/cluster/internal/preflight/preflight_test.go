package preflight

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// good is a machine that lacks nothing.
func good() Facts {
	tools := map[string]string{}
	for name := range Needs {
		tools[name] = "/usr/sbin/" + name
	}
	return Facts{
		Tools: tools, CNI: "/usr/lib/cni", Go: true, Overlay: true, BridgeFilter: true, Capable: true,
		CacheFree: 100 * gibi, StateFree: 100 * gibi, MemoryFree: 16 * gibi,
	}
}

func TestCheckNamesWhatIsMissingAndTheRemedy(t *testing.T) {
	anew := Demand{Nodes: 2, Builds: 13, New: true}
	cases := []struct {
		situation string
		spoil     func(*Facts)
		demand    Demand
		want      []string
	}{
		{"nothing is missing", func(*Facts) {}, anew, nil},
		{"no container runtime", func(f *Facts) { delete(f.Tools, "runc") }, anew,
			[]string{"program runc is missing: apt-get install runc"}},
		{"no packet filter and no plugins", func(f *Facts) { delete(f.Tools, "nft"); f.CNI = "" }, anew, []string{
			"program nft is missing: apt-get install nftables",
			"network plugins bridge, host-local, portmap are missing: apt-get install containernetworking-plugins",
		}},
		{"no Go and something to build", func(f *Facts) { f.Go = false }, anew,
			[]string{"13 binaries have to be built and there is no Go toolchain: install Go from https://go.dev/dl and put it on the path"}},
		{"no Go and nothing to build", func(f *Facts) { f.Go = false }, Demand{Nodes: 1, New: true}, nil},
		{"a container without privileges", func(f *Facts) { f.Capable = false }, anew,
			[]string{"no namespace can be made: run it as root of the machine, or in a container with --privileged"}},
		{"a kernel without modules", func(f *Facts) { f.Overlay, f.BridgeFilter = false, false }, anew, []string{
			"the kernel cannot mount overlayfs: modprobe overlay",
			"the kernel does not filter bridged packets: modprobe br_netfilter",
		}},
		{"a full disk", func(f *Facts) { f.CacheFree, f.StateFree = 3*gibi, gibi }, anew, []string{
			"3.0 GiB are free for building and 6.0 GiB are needed: free some, or set XDG_CACHE_HOME, GOCACHE and GOMODCACHE to folders of a larger disk",
			"1.0 GiB are free in /var/lib and 2 node(s) need 2.0 GiB: free some with `cluster down` of unused clusters",
		}},
		{"a full disk under a cluster that is there and cached", func(f *Facts) { f.CacheFree, f.StateFree = 0, 0 }, Demand{Nodes: 2}, nil},
		{"little memory", func(f *Facts) { f.MemoryFree = gibi }, anew,
			[]string{"1.0 GiB of memory are free and 2 node(s) need 1.5 GiB: end other programs, or ask for fewer nodes"}},
		{"a namespace of somebody else", func(f *Facts) { f.Taken = []string{"network namespace /run/netns/rawserve-dev"} }, anew,
			[]string{"network namespace /run/netns/rawserve-dev exists and does not belong to a known cluster: choose another --name, or remove it with `cluster down` of this name"}},
	}
	for _, c := range cases {
		t.Run(c.situation, func(t *testing.T) {
			facts := good()
			c.spoil(&facts)
			var got []string
			for _, p := range Check(facts, c.demand) {
				got = append(got, p.String())
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestTheMessageHoldsTheCommandThatMendsItAll(t *testing.T) {
	facts := good()
	delete(facts.Tools, "runc")
	delete(facts.Tools, "conntrack")
	facts.Go = false
	problems := Check(facts, Demand{Nodes: 1, Builds: 1, New: true})
	require.Equal(t, []string{"conntrack", "runc"}, problems.Packages())
	require.Contains(t, problems.Error(), "apt-get install --yes conntrack runc")
	require.Contains(t, problems.Error(), "no Go toolchain")
}

func TestParseMemory(t *testing.T) {
	got, err := ParseMemory("MemTotal:       24684084 kB\nMemFree:  1 kB\nMemAvailable:   2048 kB\n")
	require.NoError(t, err)
	require.Equal(t, uint64(2*mebi), got)
	_, err = ParseMemory("MemTotal: 1 kB\n")
	require.Error(t, err)
}

func TestTheSpaceOfAFolderToBeIsThatOfItsParent(t *testing.T) {
	dir := t.TempDir()
	have, err := free(dir)
	require.NoError(t, err)
	require.NotZero(t, have)
	below, err := free(filepath.Join(dir, "not", "yet"))
	require.NoError(t, err)
	require.InEpsilon(t, have, below, 0.5)
}

func TestLookingAtThisMachineWorks(t *testing.T) {
	facts, demand, err := look(context.Background(), Options{Cluster: plan.Cluster{Name: "none-such", Nodes: 3}, Cache: t.TempDir(), Builds: 2})
	require.NoError(t, err)
	require.Equal(t, Demand{Nodes: 3, Builds: 2, New: true}, demand)
	require.NotZero(t, facts.MemoryFree)
	require.Empty(t, facts.Taken)
}
