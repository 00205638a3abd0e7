package v1beta1

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateExtension checks what all components have in common.
func validateExtension(isvc *InferenceService, e *ComponentExtensionSpec, path *field.Path) field.ErrorList {
	errs := validateBounds(e, path)
	errs = append(errs, validateLogger(e.Logger, path.Child("logger"))...)
	errs = append(errs, validateMetrics(e.AutoScaling, path.Child("autoScaling", "metrics"))...)
	if mode := DeploymentMode(isvc.Annotations[AnnotationDeploymentMode]); CurrentDeploymentMode(mode) == ModeKnative {
		return append(errs, validateKnative(e, path)...)
	}
	switch AutoscalerClass(isvc.Annotations[AnnotationAutoscalerClass]) {
	case AutoscalerClassHPA:
		errs = append(errs, validateHPA(e, path)...)
	case AutoscalerClassKEDA:
		errs = append(errs, validateKEDA(e, path)...)
	}
	return errs
}

func validateBounds(e *ComponentExtensionSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	notNegative := func(name string, value int64) {
		if value < 0 {
			errs = append(errs, field.Invalid(path.Child(name), value, "must be 0 or more"))
		}
	}
	if e.MinReplicas != nil {
		notNegative("minReplicas", int64(*e.MinReplicas))
		if e.MaxReplicas > 0 && *e.MinReplicas > e.MaxReplicas {
			errs = append(errs, field.Invalid(path.Child("minReplicas"), *e.MinReplicas,
				"must not be above maxReplicas: raise maxReplicas, or remove it for no upper bound"))
		}
	}
	notNegative("maxReplicas", int64(e.MaxReplicas))
	if t := e.ScaleTarget; t != nil && (*t < 1 || *t > maxScaleTarget) {
		errs = append(errs, field.Invalid(path.Child("scaleTarget"), *t, fmt.Sprintf("must be between 1 and %d", maxScaleTarget)))
	}
	if e.ContainerConcurrency != nil {
		notNegative("containerConcurrency", *e.ContainerConcurrency)
	}
	if e.TimeoutSeconds != nil {
		notNegative("timeout", *e.TimeoutSeconds)
	}
	if p := e.CanaryTrafficPercent; p != nil && (*p < 0 || *p > 100) {
		errs = append(errs, field.Invalid(path.Child("canaryTrafficPercent"), *p, "must be between 0 and 100"))
	}
	if m := e.ScaleMetric; m != nil && !slices.Contains(scaleMetrics, *m) {
		errs = append(errs, field.NotSupported(path.Child("scaleMetric"), *m, scaleMetrics))
	}
	return errs
}

// maxScaleTarget is the largest target that an autoscaler takes.
const maxScaleTarget = 1_000_000_000

// scaleMetrics are the values that scaleMetric may have.
var scaleMetrics = []ScaleMetric{MetricCPU, MetricMemory, MetricConcurrency, MetricRPS}

// loggerModes are the values that logger.mode may have.
var loggerModes = []LoggerMode{LogAll, LogRequest, LogResponse}

func validateLogger(l *LoggerSpec, path *field.Path) field.ErrorList {
	if l == nil {
		return nil
	}
	var errs field.ErrorList
	switch {
	case l.Mode == "":
		errs = append(errs, field.Required(path.Child("mode"), "set all, request or response"))
	case !slices.Contains(loggerModes, l.Mode):
		errs = append(errs, field.NotSupported(path.Child("mode"), l.Mode, loggerModes))
	}
	if s := l.Storage; s != nil {
		for _, part := range []struct {
			name    string
			missing bool
		}{
			{"path", deref(s.Path) == ""},
			{"parameters", s.Parameters == nil},
			{"key", deref(s.StorageKey) == ""},
		} {
			if part.missing {
				errs = append(errs, field.Required(path.Child("storage", part.name), "a store as the sink needs path, parameters and key"))
			}
		}
	}
	return errs
}

// validateMetrics checks that each metric has the field that its type names.
func validateMetrics(a *AutoScalingSpec, path *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	var errs field.ErrorList
	for i, m := range a.Metrics {
		name, missing := "", false
		switch m.Type {
		case SourceResource:
			name, missing = "resource", m.Resource == nil
		case SourceExternal:
			name, missing = "external", m.External == nil
		case SourcePodMetric:
			name, missing = "podmetric", m.PodMetric == nil
		default:
			errs = append(errs, field.NotSupported(path.Index(i).Child("type"), m.Type,
				[]MetricSourceType{SourceResource, SourceExternal, SourcePodMetric}))
		}
		if missing {
			errs = append(errs, field.Required(path.Index(i).Child(name), "type names it: set it, or change type"))
		}
	}
	return errs
}

