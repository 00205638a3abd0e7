package v1alpha1

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// ValidateRuntime returns everything that is wrong with a runtime, as far as the
// object alone tells. The path of its specification is path.
func ValidateRuntime(spec *ServingRuntimeSpec, path *field.Path) field.ErrorList {
	errs := validatePod(&spec.ServingRuntimePodSpec, path)
	errs = append(errs, validateFormats(spec, path.Child("supportedModelFormats"))...)
	w := spec.WorkerSpec
	if w == nil {
		return errs
	}
	at := path.Child("workerSpec")
	errs = append(errs, validatePod(&w.ServingRuntimePodSpec, at)...)
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
	return errs
}

// NamedRuntime is a runtime of the same scope.
//
// +k8s:openapi-gen=false
// +kubebuilder:object:generate=false
type NamedRuntime struct {
	// Name of the runtime.
	Name string
	// Spec of the runtime.
	Spec *ServingRuntimeSpec
}

// ValidateRuntimeAmong returns where a runtime would compete with another of its
// scope on equal terms, so that it would be left to chance which one a model gets:
// both enabled, alike in multiModel, with a protocol in common, and with the same
// priority for the same format and version.
func ValidateRuntimeAmong(name string, spec *ServingRuntimeSpec, others []NamedRuntime, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, other := range others {
		if other.Name == name || !compete(spec, other.Spec) {
			continue
		}
		for i, mine := range spec.SupportedModelFormats {
			for _, theirs := range other.Spec.SupportedModelFormats {
				if !ties(mine, theirs) {
					continue
				}
				errs = append(errs, field.Invalid(path.Child("supportedModelFormats").Index(i).Child("priority"), *mine.Priority,
					fmt.Sprintf("runtime %s has the same priority for %s: raise or lower one of them", other.Name, describe(mine))))
			}
		}
	}
	return errs
}

func compete(a, b *ServingRuntimeSpec) bool {
	return !isTrue(a.Disabled) && !isTrue(b.Disabled) &&
		isTrue(a.MultiModel) == isTrue(b.MultiModel) &&
		shareProtocol(a.ProtocolVersions, b.ProtocolVersions)
}

// shareProtocol says whether a model may find both runtimes by its protocol. A
// runtime without protocols speaks any.
func shareProtocol(a, b []v1beta1.ProtocolVersion) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(p v1beta1.ProtocolVersion) bool { return slices.Contains(b, p) })
}

func ties(a, b SupportedModelFormat) bool {
	return isTrue(a.AutoSelect) && isTrue(b.AutoSelect) &&
		a.Name == b.Name && version(a) == version(b) &&
		a.Priority != nil && b.Priority != nil && *a.Priority == *b.Priority
}

// validateFormats checks that an enabled runtime has one priority for each format
// name: selection reads only the first entry of that name.
func validateFormats(spec *ServingRuntimeSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	first := map[string]int32{}
	for i, f := range spec.SupportedModelFormats {
		at := path.Index(i)
		if f.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), "set the format's name, for example sklearn"))
		}
		if f.Priority == nil {
			continue
		}
		if *f.Priority < 1 {
			errs = append(errs, field.Invalid(at.Child("priority"), *f.Priority, "must be 1 or more"))
		}
		if !isTrue(f.AutoSelect) || isTrue(spec.Disabled) {
			continue
		}
		if p, ok := first[f.Name]; ok && p != *f.Priority {
			errs = append(errs, field.Invalid(at.Child("priority"), *f.Priority,
				fmt.Sprintf("another version of %s has priority %d: use the same for all versions", f.Name, p)))
			continue
		}
		first[f.Name] = *f.Priority
	}
	return errs
}

func validatePod(pod *ServingRuntimePodSpec, path *field.Path) field.ErrorList {
	if len(pod.Containers) == 0 {
		return field.ErrorList{field.Required(path.Child("containers"), "add the container of the server, named "+v1beta1.ContainerServer)}
	}
	var errs field.ErrorList
	for i := range pod.Containers {
		errs = append(errs, validateEnv(pod.Containers[i].Env, path.Child("containers").Index(i).Child("env"))...)
	}
	return errs
}

func validateEnv(env []corev1.EnvVar, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range env {
		if env[i].Name == v1beta1.EnvPythonPath {
			errs = append(errs, field.Forbidden(path.Index(i), "PYTHONPATH could replace the server's code: build the path into the image"))
		}
	}
	return errs
}

func isTrue(b *bool) bool { return b != nil && *b }

func version(f SupportedModelFormat) string {
	if f.Version == nil {
		return ""
	}
	return *f.Version
}

func describe(f SupportedModelFormat) string {
	if v := version(f); v != "" {
		return f.Name + " " + v
	}
	return f.Name
}
