package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// sample returns a file of manifests/samples.
func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(env.Root(), "manifests", "samples", name))
	require.NoError(t, err)
	return string(text)
}

// startable are the samples whose pods can run without a store or a claim of the reader's.
var startable = map[string]string{
	"custom-container.yaml":    "custom",
	"grpc.yaml":                "grpc",
	"concurrency.yaml":         "concurrency",
	"queue.yaml":               "queue",
	"same-zone.yaml":           "same-zone",
	"knative-annotations.yaml": "knative-annotations",
	"requests-per-second.yaml": "requests-per-second",
	"hpa.yaml":                 "hpa",
	"fixed-replicas.yaml":      "fixed-replicas",
	"runtime.yaml":             "runtime",
}

func TestEverySampleIsAcceptedAndThoseWithoutOutsideNeedsBecomeReady(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(env.Root(), "manifests", "samples", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	ns := namespace(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			out, err := env.Kubectl(t.Context(), "apply", "-n", ns, "-f", file)
			require.NoError(t, err)
			t.Log(strings.TrimSpace(out))
			if name, ok := startable[filepath.Base(file)]; ok {
				_, err := env.WaitReady(t.Context(), ns, name, 2*time.Minute)
				require.NoError(t, err)
			}
			_, err = env.Kubectl(t.Context(), "delete", "-n", ns, "-f", file, "--wait=false")
			require.NoError(t, err)
		})
	}
}

func TestMisspeltFieldIsRefusedByItsName(t *testing.T) {
	ns := namespace(t)
	text := strings.Replace(sample(t, "custom-container.yaml"), "minReplicas:", "minReplica:", 1)
	_, err := env.KubectlInput(t.Context(), text, "apply", "-n", ns, "-f", "-")
	require.ErrorContains(t, err, `unknown field "spec.predictor.minReplica"`)
}

func TestStopAndDeletionLeaveNothingBehind(t *testing.T) {
	ns := namespace(t)
	_, err := env.Kubectl(t.Context(), "apply", "-n", ns, "-f", filepath.Join(env.Root(), "manifests", "samples", "custom-container.yaml"))
	require.NoError(t, err)
	_, err = env.WaitReady(t.Context(), ns, "custom", 2*time.Minute)
	require.NoError(t, err)

	_, err = env.Kubectl(t.Context(), "annotate", "-n", ns, "isvc/custom", "serving.kserve.io/stop=true")
	require.NoError(t, err)
	_, err = env.Kubectl(t.Context(), "wait", "-n", ns, "--for=delete", "deployment/custom-predictor", "--timeout=60s")
	require.NoError(t, err)
	_, err = env.Kubectl(t.Context(), "wait", "-n", ns, "--for=condition=Stopped", "isvc/custom", "--timeout=60s")
	require.NoError(t, err)
	_, err = env.Kubectl(t.Context(), "annotate", "-n", ns, "isvc/custom", "serving.kserve.io/stop-")
	require.NoError(t, err)
	_, err = env.WaitReady(t.Context(), ns, "custom", 2*time.Minute)
	require.NoError(t, err)

	_, err = env.Kubectl(t.Context(), "delete", "-n", ns, "isvc/custom")
	require.NoError(t, err)
	for _, kind := range []string{"deployments", "services", "inferenceroutes", "scalers", "endpointslices", "controllerrevisions"} {
		err := wait.PollUntilContextTimeout(t.Context(), time.Second, 90*time.Second, true, func(ctx context.Context) (bool, error) {
			out, err := env.Kubectl(ctx, "get", kind, "-n", ns, "-o", "name")
			return strings.TrimSpace(out) == "", err
		})
		require.NoError(t, err, kind)
	}
	_, err = env.Serving.ServingV1beta1().InferenceServices(ns).Get(t.Context(), "custom", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))
}
