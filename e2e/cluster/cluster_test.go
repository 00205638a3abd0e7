package cluster

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

func TestOptionsAreRefusedWithAllTheirProblems(t *testing.T) {
	require.NoError(t, Options{}.Validate())
	err := Options{Name: "No", Nodes: 99, ExtraArgs: map[string][]string{"kube-what": nil}}.Validate()
	require.ErrorContains(t, err, `name "No"`)
	require.ErrorContains(t, err, "nodes 99")
	require.ErrorContains(t, err, `component "kube-what" is unknown: use one of etcd, kube-apiserver`)
}

func TestAnUnknownClusterIsNamedWithTheCommandThatStartsIt(t *testing.T) {
	_, err := Find("none-such")
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorContains(t, err, "cluster up --name none-such")
}

func TestParseMountsFindsOnlyThoseBelowTheFolders(t *testing.T) {
	const mountinfo = `20 1 254:0 / / rw - ext4 /dev/vda rw
31 20 0:5 / /run/rawserve/dev/1 rw - ext4 /dev/vda rw
32 31 0:6 / /run/rawserve/dev/1/a\040b rw - tmpfs tmpfs rw
33 20 0:7 / /run/rawserve/dev-2/1 rw - tmpfs tmpfs rw
34 20 0:8 / /var/lib/rawserve/dev rw - tmpfs tmpfs rw
short line
`
	require.Equal(t, []string{"/run/rawserve/dev/1", "/run/rawserve/dev/1/a b", "/var/lib/rawserve/dev"},
		parseMounts(mountinfo, []string{"/run/rawserve/dev", "/var/lib/rawserve/dev"}))
}

func TestOnlySettingsThatAKubeletMadeAreRestored(t *testing.T) {
	before := map[string]string{"vm/overcommit_memory": "0", "kernel/panic": "30", "kernel/panic_on_oops": "1"}
	now := map[string]string{"vm/overcommit_memory": "1", "kernel/panic": "60", "kernel/panic_on_oops": "1"}
	require.Equal(t, map[string]string{"vm/overcommit_memory": "0"}, toRestore(before, now))
}

func TestVersionsOfProvidersAreUnderstood(t *testing.T) {
	for minor, good := range map[string]bool{"32": true, "37": true, "33+": true, "31": false, "": false, "x": false} {
		require.Equal(t, good, checkVersion("1", minor) == nil, "minor %q", minor)
	}
	require.ErrorContains(t, checkVersion("1", "31"), "use Kubernetes 1.32 or later")
	require.Error(t, checkVersion("2", "40"))
}

func TestStatusIsHealthyOnlyIfAllIs(t *testing.T) {
	good := Status{Components: []ComponentStatus{{Name: "etcd", PID: 1}}, Nodes: []NodeStatus{{Name: "node-1", Ready: true}}}
	require.True(t, good.Healthy())
	require.False(t, Status{Components: []ComponentStatus{{Problem: "does not run"}}}.Healthy())
	require.False(t, Status{Nodes: []NodeStatus{{Name: "node-1"}}}.Healthy())
	require.False(t, Status{Problem: "no answer"}.Healthy())
}

func TestCommandsAreFoundOnTheClustersOwnPathFirst(t *testing.T) {
	ours, system := t.TempDir(), t.TempDir()
	for _, dir := range []string{ours, system} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "kubectl"), nil, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(ours, "notes"), nil, 0o644))
	env := []string{"PATH=" + ours + ":" + system}
	file, err := lookPath("kubectl", env)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(ours, "kubectl"), file)
	_, err = lookPath("notes", env)
	require.ErrorContains(t, err, `"notes"`)
	file, err = lookPath("./here", env)
	require.NoError(t, err)
	require.Equal(t, "./here", file)
}

func TestTheClustersEnvironmentReplacesWhatTheShellHasSet(t *testing.T) {
	for name, value := range map[string]string{
		"KUBECONFIG": "/home/me/other", "RAWSERVE_CLUSTER": "other", "PATH": "/usr/bin", "NO_PROXY": "example.com", "no_proxy": "",
	} {
		t.Setenv(name, value)
	}
	c := &Cluster{plan: plan.Cluster{Name: "dev", Nodes: 1}}
	c.spec.Machine.Binaries = map[string]string{"kubectl": "/cache/kubernetes/kubectl"}
	values := map[string][]string{}
	for _, pair := range c.Environment() {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = append(values[name], value)
	}
	const direct = "10.244.0.0/16,10.96.0.0/16,169.254.0.0/16,.svc,.cluster.local"
	for name, want := range map[string]string{
		"KUBECONFIG": "/var/lib/rawserve/dev/kubeconfig", "RAWSERVE_CLUSTER": "dev", "PATH": "/cache/kubernetes:/usr/bin",
		"NO_PROXY": "example.com," + direct, "no_proxy": direct,
	} {
		require.Equal(t, []string{want}, values[name], name)
	}
}

