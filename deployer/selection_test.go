package deployer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// ask is a model that asks for a format ("sklearn", "sklearn/1") and a protocol.
func ask(format, version string, protocol v1beta1.ProtocolVersion) *v1beta1.InferenceService {
	m := &v1beta1.ModelSpec{ModelFormat: v1beta1.ModelFormat{Name: format}}
	if version != "" {
		m.ModelFormat.Version = &version
	}
	if protocol != "" {
		m.ProtocolVersion = &protocol
	}
	return &v1beta1.InferenceService{
		ObjectMeta: metav1.ObjectMeta{Name: "iris", Namespace: "models"},
		Spec:       v1beta1.InferenceServiceSpec{Predictor: v1beta1.PredictorSpec{Model: m}},
	}
}

func TestStockRuntimesAreChosenAsInKServe(t *testing.T) {
	stock := stockRuntimes(t)
	for _, row := range []struct {
		format, version string
		protocol        v1beta1.ProtocolVersion
		want            string
	}{
		{"sklearn", "", "", "kserve-sklearnserver"},
		{"sklearn", "1", "v1", "kserve-sklearnserver"},
		{"sklearn", "1.0", "", ""},
		{"sklearn", "0", "", ""},
		{"sklearn", "", "v2", "kserve-mlserver"},
		{"sklearn", "0", "v2", "kserve-mlserver"},
		{"xgboost", "", "v1", "kserve-xgbserver"},
		{"xgboost", "", "v2", "kserve-mlserver"},
		{"lightgbm", "", "v1", "kserve-lgbserver"},
		{"lightgbm", "", "v2", "kserve-mlserver"},
		{"mlflow", "", "", ""},
		{"mlflow", "", "v2", "kserve-mlserver"},
		{"tensorflow", "", "", "kserve-tensorflow-serving"},
		{"tensorflow", "", "v2", "kserve-tritonserver"},
		{"tensorflow", "", "grpc-v1", "kserve-tensorflow-serving"},
		{"onnx", "", "", ""},
		{"onnx", "", "v2", "kserve-tritonserver"},
		{"tensorrt", "", "v2", "kserve-tritonserver"},
		{"pytorch", "", "", "kserve-torchserve"},
		{"pytorch", "", "v2", "kserve-torchserve"},
		{"pmml", "4", "", "kserve-pmmlserver"},
		{"paddle", "", "", "kserve-paddleserver"},
		{"autogluon", "", "", "kserve-autogluonserver"},
		{"huggingface", "", "v2", "kserve-huggingfaceserver"},
		{"vLLM", "", "v2", "kserve-vllmserver"},
		{"openvino", "", "", ""},
	} {
		t.Run(row.format+" "+row.version+" over "+string(row.protocol), func(t *testing.T) {
			chosen, err := deployer.SelectRuntime(ask(row.format, row.version, row.protocol), nil, stock, nil)
			if row.want == "" {
				var e *deployer.RenderError
				require.True(t, errors.As(err, &e), "%v", err)
				require.Equal(t, deployer.ReasonNoSupportingRuntime, e.Reason)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, chosen.Ref.Name)
			require.Equal(t, deployer.Cluster, chosen.Ref.Scope)
		})
	}
}

func TestOnlyWorkersGetTheMultinodeRuntime(t *testing.T) {
	isvc := ask("huggingface", "", "v2")
	isvc.Spec.Predictor.WorkerSpec = &v1beta1.WorkerSpec{}
	chosen, err := deployer.SelectRuntime(isvc, nil, stockRuntimes(t), nil)
	require.NoError(t, err)
	require.Equal(t, "kserve-huggingfaceserver-multinode", chosen.Ref.Name)
}

func TestCustomContainersNeedNoRuntime(t *testing.T) {
	isvc := ask("sklearn", "", "")
	isvc.Spec.Predictor.Model = nil
	chosen, err := deployer.SelectRuntime(isvc, nil, nil, nil)
	require.NoError(t, err)
	require.Nil(t, chosen)
}

// offer is a runtime that serves sklearn.
func offer(name string, change ...func(*v1alpha1.ServingRuntimeSpec)) v1alpha1.ClusterServingRuntime {
	yes := true
	r := v1alpha1.ClusterServingRuntime{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(1000, 0)},
		Spec: v1alpha1.ServingRuntimeSpec{
			SupportedModelFormats: []v1alpha1.SupportedModelFormat{{Name: "sklearn", AutoSelect: &yes}},
			ProtocolVersions:      []v1beta1.ProtocolVersion{v1beta1.ProtocolV1},
		},
	}
	for _, c := range change {
		c(&r.Spec)
	}
	return r
}

func namespaced(r v1alpha1.ClusterServingRuntime) v1alpha1.ServingRuntime {
	r.Namespace = "models"
	return v1alpha1.ServingRuntime{ObjectMeta: r.ObjectMeta, Spec: r.Spec}
}

func priority(p int32) func(*v1alpha1.ServingRuntimeSpec) {
	return func(s *v1alpha1.ServingRuntimeSpec) { s.SupportedModelFormats[0].Priority = &p }
}

