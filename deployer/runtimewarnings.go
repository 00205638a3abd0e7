package deployer

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// RuntimeWarnings says what its model's user should know about a chosen runtime:
// what is wrong with the runtime, as one from before a rule of the CRD may be, and
// which runtime of the same scope would have been as good a choice, so that the
// next model of the format may get that one. others are all runtimes of the scope.
func RuntimeWarnings(isvc *v1beta1.InferenceService, chosen *ChosenRuntime, others []v1alpha1.NamedRuntime) []Warning {
	if chosen == nil {
		return nil
	}
	const at = "spec.predictor.model.runtime"
	var out []Warning
	for _, e := range v1alpha1.ValidateRuntime(&chosen.Spec, field.NewPath("spec")) {
		out = append(out, Warning{at, fmt.Sprintf("runtime %q is not valid: %s", chosen.Ref.Name, e)})
	}
	model := isvc.Spec.Predictor.Model
	if model == nil || model.Runtime != nil && *model.Runtime != "" {
		return out
	}
	spec := chosen.Spec
	spec.SupportedModelFormats = nil
	for _, f := range chosen.Spec.SupportedModelFormats {
		if f.Name == model.ModelFormat.Name && (model.ModelFormat.Version == nil || f.Version != nil && *f.Version == *model.ModelFormat.Version) {
			spec.SupportedModelFormats = append(spec.SupportedModelFormats, f)
		}
	}
	for _, e := range v1alpha1.ValidateRuntimeAmong(chosen.Ref.Name, &spec, others, nil) {
		out = append(out, Warning{at, fmt.Sprintf("runtime %q was chosen among equals: %s, or name a runtime here", chosen.Ref.Name, e.Detail)})
	}
	return out
}
