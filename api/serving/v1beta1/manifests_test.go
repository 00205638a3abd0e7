package v1beta1

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// manifests returns the sample manifests by name.
func manifests(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/manifests/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	out := map[string][]byte{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		out[strings.TrimSuffix(filepath.Base(path), ".yaml")] = raw
	}
	return out
}

func decode(t testing.TB, manifest []byte) *InferenceService {
	t.Helper()
	isvc := &InferenceService{}
	require.NoError(t, yaml.UnmarshalStrict(manifest, isvc))
	return isvc
}

func TestManifestsSurviveARoundTrip(t *testing.T) {
	for name, manifest := range manifests(t) {
		t.Run(name, func(t *testing.T) {
			isvc := decode(t, manifest)
			encoded, err := json.Marshal(isvc)
			require.NoError(t, err)

			var before, after map[string]any
			require.NoError(t, yaml.Unmarshal(manifest, &before))
			require.NoError(t, json.Unmarshal(encoded, &after))
			requireContains(t, after, before, "")

			again := decode(t, encoded)
			require.Equal(t, isvc, again)
		})
	}
}

// requireContains checks that all that is in part is in whole. Quantities and
// int-or-strings may change their spelling, so scalars are compared as text.
func requireContains(t *testing.T, whole, part any, path string) {
	t.Helper()
	switch p := part.(type) {
	case map[string]any:
		w, ok := whole.(map[string]any)
		require.Truef(t, ok, "%s is lost", path)
		for key := range p {
			requireContains(t, w[key], p[key], path+"."+key)
		}
	case []any:
		w, ok := whole.([]any)
		require.Truef(t, ok && len(w) == len(p), "%s is lost", path)
		for i := range p {
			requireContains(t, w[i], p[i], path+"[]")
		}
	default:
		require.Equalf(t, text(part), text(whole), "%s has changed", path)
	}
}

func text(v any) string {
	raw, _ := json.Marshal(v) // scalars always encode
	return strings.Trim(string(raw), `"`)
}

func TestManifestsAreValidBeforeAndAfterDefaults(t *testing.T) {
	for name, manifest := range manifests(t) {
		t.Run(name, func(t *testing.T) {
			isvc := decode(t, manifest)
			require.Empty(t, Validate(isvc))
			require.Empty(t, Validate(Default(isvc, StockDefaults())))
		})
	}
}

func TestCopiesOfCoreTypesHaveTheirJSONNames(t *testing.T) {
	for _, pair := range []struct {
		copied, core any
		// differ are the fields that differ on purpose.
		differ []string
	}{
		{Container{}, corev1.Container{}, nil},
		{PodSpec{}, corev1.PodSpec{}, []string{"EphemeralContainers"}},
	} {
		copied, core := reflect.TypeOf(pair.copied), reflect.TypeOf(pair.core)
		require.Equal(t, core.NumField(), copied.NumField())
		for i := range core.NumField() {
			want, got := core.Field(i), copied.Field(i)
			if strings.Contains(strings.Join(pair.differ, " "), want.Name) {
				continue
			}
			require.Equal(t, jsonName(want), jsonName(got), want.Name)
		}
	}
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func TestEveryShorthandHasItsRow(t *testing.T) {
	var fields, rows []string
	predictor := reflect.TypeFor[PredictorSpec]()
	for i := range predictor.NumField() {
		if f := predictor.Field(i); f.Type == reflect.TypeFor[*PredictorExtensionSpec]() {
			fields = append(fields, jsonName(f))
		}
	}
	for _, f := range frameworks {
		rows = append(rows, f.name)
		p := &PredictorSpec{}
		*f.field(p) = &PredictorExtensionSpec{}
		encoded, err := json.Marshal(p)
		require.NoError(t, err)
		require.JSONEq(t, `{"`+f.name+`": {}}`, string(encoded))
	}
	require.ElementsMatch(t, fields, rows)
}

func TestMisspeltFieldsAreRefusedByStrictDecoding(t *testing.T) {
	err := yaml.UnmarshalStrict([]byte("spec: {predictor: {sklearn: {storageURL: gs://x}}}"), &InferenceService{})
	require.ErrorContains(t, err, "storageURL")
}
