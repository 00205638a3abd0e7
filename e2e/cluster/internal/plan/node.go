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

// MntnsPath is the file that names the mount namespace of the node's processes.
func (n Node) MntnsPath() string { return filepath.Join(n.RunDir(), "mounts") }

// Shown maps each folder that kubelets, container runtimes and network plugins
// take for their own to the node's folder that its processes see there. What a
// reboot would clear lies below RunDir.
func (n Node) Shown() map[string]string {
	return map[string]string{
		"/var/lib/kubelet":    filepath.Join(n.Dir(), "kubelet"),
		"/var/lib/containerd": filepath.Join(n.Dir(), "containerd"),
		"/run/containerd":     filepath.Join(n.RunDir(), "containerd"),
		"/var/lib/cni":        filepath.Join(n.RunDir(), "cni"),
		"/var/log/pods":       filepath.Join(n.Dir(), "pods"),
		"/var/log/containers": filepath.Join(n.Dir(), "containers"),
	}
}

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

// LogName is the name of a component's log file without its ending: components
// that run once per cluster are called by their name, those of later nodes
// carry the node.
func (n Node) LogName(component string) string {
	if n.Index == 1 {
		return component
	}
	return component + "." + n.Name()
}
