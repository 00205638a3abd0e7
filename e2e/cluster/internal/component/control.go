package component

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rawserve/rawserve/e2e/cluster/internal/pki"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

func keys(c plan.Cluster) pki.Folder { return pki.Folder(c.PKIDir()) }

func kubeconfigFile(c plan.Cluster, client string) string {
	return filepath.Join(c.ConfigDir(), client+".kubeconfig")
}

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what every process gets, with folders searched for programs
// before those of the system.
func environment(folders ...string) []string {
	return []string{"HOME=/root", "PATH=" + strings.Join(append(folders, systemPath), ":")}
}

func controlProcess(c plan.Cluster, m Machine, extra Extra, name string, args ...string) Process {
	return Process{
		Component: name,
		Args:      append(append([]string{m.Binaries[name]}, args...), extra[name]...),
		Env:       environment(),
		Netns:     c.First().NetnsPath(),
		Cgroup:    c.ControlCgroup(),
		Log:       filepath.Join(c.LogDir(), name+".log"),
	}
}

func etcd(c plan.Cluster, m Machine, extra Extra) Process {
	client := fmt.Sprintf("http://127.0.0.1:%d", plan.EtcdPort)
	peer := fmt.Sprintf("http://127.0.0.1:%d", plan.EtcdPort+1)
	p := controlProcess(c, m, extra, Etcd,
		"--name=etcd",
		"--data-dir="+filepath.Join(c.Dir(), "etcd"),
		"--listen-client-urls="+client,
		"--advertise-client-urls="+client,
		"--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer,
		"--initial-cluster=etcd="+peer,
		// A cluster for tests may lose its last writes when the machine dies,
		// and waiting for a slow disk would make every test slow.
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
	p.Health.URL = client + "/health"
	return p
}

func apiServer(c plan.Cluster, m Machine, extra Extra) Process {
	k := keys(c)
	p := controlProcess(c, m, extra, APIServer,
		"--advertise-address="+c.First().Address(),
		fmt.Sprintf("--secure-port=%d", plan.APIPort),
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", plan.EtcdPort),
		"--service-cluster-ip-range="+plan.ServiceCIDR,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--client-ca-file="+k.CertFile("ca"),
		"--tls-cert-file="+k.CertFile("apiserver"),
		"--tls-private-key-file="+k.KeyFile("apiserver"),
		"--kubelet-certificate-authority="+k.CertFile("ca"),
		"--kubelet-client-certificate="+k.CertFile("apiserver-kubelet-client"),
		"--kubelet-client-key="+k.KeyFile("apiserver-kubelet-client"),
		// Node names are known to no resolver; logs and exec need the addresses.
		"--kubelet-preferred-address-types=InternalIP",
		"--enable-aggregator-routing=true",
		"--proxy-client-cert-file="+k.CertFile("front-proxy-client"),
		"--proxy-client-key-file="+k.KeyFile("front-proxy-client"),
		"--requestheader-client-ca-file="+k.CertFile("front-proxy-ca"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--service-account-issuer=https://kubernetes.default.svc."+plan.DNSDomain,
		"--service-account-key-file="+k.CertFile("service-accounts"),
		"--service-account-signing-key-file="+k.KeyFile("service-accounts"),
	)
	p.Health.URL = c.APIServer() + "/readyz"
	return p
}

func controllerManager(c plan.Cluster, m Machine, extra Extra) Process {
	k, kubeconfig := keys(c), kubeconfigFile(c, ControllerManager)
	p := controlProcess(c, m, extra, ControllerManager,
		"--kubeconfig="+kubeconfig,
		"--authentication-kubeconfig="+kubeconfig,
		"--authorization-kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1",
		"--cluster-name="+c.Name,
		"--client-ca-file="+k.CertFile("ca"),
		"--requestheader-client-ca-file="+k.CertFile("front-proxy-ca"),
		"--root-ca-file="+k.CertFile("ca"),
		"--cluster-signing-cert-file="+k.CertFile("ca"),
		"--cluster-signing-key-file="+k.KeyFile("ca"),
		"--service-account-private-key-file="+k.KeyFile("service-accounts"),
		"--use-service-account-credentials=true",
		// The only instance need not wait for the lease of a killed one.
		"--leader-elect=false",
	)
	p.Health.URL = "https://127.0.0.1:10257/healthz"
	return p
}

func scheduler(c plan.Cluster, m Machine, extra Extra) Process {
	kubeconfig := kubeconfigFile(c, Scheduler)
	p := controlProcess(c, m, extra, Scheduler,
		"--kubeconfig="+kubeconfig,
		"--authentication-kubeconfig="+kubeconfig,
		"--authorization-kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
	)
	p.Health.URL = "https://127.0.0.1:10259/healthz"
	return p
}
