package v1beta1

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// gpuResources are the resource names that count as GPUs, beside MIG slices and
// those that the annotation adds.
var gpuResources = []string{"nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu", "habana.ai/gaudi"}

// migPrefix begins the resource names of MIG slices.
const migPrefix = "nvidia.com/mig"

// GPUResourceNames returns the resource names that count as GPUs for isvc, beside
// those that begin with nvidia.com/mig.
func GPUResourceNames(isvc *InferenceService) ([]string, error) {
	names := slices.Clone(gpuResources)
	raw, ok := isvc.Annotations[AnnotationGPUResourceTypes]
	if !ok {
		return names, nil
	}
	var more []string
	if err := json.Unmarshal([]byte(raw), &more); err != nil {
		return nil, fmt.Errorf("reading annotation %s: %w", AnnotationGPUResourceTypes, err)
	}
	return append(names, more...), nil
}

// validateWorker checks a predictor that spans several nodes.
func validateWorker(isvc *InferenceService, path *field.Path) field.ErrorList {
	p := &isvc.Spec.Predictor
	w := p.WorkerSpec
	if w == nil {
		return nil
	}
	at := path.Child("workerSpec")
	errs := validatePod(&w.PodSpec, at)
	if len(w.Containers) > 1 {
		errs = append(errs, field.TooMany(at.Child("containers"), len(w.Containers), 1))
	}
	for _, s := range []struct {
		name string
		size *int
	}{{"pipelineParallelSize", w.PipelineParallelSize}, {"tensorParallelSize", w.TensorParallelSize}} {
		if s.size != nil && *s.size < 1 {
			errs = append(errs, field.Invalid(at.Child(s.name), *s.size, "must be 1 or more"))
		}
	}
	gpus, err := GPUResourceNames(isvc)
	if err != nil {
		errs = append(errs, field.Invalid(annotationPath(AnnotationGPUResourceTypes), isvc.Annotations[AnnotationGPUResourceTypes],
			"must be a JSON list of resource names, for example [\"example.com/gpu\"]"))
	}
	for i := range w.Containers {
		errs = append(errs, validateGPU(w.Containers[i].Resources, gpus, at.Child("containers").Index(i).Child("resources"))...)
	}
	for _, m := range p.models() {
		errs = append(errs, validateHead(isvc, m, gpus, path.Child(m.name))...)
	}
	return errs
}

// validateHead checks the model of a predictor that spans several nodes.
func validateHead(isvc *InferenceService, m namedModel, gpus []string, path *field.Path) field.ErrorList {
	errs := validateGPU(m.Resources, gpus, path.Child("resources"))
	for _, env := range []struct{ name, field string }{
		{EnvPipelineParallelSize, "pipelineParallelSize"},
		{EnvTensorParallelSize, "tensorParallelSize"},
	} {
		if findEnv(m.Env, env.name) != nil {
			errs = append(errs, field.Forbidden(path.Child("env").Key(env.name), "it is set from workerSpec."+env.field+": set that instead"))
		}
	}
	scheme, _, _ := strings.Cut(deref(m.StorageURI), "://")
	switch {
	case deref(m.StorageURI) == "":
		errs = append(errs, field.Required(path.Child("storageUri"), "all nodes must see the same model: set a pvc:// or oci:// URI"))
	case scheme != "pvc" && scheme != "oci":
		errs = append(errs, field.Invalid(path.Child("storageUri"), *m.StorageURI, "all nodes must see the same model: use a pvc:// or oci:// URI"))
	}
	if class := isvc.Annotations[AnnotationAutoscalerClass]; class != string(AutoscalerClassNone) {
		errs = append(errs, field.Invalid(annotationPath(AnnotationAutoscalerClass), class,
			"a predictor that spans several nodes is not scaled: set it to none"))
	}
	return errs
}

// validateGPU checks that a container which asks for extended resources asks for
// a known GPU among them.
func validateGPU(r corev1.ResourceRequirements, gpus []string, path *field.Path) field.ErrorList {
	var unknown []string
	for _, list := range []corev1.ResourceList{r.Limits, r.Requests} {
		for name := range list {
			switch name {
			case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceStorage, corev1.ResourceEphemeralStorage:
				continue
			}
			if slices.Contains(gpus, string(name)) || strings.HasPrefix(string(name), migPrefix) {
				return nil
			}
			unknown = append(unknown, string(name))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return field.ErrorList{field.Invalid(path, strings.Join(slices.Compact(unknown), ", "),
		"is no known GPU: use "+strings.Join(gpuResources, ", ")+" or "+migPrefix+"-…, or name it in annotation "+AnnotationGPUResourceTypes)}
}