func speaking(p ...v1beta1.ProtocolVersion) func(*v1alpha1.ServingRuntimeSpec) {
	return func(s *v1alpha1.ServingRuntimeSpec) { s.ProtocolVersions = p }
}

// serving adds a version of a format to those that are selected.
func serving(format, version string) func(*v1alpha1.ServingRuntimeSpec) {
	return func(s *v1alpha1.ServingRuntimeSpec) {
		yes := true
		s.SupportedModelFormats = append(s.SupportedModelFormats, v1alpha1.SupportedModelFormat{Name: format, Version: &version, AutoSelect: &yes})
	}
}

func disabled(s *v1alpha1.ServingRuntimeSpec) { yes := true; s.Disabled = &yes }

func multiModel(s *v1alpha1.ServingRuntimeSpec) { yes := true; s.MultiModel = &yes }

func byHand(s *v1alpha1.ServingRuntimeSpec) { s.SupportedModelFormats[0].AutoSelect = nil }

func TestSelectionOrder(t *testing.T) {
	newer := offer("newer")
	newer.CreationTimestamp = metav1.NewTime(newer.CreationTimestamp.Add(time.Hour))
	for name, row := range map[string]struct {
		own     []v1alpha1.ServingRuntime
		cluster []v1alpha1.ClusterServingRuntime
		want    string
	}{
		"the highest priority wins": {
			cluster: []v1alpha1.ClusterServingRuntime{offer("a", priority(1)), offer("b", priority(3)), offer("c", priority(2))}, want: "b"},
		"any priority beats none": {
			cluster: []v1alpha1.ClusterServingRuntime{offer("a"), offer("b", priority(1))}, want: "b"},
		"the namespace's own beats any priority of the cluster's": {
			own: []v1alpha1.ServingRuntime{namespaced(offer("own"))}, cluster: []v1alpha1.ClusterServingRuntime{offer("b", priority(9))}, want: "own"},
		"of equal priority the newest wins": {
			cluster: []v1alpha1.ClusterServingRuntime{offer("a"), newer}, want: "newer"},
		"of equal age the name decides": {
			cluster: []v1alpha1.ClusterServingRuntime{offer("b"), offer("a")}, want: "a"},
		"the lowest protocol comes before age": {
			cluster: []v1alpha1.ClusterServingRuntime{offer("any", speaking()), offer("z", speaking("v2", "v1"))}, want: "z"},
		"one that names no protocol speaks any": {
			cluster: []v1alpha1.ClusterServingRuntime{offer("any", speaking()), offer("two", speaking("v2"))}, want: "any"},
		"disabled ones are left out": {
			cluster: []v1alpha1.ClusterServingRuntime{offer("a", disabled, priority(9)), offer("b")}, want: "b"},
		"multi-model ones are left out": {
			cluster: []v1alpha1.ClusterServingRuntime{offer("a", multiModel), offer("b")}, want: "b"},
		"those to be named are left out": {
			cluster: []v1alpha1.ClusterServingRuntime{offer("a", byHand), offer("b")}, want: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, err := deployer.SelectRuntime(ask("sklearn", "", ""), row.own, row.cluster, nil)
			require.NoError(t, err)
			require.Equal(t, row.want, chosen.Ref.Name)
		})
	}
}

func TestRuntimesOfOtherNamespacesAreNotSeen(t *testing.T) {
	foreign := namespaced(offer("own"))
	foreign.Namespace = "other"
	_, err := deployer.SelectRuntime(ask("sklearn", "", ""), []v1alpha1.ServingRuntime{foreign}, nil, nil)
	require.ErrorContains(t, err, "no enabled runtime serves format sklearn")
}

func TestNamedRuntime(t *testing.T) {
	cluster := []v1alpha1.ClusterServingRuntime{offer("hand", byHand), offer("off", disabled), offer("two", speaking("v2")), offer("own", priority(5))}
	own := []v1alpha1.ServingRuntime{namespaced(offer("own"))}
	for name, row := range map[string]struct {
		runtime  string
		format   string
		protocol v1beta1.ProtocolVersion
		reason   deployer.Reason
		message  string
		scope    deployer.RuntimeScope
		speaks   v1beta1.ProtocolVersion
	}{
		"one that is never selected":           {runtime: "hand", format: "sklearn", scope: deployer.Cluster, speaks: "v1"},
		"the namespace's hides the cluster's":  {runtime: "own", format: "sklearn", scope: deployer.Namespaced, speaks: "v1"},
		"without a wish for a protocol":        {runtime: "two", format: "sklearn", scope: deployer.Cluster, speaks: "v2"},
		"that does not exist":                  {runtime: "none", format: "sklearn", reason: deployer.ReasonRuntimeNotRecognized, message: `named "none"`},
		"that is disabled":                     {runtime: "off", format: "sklearn", reason: deployer.ReasonRuntimeDisabled, message: "spec.disabled"},
		"that does not serve the format":       {runtime: "two", format: "onnx", reason: deployer.ReasonNoSupportingRuntime, message: "declares sklearn"},
		"that does not speak the one asked of": {runtime: "two", format: "sklearn", protocol: "v1", reason: deployer.ReasonNoSupportingRuntime, message: "speaks v2, not v1"},
	} {
		t.Run(name, func(t *testing.T) {
			isvc := ask(row.format, "", row.protocol)
			isvc.Spec.Predictor.Model.Runtime = &row.runtime
			chosen, err := deployer.SelectRuntime(isvc, own, cluster, nil)
			if row.reason != "" {
				var e *deployer.RenderError
				require.True(t, errors.As(err, &e), "%v", err)
				require.Equal(t, row.reason, e.Reason)
				require.Contains(t, e.Message, row.message)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.scope, chosen.Ref.Scope)
			require.Equal(t, row.speaks, chosen.Protocol)
		})
	}
}

