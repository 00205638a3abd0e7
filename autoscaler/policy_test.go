package autoscaler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

func TestAPolicyErrorNamesTheFieldAndTheRemedy(t *testing.T) {
	count := func(n int32) *int32 { return &n }
	big := func(n int64) *int64 { return &n }
	quantity := func(s string) *resource.Quantity { q := resource.MustParse(s); return &q }
	span := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	for name, c := range map[string]struct {
		change func(*v1alpha1.ScalerSpec)
		want   string
	}{
		"no target":                {func(s *v1alpha1.ScalerSpec) { s.ScaleTargetRef.Name = "" }, "spec.scaleTargetRef.name: Required value: name the Deployment"},
		"not a Deployment":         {func(s *v1alpha1.ScalerSpec) { s.ScaleTargetRef.Kind = "StatefulSet" }, `spec.scaleTargetRef.kind: Unsupported value: "StatefulSet"`},
		"zero without a route":     {func(s *v1alpha1.ScalerSpec) { s.MinReplicas = count(0) }, "spec.minReplicas: Invalid value: 0: needs routeName"},
		"minimum above maximum":    {func(s *v1alpha1.ScalerSpec) { s.MinReplicas, s.MaxReplicas = count(3), 2 }, "spec.minReplicas: Invalid value: 3: is above maxReplicas 2"},
		"negative minimum":         {func(s *v1alpha1.ScalerSpec) { s.MinReplicas = count(-1) }, "spec.minReplicas: Invalid value: -1: must be 0 or more"},
		"negative maximum":         {func(s *v1alpha1.ScalerSpec) { s.MaxReplicas = -1 }, "spec.maxReplicas"},
		"activation above maximum": {func(s *v1alpha1.ScalerSpec) { s.ActivationReplicas, s.MaxReplicas = count(5), 2 }, "spec.activationReplicas: Invalid value: 5: is above maxReplicas 2"},
		"no activation":            {func(s *v1alpha1.ScalerSpec) { s.ActivationReplicas = count(0) }, "spec.activationReplicas: Invalid value: 0: must be 1 or more"},
		"negative initial":         {func(s *v1alpha1.ScalerSpec) { s.InitialReplicas = count(-2) }, "spec.initialReplicas"},
		"unknown metric":           {func(s *v1alpha1.ScalerSpec) { s.Metrics = []v1alpha1.ScalerMetric{{Name: "gpu"}} }, `spec.metrics[0].name: Unsupported value: "gpu"`},
		"a metric twice":           {func(s *v1alpha1.ScalerSpec) { s.Metrics = []v1alpha1.ScalerMetric{{Name: "rps"}, {Name: "rps"}} }, "spec.metrics[1].name: Duplicate value"},
		"target of nothing": {func(s *v1alpha1.ScalerSpec) {
			s.Metrics = []v1alpha1.ScalerMetric{{Name: "rps", Target: quantity("1m")}}
		}, "spec.metrics[0].target: Invalid value: \"1m\": must be at least 0.01"},
		"utilization above all": {func(s *v1alpha1.ScalerSpec) {
			s.Metrics = []v1alpha1.ScalerMetric{{Name: "rps", TargetUtilizationPercentage: count(101)}}
		}, "spec.metrics[0].targetUtilizationPercentage: Invalid value: 101: must be between 1 and 100"},
		"negative limit":            {func(s *v1alpha1.ScalerSpec) { s.ContainerConcurrency = -1 }, "spec.containerConcurrency"},
		"short window":              {func(s *v1alpha1.ScalerSpec) { s.StableWindow = span(5 * time.Second) }, "spec.stableWindow: Invalid value: \"5s\": must be between 6s and 1h"},
		"window of parts":           {func(s *v1alpha1.ScalerSpec) { s.StableWindow = span(6500 * time.Millisecond) }, "spec.stableWindow: Invalid value: \"6.5s\": must be whole seconds"},
		"burst window of nothing":   {func(s *v1alpha1.ScalerSpec) { s.BurstWindowPercentage = count(0) }, "spec.burstWindowPercentage"},
		"low threshold":             {func(s *v1alpha1.ScalerSpec) { s.BurstThresholdPercentage = count(100) }, "spec.burstThresholdPercentage: Invalid value: 100: must be between 110 and 1000"},
		"no growth":                 {func(s *v1alpha1.ScalerSpec) { s.MaxScaleUpRate = quantity("1") }, "spec.maxScaleUpRate: Invalid value: \"1\": must be above 1"},
		"no shrinking":              {func(s *v1alpha1.ScalerSpec) { s.MaxScaleDownRate = quantity("0.5") }, "spec.maxScaleDownRate"},
		"delay of a day":            {func(s *v1alpha1.ScalerSpec) { s.ScaleDownDelay = span(24 * time.Hour) }, "spec.scaleDownDelay: Invalid value: \"24h0m0s\": must be between 0s and 1h"},
		"no grace":                  {func(s *v1alpha1.ScalerSpec) { s.ScaleToZeroGracePeriod = span(0) }, "spec.scaleToZeroGracePeriod"},
		"retention below nothing":   {func(s *v1alpha1.ScalerSpec) { s.ScaleToZeroPodRetentionPeriod = span(-time.Second) }, "spec.scaleToZeroPodRetentionPeriod"},
		"burst capacity of minus 2": {func(s *v1alpha1.ScalerSpec) { s.TargetBurstCapacity = big(-2) }, "spec.targetBurstCapacity"},
		"no deadline":               {func(s *v1alpha1.ScalerSpec) { s.ProgressDeadline = span(0) }, "spec.progressDeadline"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := v1alpha1.ScalerSpec{ScaleTargetRef: v1alpha1.ScaleTargetRef{Name: "iris"}}
			c.change(&spec)
			_, errs := PolicyFrom(spec)
			require.Len(t, errs, 1)
			require.ErrorContains(t, errs[0], c.want)
		})
	}
}
