// Package e2e proves on a real cluster what rawserve promises its users.
//
// The cluster is the local one named rawserve-e2e, which is made if it is not
// there and left running, or the one in KUBECONFIG.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/e2e/suites/harness"
)

var env *harness.Env

var (
	contextFlag = flag.String("context", "", "kubeconfig context of a cluster to use instead of the local one")
	nameFlag    = flag.String("cluster", "rawserve-e2e", "name of the local cluster")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	env, err = harness.Open(ctx, harness.Options{Name: *nameFlag, Context: *contextFlag, InstallDeps: true, Models: true, Progress: os.Stderr})
	if err != nil {
		fmt.Fprintf(os.Stderr, "putting rawserve on a cluster: %v\n", err)
		return 1
	}
	return m.Run()
}

// namespace makes a namespace for a test and deletes it when the test is over. What
// is left to be looked at after a failure is the log: it gets the namespace's state
// before that is deleted.
func namespace(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	name = fmt.Sprintf("%s-%d", name[:min(len(name), 40)], time.Now().Unix()%100000)
	require.NoError(t, env.CreateNamespace(t.Context(), name))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			for _, args := range [][]string{
				{"get", "inferenceservices,inferenceroutes,scalers,deployments,pods,endpointslices", "-o", "wide"},
				{"get", "events", "--sort-by=.lastTimestamp"},
			} {
				out, err := env.Kubectl(ctx, append(args, "-n", name)...)
				t.Logf("kubectl %s\n%s%v", strings.Join(args, " "), out, err)
			}
		}
		// The pods' drain is not waited for: the namespace goes in the background.
		if err := env.Kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Logf("deleting namespace %s: %v", name, err)
		}
	})
	return name
}
