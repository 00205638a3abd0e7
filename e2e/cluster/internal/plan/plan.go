// Package plan works out every name, path and address of a local cluster from
// its name and size. It touches nothing; who creates the things named here is
// the caller's business.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
)

const (
	// ServiceCIDR is the range of Service addresses.
	ServiceCIDR = "10.96.0.0/16"
	// APIServiceIP is the address of the Service "kubernetes", the first of ServiceCIDR.
	APIServiceIP = "10.96.0.1"
	// DNSServiceIP is the address of the cluster's DNS Service.
	DNSServiceIP = "10.96.0.10"
	// PodCIDR holds the pod subnets of all nodes.
	PodCIDR = "10.244.0.0/16"
	// DNSDomain is the domain of the cluster.
	DNSDomain = "cluster.local"
	// APIPort is the port of the API server, inside the cluster's namespace.
	APIPort = 6443
	// EtcdPort is the port of etcd on the loopback of the cluster's namespace.
	EtcdPort = 2379
	// MaxNodes bounds the size of a cluster: all of it shares one machine.
	MaxNodes = 9
	// PauseImage is the image of every pod's first container.
	PauseImage = "rawserve.dev/pause:1"

	// Unix socket paths end at 108 characters and containerd allows its shims
	// 38 for their folder: "/run/rawserve/" + name + "/1/s".
	maxNameLength = 16
)

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// Cluster is what has to be known of a cluster to derive the rest.
type Cluster struct {
	// Name tells clusters on one machine apart.
	Name string `json:"name"`
	// Nodes is the number of nodes.
	Nodes int `json:"nodes"`
	// Link picks the /30 of 169.254.0.0/16 by which the host reaches the API server.
	Link int `json:"link"`
}

// CheckName says what is wrong with a cluster name, if anything is.
func CheckName(name string) error {
	if name == "" || len(name) > maxNameLength || !namePattern.MatchString(name) {
		return fmt.Errorf("name %q: use 1 to %d lower-case letters, digits and dashes, with a letter or digit at both ends", name, maxNameLength)
	}
	return nil
}

// Validate says what is wrong with the cluster's description, if anything is.
func (c Cluster) Validate() error {
	if err := CheckName(c.Name); err != nil {
		return err
	}
	if c.Nodes < 1 || c.Nodes > MaxNodes {
		return fmt.Errorf("nodes %d: use 1 to %d", c.Nodes, MaxNodes)
	}
	if c.Link < 0 || c.Link >= Links {
		return fmt.Errorf("link %d: use 0 to %d", c.Link, Links-1)
	}
	return nil
}

// StateRoot holds the durable state of all clusters.
const StateRoot = "/var/lib/rawserve"

// RunRoot holds sockets and container state of all clusters, gone at a reboot.
const RunRoot = "/run/rawserve"

// Dir is the cluster's durable state.
func (c Cluster) Dir() string { return filepath.Join(StateRoot, c.Name) }

// RunDir holds the cluster's sockets and mounts.
func (c Cluster) RunDir() string { return filepath.Join(RunRoot, c.Name) }

// PKIDir holds keys and certificates.
func (c Cluster) PKIDir() string { return filepath.Join(c.Dir(), "pki") }

// ConfigDir holds the components' configuration files and kubeconfigs.
func (c Cluster) ConfigDir() string { return filepath.Join(c.Dir(), "config") }

// LogDir holds one file per component.
func (c Cluster) LogDir() string { return filepath.Join(c.Dir(), "logs") }

// ImagesDir holds the archives that were loaded, for nodes that come later.
func (c Cluster) ImagesDir() string { return filepath.Join(c.Dir(), "images") }

// Kubeconfig is the administrator's kubeconfig; it works on the host and inside.
func (c Cluster) Kubeconfig() string { return filepath.Join(c.Dir(), "kubeconfig") }

// SpecFile is where the cluster's description is kept.
func (c Cluster) SpecFile() string { return filepath.Join(c.Dir(), "cluster.json") }

// Cgroup is the path, below each hierarchy's root, of everything that runs for the cluster.
func (c Cluster) Cgroup() string { return "/rawserve-" + c.Name }

// ControlCgroup holds etcd, the API server and the controllers.
func (c Cluster) ControlCgroup() string { return c.Cgroup() + "/control" }

// HostInterface is the host's end of the link to the API server. Interface
// names end at 15 characters, so the name is hashed.
func (c Cluster) HostInterface() string {
	sum := sha256.Sum256([]byte(c.Name))
	return "rs-" + hex.EncodeToString(sum[:4])
}

// APIServer is the address under which the API server is reached from host and cluster alike.
func (c Cluster) APIServer() string {
	return fmt.Sprintf("https://%s:%d", LinkOf(c.Link).Inside, APIPort)
}

// AllNodes lists the nodes in order.
func (c Cluster) AllNodes() []Node {
	nodes := make([]Node, 0, c.Nodes)
	for i := 1; i <= c.Nodes; i++ {
		nodes = append(nodes, c.Node(i))
	}
	return nodes
}

// First is the node whose namespace also holds the control plane.
func (c Cluster) First() Node { return c.Node(1) }

// Node derives the i-th node, counted from 1.
func (c Cluster) Node(i int) Node { return Node{Cluster: c, Index: i} }

// Find returns the node of that name.
func (c Cluster) Find(name string) (Node, error) {
	for _, n := range c.AllNodes() {
		if n.Name() == name {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("cluster %s has no node %q: it has node-1 to node-%d", c.Name, name, c.Nodes)
}
