// Package network gives a cluster its network: one namespace per node, a
// bridge for its pods, cables between the nodes, and one cable to the host by
// which the API server can be reached. Nothing else leads in or out, so no pod
// or Service address is ever seen by the machine or its neighbours.
package network

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"

	"github.com/rawserve/rawserve/e2e/cluster/internal/netns"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

const (
	bridge = "cni0"
	// A bridge has no carrier, and its routes do not work, until something is
	// plugged in: this cable to itself is, for good.
	plug, plugPeer = "plug0", "plug1"
	hostPeer       = "host0"
	uplink         = "uplink0"
)

// Ensure makes whatever of the cluster's network is missing.
func Ensure(ctx context.Context, c plan.Cluster) error {
	for _, node := range c.AllNodes() {
		if err := ensureNode(ctx, node); err != nil {
			return fmt.Errorf("network of %s: %w", node.Name(), err)
		}
	}
	if err := ensureHostLink(ctx, c); err != nil {
		return fmt.Errorf("link between host and cluster %s: %w", c.Name, err)
	}
	for _, node := range c.AllNodes()[1:] {
		if err := ensureCable(ctx, node); err != nil {
			return fmt.Errorf("cable of %s: %w", node.Name(), err)
		}
	}
	return nil
}

// Remove takes the network away. Interfaces go with their namespaces, but at
// a time of the kernel's choosing; the host's end is deleted explicitly so that
// it is gone on return.
func Remove(ctx context.Context, c plan.Cluster) error {
	err := onHost(func() error {
		if !exists(c.HostInterface()) {
			return nil
		}
		return run(ctx, "ip", "link", "delete", c.HostInterface())
	})
	if err != nil {
		return err
	}
	for _, node := range c.AllNodes() {
		if err := netns.Remove(node.NetnsPath()); err != nil {
			return err
		}
	}
	return nil
}

// RemoveNode takes the network of a node away that is not the first. The cable is
// deleted explicitly, so that a later node of that name never finds the old one.
func RemoveNode(ctx context.Context, node plan.Node) error {
	err := inside(node.Cluster.First(), func() error {
		if !exists(node.UplinkInterface()) {
			return nil
		}
		return run(ctx, "ip", "link", "delete", node.UplinkInterface())
	})
	if err != nil {
		return err
	}
	return netns.Remove(node.NetnsPath())
}

// Unplug cuts the cable of a node that is not the first: nothing answers for
// it any more, as when a machine loses its power.
func Unplug(ctx context.Context, node plan.Node) error {
	return inside(node.Cluster.First(), func() error {
		return run(ctx, "ip", "link", "set", node.UplinkInterface(), "down")
	})
}

func ensureNode(ctx context.Context, node plan.Node) error {
	if err := netns.Ensure(node.NetnsPath()); err != nil {
		return err
	}
	return inside(node, func() error {
		if err := run(ctx, "ip", "link", "set", "lo", "up"); err != nil {
			return err
		}
		if err := settings(); err != nil {
			return err
		}
		if err := ensureBridge(ctx, node); err != nil {
			return err
		}
		// Service addresses are rewritten on their way out, which takes a route
		// for them; anything else has none, and fails at once instead of timing out.
		return run(ctx, "ip", "route", "replace", plan.ServiceCIDR, "dev", bridge)
	})
}

// settings makes the namespace forward packets, and show the traffic between
// two pods of one bridge to the rules of kube-proxy: without it the answer of
// a pod that was reached through a Service comes from the wrong address.
func settings() error {
	for _, name := range []string{"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"} {
		if err := os.WriteFile("/proc/sys/"+name, []byte("1"), 0); err != nil {
			return fmt.Errorf("setting %s (try `modprobe br_netfilter`): %w", strings.ReplaceAll(name, "/", "."), err)
		}
	}
	return nil
}

