package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rawserve/rawserve/e2e/cluster/internal/netns"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// DialContext dials from inside the cluster, where pods and Services have
// addresses. Names are looked up in the cluster's DNS, so that
// "web.default.svc.cluster.local:80" works; it fits http.Transport.
func (c *Cluster) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", address, err)
	}
	path := c.plan.First().NetnsPath()
	if net.ParseIP(host) == nil {
		ips, err := c.Resolver().LookupIP(ctx, "ip4", strings.TrimSuffix(host, ".")+".")
		if err != nil {
			return nil, fmt.Errorf("dialling %s: %w", address, err)
		}
		host = ips[0].String()
	}
	return netns.DialContext(ctx, path, network, net.JoinHostPort(host, port))
}

// Resolver looks names up in the cluster's DNS.
func (c *Cluster) Resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return netns.DialContext(ctx, c.plan.First().NetnsPath(), network, net.JoinHostPort(plan.DNSServiceIP, "53"))
		},
	}
}

// Do calls fn on a thread inside the namespace of a node; empty is the first.
// Sockets that fn opens and processes that it starts are inside; goroutines
// that it starts are not.
func (c *Cluster) Do(node string, fn func() error) error {
	n, err := c.node(node)
	if err != nil {
		return err
	}
	return netns.Do(n.NetnsPath(), fn)
}

func (c *Cluster) node(name string) (plan.Node, error) {
	if name == "" {
		return c.plan.First(), nil
	}
	return c.plan.Find(name)
}

// Environment is this process's, with the cluster's kubeconfig and kubectl.
func (c *Cluster) Environment() []string {
	set := []string{"KUBECONFIG=" + c.Kubeconfig(), "RAWSERVE_CLUSTER=" + c.plan.Name}
	if kubectl, err := c.Binary("kubectl"); err == nil {
		set = append(set, "PATH="+filepath.Dir(kubectl)+":"+os.Getenv("PATH"))
	}
	// A proxy of the machine's network cannot reach the cluster's.
	direct := strings.Join([]string{plan.PodCIDR, plan.ServiceCIDR, "169.254.0.0/16", ".svc", "." + plan.DNSDomain}, ",")
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		value := direct
		if others := os.Getenv(name); others != "" {
			value = others + "," + direct
		}
		set = append(set, name+"="+value)
	}
	return replaceIn(os.Environ(), set)
}

// replaceIn gives the environment with those variables instead of its own of the
// same names. Of a name that stands twice most programs take the first.
func replaceIn(env, set []string) []string {
	var names []string
	for _, pair := range set {
		name, _, _ := strings.Cut(pair, "=")
		names = append(names, name)
	}
	kept := slices.DeleteFunc(slices.Clone(env), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(names, name)
	})
	return append(kept, set...)
}

// Exec replaces this process by a command inside the namespace of a node; empty
// is the first. It returns only if it cannot.
func (c *Cluster) Exec(node string, command ...string) error {
	if len(command) == 0 {
		return errors.New("executing in cluster: give a command")
	}
	n, err := c.node(node)
	if err != nil {
		return err
	}
	env := c.Environment()
	file, err := lookPath(command[0], env)
	if err != nil {
		return fmt.Errorf("executing in cluster: %w", err)
	}
	return execIn(n, file, command, env)
}

// execIn never gives its thread back: if the new program cannot be started, the
// thread is in the wrong namespace for anything else.
func execIn(n plan.Node, file string, command, env []string) error {
	runtime.LockOSThread()
	if err := netns.Enter(n.NetnsPath()); err != nil {
		return err
	}
	if err := unix.Exec(file, command, env); err != nil {
		return fmt.Errorf("executing %s: %w", file, err)
	}
	return nil
}

// lookPath finds a command on the path that it will have.
func lookPath(command string, env []string) (string, error) {
	if strings.Contains(command, "/") {
		return command, nil
	}
	var path string
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, "PATH="); ok {
			path = value
		}
	}
	for dir := range strings.SplitSeq(path, ":") {
		file := filepath.Join(dir, command)
		if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%q: %w", command, exec.ErrNotFound)
}

// Enter makes this very program run inside the cluster's namespace: it replaces
// itself, with the same arguments, unless it is inside already. A test binary
// calls it first thing in TestMain; then sockets, also those of child
// processes, reach pods and Services.
func (c *Cluster) Enter() error {
	want, err := netns.ID(c.plan.First().NetnsPath())
	if err != nil {
		return err
	}
	have, err := netns.ID("/proc/self/ns/net")
	if err != nil {
		return err
	}
	if want == have {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	return execIn(c.plan.First(), self, slices.Clone(os.Args), c.Environment())
}
