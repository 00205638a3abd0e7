// Package build makes the binaries of a cluster from Go modules and keeps them
// in a cache, by version and build flags.
package build

import (
	"fmt"
	"regexp"
	"strings"
)

// Module is one module of the components folder and what is built from it.
type Module struct {
	// Folder is its name below the components folder.
	Folder string
	// Requires is the module path whose required version names the build.
	Requires string
	Binaries []Binary
	// Variables are set at link time; %s is the version.
	Variables map[string]string
}

// Binary is one program of a module.
type Binary struct {
	Name, Package string
}

// Modules lists everything that a cluster runs and that Debian does not have,
// the slow builds first, so that the time left can be guessed early.
var Modules = []Module{
	{
		Folder: "kubernetes", Requires: "k8s.io/kubernetes",
		Binaries: []Binary{
			{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
			{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
			{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
			{"kubelet", "k8s.io/kubernetes/cmd/kubelet"},
			{"kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"},
			{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
		},
		Variables: map[string]string{
			"k8s.io/component-base/version.gitVersion":   "%s",
			"k8s.io/component-base/version.gitTreeState": "clean",
		},
	},
	{
		Folder: "metrics-server", Requires: "sigs.k8s.io/metrics-server",
		Binaries: []Binary{{"metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"}},
	},
	{
		Folder: "containerd", Requires: "github.com/containerd/containerd/v2",
		Binaries: []Binary{
			{"containerd", "github.com/containerd/containerd/v2/cmd/containerd"},
			{"containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"},
			{"ctr", "github.com/containerd/containerd/v2/cmd/ctr"},
		},
		Variables: map[string]string{"github.com/containerd/containerd/v2/version.Version": "%s"},
	},
	{
		Folder: "coredns", Requires: "github.com/coredns/coredns",
		Binaries: []Binary{{"coredns", "."}},
	},
	{
		Folder: "etcd", Requires: "go.etcd.io/etcd/server/v3",
		Binaries: []Binary{{"etcd", "go.etcd.io/etcd/server/v3"}},
	},
	{
		Folder:   "pause",
		Binaries: []Binary{{"pause", "."}},
	},
}

// version finds the version at which the module file requires the named module.
func (m Module) version(goMod string) (string, error) {
	if m.Requires == "" {
		return "v1", nil
	}
	line := regexp.MustCompile(`(?m)^(?:require)?\s*` + regexp.QuoteMeta(m.Requires) + `\s+(v\S+)`)
	match := line.FindStringSubmatch(goMod)
	if match == nil {
		return "", fmt.Errorf("module file of %s does not require %s", m.Folder, m.Requires)
	}
	return match[1], nil
}

// ldflags are the linker's arguments for a version. No debugging tables: the
// cache would be twice as large.
func (m Module) ldflags(version string) string {
	flags := []string{"-s", "-w"}
	for _, name := range sortedKeys(m.Variables) {
		flags = append(flags, "-X", name+"="+strings.ReplaceAll(m.Variables[name], "%s", version))
	}
	if m.Folder == "kubernetes" {
		major, minor := majorMinor(version)
		flags = append(flags,
			"-X", "k8s.io/component-base/version.gitMajor="+major,
			"-X", "k8s.io/component-base/version.gitMinor="+minor)
	}
	return strings.Join(flags, " ")
}

// majorMinor splits "v1.37.1" into "1" and "37".
func majorMinor(version string) (major, minor string) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return parts[0], ""
	}
	return parts[0], parts[1]
}