func ensureBridge(ctx context.Context, node plan.Node) error {
	if !exists(bridge) {
		if err := run(ctx, "ip", "link", "add", bridge, "type", "bridge"); err != nil {
			return err
		}
	}
	if !exists(plug) {
		if err := run(ctx, "ip", "link", "add", plug, "type", "veth", "peer", "name", plugPeer); err != nil {
			return err
		}
	}
	return runAll(ctx,
		[]string{"ip", "address", "replace", node.Address() + "/24", "dev", bridge},
		[]string{"ip", "link", "set", plug, "master", bridge, "up"},
		[]string{"ip", "link", "set", plugPeer, "up"},
		[]string{"ip", "link", "set", bridge, "up"},
	)
}

func ensureHostLink(ctx context.Context, c plan.Cluster) error {
	link, host := plan.LinkOf(c.Link), c.HostInterface()
	err := onHost(func() error {
		if !exists(host) {
			if err := run(ctx, "ip", "link", "add", host, "type", "veth", "peer", "name", hostPeer, "netns", c.First().Netns()); err != nil {
				return err
			}
		}
		return runAll(ctx,
			[]string{"ip", "link", "set", host, "alias", "rawserve cluster " + c.Name},
			[]string{"ip", "address", "replace", link.Host + "/30", "dev", host},
			[]string{"ip", "link", "set", host, "up"},
		)
	})
	if err != nil {
		return err
	}
	return inside(c.First(), func() error {
		err := runAll(ctx,
			[]string{"ip", "address", "replace", link.Inside + "/30", "dev", hostPeer},
			[]string{"ip", "link", "set", hostPeer, "up"},
		)
		if err != nil {
			return err
		}
		return runWith(ctx, barrier, "nft", "-f", "-")
	})
}

// barrier keeps pods from the host and the host from pods: the host would send
// its answers to pod addresses out of the machine, by its default route. The
// table is made before it is deleted, so that deleting always works.
const barrier = `
table inet rawserve
delete table inet rawserve
table inet rawserve {
	chain forward {
		type filter hook forward priority filter; policy accept;
		oifname "` + hostPeer + `" reject
		iifname "` + hostPeer + `" drop
	}
}
`

// ensureCable joins a later node to the first, which routes between all.
func ensureCable(ctx context.Context, node plan.Node) error {
	firstEnd, ownEnd := node.Uplink()
	err := inside(node.Cluster.First(), func() error {
		if !exists(node.UplinkInterface()) {
			if err := run(ctx, "ip", "link", "add", node.UplinkInterface(), "type", "veth", "peer", "name", uplink, "netns", node.Netns()); err != nil {
				return err
			}
		}
		return runAll(ctx,
			[]string{"ip", "address", "replace", firstEnd + "/30", "dev", node.UplinkInterface()},
			[]string{"ip", "link", "set", node.UplinkInterface(), "up"},
		)
	})
	if err != nil {
		return err
	}
	err = inside(node, func() error {
		return runAll(ctx,
			[]string{"ip", "address", "replace", ownEnd + "/30", "dev", uplink},
			[]string{"ip", "link", "set", uplink, "up"},
			[]string{"ip", "route", "replace", plan.PodCIDR, "via", firstEnd, "src", node.Address()},
			[]string{"ip", "route", "replace", plan.LinkOf(node.Cluster.Link).Network, "via", firstEnd, "src", node.Address()},
		)
	})
	if err != nil {
		return err
	}
	// A route goes away with its interface, so this comes last, and again after an unplugging.
	return inside(node.Cluster.First(), func() error {
		return run(ctx, "ip", "route", "replace", node.PodSubnet(), "via", ownEnd)
	})
}

func inside(node plan.Node, fn func() error) error { return netns.Do(node.NetnsPath(), fn) }

// exists looks in the namespace of the calling thread.
func exists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

func runAll(ctx context.Context, commands ...[]string) error {
	for _, command := range commands {
		if err := run(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, command ...string) error {
	return runWith(ctx, "", command...)
}

func runWith(ctx context.Context, stdin string, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running %q: %w: %s", strings.Join(command, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
