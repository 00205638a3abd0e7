package component

import (
	"path/filepath"
	"strings"
	"text/template"

	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// view is what the templates see.
type view struct {
	plan.Node
	Machine Machine
	CACert  string
	Serving string
	PodCIDR string
	DNS     string
	Domain  string
	Pause   string
}

func viewOf(n plan.Node, m Machine) view {
	k := keys(n.Cluster)
	return view{
		Node: n, Machine: m,
		CACert:  k.CertFile("ca"),
		Serving: strings.TrimSuffix(k.CertFile("kubelet-"+n.Name()+"-serving"), ".crt"),
		PodCIDR: plan.PodCIDR, DNS: plan.DNSServiceIP, Domain: plan.DNSDomain, Pause: plan.PauseImage,
	}
}

// render fills a template of this package. Those are literal and tested, so an
// error is a mistake in the program.
func render(t *template.Template, v view) string {
	var text strings.Builder
	if err := t.Execute(&text, v); err != nil {
		panic(err)
	}
	return text.String()
}

// Folders are containerd's own defaults, behind which its mount namespace shows
// the node's. Without restrict_oom_score_adj, runc dies of "can't get final
// child's PID from pipe: EOF" on machines whose root lacks CAP_SYS_RESOURCE and
// so may not lower scores for the out-of-memory killer.
var containerdTemplate = template.Must(template.New("containerd.toml").Parse(`version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
  address = "{{.Socket}}"

[ttrpc]
  address = "{{.Socket}}.ttrpc"

[plugins."io.containerd.internal.v1.opt"]
  path = "{{.Dir}}/opt"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"

  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{{.Pause}}"

  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "{{.Dir}}/registries"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  tolerate_missing_hugetlb_controller = true

  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{{.Machine.CNI}}"]
    conf_dir = "{{.Dir}}/cni"
    use_internal_loopback = true

  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"

    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "{{.Machine.Runc}}"
        SystemdCgroup = false
`))

var cniTemplate = template.Must(template.New("cni").Parse(`{
  "cniVersion": "1.0.0",
  "name": "rawserve",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "{{.PodSubnet}}"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}
  ]
}
`))

// There is no registry: a pull asks a port on which nothing listens, and so
// fails within a second instead of waiting for names to be resolved.
const noRegistry = `server = "http://127.0.0.1:1"

[host."http://127.0.0.1:1"]
  capabilities = ["pull", "resolve"]
`

var kubeletTemplate = template.Must(template.New("kubelet.yaml").Parse(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: {{.CACert}}}
authorization: {mode: Webhook}
tlsCertFile: {{.Serving}}.crt
tlsPrivateKeyFile: {{.Serving}}.key
cgroupDriver: cgroupfs
cgroupRoot: {{.Cgroup}}
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://{{.Socket}}
clusterDNS: [{{.DNS}}]
clusterDomain: {{.Domain}}
resolvConf: {{.Dir}}/resolv.conf
volumePluginDir: /var/lib/kubelet/volumeplugins
maxPods: 250
oomScoreAdj: 0
serializeImagePulls: false
# The disk and memory are the whole machine's: what else runs on it must not
# evict the cluster's pods or delete their images.
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
imageGCHighThresholdPercent: 100
imageMinimumGCAge: 24h
`))

var proxyTemplate = template.Must(template.New("kube-proxy.yaml").Parse(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: {{.Cluster.ConfigDir}}/kube-proxy.kubeconfig}
clusterCIDR: {{.PodCIDR}}
hostnameOverride: {{.Name}}
oomScoreAdj: 0
# These are settings of the whole machine, which belong to its owner.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`))

func containerdFiles(n plan.Node, m Machine) []File {
	v := viewOf(n, m)
	return []File{
		{nodeFile(n, "containerd.toml"), render(containerdTemplate, v)},
		{nodeFile(n, "cni/10-rawserve.conflist"), render(cniTemplate, v)},
		{nodeFile(n, "registries/_default/hosts.toml"), noRegistry},
	}
}

func kubeletConfig(n plan.Node) File {
	return File{nodeFile(n, "kubelet.yaml"), render(kubeletTemplate, viewOf(n, Machine{}))}
}

// resolvConf is for pods that ask for their node's resolver: there is none.
func resolvConf(n plan.Node) File {
	return File{nodeFile(n, "resolv.conf"), "nameserver 127.0.0.1\n"}
}

func proxyConfig(n plan.Node) File {
	return File{nodeFile(n, "kube-proxy.yaml"), render(proxyTemplate, viewOf(n, Machine{}))}
}

// Folders lists the folders that a node's processes expect to find.
func Folders(n plan.Node) []string {
	return []string{
		n.Dir(), n.RunDir(), filepath.Join(n.Dir(), "opt"),
	}
}
