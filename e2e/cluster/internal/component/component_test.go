package component

import (
	"crypto/x509"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/e2e/cluster/internal/pki"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	twoNodes = plan.Cluster{Name: "dev", Nodes: 2, Link: 65}
	machine  = Machine{
		Binaries: map[string]string{
			Etcd: "/bin/etcd", APIServer: "/bin/kube-apiserver", ControllerManager: "/bin/kube-controller-manager",
			Scheduler: "/bin/kube-scheduler", Containerd: "/cd/containerd", "containerd-shim-runc-v2": "/cd/containerd-shim-runc-v2",
			Kubelet: "/bin/kubelet", Proxy: "/bin/kube-proxy",
		},
		Runc: "/usr/sbin/runc",
		CNI:  "/usr/lib/cni",
	}
)

func golden(t *testing.T, name string, value any) {
	t.Helper()
	got, err := yaml.Marshal(value)
	require.NoError(t, err)
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run with -update and review the difference")
}

func TestProcessesOfTwoNodes(t *testing.T) {
	extra := Extra{Scheduler: {"--v=4"}}
	list := Control(twoNodes, machine, extra)
	for _, n := range twoNodes.AllNodes() {
		list = append(list, OfNode(n, machine, extra)...)
	}
	golden(t, "processes.yaml", list)
}

func TestFilesOfTwoNodes(t *testing.T) {
	files := map[string]string{}
	for _, f := range Files(twoNodes, machine) {
		require.NotContains(t, files, f.Path, "written twice")
		files[f.Path] = f.Text
	}
	golden(t, "files.yaml", files)
}

func TestCertificatesOfTwoNodes(t *testing.T) {
	golden(t, "certificates.yaml", Certificates(twoNodes))
}

func TestConfigurationFilesAreYAML(t *testing.T) {
	for _, f := range Files(twoNodes, machine) {
		if strings.HasSuffix(f.Path, ".yaml") || strings.HasSuffix(f.Path, ".conflist") {
			var into map[string]any
			require.NoError(t, yaml.UnmarshalStrict([]byte(f.Text), &into), f.Path)
		}
	}
}

func TestEveryClientHasACertificateOfItsOwn(t *testing.T) {
	requests := map[string]bool{}
	for _, cert := range Certificates(twoNodes) {
		require.NotContains(t, requests, cert.Name)
		requests[cert.Name] = cert.Request.Server
	}
	files := map[string]bool{}
	for name, file := range Clients(twoNodes) {
		server, ok := requests[name]
		require.True(t, ok, name)
		require.False(t, server, name)
		require.False(t, files[file], file)
		files[file] = true
	}
	require.True(t, files[twoNodes.Kubeconfig()])
}

func TestEveryFileThatAnArgumentNamesIsWritten(t *testing.T) {
	written := map[string]bool{
		keys(twoNodes).CertFile("ca"): true, keys(twoNodes).KeyFile("ca"): true,
		keys(twoNodes).CertFile("front-proxy-ca"):   true,
		keys(twoNodes).CertFile("service-accounts"): true, keys(twoNodes).KeyFile("service-accounts"): true,
	}
	for _, f := range Files(twoNodes, machine) {
		written[f.Path] = true
	}
	for _, cert := range Certificates(twoNodes) {
		written[keys(twoNodes).CertFile(cert.Name)] = true
		written[keys(twoNodes).KeyFile(cert.Name)] = true
	}
	for _, file := range Clients(twoNodes) {
		written[file] = true
	}
	list := Control(twoNodes, machine, nil)
	for _, n := range twoNodes.AllNodes() {
		list = append(list, OfNode(n, machine, nil)...)
	}
	for _, p := range list {
		for _, arg := range p.Args[1:] {
			_, value, _ := strings.Cut(arg, "=")
			if file := value; filepath.Ext(file) != "" && strings.HasPrefix(file, twoNodes.Dir()) {
				require.True(t, written[file], "%s of %s", arg, p.Component)
			}
		}
	}
}

func TestTheKubeconfigHoldsTheKeysAndTheAddressThatTheHostReaches(t *testing.T) {
	authority, err := pki.NewAuthority("ca", time.Now())
	require.NoError(t, err)
	client, err := authority.Issue(pki.Request{CommonName: "admin"}, time.Now())
	require.NoError(t, err)
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string
				CA     []byte `json:"certificate-authority-data"`
			}
		}
		Users []struct {
			User struct {
				Cert []byte `json:"client-certificate-data"`
				Key  []byte `json:"client-key-data"`
			}
		}
	}

	require.NoError(t, yaml.Unmarshal([]byte(Kubeconfig(twoNodes, authority.Cert, client)), &config))

	require.Equal(t, "https://169.254.2.6:6443", config.Clusters[0].Cluster.Server)
	require.Equal(t, authority.Cert, config.Clusters[0].Cluster.CA)
	require.Equal(t, client, pki.Pair{Cert: config.Users[0].User.Cert, Key: config.Users[0].User.Key})
	// The server's certificate must name that address.
	serving, err := authority.Issue(Certificates(twoNodes)[0].Request, time.Now())
	require.NoError(t, err)
	block, _ := pem.Decode(serving.Cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	require.NoError(t, cert.VerifyHostname("169.254.2.6"))
	require.NoError(t, cert.VerifyHostname(plan.APIServiceIP))
	require.NoError(t, cert.VerifyHostname(twoNodes.First().Address()))
}
