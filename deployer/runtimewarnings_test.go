package deployer_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

func named(t *testing.T, name, spec string) v1alpha1.NamedRuntime {
	t.Helper()
	r := v1alpha1.NamedRuntime{Name: name, Spec: &v1alpha1.ServingRuntimeSpec{}}
	require.NoError(t, yaml.UnmarshalStrict([]byte(spec), r.Spec))
	return r
}

func TestRuntimeWarnings(t *testing.T) {
	const (
		mine   = "{containers: [{name: a}], supportedModelFormats: [{name: sklearn, version: '1', autoSelect: true, priority: 2}, {name: onnx, autoSelect: true, priority: 1}]}"
		python = "{containers: [{name: a, env: [{name: PYTHONPATH}]}], supportedModelFormats: [{name: sklearn, autoSelect: true}]}"
	)
	for name, test := range map[string]struct {
		model, runtime, other string
		want                  []deployer.Warning
	}{
		"all is well": {"{modelFormat: {name: sklearn}}", mine, "{containers: [{name: a}], supportedModelFormats: [{name: sklearn, version: '1', autoSelect: true, priority: 1}]}", nil},
		"another is as good": {"{modelFormat: {name: sklearn}}", mine, mine, []deployer.Warning{{
			Field:   "spec.predictor.model.runtime",
			Message: `runtime "mine" was chosen among equals: runtime other has the same priority for sklearn 1: raise or lower one of them, or name a runtime here`,
		}}},
		"another is as good for other models": {"{modelFormat: {name: sklearn, version: '2'}}", mine, mine, nil},
		"the model names its runtime":         {"{modelFormat: {name: sklearn}, runtime: mine}", mine, mine, nil},
		"a python path": {"{modelFormat: {name: sklearn}}", python, mine, []deployer.Warning{{
			Field:   "spec.predictor.model.runtime",
			Message: `runtime "mine" is not valid: spec.containers[0].env[0]: Forbidden: PYTHONPATH could replace the server's code: build the path into the image`,
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			isvc := &v1beta1.InferenceService{}
			isvc.Spec.Predictor.Model = &v1beta1.ModelSpec{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(test.model), isvc.Spec.Predictor.Model))
			own := named(t, "mine", test.runtime)
			chosen := &deployer.ChosenRuntime{Ref: deployer.RuntimeRef{Name: "mine"}, Spec: *own.Spec.DeepCopy()}
			require.Equal(t, test.want, deployer.RuntimeWarnings(isvc, chosen, []v1alpha1.NamedRuntime{own, named(t, "other", test.other)}))
			require.Equal(t, *own.Spec, chosen.Spec)
		})
	}
	require.Empty(t, deployer.RuntimeWarnings(&v1beta1.InferenceService{}, nil, nil))
}

func TestNoTwoStockRuntimesAreEqual(t *testing.T) {
	var all []v1alpha1.NamedRuntime
	for _, r := range stockRuntimes(t) {
		all = append(all, v1alpha1.NamedRuntime{Name: r.Name, Spec: r.Spec.DeepCopy()})
	}
	for _, r := range all {
		require.Empty(t, v1alpha1.ValidateRuntimeAmong(r.Name, r.Spec, all, nil), r.Name)
	}
}