// validateKnative checks what only services in Knative mode may not do.
func validateKnative(e *ComponentExtensionSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e.DeploymentStrategy != nil {
		errs = append(errs, field.Forbidden(path.Child("deploymentStrategy"), "only Standard mode has Deployments: remove it or change the mode"))
	}
	if m := e.ScaleMetric; m != nil && *m != MetricConcurrency && *m != MetricRPS {
		errs = append(errs, field.NotSupported(path.Child("scaleMetric"), *m, []ScaleMetric{MetricConcurrency, MetricRPS}))
	}
	return errs
}

// validateHPA checks what an HPA can do. KServe knows only CPU and memory there;
// rawserve serves concurrency and rps as custom metrics, so they pass.
func validateHPA(e *ComponentExtensionSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t := e.ScaleTarget; t != nil {
		percent := e.ScaleMetric == nil || *e.ScaleMetric == MetricCPU || *e.ScaleMetric == MetricMemory
		if percent && *t > 100 {
			errs = append(errs, field.Invalid(path.Child("scaleTarget"), *t, "is percent of the requested resource: set 1 to 100"))
		}
	}
	if e.AutoScaling == nil {
		return errs
	}
	for i, m := range e.AutoScaling.Metrics {
		if m.Type != SourceResource {
			errs = append(errs, field.NotSupported(path.Child("autoScaling", "metrics").Index(i).Child("type"), m.Type, []MetricSourceType{SourceResource}))
		}
	}
	return errs
}

func validateKEDA(e *ComponentExtensionSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e.ScaleMetric != nil {
		errs = append(errs, field.Forbidden(path.Child("scaleMetric"), "KEDA reads autoScaling.metrics: move the metric there"))
	}
	if e.AutoScaling == nil {
		return errs
	}
	for i, m := range e.AutoScaling.Metrics {
		at := path.Child("autoScaling", "metrics").Index(i)
		switch {
		case m.Resource != nil && m.Type == SourceResource:
			errs = append(errs, validateKEDAResource(m.Resource, at.Child("resource"))...)
		case m.External != nil && m.Type == SourceExternal:
			errs = append(errs, validateQuery(m.External.Metric.Query, m.External.Target, at.Child("external"))...)
		case m.PodMetric != nil && m.Type == SourcePodMetric:
			errs = append(errs, validateQuery(m.PodMetric.Metric.Query, m.PodMetric.Target, at.Child("podmetric"))...)
		}
	}
	return errs
}

// leastMemory is the smallest memory target that makes sense.
var leastMemory = resource.MustParse("1Mi")

func validateKEDAResource(r *ResourceMetricSource, path *field.Path) field.ErrorList {
	at := path.Child("target")
	switch {
	case r.Name != ResourceMetricCPU && r.Name != ResourceMetricMemory:
		return field.ErrorList{field.NotSupported(path.Child("name"), r.Name, []ResourceMetric{ResourceMetricCPU, ResourceMetricMemory})}
	case r.Target.Type == TargetUtilization:
		return validateUtilization(r.Target.AverageUtilization, at.Child("averageUtilization"))
	case r.Name == ResourceMetricCPU:
		return field.ErrorList{field.NotSupported(at.Child("type"), r.Target.Type, []MetricTargetType{TargetUtilization})}
	case r.Target.Type != TargetAverageValue:
		return field.ErrorList{field.NotSupported(at.Child("type"), r.Target.Type, []MetricTargetType{TargetUtilization, TargetAverageValue})}
	case r.Target.AverageValue == nil:
		return field.ErrorList{field.Required(at.Child("averageValue"), "the target's type is AverageValue: set it, for example 512Mi")}
	case r.Target.AverageValue.Cmp(leastMemory) < 0:
		return field.ErrorList{field.Invalid(at.Child("averageValue"), r.Target.AverageValue.String(), "must be 1Mi or more")}
	}
	return nil
}

func validateUtilization(percent *int32, path *field.Path) field.ErrorList {
	switch {
	case percent == nil:
		return field.ErrorList{field.Required(path, "the target's type is Utilization: set 1 to 100 percent")}
	case *percent < 1 || *percent > 100:
		return field.ErrorList{field.Invalid(path, *percent, "must be between 1 and 100 percent")}
	}
	return nil
}

func validateQuery(query string, target MetricTarget, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if query == "" {
		errs = append(errs, field.Required(path.Child("metric", "query"), "set what is asked"))
	}
	if target.Value == nil {
		errs = append(errs, field.Required(path.Child("target", "value"), "set the threshold"))
	}
	if target.Type == TargetAverageValue && target.AverageValue == nil {
		errs = append(errs, field.Required(path.Child("target", "averageValue"), "the target's type is AverageValue: set it"))
	}
	if target.Type == TargetUtilization {
		errs = append(errs, validateUtilization(target.AverageUtilization, path.Child("target", "averageUtilization"))...)
	}
	return errs
}
