package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// installTimeout bounds the wait for rawserve's own pods.
const installTimeout = 4 * time.Minute

// install applies the manifests as a user would and waits for the parts.
func (e *Env) install(ctx context.Context) error {
	// Before anything is applied: whatever starts from then on has the new images.
	outdated, err := e.outdated(ctx, SystemNamespace)
	if err != nil {
		return err
	}
	e.Say("installing rawserve: kubectl apply --server-side -k manifests/default, then manifests/runtimes")
	for _, dir := range []string{"manifests/default", "manifests/runtimes"} {
		if _, err := e.Kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-k", filepath.Join(e.root, dir)); err != nil {
			return err
		}
		if dir == "manifests/default" {
			if _, err := e.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"); err != nil {
				return err
			}
		}
	}
	if outdated {
		if err := e.restart(ctx, SystemNamespace); err != nil {
			return err
		}
	}
	for _, d := range []string{"controller", "activator", "metrics-adapter"} {
		if _, err := e.Kubectl(ctx, "rollout", "status", "--timeout="+installTimeout.String(), "-n", SystemNamespace, "deployment/"+d); err != nil {
			return e.explain(ctx, err)
		}
	}
	if _, err := e.Kubectl(ctx, "wait", "--for=condition=Available", "--timeout=60s", "apiservice/v1beta2.custom.metrics.k8s.io"); err != nil {
		return e.explain(ctx, err)
	}
	return nil
}

// restart replaces all pods of a namespace's Deployments: a Deployment does not
// notice that an image's name stands for another image.
func (e *Env) restart(ctx context.Context, namespace string) error {
	e.Say("restarting what runs in %s: its images have changed", namespace)
	_, err := e.Kubectl(ctx, "rollout", "restart", "-n", namespace, "deployment")
	return err
}

// explain adds the state of rawserve's pods to an error.
func (e *Env) explain(ctx context.Context, err error) error {
	pods, _ := e.Kubectl(ctx, "get", "pods,events", "-n", SystemNamespace, "-o", "wide")
	logs, _ := e.Kubectl(ctx, "logs", "-n", SystemNamespace, "-l", "app.kubernetes.io/name=rawserve", "--tail=20", "--prefix", "--all-containers")
	return fmt.Errorf("%w\n%s\n%s", err, pods, logs)
}

// Kubectl runs kubectl against the cluster and returns what it printed.
func (e *Env) Kubectl(ctx context.Context, args ...string) (string, error) {
	return e.KubectlInput(ctx, "", args...)
}

// KubectlInput runs kubectl with text on its standard input.
func (e *Env) KubectlInput(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.Target.Kubectl, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e.Target.Kubeconfig)
	cmd.Stdin = strings.NewReader(input)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}
