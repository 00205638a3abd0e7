package plan

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesFitIntoSocketAndInterfaceNames(t *testing.T) {
	for name, good := range map[string]bool{
		"dev": true, "a": true, "pr-123": true, strings.Repeat("x", 16): true,
		"": false, "-dev": false, "dev-": false, "Dev": false, "a/b": false, "..": false, strings.Repeat("x", 17): false,
	} {
		require.Equal(t, good, CheckName(name) == nil, "name %q", name)
	}
	longest := Cluster{Name: strings.Repeat("x", 16), Nodes: MaxNodes}
	require.LessOrEqual(t, len(longest.HostInterface()), 15)
	require.LessOrEqual(t, len(longest.Node(MaxNodes).UplinkInterface()), 15)
	require.LessOrEqual(t, len(longest.Node(MaxNodes).Socket()+".ttrpc"), 107)
}

func TestClustersShareNothing(t *testing.T) {
	a, b := Cluster{Name: "a", Nodes: 2}, Cluster{Name: "b", Nodes: 2}
	require.NotEqual(t, a.Cgroup(), b.Cgroup())
	require.NotEqual(t, a.HostInterface(), b.HostInterface())
	for i := 1; i <= 2; i++ {
		require.NotEqual(t, a.Node(i).NetnsPath(), b.Node(i).NetnsPath())
		require.NotEqual(t, a.Node(i).Dir(), b.Node(i).Dir())
		require.NotEqual(t, a.Node(i).RunDir(), b.Node(i).RunDir())
	}
	// "a-2" is a name as well as the second node of "a" would make one.
	require.NotEqual(t, a.Node(2).Dir(), Cluster{Name: "a-2"}.First().Dir())
}

func TestNodesOfOneClusterHaveTheirOwnAddresses(t *testing.T) {
	c := Cluster{Name: "dev", Nodes: 3}
	require.Equal(t, []string{"node-1", "node-2", "node-3"}, []string{c.Node(1).Name(), c.Node(2).Name(), c.Node(3).Name()})
	require.Equal(t, "10.244.2.0/24", c.Node(3).PodSubnet())
	require.Equal(t, "10.244.2.1", c.Node(3).Address())
	first, own := c.Node(3).Uplink()
	require.Equal(t, []string{"10.245.3.1", "10.245.3.2"}, []string{first, own})
	_, err := c.Find("node-4")
	require.EqualError(t, err, `cluster dev has no node "node-4": it has node-1 to node-3`)
}

func TestLinksLieInTheUsablePartOfTheLinkLocalRange(t *testing.T) {
	require.Equal(t, Link{Host: "169.254.1.1", Inside: "169.254.1.2", Network: "169.254.1.0/30"}, LinkOf(0))
	require.Equal(t, Link{Host: "169.254.2.5", Inside: "169.254.2.6", Network: "169.254.2.4/30"}, LinkOf(65))
	require.Equal(t, "169.254.168.254", LinkOf(Links-1).Inside)
}

func TestFreeLinkAvoidsTakenNetworks(t *testing.T) {
	first, err := FreeLink("dev", nil)
	require.NoError(t, err)

	taken := []netip.Prefix{
		netip.MustParsePrefix(LinkOf(first).Network),
		// Zeroconf's route for the whole range takes nothing away.
		netip.MustParsePrefix("169.254.0.0/16"),
	}
	next, err := FreeLink("dev", taken)
	require.NoError(t, err)
	require.Equal(t, (first+1)%Links, next)
}

func TestFreeLinkSaysWhenAllAreTaken(t *testing.T) {
	_, err := FreeLink("dev", []netip.Prefix{netip.MustParsePrefix("169.254.0.0/17"), netip.MustParsePrefix("169.254.128.0/17")})
	require.ErrorIs(t, err, ErrNoLink)
}

func TestValidateNamesTheField(t *testing.T) {
	require.NoError(t, Cluster{Name: "dev", Nodes: 1}.Validate())
	require.ErrorContains(t, Cluster{Name: "dev", Nodes: 10}.Validate(), "nodes 10")
	require.ErrorContains(t, Cluster{Name: "dev", Nodes: 1, Link: -1}.Validate(), "link -1")
	require.ErrorContains(t, Cluster{Name: "D", Nodes: 1}.Validate(), `name "D"`)
}
