// Package component says how each process of a cluster is run: its arguments,
// configuration files and certificates, as values. It starts nothing and reads
// no file.
package component

import (
	"github.com/rawserve/rawserve/e2e/cluster/internal/pki"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// Names of the components, which are those of their binaries.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Containerd        = "containerd"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
)

// Names lists the components that a user may look at or give arguments to.
var Names = []string{Etcd, APIServer, ControllerManager, Scheduler, Containerd, Kubelet, Proxy}

// Machine is what the components need to know of the machine they run on.
type Machine struct {
	// Binaries maps the name of a binary to its file.
	Binaries map[string]string `json:"binaries"`
	// Runc is the container runtime's file.
	Runc string `json:"runc"`
	// CNI is the folder of the network plugins.
	CNI string `json:"cni"`
}

// Process is one process to run.
type Process struct {
	// Component is its name in messages; Node is empty in the control plane.
	Component, Node string
	Args            []string
	Env             []string
	// Netns and Mntns are the files of its namespaces; no Mntns is the machine's.
	Netns, Mntns string
	Cgroup       string
	Log          string
	// Config is the file it reads when it starts. Empty if arguments say it all.
	Config string
	// Health is where it says that it works: an address in Netns, or a socket.
	Health Health
}

// Health is how to ask a process whether it works.
type Health struct {
	// URL answers 200 when all is well.
	URL string
	// Socket is asked by the container runtime's protocol instead.
	Socket string
}

// Extra holds arguments that a user adds, by component.
type Extra map[string][]string

// Control lists the processes of the control plane in the order of their start.
func Control(c plan.Cluster, m Machine, extra Extra) []Process {
	return []Process{etcd(c, m, extra), apiServer(c, m, extra), controllerManager(c, m, extra), scheduler(c, m, extra)}
}

// OfNode lists the processes of a node in the order of their start.
func OfNode(n plan.Node, m Machine, extra Extra) []Process {
	return []Process{containerd(n, m, extra), kubelet(n, m, extra), proxy(n, m, extra)}
}

// File is a configuration file to write.
type File struct {
	Path string
	Text string
}

// Files lists all configuration files but kubeconfigs, which hold keys.
func Files(c plan.Cluster, m Machine) []File {
	var files []File
	for _, n := range c.AllNodes() {
		files = append(files, containerdFiles(n, m)...)
		files = append(files, kubeletConfig(n), resolvConf(n), proxyConfig(n))
	}
	return files
}

// Certificate is one that has to exist.
type Certificate struct {
	// Name is that of its files.
	Name string
	// FrontProxy chooses the authority of the aggregation layer.
	FrontProxy bool
	Request    pki.Request
}

// Certificates lists all of a cluster's certificates.
func Certificates(c plan.Cluster) []Certificate {
	certs := []Certificate{
		{Name: "apiserver", Request: pki.Request{
			CommonName: APIServer, Server: true,
			Hosts: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + plan.DNSDomain},
			IPs:   []string{"127.0.0.1", plan.APIServiceIP, c.First().Address(), plan.LinkOf(c.Link).Inside},
		}},
		{Name: "apiserver-kubelet-client", Request: pki.Request{CommonName: "kube-apiserver-kubelet-client", Organizations: []string{"system:masters"}}},
		{Name: "front-proxy-client", FrontProxy: true, Request: pki.Request{CommonName: "front-proxy-client"}},
		{Name: "admin", Request: pki.Request{CommonName: "rawserve-admin", Organizations: []string{"system:masters"}}},
		{Name: ControllerManager, Request: pki.Request{CommonName: "system:kube-controller-manager"}},
		{Name: Scheduler, Request: pki.Request{CommonName: "system:kube-scheduler"}},
		{Name: Proxy, Request: pki.Request{CommonName: "system:kube-proxy"}},
	}
	for _, n := range c.AllNodes() {
		certs = append(certs,
			Certificate{Name: "kubelet-" + n.Name(), Request: pki.Request{CommonName: "system:node:" + n.Name(), Organizations: []string{"system:nodes"}}},
			Certificate{Name: "kubelet-" + n.Name() + "-serving", Request: pki.Request{CommonName: "system:node:" + n.Name(), Server: true, Hosts: []string{n.Name()}, IPs: []string{n.Address()}}},
		)
	}
	return certs
}

// Clients maps each client certificate to the kubeconfig that holds it.
func Clients(c plan.Cluster) map[string]string {
	clients := map[string]string{"admin": c.Kubeconfig()}
	names := []string{ControllerManager, Scheduler, Proxy}
	for _, n := range c.AllNodes() {
		names = append(names, "kubelet-"+n.Name())
	}
	for _, name := range names {
		clients[name] = kubeconfigFile(c, name)
	}
	return clients
}
