package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rawserve/rawserve/e2e/cluster/image"
	"github.com/rawserve/rawserve/e2e/cluster/internal/cgroup"
	"github.com/rawserve/rawserve/e2e/cluster/internal/component"
	"github.com/rawserve/rawserve/e2e/cluster/internal/cri"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
	"github.com/rawserve/rawserve/e2e/cluster/internal/process"
)

// selfTest switches the tests on that start clusters.
const selfTest = "RAWSERVE_CLUSTER_SELFTEST"

// testOutput gives a test's log to a program that writes lines.
type testOutput struct{ t *testing.T }

func (o testOutput) Write(text []byte) (int, error) {
	o.t.Log(time.Now().Format(time.TimeOnly), strings.TrimSpace(string(text)))
	return len(text), nil
}

func within(t *testing.T, limit time.Duration, what string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("%s took longer than %s", what, limit))
	t.Cleanup(cancel)
	return ctx
}

func TestUpTwiceAndDownLeavesNothing(t *testing.T) {
	if os.Getenv(selfTest) == "" {
		t.Skip("set " + selfTest + "=1 to start clusters on this machine")
	}
	require.Zero(t, os.Geteuid(), "clusters need root")
	const name = "selftest"
	options := Options{Name: name, Nodes: 2, Progress: testOutput{t}}
	require.NoError(t, Down(t.Context(), options), "removing what an earlier run left")
	t.Cleanup(func() { _ = Down(context.Background(), options) })
	untouched := lookAtMachine(t)

	program := buildProgram(t, "./cmd/cluster", "cluster")
	killStarter(t, program, name)

	c, err := Up(t.Context(), options)
	require.NoError(t, err, "a start that was interrupted is completed")
	requireHealthy(t, c)

	before := pids(t, c)
	began := time.Now()
	c, err = Up(t.Context(), options)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*time.Second)
	require.Equal(t, before, pids(t, c), "what works is left alone")

	first := runPods(t, c)
	t.Log(time.Now().Format(time.TimeOnly), "pods ran")
	checkMissingImage(t, c)
	t.Log(time.Now().Format(time.TimeOnly), "missing image seen")
	healAfterCrash(t, c, options)
	require.Equal(t, first, podNames(t, c), "pods outlive the crash of what runs them")
	loseNode(t, c)
	t.Log(time.Now().Format(time.TimeOnly), "node lost and found")
	sideBySide(t, c)
	growByANode(t, options)

	stray := exec.Command(program, "exec", "--name", name, "--", "sleep", "600")
	require.NoError(t, stray.Start())
	require.NoError(t, poll(within(t, 10*time.Second, "entering"), "the stray process to enter", func(context.Context) error {
		p, err := process.Read(stray.Process.Pid)
		if err == nil && p.Name() != "sleep" {
			err = errors.New("it is still " + p.Name())
		}
		return err
	}))
	require.NoError(t, Down(t.Context(), options))
	var ended *exec.ExitError
	require.ErrorAs(t, stray.Wait(), &ended)
	require.Equal(t, syscall.SIGKILL, ended.Sys().(syscall.WaitStatus).Signal())
	requireNothing(t, name)
	requireMachine(t, untouched)
	require.NoError(t, Down(t.Context(), options), "there is nothing to remove")
}

// buildProgram compiles a program of this module.
func buildProgram(t *testing.T, pkg, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", file, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return file
}

// killStarter starts `cluster up` and kills it once the API server runs.
func killStarter(t *testing.T, program, name string) {
	t.Helper()
	groups, err := cgroup.Detect()
	require.NoError(t, err)
	cmd := exec.Command(program, "up", "--name", name, "--nodes", "2")
	cmd.Stderr = testOutput{t}
	require.NoError(t, cmd.Start())
	// The build of binaries that are not cached is part of it.
	ctx := within(t, 50*time.Minute, "the first start")
	err = poll(ctx, "the API server to start", func(context.Context) error {
		members, err := groups.At(plan.Cluster{Name: name}.ControlCgroup()).Procs()
		if err != nil {
			return err
		}
		for _, pid := range members {
			if p, err := process.Read(pid); err == nil && p.Name() == component.APIServer {
				return nil
			}
		}
		if p, err := process.Read(cmd.Process.Pid); err != nil || p.Executable == "" {
			return fmt.Errorf("%s up has ended", program)
		}
		return fmt.Errorf("it is not among %d processes", len(members))
	})
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.NoError(t, err)
}

