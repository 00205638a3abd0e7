package apiservertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

var crdResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// installCRDs creates every CRD of manifests/crd and waits until all are served.
func installCRDs(ctx context.Context, config *rest.Config) error {
	dir, err := repositoryFile("manifests/crd")
	if err != nil {
		return err
	}
	// Generated CRDs are named group_plural.yaml; other files are kustomize's.
	paths, err := filepath.Glob(filepath.Join(dir, "*_*.yaml"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("no CRD in %s: run 'make generate'", dir)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	var names []string
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading a CRD: %w", err)
		}
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(raw, &crd.Object); err != nil {
			return fmt.Errorf("parsing %s: %w", filepath.Base(path), err)
		}
		if _, err := client.Resource(crdResource).Create(ctx, crd, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating CRD %s: %w", crd.GetName(), err)
		}
		names = append(names, crd.GetName())
	}
	for _, name := range names {
		if err := waitEstablished(ctx, client, name); err != nil {
			return err
		}
	}
	return nil
}

func waitEstablished(ctx context.Context, client dynamic.Interface, name string) error {
	conditions := "none yet"
	err := wait.PollUntilContextCancel(ctx, pollEvery, true, func(ctx context.Context) (bool, error) {
		crd, err := client.Resource(crdResource).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		// A CRD that the server has not looked at yet has null in place of a list.
		found, _, err := unstructured.NestedFieldNoCopy(crd.Object, "status", "conditions")
		if err != nil {
			return false, err
		}
		list, _ := found.([]any)
		conditions = fmt.Sprint(list)
		return isTrue(list, "Established"), nil
	})
	if err != nil {
		return fmt.Errorf("waiting until CRD %s is established: %w (conditions: %s)", name, err, conditions)
	}
	return nil
}

func isTrue(conditions []any, kind string) bool {
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == kind {
			return m["status"] == "True"
		}
	}
	return false
}
