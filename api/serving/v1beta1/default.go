package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// DefaultsConfig is what an operator may configure of the defaults.
//
// +k8s:openapi-gen=false
// +kubebuilder:object:generate=false
type DefaultsConfig struct {
	// DeploymentMode is written into the annotation where an InferenceService has
	// none. Only Standard and ModelMesh are written, as in KServe.
	DeploymentMode DeploymentMode
	// Resources fill, by name, the requests and limits that a custom server or an
	// explainer does not set. Models get theirs from the runtime.
	Resources corev1.ResourceRequirements
	// ARTVersion is the image tag of art explainers that set none.
	ARTVersion string
	// NoServiceAccountToken turns the token's mount off where a pod does not say.
	NoServiceAccountToken bool
}

// StockDefaults are KServe's shipped defaults, in Standard mode.
func StockDefaults() DefaultsConfig {
	quantities := func() corev1.ResourceList {
		return corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("1"),
			corev1.ResourceMemory: resource.MustParse("2Gi"),
		}
	}
	return DefaultsConfig{
		DeploymentMode: ModeStandard,
		Resources:      corev1.ResourceRequirements{Requests: quantities(), Limits: quantities()},
		ARTVersion:     "latest",
	}
}

// Default returns a copy of isvc with the defaults that KServe's webhook fills
// in: the deployment mode's present name, model in place of a shorthand, its
// protocol and format annotation, and names and resources of custom servers.
// What depends on the runtime is left to the deployer. Default does not judge:
// what contradicts itself stays as it is, for [Validate] to name.
func Default(isvc *InferenceService, cfg DefaultsConfig) *InferenceService {
	out := isvc.DeepCopy()
	defaultDeploymentMode(out, cfg.DeploymentMode)
	defaultPredictor(&out.Spec.Predictor, cfg)
	for i := range out.Spec.Canary {
		defaultPredictor(&out.Spec.Canary[i].Predictor, cfg)
	}
	defaultModelFormatAnnotation(out)
	if t := out.Spec.Transformer; t != nil {
		defaultCustomServer(t.Containers, cfg)
		defaultPod(&t.PodSpec, cfg)
	}
	if e := out.Spec.Explainer; e != nil {
		defaultExplainer(e, cfg)
	}
	return out
}

// CurrentDeploymentMode returns the present name of a mode that may have its old one.
func CurrentDeploymentMode(mode DeploymentMode) DeploymentMode {
	switch mode {
	case ModeRawDeployment:
		return ModeStandard
	case ModeServerless:
		return ModeKnative
	}
	return mode
}

func defaultDeploymentMode(isvc *InferenceService, fallback DeploymentMode) {
	if mode, ok := isvc.Annotations[AnnotationDeploymentMode]; ok {
		isvc.Annotations[AnnotationDeploymentMode] = string(CurrentDeploymentMode(DeploymentMode(mode)))
		return
	}
	switch mode := CurrentDeploymentMode(fallback); mode {
	case ModeStandard, ModeModelMesh:
		setAnnotation(isvc, AnnotationDeploymentMode, string(mode))
	}
}

func defaultModelFormatAnnotation(isvc *InferenceService) {
	model := isvc.Spec.Predictor.Model
	if model == nil || model.ModelFormat.Name == "" {
		return
	}
	if _, ok := isvc.Annotations[AnnotationModelFormat]; !ok {
		setAnnotation(isvc, AnnotationModelFormat, model.ModelFormat.Name)
	}
}

func defaultPredictor(p *PredictorSpec, cfg DefaultsConfig) {
	moveShorthand(p)
	switch {
	case p.Model != nil:
		defaultProtocol(p.Model)
	case p.IsCustom():
		defaultCustomServer(p.Containers, cfg)
	}
	defaultPod(&p.PodSpec, cfg)
	if p.WorkerSpec != nil {
		defaultPod(&p.WorkerSpec.PodSpec, cfg)
	}
}

// moveShorthand replaces the only shorthand by the model that it stands for.
func moveShorthand(p *PredictorSpec) {
	if len(p.models()) != 1 || p.Model != nil {
		return
	}
	for _, f := range frameworks {
		field := f.field(p)
		if *field == nil {
			continue
		}
		p.Model = &ModelSpec{ModelFormat: ModelFormat{Name: f.name}, PredictorExtensionSpec: **field}
		if p.Model.ProtocolVersion == nil && f.protocol != "" {
			protocol := f.protocol
			p.Model.ProtocolVersion = &protocol
		}
		*field = nil
	}
}

// defaultProtocol gives formats whose servers speak nothing else protocol v2.
// The list differs from the shorthands' on purpose: KServe gives the format onnx
// v2 by its shorthand only.
func defaultProtocol(m *ModelSpec) {
	if m.ProtocolVersion != nil {
		return
	}
	switch m.ModelFormat.Name {
	case "triton", "vLLM":
		protocol := ProtocolV2
		m.ProtocolVersion = &protocol
	}
}

func defaultExplainer(e *ExplainerSpec, cfg DefaultsConfig) {
	if e.ART != nil {
		if e.ART.RuntimeVersion == nil && cfg.ARTVersion != "" {
			version := cfg.ARTVersion
			e.ART.RuntimeVersion = &version
		}
		fillResources(&e.ART.Resources, cfg.Resources)
	} else {
		defaultCustomServer(e.Containers, cfg)
	}
	defaultPod(&e.PodSpec, cfg)
}

// defaultCustomServer names the server among custom containers and gives it resources.
func defaultCustomServer(containers []corev1.Container, cfg DefaultsConfig) {
	i := ServerIndex(containers)
	if i < 0 {
		return
	}
	containers[i].Name = ContainerServer
	fillResources(&containers[i].Resources, cfg.Resources)
}

// fillResources adds, by name, what r lacks of the defaults. A default gives way
// where it would contradict what is set: with a request of 4 CPUs and a default
// limit of 1 the limit becomes 4, else no pod could be made.
func fillResources(r *corev1.ResourceRequirements, defaults corev1.ResourceRequirements) {
	requests, limits := r.Requests.DeepCopy(), r.Limits.DeepCopy()
	r.Requests = filled(r.Requests, defaults.Requests, func(name corev1.ResourceName, quantity resource.Quantity) resource.Quantity {
		if limit, ok := limits[name]; ok && limit.Cmp(quantity) < 0 {
			return limit
		}
		return quantity
	})
	r.Limits = filled(r.Limits, defaults.Limits, func(name corev1.ResourceName, quantity resource.Quantity) resource.Quantity {
		if request, ok := requests[name]; ok && request.Cmp(quantity) > 0 {
			return request
		}
		return quantity
	})
}

// filled adds to list, by name, what it lacks of defaults, after fit has had its
// say. The list is the copy's own.
func filled(list, defaults corev1.ResourceList, fit func(corev1.ResourceName, resource.Quantity) resource.Quantity) corev1.ResourceList {
	for name, quantity := range defaults {
		if _, ok := list[name]; ok {
			continue
		}
		if list == nil {
			list = corev1.ResourceList{}
		}
		list[name] = fit(name, quantity).DeepCopy()
	}
	return list
}

func defaultPod(p *PodSpec, cfg DefaultsConfig) {
	if cfg.NoServiceAccountToken && p.AutomountServiceAccountToken == nil {
		mount := false
		p.AutomountServiceAccountToken = &mount
	}
}

func setAnnotation(isvc *InferenceService, key, value string) {
	if isvc.Annotations == nil {
		isvc.Annotations = map[string]string{}
	}
	isvc.Annotations[key] = value
}
