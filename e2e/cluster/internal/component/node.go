package component

import (
	"path/filepath"

	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

func nodeProcess(n plan.Node, m Machine, extra Extra, name string, args ...string) Process {
	return Process{
		Component: name,
		Node:      n.Name(),
		Args:      append(append([]string{m.Binaries[name]}, args...), extra[name]...),
		Env:       environment(),
		Netns:     n.NetnsPath(),
		Mntns:     n.MntnsPath(),
		Cgroup:    n.SystemCgroup(),
		Log:       filepath.Join(n.Cluster.LogDir(), n.LogName(name)+".log"),
	}
}

func nodeFile(n plan.Node, name string) string { return filepath.Join(n.Dir(), name) }

func containerd(n plan.Node, m Machine, extra Extra) Process {
	p := nodeProcess(n, m, extra, Containerd, "--config", nodeFile(n, "containerd.toml"))
	// The shim is looked for on the path, where another containerd's may be.
	p.Env = environment(filepath.Dir(m.Binaries["containerd-shim-runc-v2"]))
	p.Config = nodeFile(n, "containerd.toml")
	p.Health.Socket = n.Socket()
	return p
}

func kubelet(n plan.Node, m Machine, extra Extra) Process {
	p := nodeProcess(n, m, extra, Kubelet,
		"--config="+nodeFile(n, "kubelet.yaml"),
		"--kubeconfig="+kubeconfigFile(n.Cluster, "kubelet-"+n.Name()),
		"--hostname-override="+n.Name(),
		"--node-ip="+n.Address(),
	)
	p.Config = nodeFile(n, "kubelet.yaml")
	p.Health.URL = "http://127.0.0.1:10248/healthz"
	return p
}

func proxy(n plan.Node, m Machine, extra Extra) Process {
	p := nodeProcess(n, m, extra, Proxy, "--config="+nodeFile(n, "kube-proxy.yaml"))
	p.Config = nodeFile(n, "kube-proxy.yaml")
	p.Health.URL = "http://127.0.0.1:10256/healthz"
	return p
}
