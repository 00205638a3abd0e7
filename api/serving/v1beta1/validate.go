package v1beta1

import (
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxServiceName is how long the name of a Service may be.
const maxServiceName = 63

var namePattern = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// Validate returns everything that is wrong with isvc, as far as the object
// alone tells; it takes defaulted and other objects alike. The CRD's own rules
// are among it, for objects that never passed an API server. What needs the
// runtime or the storage (the URI's scheme, say) is left to the deployer.
func Validate(isvc *InferenceService) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateMeta(isvc)
	errs = append(errs, validatePredictor(isvc, &isvc.Spec.Predictor, spec.Child("predictor"))...)
	errs = append(errs, validateWorker(isvc, spec.Child("predictor"))...)
	if t := isvc.Spec.Transformer; t != nil {
		errs = append(errs, validateTransformer(isvc, t, spec.Child("transformer"))...)
	}
	if e := isvc.Spec.Explainer; e != nil {
		errs = append(errs, validateExplainer(isvc, e, spec.Child("explainer"))...)
	}
	return append(errs, validateCanaries(isvc, spec.Child("canary"))...)
}

func annotationPath(key string) *field.Path {
	return field.NewPath("metadata", "annotations").Key(key)
}

func validateMeta(isvc *InferenceService) field.ErrorList {
	var errs field.ErrorList
	name := field.NewPath("metadata", "name")
	// A name that the server is yet to generate cannot be judged.
	if isvc.Name != "" || isvc.GenerateName == "" {
		if !namePattern.MatchString(isvc.Name) {
			errs = append(errs, field.Invalid(name, isvc.Name,
				"must start with a lower-case letter and hold only lower-case letters, digits and hyphens: it becomes part of Service names"))
		}
		for _, service := range serviceNames(isvc) {
			if len(service) > maxServiceName {
				errs = append(errs, field.Invalid(name, isvc.Name, fmt.Sprintf(
					"its Service %s would have %d characters, and %d is the limit: shorten the name", service, len(service), maxServiceName)))
			}
		}
	}
	if class, ok := isvc.Annotations[AnnotationAutoscalerClass]; ok && !slices.Contains(autoscalerClasses, AutoscalerClass(class)) {
		errs = append(errs, field.NotSupported(annotationPath(AnnotationAutoscalerClass), AutoscalerClass(class), autoscalerClasses))
	}
	return errs
}

// autoscalerClasses are the values that the annotation may have.
var autoscalerClasses = []AutoscalerClass{AutoscalerClassHPA, AutoscalerClassKEDA, AutoscalerClassExternal, AutoscalerClassNone}

func serviceNames(isvc *InferenceService) []string {
	predictor := func(name string) string {
		if name == "" {
			return isvc.Name + "-predictor"
		}
		return isvc.Name + "-" + name + "-predictor"
	}
	names := []string{predictor(isvc.Spec.Predictor.Name)}
	for i := range isvc.Spec.Canary {
		names = append(names, predictor(isvc.Spec.Canary[i].Predictor.Name))
	}
	if isvc.Spec.Transformer != nil {
		names = append(names, isvc.Name+"-transformer")
	}
	if isvc.Spec.Explainer != nil {
		names = append(names, isvc.Name+"-explainer")
	}
	return names
}

func validatePredictor(isvc *InferenceService, p *PredictorSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Name != "" && !namePattern.MatchString(p.Name) {
		errs = append(errs, field.Invalid(path.Child("name"), p.Name,
			"must start with a lower-case letter and hold only lower-case letters, digits and hyphens"))
	}
	errs = append(errs, validateImplementation(p, path)...)
	errs = append(errs, validateModels(p, path)...)
	errs = append(errs, validatePod(&p.PodSpec, path)...)
	errs = append(errs, validateTransformerBeside(p.Containers, path.Child("containers"))...)
	errs = append(errs, validateStorageURIs(p.StorageURIs, path.Child("storageUris"))...)
	return append(errs, validateExtension(isvc, &p.ComponentExtensionSpec, path)...)
}

func validateTransformer(isvc *InferenceService, t *TransformerSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(t.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), "add one container with the transformer's image"))
	}
	errs = append(errs, validatePod(&t.PodSpec, path)...)
	errs = append(errs, validateStorageURIs(t.StorageURIs, path.Child("storageUris"))...)
	errs = append(errs, validateEitherStorage(t.StorageURIs, customStorage(t.Containers), path)...)
	return append(errs, validateExtension(isvc, &t.ComponentExtensionSpec, path)...)
}

func validateExplainer(isvc *InferenceService, e *ExplainerSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	storage := customStorage(e.Containers)
	switch {
	case e.ART != nil && len(e.Containers) > 0:
		errs = append(errs, field.Forbidden(path.Child("containers"), "art is set, and an explainer has one implementation: remove art or containers"))
	case e.ART != nil:
		storage = e.ART.StorageURI
		errs = append(errs, validateEnv(e.ART.Env, path.Child("art", "env"))...)
	case len(e.Containers) == 0:
		errs = append(errs, field.Required(path, "an explainer needs an implementation: set art or containers"))
	}
	errs = append(errs, validatePod(&e.PodSpec, path)...)
	errs = append(errs, validateStorageURIs(e.StorageURIs, path.Child("storageUris"))...)
	errs = append(errs, validateEitherStorage(e.StorageURIs, storage, path)...)
	return append(errs, validateExtension(isvc, &e.ComponentExtensionSpec, path)...)
}

func validatePod(p *PodSpec, path *field.Path) field.ErrorList {
	errs := validateContainers(p.InitContainers, path.Child("initContainers"))
	return append(errs, validateContainers(p.Containers, path.Child("containers"))...)
}

func validateContainers(containers []corev1.Container, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range containers {
		errs = append(errs, validateEnv(containers[i].Env, path.Index(i).Child("env"))...)
	}
	return errs
}

func validateEnv(env []corev1.EnvVar, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range env {
		if env[i].Name == EnvPythonPath {
			errs = append(errs, field.Forbidden(path.Index(i), "PYTHONPATH could replace the server's code: build the path into the image"))
		}
	}
	return errs
}
