package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

func crd(t *testing.T, spec string) map[string]any {
	t.Helper()
	var out map[string]any
	require.NoError(t, yaml.Unmarshal([]byte("spec: {versions: [{schema: {openAPIV3Schema: {properties: {spec: "+spec+"}}}}]}"), &out))
	return out
}

// asText makes numbers alike, whether they were parsed or set.
func asText(t *testing.T, object map[string]any) string {
	t.Helper()
	out, err := yaml.Marshal(object)
	require.NoError(t, err)
	return string(out)
}

func TestProbesNeedNoPortButOtherHandlersDo(t *testing.T) {
	handler := "{properties: {httpGet: {required: [port]}, tcpSocket: {required: [port]}}}"
	got := crd(t, "{properties: {containers: {items: {properties: {readinessProbe: "+handler+", preStop: "+handler+"}}}}}")
	require.NoError(t, fix(got))
	relaxed := "{properties: {httpGet: {}, tcpSocket: {}}}"
	require.Equal(t, crd(t, "{properties: {containers: {items: {properties: {readinessProbe: "+relaxed+", preStop: "+handler+"}}}}}"), got)
}

func TestContainersAndEnvironmentAreBounded(t *testing.T) {
	got := crd(t, "{properties: {containers: {type: array, items: {properties: {name: {}, env: {type: array, items: {properties: {name: {}}}}}}}}}")
	require.NoError(t, fix(got))
	want := crd(t, "{properties: {containers: {type: array, items: {properties: {name: {maxLength: 63}, env: {type: array, maxItems: 1000, items: {properties: {name: {maxLength: 256}}}}}}}}}")
	require.Equal(t, asText(t, want), asText(t, got))
}

func TestASchemaThatKeepsUnknownFieldsIsRefused(t *testing.T) {
	err := fix(crd(t, "{properties: {a: {items: {properties: {b: {x-kubernetes-preserve-unknown-fields: true}}}}}}"))
	require.ErrorContains(t, err, "spec.a[].b preserves unknown fields")
}

func TestAFileThatIsNoCRDIsRefused(t *testing.T) {
	for name, object := range map[string]map[string]any{
		"empty":       {},
		"no versions": {"spec": map[string]any{}},
		"no schema":   {"spec": map[string]any{"versions": []any{map[string]any{}}}},
	} {
		t.Run(name, func(t *testing.T) { require.Error(t, fix(object)) })
	}
}

func TestStaleCRDsGoAndOtherFilesStay(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	write := func(path, content string) { require.NoError(t, os.WriteFile(path, []byte(content), 0o644)) }
	write(filepath.Join(in, "a.dev_things.yaml"), "spec: {group: rawserve.dev, names: {kind: Scaler}, versions: [{name: v1alpha1, "+
		"schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object}}}}}]}")
	write(filepath.Join(out, "a.dev_olds.yaml"), "old")
	write(filepath.Join(out, "kustomization.yaml"), "mine")

	require.NoError(t, run(in, out))
	require.FileExists(t, filepath.Join(out, "a.dev_things.yaml"))
	require.FileExists(t, filepath.Join(out, "kustomization.yaml"))
	require.NoFileExists(t, filepath.Join(out, "a.dev_olds.yaml"))

	require.ErrorContains(t, run(t.TempDir(), out), "no CRD in")
}