func requireHealthy(t *testing.T, c *Cluster) {
	t.Helper()
	status, err := c.Status(t.Context())
	require.NoError(t, err)
	require.True(t, status.Healthy(), "%+v", status)
	require.Len(t, status.Nodes, c.plan.Nodes)
}

func pids(t *testing.T, c *Cluster) map[string]int {
	t.Helper()
	status, err := c.Status(t.Context())
	require.NoError(t, err)
	numbers := map[string]int{}
	for _, p := range status.Components {
		numbers[p.Name+"/"+p.Node] = p.PID
	}
	return numbers
}

// pods is a server on each of two nodes, behind a Service.
const pods = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: web:selftest
        imagePullPolicy: IfNotPresent
        resources: {requests: {cpu: 1m, ephemeral-storage: 1Mi}, limits: {memory: 64Mi}}
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`

// runPods loads an image, runs it on all nodes and reaches it in every way.
func runPods(t *testing.T, c *Cluster) string {
	t.Helper()
	references, err := c.LoadSpec(t.Context(), image.Binary("web:selftest", buildProgram(t, "./testdata/web", "web")))
	require.NoError(t, err)
	require.Equal(t, []string{"docker.io/library/web:selftest"}, references)
	kubectl(t, c, pods, "apply", "-f", "-")
	kubectl(t, c, "", "rollout", "status", "daemonset/web", "--timeout=30s")

	client := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{DialContext: c.DialContext, DisableKeepAlives: true},
	}
	ask := func(url string) (string, error) {
		response, err := client.Get(url)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = errors.New(response.Status + ": " + string(body))
		}
		return string(body), err
	}
	const service = "http://web.default.svc.cluster.local/"
	answered := map[string]bool{}
	require.NoError(t, poll(within(t, 20*time.Second, "reaching both pods"), "both pods by Service and name", func(context.Context) error {
		name, err := ask(service)
		if err != nil {
			return err
		}
		answered[name] = true
		// A pod asks a Service, whose pod may be on the same node or on another.
		if name, err = ask(service + "ask?url=http://web/"); err != nil {
			return err
		}
		answered["through a pod: "+name] = true
		if len(answered) < 4 {
			return fmt.Errorf("only %v answered", answered)
		}
		return nil
	}))
	_, err = ask("http://web.elsewhere.example/")
	require.ErrorContains(t, err, "no such host")
	enterWithProbe(t, c)
	return podNames(t, c)
}

// probeURL tells TestProbeFromInside what to fetch.
const probeURL = "RAWSERVE_CLUSTER_PROBE"

// enterWithProbe runs this test binary anew, which enters the cluster.
func enterWithProbe(t *testing.T, c *Cluster) {
	t.Helper()
	ip := kubectl(t, c, "", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestProbeFromInside$", "-test.v")
	// A kubeconfig of the shell's must not win over the cluster's.
	cmd.Env = append(os.Environ(), probeURL+"=http://"+ip+"/", "RAWSERVE_CLUSTER="+c.Name(), "KUBECONFIG=/of/another/cluster")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: TestProbeFromInside")
}

func TestProbeFromInside(t *testing.T) {
	url := os.Getenv(probeURL)
	if url == "" {
		t.Skip("is run by TestUpTwiceAndDownLeavesNothing, in a process of its own")
	}
	c, err := Find(os.Getenv("RAWSERVE_CLUSTER"))
	require.NoError(t, err)
	require.NoError(t, c.Enter(), "returns only when it is inside")
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)

	// From inside, the cluster is found to be up without disturbing the host's side.
	target, err := Use(t.Context(), UseOptions{})
	require.NoError(t, err)
	require.Equal(t, c.Name(), target.Local.Name())
}

func podNames(t *testing.T, c *Cluster) string {
	t.Helper()
	return kubectl(t, c, "", "get", "pods", "-l", "app=web", "-o", "jsonpath={range .items[*]}{.metadata.name}={.status.podIP} {end}")
}

func kubectl(t *testing.T, c *Cluster, input string, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(within(t, time.Minute, "kubectl"), strings.NewReader(input), args...)
	require.NoError(t, err)
	return string(out)
}

// checkMissingImage makes sure that a pull of what is not there fails soon.
func checkMissingImage(t *testing.T, c *Cluster) {
	t.Helper()
	kubectl(t, c, "", "run", "missing", "--image=registry.example/none:1")
	require.NoError(t, poll(within(t, 10*time.Second, "failing"), "the pull to fail", func(context.Context) error {
		reason := kubectl(t, c, "", "get", "pod", "missing", "-o", "jsonpath={.status.containerStatuses[*].state.waiting.reason}")
		if reason != "ErrImagePull" && reason != "ImagePullBackOff" {
			return fmt.Errorf("its reason is %q", reason)
		}
		return nil
	}))
	kubectl(t, c, "", "delete", "pod", "missing", "--grace-period=0", "--force")
}

// healAfterCrash kills components of every kind and lets Up mend it.
func healAfterCrash(t *testing.T, c *Cluster, o Options) {
	t.Helper()
	for _, p := range c.all() {
		if !slices.Contains([]string{component.Etcd, component.APIServer, component.Containerd, component.Kubelet}, p.Component) {
			continue
		}
		running, ok, err := c.running(p)
		require.NoError(t, err)
		require.True(t, ok, p.Component)
		require.NoError(t, running.Signal(unix.SIGKILL))
	}
	require.NoError(t, poll(within(t, 10*time.Second, "dying"), "the processes to be gone", func(ctx context.Context) error {
		status, err := c.Status(ctx)
		if err == nil && status.Healthy() {
			err = errors.New("it is healthy")
		}
		if status.Components[0].PID != 0 {
			err = errors.New("etcd runs")
		}
		return err
	}))
	healed, err := Up(t.Context(), o)
	require.NoError(t, err)
	requireHealthy(t, healed)
}

// loseNode kills the second node, sees it gone, and brings it back.
func loseNode(t *testing.T, c *Cluster) {
	t.Helper()
	ip := kubectl(t, c, "", "get", "pods", "-l", "app=web", "--field-selector=spec.nodeName=node-2", "-o", "jsonpath={.items[0].status.podIP}")
	dial := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := c.DialContext(ctx, "tcp", ip+":8080")
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	require.NoError(t, dial())
	require.NoError(t, c.KillNode(t.Context(), "node-2"))
	require.Error(t, dial())
	members, err := c.groups.At(c.plan.Node(2).Cgroup()).Procs()
	require.NoError(t, err)
	require.Empty(t, members)
	_, err = c.LoadSpec(t.Context(), image.Binary("late:selftest", buildProgram(t, "./testdata/web", "web")))
	require.NoError(t, err, "images can be loaded while a node is away")
	requireImages(t, c, "node-1", "docker.io/library/late:selftest")

	require.NoError(t, c.StartNode(t.Context(), "node-2"))
	requireHealthy(t, c)
	requireImages(t, c, "node-2", "docker.io/library/late:selftest")
	kubectl(t, c, "", "rollout", "status", "daemonset/web", "--timeout=30s")
}

// requireImages looks whether pods on a node could use those images.
func requireImages(t *testing.T, c *Cluster, node string, references ...string) {
	t.Helper()
	n, err := c.plan.Find(node)
	require.NoError(t, err)
	client, err := cri.Dial(n.Socket())
	require.NoError(t, err)
	defer client.Close()
	for _, reference := range references {
		has, err := client.HasImage(t.Context(), reference)
		require.NoError(t, err)
		require.True(t, has, "%s on %s", reference, node)
	}
}

// growByANode adds a third node, which gets what was loaded before it was there.
func growByANode(t *testing.T, o Options) {
	t.Helper()
	o.Nodes = 3
	c, err := Up(t.Context(), o)
	require.NoError(t, err)
	requireHealthy(t, c)
	requireImages(t, c, "node-3", "docker.io/library/web:selftest", "docker.io/library/late:selftest")
	kubectl(t, c, "", "rollout", "status", "daemonset/web", "--timeout=30s")

	c, err = c.DropNode(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"node-1", "node-2"}, c.Nodes())
	require.Equal(t, "node-1 node-2", kubectl(t, c, "", "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"))
	requireHealthy(t, c)
	again, err := Up(t.Context(), o)
	require.NoError(t, err)
	requireHealthy(t, again)
	require.Len(t, again.Nodes(), 3, "the name can be used again")
}

// sideBySide starts another cluster and removes it, which changes nothing.
func sideBySide(t *testing.T, c *Cluster) {
	t.Helper()
	o := Options{Name: "selftest-b", Progress: testOutput{t}}
	t.Cleanup(func() { _ = Down(context.Background(), o) })
	other, err := Up(t.Context(), o)
	require.NoError(t, err)
	requireHealthy(t, other)
	requireHealthy(t, c)
	require.NotEqual(t, c.plan.APIServer(), other.plan.APIServer())
	require.NoError(t, Down(t.Context(), o))
	requireNothing(t, o.Name)
	requireHealthy(t, c)
}
