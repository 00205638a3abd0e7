package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
)

// framework is one shorthand of a predictor.
//
// +k8s:openapi-gen=false
type framework struct {
	// name is the JSON name of the field and the model format that it stands for.
	name string
	// field finds the shorthand in a predictor.
	field func(*PredictorSpec) **PredictorExtensionSpec
	// protocol is the default protocol, empty for v1 or the runtime's.
	protocol ProtocolVersion
}

// frameworks are all shorthands. A new one is a field, its row here, and its
// words in the CEL rules on PredictorSpec; a test compares the three.
var frameworks = []framework{
	{name: "sklearn", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.SKLearn }},
	{name: "xgboost", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.XGBoost }},
	{name: "tensorflow", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.Tensorflow }},
	{name: "pytorch", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.PyTorch }},
	{name: "triton", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.Triton }, protocol: ProtocolV2},
	{name: "onnx", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.ONNX }, protocol: ProtocolV2},
	{name: "huggingface", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.HuggingFace }, protocol: ProtocolV2},
	{name: "pmml", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.PMML }},
	{name: "lightgbm", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.LightGBM }},
	{name: "paddle", field: func(p *PredictorSpec) **PredictorExtensionSpec { return &p.Paddle }},
}

// namedModel is a model given by a shorthand or by the field model.
//
// +k8s:openapi-gen=false
// +kubebuilder:object:generate=false
type namedModel struct {
	// name is the JSON name of the field.
	name string
	*PredictorExtensionSpec
}

// models returns the models of a predictor. More than one is a mistake.
func (p *PredictorSpec) models() []namedModel {
	var out []namedModel
	if p.Model != nil {
		out = append(out, namedModel{"model", &p.Model.PredictorExtensionSpec})
	}
	for _, f := range frameworks {
		if spec := *f.field(p); spec != nil {
			out = append(out, namedModel{f.name, spec})
		}
	}
	return out
}

// IsCustom says whether the predictor is made of custom containers: it has no
// model, whether by a shorthand or by the field model.
func (p *PredictorSpec) IsCustom() bool { return len(p.models()) == 0 }

// ServerIndex returns the index of the container that serves a component made
// of custom containers, or -1 where there are no containers: the one named
// kserve-container, else the first that is not a transformer beside a server.
func ServerIndex(containers []corev1.Container) int {
	for i := range containers {
		if containers[i].Name == ContainerServer {
			return i
		}
	}
	for i := range containers {
		if containers[i].Name != ContainerTransformer {
			return i
		}
	}
	if len(containers) > 0 {
		return 0
	}
	return -1
}

func hasContainer(containers []corev1.Container, name string) bool {
	for i := range containers {
		if containers[i].Name == name {
			return true
		}
	}
	return false
}

func findEnv(env []corev1.EnvVar, name string) *corev1.EnvVar {
	for i := range env {
		if env[i].Name == name {
			return &env[i]
		}
	}
	return nil
}
