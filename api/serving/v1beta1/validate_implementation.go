package v1beta1

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateImplementation checks that a predictor has exactly one implementation.
// Beside a model, containers are sidecars, unless one claims to be the server.
func validateImplementation(p *PredictorSpec, path *field.Path) field.ErrorList {
	var names []string
	for _, m := range p.models() {
		names = append(names, m.name)
	}
	if hasContainer(p.Containers, ContainerServer) {
		names = append(names, "the container named "+ContainerServer)
	}
	switch {
	case len(names) > 1:
		return field.ErrorList{field.Forbidden(path.Child(fieldOf(names[1])),
			"a predictor has exactly one implementation, and "+strings.Join(names, ", ")+" are set: keep one of them")}
	case len(names) == 0 && len(p.Containers) == 0:
		return field.ErrorList{field.Required(path,
			"a predictor needs exactly one implementation: set model, a framework shorthand such as sklearn, or containers")}
	}
	return nil
}

// fieldOf returns the field of an implementation as validateImplementation names it.
func fieldOf(name string) string {
	if strings.HasSuffix(name, ContainerServer) {
		return "containers"
	}
	return name
}

func validateModels(p *PredictorSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Model != nil && p.Model.ModelFormat.Name == "" {
		errs = append(errs, field.Required(path.Child("model", "modelFormat", "name"), "set the model's format, for example sklearn"))
	}
	for _, m := range p.models() {
		at := path.Child(m.name)
		if m.Name != "" {
			errs = append(errs, field.Forbidden(at.Child("name"), "the container's name is fixed for a model: remove name"))
		}
		if v := m.ProtocolVersion; v != nil && !slices.Contains(protocols, *v) {
			errs = append(errs, field.NotSupported(at.Child("protocolVersion"), *v, protocols))
		}
		errs = append(errs, validateEnv(m.Env, at.Child("env"))...)
		errs = append(errs, validateEitherStorage(p.StorageURIs, deref(m.StorageURI), path)...)
		if c := m.Confidential; c != nil && c.Enabled && deref(m.StorageURI) == "" {
			errs = append(errs, field.Required(at.Child("storageUri"), "confidential is enabled and needs a model to decrypt: set storageUri"))
		}
	}
	if p.IsCustom() {
		errs = append(errs, validateEitherStorage(p.StorageURIs, customStorage(p.Containers), path)...)
	}
	return errs
}

// protocols are all protocols.
var protocols = []ProtocolVersion{ProtocolV1, ProtocolV2, ProtocolGRPCV1, ProtocolGRPCV2}

// validateTransformerBeside checks a transformer in the predictor's own pod: the
// model belongs to the server beside it.
func validateTransformerBeside(containers []corev1.Container, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range containers {
		if containers[i].Name == ContainerTransformer && findEnv(containers[i].Env, EnvStorageURI) != nil {
			errs = append(errs, field.Forbidden(path.Index(i).Child("env"),
				"a transformer beside the server must not set STORAGE_URI: set it on the server, or storageUri on the model"))
		}
	}
	return errs
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