func TestLogsAreFoundByComponentAndNode(t *testing.T) {
	c := &Cluster{plan: plan.Cluster{Name: "dev", Nodes: 2}}
	for want, of := range map[string][2]string{
		"/var/lib/rawserve/dev/logs/etcd.log":           {"etcd", ""},
		"/var/lib/rawserve/dev/logs/kubelet.log":        {"kubelet", "node-1"},
		"/var/lib/rawserve/dev/logs/kubelet.node-2.log": {"kubelet", "node-2"},
	} {
		got, err := c.LogFile(of[0], of[1])
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := c.LogFile("kubelet", "node-3")
	require.ErrorContains(t, err, `no node "node-3"`)
	_, err = c.LogFile("kublet", "")
	require.ErrorContains(t, err, `component "kublet" is unknown`)
}

// foreign is an API server that only knows its version and its user's rights.
func foreign(t *testing.T, minor string, admin bool) UseOptions {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, value any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(value); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"major": "1", "minor": minor, "gitVersion": "v1." + minor + ".0"})
	})
	mux.HandleFunc("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		answer(w, map[string]any{"status": map[string]bool{"allowed": admin}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := strings.ReplaceAll(`{"apiVersion":"v1","kind":"Config","current-context":"none",
"clusters":[{"name":"c","cluster":{"server":"SERVER"}}],"contexts":[{"name":"mine","context":{"cluster":"c"}}]}`, "SERVER", server.URL)
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	return UseOptions{Kubeconfig: file, Context: "mine"}
}

func TestTheLocalClusterIsTheOneThatKubeconfigNamesWhetherOrNotItExists(t *testing.T) {
	local := Options{Name: "mine"}
	for _, c := range []struct{ situation, kubeconfig, context, want string }{
		{"nothing is named", "", "", "mine"},
		{"a local cluster's file", "/var/lib/rawserve/none-such/kubeconfig", "", "none-such"},
		{"the same, written differently", "/var/lib/rawserve//none-such/./kubeconfig", "", "none-such"},
		{"a context", "/var/lib/rawserve/none-such/kubeconfig", "prod", ""},
		{"a context alone", "", "prod", ""},
		{"a file elsewhere", "/home/me/.kube/config", "", ""},
		{"another file of a local cluster", "/var/lib/rawserve/none-such/config/kubeconfig", "", ""},
		{"a folder that is no cluster", "/var/lib/rawserve/No_Name/kubeconfig", "", ""},
		{"several files", "/var/lib/rawserve/none-such/kubeconfig:/home/me/.kube/config", "", ""},
	} {
		t.Setenv("KUBECONFIG", c.kubeconfig)
		require.Equal(t, c.want, UseOptions{Context: c.context, Local: local}.LocalName(), c.situation)
		t.Setenv("KUBECONFIG", "/not/asked")
		if c.kubeconfig != "" {
			require.Equal(t, c.want, UseOptions{Kubeconfig: c.kubeconfig, Context: c.context, Local: local}.LocalName(), c.situation)
		}
	}
	t.Setenv("KUBECONFIG", "")
	require.Equal(t, DefaultName, UseOptions{}.LocalName())
}

func TestAForeignClusterIsTakenAsItIs(t *testing.T) {
	options := foreign(t, "32", true)
	target, err := Use(t.Context(), options)
	require.NoError(t, err)
	require.Equal(t, Target{Kubeconfig: options.Kubeconfig, Context: "mine", Version: "v1.32.0"}, target)

	require.ErrorIs(t, target.LoadImage(t.Context(), "web.tar"), ErrForeign)
	_, err = target.DialContext(t.Context(), "tcp", "10.0.0.1:80")
	require.ErrorIs(t, err, ErrForeign)
}

func TestAForeignClusterMustBeNewEnoughAndItsUserItsAdministrator(t *testing.T) {
	_, err := Use(t.Context(), foreign(t, "31", true))
	require.ErrorContains(t, err, "use Kubernetes 1.32 or later")
	_, err = Use(t.Context(), foreign(t, "37", false))
	require.ErrorContains(t, err, "cluster-admin")
	_, err = Use(t.Context(), UseOptions{Kubeconfig: foreign(t, "37", true).Kubeconfig, Context: "other"})
	require.ErrorContains(t, err, `context "other" does not exist`)
}
