package v1alpha1

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

func parseSpec(t testing.TB, spec string) *ServingRuntimeSpec {
	t.Helper()
	out := &ServingRuntimeSpec{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(spec), out))
	return out
}

func TestValidateRuntimeNamesTheFieldAndTheRemedy(t *testing.T) {
	tests := map[string]struct {
		spec string
		want []string
	}{
		"no containers":     {`{}`, []string{"spec.containers", "kserve-container"}},
		"a python path":     {`{containers: [{name: c, env: [{name: PYTHONPATH}]}]}`, []string{"spec.containers[0].env[0]", "image"}},
		"a nameless format": {`{containers: [{name: c}], supportedModelFormats: [{version: "1"}]}`, []string{"supportedModelFormats[0].name"}},
		"priority nought":   {`{containers: [{name: c}], supportedModelFormats: [{name: a, priority: 0}]}`, []string{"supportedModelFormats[0].priority", "1 or more"}},
		"two priorities for one format": {
			`{containers: [{name: c}], supportedModelFormats: [{name: a, version: "1", autoSelect: true, priority: 1}, {name: a, version: "2", autoSelect: true, priority: 2}]}`,
			[]string{"supportedModelFormats[1].priority", "same for all versions"}},
		"two worker containers":           {`{containers: [{name: c}], workerSpec: {containers: [{name: a}, {name: b}]}}`, []string{"spec.workerSpec.containers"}},
		"no worker container":             {`{containers: [{name: c}], workerSpec: {}}`, []string{"spec.workerSpec.containers"}},
		"workers of no size":              {`{containers: [{name: c}], workerSpec: {containers: [{name: a}], pipelineParallelSize: 0}}`, []string{"workerSpec.pipelineParallelSize"}},
		"a python path among the workers": {`{containers: [{name: c}], workerSpec: {containers: [{name: a, env: [{name: PYTHONPATH}]}]}}`, []string{"workerSpec.containers[0].env[0]"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			errs := ValidateRuntime(parseSpec(t, test.spec), field.NewPath("spec"))
			require.Lenf(t, errs, 1, "%v", errs)
			for _, part := range test.want {
				require.ErrorContains(t, errs[0], part)
			}
		})
	}
}

func TestTwoPrioritiesAreAllowedWhereNoneIsSelected(t *testing.T) {
	for name, spec := range map[string]string{
		"a disabled runtime":           `{disabled: true, containers: [{name: c}], supportedModelFormats: [{name: a, autoSelect: true, priority: 1}, {name: a, autoSelect: true, priority: 2}]}`,
		"formats not for selection":    `{containers: [{name: c}], supportedModelFormats: [{name: a, priority: 1}, {name: a, priority: 2}]}`,
		"different formats":            `{containers: [{name: c}], supportedModelFormats: [{name: a, autoSelect: true, priority: 1}, {name: b, autoSelect: true, priority: 2}]}`,
		"one version without priority": `{containers: [{name: c}], supportedModelFormats: [{name: a, autoSelect: true}, {name: a, autoSelect: true, priority: 2}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, ValidateRuntime(parseSpec(t, spec), field.NewPath("spec")))
		})
	}
}

func TestOnlyRuntimesThatCompeteTie(t *testing.T) {
	mine := `{containers: [{name: c}], protocolVersions: [v1], supportedModelFormats: [{name: a, version: "1", autoSelect: true, priority: 1}]}`
	tests := map[string]struct {
		other string
		ties  bool
	}{
		"the same terms":        {mine, true},
		"any protocol":          {`{supportedModelFormats: [{name: a, version: "1", autoSelect: true, priority: 1}]}`, true},
		"another protocol":      {`{protocolVersions: [v2], supportedModelFormats: [{name: a, version: "1", autoSelect: true, priority: 1}]}`, false},
		"another version":       {`{supportedModelFormats: [{name: a, version: "2", autoSelect: true, priority: 1}]}`, false},
		"another priority":      {`{supportedModelFormats: [{name: a, version: "1", autoSelect: true, priority: 2}]}`, false},
		"no priority":           {`{supportedModelFormats: [{name: a, version: "1", autoSelect: true}]}`, false},
		"a disabled runtime":    {`{disabled: true, supportedModelFormats: [{name: a, version: "1", autoSelect: true, priority: 1}]}`, false},
		"a multi-model runtime": {`{multiModel: true, supportedModelFormats: [{name: a, version: "1", autoSelect: true, priority: 1}]}`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			others := []NamedRuntime{{Name: "other", Spec: parseSpec(t, test.other)}, {Name: "self", Spec: parseSpec(t, mine)}}
			errs := ValidateRuntimeAmong("self", parseSpec(t, mine), others, field.NewPath("spec"))
			if !test.ties {
				require.Empty(t, errs)
				return
			}
			require.Len(t, errs, 1)
			require.ErrorContains(t, errs[0], "spec.supportedModelFormats[0].priority")
			require.ErrorContains(t, errs[0], "runtime other has the same priority for a 1")
		})
	}
}

func TestRuntimeManifestsAreValid(t *testing.T) {
	paths, err := filepath.Glob("testdata/manifests/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			r := &ClusterServingRuntime{}
			require.NoError(t, yaml.UnmarshalStrict(raw, r))
			require.Empty(t, ValidateRuntime(&r.Spec, field.NewPath("spec")))
		})
	}
}

func FuzzValidateRuntimeNeverPanics(f *testing.F) {
	f.Add([]byte(`{containers: [{name: c}], supportedModelFormats: [{name: a, autoSelect: true, priority: 1}], workerSpec: {}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec := &ServingRuntimeSpec{}
		if yaml.Unmarshal(raw, spec) != nil {
			return
		}
		given := spec.DeepCopy()
		ValidateRuntime(spec, nil)
		ValidateRuntimeAmong("a", spec, []NamedRuntime{{Name: "b", Spec: spec}}, nil)
		require.Equal(t, given, spec, "the object given must not change")
	})
}
