package plan

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// Node is one node of a cluster: a network namespace with a container runtime,
// a kubelet and a proxy of its own.
type Node struct {
	Cluster Cluster
	Index   int
}

// Name is the node's name in Kubernetes.
func (n Node) Name() string { return "node-" + strconv.Itoa(n.Index) }

// Dir is the node's durable state.
func (n Node) Dir() string { return filepath.Join(n.Cluster.Dir(), n.Name()) }

// RunDir holds the node's sockets and container state.
func (n Node) RunDir() string { return filepath.Join(n.Cluster.RunDir(), strconv.Itoa(n.Index)) }

// Netns is the name of the node's network namespace.
func (n Node) Netns() string {
	if n.Index == 1 {
		return "rawserve-" + n.Cluster.Name
	}
	return "rawserve-" + n.Cluster.Name + "-" + strconv.Itoa(n.Index)
}

// NetnsPath is the file that names the node's network namespace.
func (n Node) NetnsPath() string { return "/run/netns/" + n.Netns() }

// Socket is the container runtime's socket.
func (n Node) Socket() string { return filepath.Join(n.RunDir(), "containerd.sock") }

// Cgroup holds the node's own processes and its pods.
func (n Node) Cgroup() string { return n.Cluster.Cgroup() + "/" + n.Name() }

// SystemCgroup holds the node's container runtime, its shims, kubelet and proxy.
// It is apart from the pods, because cgroup v2 allows processes in leaves only.
func (n Node) SystemCgroup() string { return n.Cgroup() + "/system" }

// PodSubnet is the range of the node's pods.
func (n Node) PodSubnet() string { return fmt.Sprintf("10.244.%d.0/24", n.Index-1) }

// Address is the node's own address: the first of its pod subnet, on its bridge.
func (n Node) Address() string { return fmt.Sprintf("10.244.%d.1", n.Index-1) }

// Uplink is the pair of addresses that joins the node to the first one.
func (n Node) Uplink() (first, own string) {
	return fmt.Sprintf("10.245.%d.1", n.Index), fmt.Sprintf("10.245.%d.2", n.Index)
}

// UplinkInterface is the first node's end of the cable to this node.
func (n Node) UplinkInterface() string { return "to-" + n.Name() }

// CNINetwork names the node's pod network; it is part of file names below
// /var/lib/cni, which the clusters of a machine share.
func (n Node) CNINetwork() string { return "rawserve-" + n.Cluster.Name + "-" + n.Name() }

// PodLogs is where the kubelet keeps the logs of pods.
func (n Node) PodLogs() string { return filepath.Join(n.Dir(), "pods") }

// LogName is the name of a component's log file without its ending: components
// that run once per cluster are called by their name, those of later nodes
// carry the node.
func (n Node) LogName(component string) string {
	if n.Index == 1 {
		return component
	}
	return component + "." + n.Name()
}
