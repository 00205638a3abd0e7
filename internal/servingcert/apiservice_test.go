package servingcert

import (
	"encoding/base64"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
)

func apiService(name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": name, "resourceVersion": "7"}, "spec": spec,
	}}
}

func pointsTo(namespace, name string) map[string]any {
	return map[string]any{"service": map[string]any{"namespace": namespace, "name": name}, "groupPriorityMinimum": int64(100)}
}

func TestCABundleIsWrittenOnlyWhereTheAPIServiceIsOurs(t *testing.T) {
	insecure := pointsTo("rawserve-system", "metrics-adapter")
	insecure["insecureSkipTLSVerify"] = true
	rows := map[string]struct {
		spec map[string]any
		ours bool
	}{
		"points to our service":                      {pointsTo("rawserve-system", "metrics-adapter"), true},
		"points to another adapter":                  {pointsTo("monitoring", "prometheus-adapter"), false},
		"points to a service of our name elsewhere":  {pointsTo("monitoring", "metrics-adapter"), false},
		"is served by the API server":                {map[string]any{"groupPriorityMinimum": int64(100)}, false},
		"skips verification, which forbids a bundle": {insecure, false},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			const target = "v1beta2.custom.metrics.k8s.io"
			before := apiService(target, row.spec)
			client := fake.NewSimpleDynamicClient(runtime.NewScheme(), before.DeepCopy())
			reported := map[string]bool{}
			a := &APIServices{
				Client: client, Names: []string{target}, Service: types.NamespacedName{Namespace: "rawserve-system", Name: "metrics-adapter"},
				Report: func(name string, ours bool) { reported[name] = ours }, Log: slog.New(slog.DiscardHandler),
			}
			require.NoError(t, a.Publish(t.Context(), []byte("a CA")))
			require.NoError(t, a.Publish(t.Context(), []byte("a CA")))
			require.Equal(t, map[string]bool{target: row.ours}, reported)

			patches := 0
			for _, act := range client.Actions() {
				if act.GetVerb() == "patch" {
					patches++
				}
			}
			got, err := client.Resource(apiServices).Get(t.Context(), target, metav1.GetOptions{})
			require.NoError(t, err)
			want := before.DeepCopy()
			if row.ours {
				require.NoError(t, unstructured.SetNestedField(want.Object, base64.StdEncoding.EncodeToString([]byte("a CA")), "spec", "caBundle"))
				require.Equal(t, 1, patches, "the second time there is nothing to write")
			} else {
				require.Zero(t, patches)
			}
			require.Equal(t, want.Object["spec"], got.Object["spec"])
		})
	}
}

func TestMissingAPIServiceIsNamed(t *testing.T) {
	a := &APIServices{Client: fake.NewSimpleDynamicClient(runtime.NewScheme()), Names: []string{"v1beta1.custom.metrics.k8s.io"}}
	require.ErrorContains(t, a.Publish(t.Context(), []byte("a CA")), "apiservice v1beta1.custom.metrics.k8s.io")
}
