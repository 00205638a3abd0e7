// Package hack_test holds hack/test.sh to what others rely on: that it fails when
// a step fails.
package hack_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stubs stand for the programs that test.sh calls. Each notes where and how it was
// called; go fails where FAIL is part of that. There is a C compiler once the file
// compiler is there, which the second installation makes.
var stubs = map[string]string{
	"go": `call="root${PWD#$ROOT}: go $*"
echo "$call" >>"$STATE/calls"
case $call in *"$FAIL"*) exit 1 ;; esac`,
	"gcc": `[ -e "$STATE/compiler" ]`,
	"id":  `echo "$USERID"`,
	"apt-get": `echo "apt-get $*" >>"$STATE/calls"
case $1 in
update) touch "$STATE/lists" ;;
install) [ -e "$STATE/lists" ] && touch "$STATE/compiler" ;;
esac`,
}

type machine struct {
	// user is 0 for root.
	user string
	// compiler says that there is a C compiler.
	compiler bool
	// fail is a part of the call of go that fails; none does where it is empty.
	fail string
	// kubeconfig is $KUBECONFIG.
	kubeconfig string
}

// run gives the calls that were made, what was printed, and whether all went well.
func (m machine) run(t *testing.T, what string) (calls []string, output string, err error) {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir, state := t.TempDir(), t.TempDir()
	for name, text := range stubs {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	}
	if m.compiler {
		require.NoError(t, os.WriteFile(filepath.Join(state, "compiler"), nil, 0o644))
	}
	if m.fail == "" {
		m.fail = "nothing fails"
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "hack", "test.sh"), what)
	cmd.Env = []string{
		"PATH=" + dir + ":/usr/bin:/bin", "ROOT=" + root, "STATE=" + state,
		"USERID=" + m.user, "FAIL=" + m.fail, "KUBECONFIG=" + m.kubeconfig,
	}
	out, err := cmd.CombinedOutput()
	text, readErr := os.ReadFile(filepath.Join(state, "calls"))
	if readErr == nil {
		calls = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	return calls, string(out), err
}

func TestAnyStepThatFailsFailsTheRun(t *testing.T) {
	const down = "root/e2e/cluster: go run ./cmd/cluster down --name rawserve-e2e"
	for _, c := range []struct{ situation, what, fail, last string }{
		{"API server binaries", "all", "cluster build", ""},
		{"unit tests", "all", "root: go test -race", ""},
		{"a module's tests", "all", "root/e2e/cluster: go test -race", ""},
		{"the harness's tests", "all", "root/e2e/suites: go test -race", ""},
		{"vet of the suites", "all", "root/e2e/suites: go vet", down},
		{"end to end", "all", "root/e2e/suites: go test -count=1", down},
		{"removal of the cluster", "all", "cluster down", ""},
		{"the cluster's own test", "all", "TestUpTwice", ""},
		{"unit tests alone", "unit", "root/e2e/cluster: go test -race", ""},
		{"API server tests alone", "apiserver", "go test -race", ""},
		{"end to end alone", "e2e", "go test -count=1", down},
	} {
		t.Run(c.situation, func(t *testing.T) {
			calls, output, err := machine{user: "0", compiler: true, fail: c.fail}.run(t, c.what)
			require.Error(t, err, output)
			last := calls[len(calls)-1]
			if c.last != "" {
				require.Equal(t, c.last, last, "the cluster is removed all the same")
				return
			}
			require.Contains(t, last, c.fail, "nothing runs after it")
		})
	}
}

func TestAllRunsEveryStepAndOneClusterAtATime(t *testing.T) {
	calls, output, err := machine{user: "0", compiler: true, kubeconfig: "/var/lib/rawserve/gone-long-ago/kubeconfig"}.run(t, "all")
	require.NoError(t, err, output)
	for i, call := range calls {
		// The folder that binaries are linked into depends on the checkout.
		if head, _, ok := strings.Cut(call, " --link "); ok {
			calls[i] = head
		}
	}
	require.Equal(t, []string{
		"root/e2e/cluster: go run ./cmd/cluster build",
		"root: go test -race ./...",
		"root/e2e/cluster: go test -race ./...",
		"root/e2e/modelserver: go test -race ./...",
		"root/e2e/load: go test -race ./...",
		"root/e2e/prometheus: go test .",
		"root/e2e/suites: go test -race ./harness/... ./load/... ./cmd/...",
		"root/e2e/suites: go vet ./...",
		"root/e2e/suites: go test -count=1 -timeout 40m -v ./e2e",
		"root/e2e/cluster: go run ./cmd/cluster down --name rawserve-e2e",
		"root/e2e/cluster: go test -count=1 -timeout 20m -run TestUpTwiceAndDownLeavesNothing -v .",
	}, calls)
}

func TestAClusterOfTheUsersIsLeftAlone(t *testing.T) {
	calls, output, err := machine{user: "1000", kubeconfig: "/home/me/kubeconfig"}.run(t, "e2e")
	require.NoError(t, err, output)
	require.Equal(t, []string{"root/e2e/suites: go vet ./...", "root/e2e/suites: go test -count=1 -timeout 40m -v ./e2e"}, calls)
}

func TestWhatIsMissingIsInstalledOrNamedBeforeAnythingIsBuilt(t *testing.T) {
	calls, output, err := machine{user: "0"}.run(t, "apiserver")
	require.NoError(t, err, output)
	const install = "apt-get install --yes --no-install-recommends gcc libc6-dev"
	require.Equal(t, []string{install, "apt-get update", install}, calls[:3])

	calls, output, err = machine{user: "1000", kubeconfig: "/home/me/kubeconfig"}.run(t, "all")
	require.Error(t, err)
	require.Contains(t, output, "sudo apt-get install gcc libc6-dev")
	require.Empty(t, calls)

	calls, output, err = machine{user: "1000", compiler: true}.run(t, "all")
	require.Error(t, err)
	require.Contains(t, output, "run this as root")
	require.Empty(t, calls)
}
