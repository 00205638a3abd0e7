package v1beta1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateCanaries checks the further versions of the predictor against each
// other and against the stable one.
func validateCanaries(isvc *InferenceService, path *field.Path) field.ErrorList {
	if len(isvc.Spec.Canary) == 0 {
		return nil
	}
	var errs field.ErrorList
	if mode, ok := isvc.Annotations[AnnotationDeploymentMode]; ok && CurrentDeploymentMode(DeploymentMode(mode)) != ModeStandard {
		errs = append(errs, field.Forbidden(path, "only Standard mode has it: change annotation "+AnnotationDeploymentMode))
	}
	stable := &isvc.Spec.Predictor
	names := map[string]bool{}
	var total int64
	for i := range isvc.Spec.Canary {
		c := &isvc.Spec.Canary[i]
		at := path.Index(i)
		errs = append(errs, validateCanaryName(c.Predictor.Name, stable.Name, names, at.Child("predictor", "name"))...)
		if c.TrafficPercent < 0 || c.TrafficPercent > 100 {
			errs = append(errs, field.Invalid(at.Child("trafficPercent"), c.TrafficPercent, "must be between 0 and 100"))
		}
		total += int64(c.TrafficPercent)
		errs = append(errs, validatePredictor(isvc, &c.Predictor, at.Child("predictor"))...)
		errs = append(errs, validateCanaryScale(&c.Predictor, stable, at.Child("predictor"))...)
	}
	if total > 100 {
		errs = append(errs, field.Invalid(path, total, "the trafficPercent of all entries must add up to at most 100: lower one of them"))
	}
	return errs
}

func validateCanaryName(name, stable string, taken map[string]bool, path *field.Path) field.ErrorList {
	switch {
	case name == "":
		return field.ErrorList{field.Required(path, "name the version: it becomes part of its Deployment's name")}
	case name == stable:
		return field.ErrorList{field.Invalid(path, name, "is the stable predictor's name: choose another")}
	case taken[name]:
		return field.ErrorList{field.Duplicate(path, name)}
	}
	taken[name] = true
	return nil
}

// validateCanaryScale checks that a canary is not scaled: it runs minReplicas, or
// its share of the stable predictor's.
func validateCanaryScale(c, stable *PredictorSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, part := range []struct {
		name string
		set  bool
		why  string
	}{
		{"workerSpec", c.WorkerSpec != nil, "a canary cannot span several nodes: remove it"},
		{"maxReplicas", c.MaxReplicas > 0, "a canary runs a fixed number of replicas: remove it"},
		{"scaleTarget", c.ScaleTarget != nil, "a canary runs a fixed number of replicas: remove it"},
		{"scaleMetric", c.ScaleMetric != nil, "a canary runs a fixed number of replicas: remove it"},
		{"autoScaling", c.AutoScaling != nil, "a canary runs a fixed number of replicas: remove it"},
	} {
		if part.set {
			errs = append(errs, field.Forbidden(path.Child(part.name), part.why))
		}
	}
	most := int32(1)
	if stable.MinReplicas != nil {
		most = *stable.MinReplicas
	}
	if c.MinReplicas != nil && *c.MinReplicas > most {
		errs = append(errs, field.Invalid(path.Child("minReplicas"), *c.MinReplicas,
			fmt.Sprintf("must not be above the stable predictor's %d: lower it", most)))
	}
	return errs
}
