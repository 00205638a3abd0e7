// Package preflight finds out, before anything is started, what a machine lacks
// to run a cluster, and says how to mend it.
package preflight

import (
	"fmt"
	"slices"
	"strings"
)

// Facts is what was found on a machine.
type Facts struct {
	// Tools maps the programs of Needs to their files; missing ones are absent.
	Tools map[string]string
	// CNI is the folder with all network plugins. Empty if there is none.
	CNI string
	// Go says whether there is a Go toolchain. It is needed for builds only.
	Go bool
	// CacheFree and StateFree are the bytes free for the cache and for clusters.
	CacheFree, StateFree uint64
	// MemoryFree is the memory that can be had without swapping, in bytes.
	MemoryFree uint64
	// Overlay says that the kernel can lay folders over one another.
	Overlay bool
	// BridgeFilter says that the kernel shows bridged packets to the rules of
	// kube-proxy.
	BridgeFilter bool
	// Capable says that namespaces and interfaces may be made.
	Capable bool
	// Taken names things that stand where the cluster's own would: they belong
	// to somebody else.
	Taken []string
}

// Demand is what is asked of the machine.
type Demand struct {
	Nodes int
	// Builds is the number of binaries that are not in the cache.
	Builds int
	// New says that the cluster does not exist yet.
	New bool
}

// Problem is one thing to be mended, and how.
type Problem struct {
	What, Remedy string
	// Package is the Debian package that mends it, if one does.
	Package string
}

func (p Problem) String() string { return p.What + ": " + p.Remedy }

// Problems are all that stands in the way.
type Problems []Problem

// Error lists the problems, one per line.
func (p Problems) Error() string {
	lines := []string{"this machine cannot run a cluster yet:"}
	for _, problem := range p {
		lines = append(lines, "  - "+problem.String())
	}
	if packages := p.Packages(); len(packages) > 0 {
		lines = append(lines, "missing packages can be installed with --install-deps, which runs: apt-get install --yes "+strings.Join(packages, " "))
	}
	return strings.Join(lines, "\n")
}

// Packages lists the Debian packages that would mend something.
func (p Problems) Packages() []string {
	var packages []string
	for _, problem := range p {
		if problem.Package != "" {
			packages = append(packages, problem.Package)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// Needs maps each program that a cluster uses to its Debian package.
var Needs = map[string]string{
	"ip":        "iproute2",
	"runc":      "runc",
	"nft":       "nftables",
	"conntrack": "conntrack",
	"iptables":  "iptables", // for host ports, by the portmap plugin
	"mount":     "mount",    // by the kubelet, for volumes
}

// Plugins are the network plugins that a cluster uses.
var Plugins = []string{"bridge", "host-local", "portmap"}

const (
	mebi = 1 << 20
	gibi = 1 << 30

	// Measured: sources 1.6 GiB, Go's build cache 2.4 GiB, binaries 0.7 GiB.
	buildSpace = 6 * gibi
	// Measured: images, their snapshots, logs and the store of one node.
	nodeSpace = 1 * gibi
	// Measured: API server 256 MB, controllers 150, etcd 55, a node 150, and room
	// for pods.
	controlMemory = 1 * gibi
	nodeMemory    = 256 * mebi
)

// Check compares what was found with what is needed.
func Check(f Facts, d Demand) Problems {
	var problems Problems
	add := func(pkg, what, remedy string) { problems = append(problems, Problem{what, remedy, pkg}) }
	for _, tool := range sorted(Needs) {
		if f.Tools[tool] == "" {
			add(Needs[tool], "program "+tool+" is missing", "apt-get install "+Needs[tool])
		}
	}
	if f.CNI == "" {
		const pkg = "containernetworking-plugins"
		add(pkg, "network plugins "+strings.Join(Plugins, ", ")+" are missing", "apt-get install "+pkg)
	}
	if d.Builds > 0 && !f.Go {
		add("", fmt.Sprintf("%d binaries have to be built and there is no Go toolchain", d.Builds), "install Go from https://go.dev/dl and put it on the path")
	}
	if !f.Capable {
		add("", "no namespace can be made", "run it as root of the machine, or in a container with --privileged")
	}
	if !f.Overlay {
		add("", "the kernel cannot mount overlayfs", "modprobe overlay")
	}
	if !f.BridgeFilter {
		add("", "the kernel does not filter bridged packets", "modprobe br_netfilter")
	}
	return append(append(problems, space(f, d)...), taken(f)...)
}

func space(f Facts, d Demand) Problems {
	var problems Problems
	if need := uint64(buildSpace); d.Builds > 0 && f.CacheFree < need {
		problems = append(problems, Problem{
			What:   fmt.Sprintf("%s are free for building and %s are needed", inGiB(f.CacheFree), inGiB(need)),
			Remedy: "free some, or set XDG_CACHE_HOME, GOCACHE and GOMODCACHE to folders of a larger disk",
		})
	}
	if !d.New {
		return problems
	}
	if need := uint64(d.Nodes) * nodeSpace; f.StateFree < need {
		problems = append(problems, Problem{
			What:   fmt.Sprintf("%s are free in /var/lib and %d node(s) need %s", inGiB(f.StateFree), d.Nodes, inGiB(need)),
			Remedy: "free some with `cluster down` of unused clusters",
		})
	}
	if need := uint64(controlMemory + d.Nodes*nodeMemory); f.MemoryFree < need {
		problems = append(problems, Problem{
			What:   fmt.Sprintf("%s of memory are free and %d node(s) need %s", inGiB(f.MemoryFree), d.Nodes, inGiB(need)),
			Remedy: "end other programs, or ask for fewer nodes",
		})
	}
	return problems
}

func taken(f Facts) Problems {
	var problems Problems
	for _, what := range f.Taken {
		problems = append(problems, Problem{
			What:   what + " exists and does not belong to a known cluster",
			Remedy: "choose another --name, or remove it with `cluster down` of this name",
		})
	}
	return problems
}

func inGiB(bytes uint64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/gibi) }

func sorted(m map[string]string) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