func TestRecordedChoiceStays(t *testing.T) {
	unset := ask("sklearn", "", "")
	old := offer("old", speaking("v1", "v2"), serving("sklearn", "1"), serving("xgboost", "2"))
	first, err := deployer.SelectRuntime(unset, nil, []v1alpha1.ClusterServingRuntime{old}, nil)
	require.NoError(t, err)
	better := offer("better", priority(9), speaking("v1", "v2"), serving("sklearn", "1"), serving("sklearn", "2"), serving("xgboost", "2"))
	both := []v1alpha1.ClusterServingRuntime{old, better}

	for name, row := range map[string]struct {
		isvc  *v1beta1.InferenceService
		there []v1alpha1.ClusterServingRuntime
		want  string
	}{
		"when a better one is installed":           {unset, both, "old"},
		"when it is no longer to be selected":      {unset, []v1alpha1.ClusterServingRuntime{offer("old", byHand), better}, "old"},
		"when the default protocol is spelt out":   {ask("sklearn", "", "v1"), both, "old"},
		"when a version is named that it serves":   {ask("sklearn", "1", ""), both, "old"},
		"but not when it is gone":                  {unset, []v1alpha1.ClusterServingRuntime{better}, "better"},
		"but not when it is disabled":              {unset, []v1alpha1.ClusterServingRuntime{offer("old", disabled), better}, "better"},
		"but not when it changed its protocol":     {ask("sklearn", "", "v1"), []v1alpha1.ClusterServingRuntime{offer("old", speaking("v2")), better}, "better"},
		"nor when that was the default's protocol": {unset, []v1alpha1.ClusterServingRuntime{offer("old", speaking("v2")), better}, "better"},
		"but not for a version it does not serve":  {ask("sklearn", "2", ""), both, "better"},
		"but not for another protocol":             {ask("sklearn", "", "v2"), both, "better"},
		"but not for another format":               {ask("xgboost", "", ""), both, "better"},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, err := deployer.SelectRuntime(row.isvc, nil, row.there, &first.Ref)
			require.NoError(t, err)
			require.Equal(t, row.want, chosen.Ref.Name)
		})
	}
}

func TestARecordedVersionIsNotKeptForAnotherOne(t *testing.T) {
	old := offer("old", serving("sklearn", "1"), serving("sklearn", "2"))
	first, err := deployer.SelectRuntime(ask("sklearn", "1", ""), nil, []v1alpha1.ClusterServingRuntime{old}, nil)
	require.NoError(t, err)
	both := []v1alpha1.ClusterServingRuntime{old, offer("better", priority(9), serving("sklearn", "2"))}
	for version, want := range map[string]string{"1": "old", "": "old", "2": "better"} {
		chosen, err := deployer.SelectRuntime(ask("sklearn", version, ""), nil, both, &first.Ref)
		require.NoError(t, err)
		require.Equal(t, want, chosen.Ref.Name, "version %q", version)
	}
}

func TestANamedRuntimeBindsOnlyWhileItIsNamed(t *testing.T) {
	name := "named"
	there := []v1alpha1.ClusterServingRuntime{offer("named"), offer("better", priority(9))}
	isvc := ask("sklearn", "", "")
	isvc.Spec.Predictor.Model.Runtime = &name
	first, err := deployer.SelectRuntime(isvc, nil, there, nil)
	require.NoError(t, err)
	require.Equal(t, "named", first.Ref.Name)

	for _, removed := range []*string{nil, new(string)} {
		isvc.Spec.Predictor.Model.Runtime = removed
		anew, err := deployer.SelectRuntime(isvc, nil, there, &first.Ref)
		require.NoError(t, err)
		require.Equal(t, "better", anew.Ref.Name)
		require.False(t, anew.Ref.Named)
	}
}

func TestRecordWithoutFormatHoldsForAnyModel(t *testing.T) {
	there := []v1alpha1.ClusterServingRuntime{offer("old"), offer("better", priority(9))}
	chosen, err := deployer.SelectRuntime(ask("sklearn", "", "v1"), nil, there, &deployer.RuntimeRef{Name: "old", Scope: deployer.Cluster})
	require.NoError(t, err)
	require.Equal(t, "old", chosen.Ref.Name)
}
