package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

// anyScaler returns a manifest with this specification.
func anyScaler(spec string) string {
	return "{apiVersion: rawserve.dev/v1alpha1, kind: Scaler, metadata: {generateName: a-}, spec: " + spec + "}"
}

// policyErrors says what the autoscaler has against a manifest.
func policyErrors(t *testing.T, manifest string) error {
	t.Helper()
	var s v1alpha1.Scaler
	require.NoError(t, yaml.UnmarshalStrict([]byte(manifest), &s))
	_, errs := autoscaler.PolicyFrom(s.Spec)
	return errs.ToAggregate()
}

func TestRulesOfScalersRejectWithFieldAndRemedy(t *testing.T) {
	c := start(t)
	tests := map[string]struct {
		manifest string
		want     []string
	}{
		"no target":                       {anyScaler("{}"), []string{"spec.scaleTargetRef", "Required"}},
		"a target without a name":         {anyScaler("{scaleTargetRef: {name: ''}}"), []string{"spec.scaleTargetRef.name"}},
		"a target of another kind":        {anyScaler("{scaleTargetRef: {name: a, kind: StatefulSet}}"), []string{"spec.scaleTargetRef.kind", `"Deployment"`}},
		"a minimum above the maximum":     {scaler("minReplicas: 3, maxReplicas: 2"), []string{"minReplicas must not be above maxReplicas"}},
		"a negative minimum":              {scaler("minReplicas: -1"), []string{"spec.minReplicas"}},
		"a negative maximum":              {scaler("maxReplicas: -1"), []string{"spec.maxReplicas"}},
		"zero without a route":            {anyScaler("{scaleTargetRef: {name: a}, minReplicas: 0}"), []string{"minReplicas 0 needs routeName"}},
		"activation above the maximum":    {scaler("activationReplicas: 3, maxReplicas: 2"), []string{"activationReplicas must not be above maxReplicas", "raise maxReplicas"}},
		"activation of nothing":           {scaler("activationReplicas: 0"), []string{"spec.activationReplicas"}},
		"an unknown metric":               {scaler("metrics: [{name: gpu}]"), []string{"spec.metrics[0].name", `"concurrency"`}},
		"a metric twice":                  {scaler("metrics: [{name: rps}, {name: rps}]"), []string{"spec.metrics[1]", "Duplicate"}},
		"a target of next to nothing":     {scaler("metrics: [{name: rps, target: 9m}]"), []string{"spec.metrics[0].target", "0.01"}},
		"a target of nothing":             {scaler("metrics: [{name: rps, target: 0}]"), []string{"spec.metrics[0].target", "0.01"}},
		"an absurd target":                {scaler("metrics: [{name: rps, target: 2G}]"), []string{"spec.metrics[0].target", "1e9"}},
		"more than all utilization":       {scaler("metrics: [{name: rps, targetUtilizationPercentage: 101}]"), []string{"targetUtilizationPercentage"}},
		"a window too short":              {scaler("stableWindow: 5s"), []string{"spec.stableWindow", "6s to 1h"}},
		"a window too long":               {scaler("stableWindow: 61m"), []string{"spec.stableWindow", "6s to 1h"}},
		"a window of parts of a second":   {scaler("stableWindow: 6.5s"), []string{"spec.stableWindow", "whole seconds"}},
		"a delay too long":                {scaler("scaleDownDelay: 24h"), []string{"spec.scaleDownDelay", "0s to 1h"}},
		"a retention too long":            {scaler("scaleToZeroPodRetentionPeriod: 3601s"), []string{"spec.scaleToZeroPodRetentionPeriod", "0s to 1h"}},
		"no grace":                        {scaler("scaleToZeroGracePeriod: 0s"), []string{"spec.scaleToZeroGracePeriod", "1s to 1h"}},
		"no deadline":                     {scaler("progressDeadline: 0s"), []string{"spec.progressDeadline", "1s to 24h"}},
		"a deadline of days":              {scaler("progressDeadline: 25h"), []string{"spec.progressDeadline", "1s to 24h"}},
		"no growth":                       {scaler("maxScaleUpRate: 1"), []string{"spec.maxScaleUpRate", "above 1"}},
		"no growth, as text":              {scaler("maxScaleUpRate: '1.0'"), []string{"spec.maxScaleUpRate", "above 1"}},
		"no shrinking":                    {scaler("maxScaleDownRate: '0.5'"), []string{"spec.maxScaleDownRate", "above 1"}},
		"absurd growth":                   {scaler("maxScaleUpRate: 1e10"), []string{"spec.maxScaleUpRate"}},
		"a burst window of nothing":       {scaler("burstWindowPercentage: 0"), []string{"spec.burstWindowPercentage"}},
		"a burst threshold below the aim": {scaler("burstThresholdPercentage: 109"), []string{"spec.burstThresholdPercentage"}},
		"an unknown burst capacity":       {scaler("targetBurstCapacity: -2"), []string{"spec.targetBurstCapacity"}},
		"a negative limit":                {scaler("containerConcurrency: -1"), []string{"spec.containerConcurrency"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c.requireInvalid(t, scalers, test.manifest, test.want)
			require.Error(t, policyErrors(t, test.manifest), "the server refuses what the autoscaler would take")
		})
	}
	// What the autoscaler has no need to check.
	c.requireInvalid(t, scalers, anyScaler("{scaleTargetRef: {name: a, apiVersion: apps/v1beta1}}"), []string{"spec.scaleTargetRef.apiVersion"})
	c.requireInvalid(t, scalers, anyScaler("{scaleTargetRef: {name: a}, routeName: '', minReplicas: 0}"),
		[]string{"spec.routeName", "minReplicas 0 needs routeName"})
}

func TestTheServerTakesWhatTheAutoscalerTakes(t *testing.T) {
	c := start(t)
	for name, fields := range map[string]string{
		"nothing":                     "paused: false",
		"the shortest of everything":  "stableWindow: 6s, scaleDownDelay: 0s, scaleToZeroGracePeriod: 1s, scaleToZeroPodRetentionPeriod: 0s, progressDeadline: 1s",
		"the longest of everything":   "stableWindow: 1h, scaleDownDelay: 60m, scaleToZeroGracePeriod: 1h0m0s, scaleToZeroPodRetentionPeriod: 3600s, progressDeadline: 24h0m0s",
		"seconds in other units":      "stableWindow: 1.5m, scaleDownDelay: 2000ms",
		"the least targets and rates": "maxScaleUpRate: '1.001', maxScaleDownRate: 1001m, metrics: [{name: concurrency, target: '0.01'}, {name: rps, target: 10m}]",
		"the largest":                 "maxScaleUpRate: 1e9, maxScaleDownRate: 1000000000, metrics: [{name: concurrency, target: 1G}, {name: rps, target: 1000000000}]",
		"activation without a bound":  "activationReplicas: 50, maxReplicas: 0",
		"activation at the bound":     "activationReplicas: 5, maxReplicas: 5",
		"zero":                        "minReplicas: 0",
	} {
		t.Run(name, func(t *testing.T) {
			manifest := scaler(fields)
			require.NoError(t, policyErrors(t, manifest))
			_, err := c.create(t, scalers, manifest)
			require.NoError(t, err)
		})
	}
}

func TestMisspeltFieldsOfScalersAreRejectedByName(t *testing.T) {
	c := start(t)
	for field, manifest := range map[string]string{
		"spec.minReplica":           scaler("minReplica: 1"),
		"spec.scaleTargetRef.names": anyScaler("{scaleTargetRef: {name: a, names: b}}"),
		"spec.metrics[0].targets":   scaler("metrics: [{name: rps, targets: 1}]"),
	} {
		t.Run(field, func(t *testing.T) { c.requireUnknown(t, scalers, manifest, field) })
	}
}

func TestDefaultsOfScalers(t *testing.T) {
	c := start(t)
	stored, err := c.create(t, scalers, anyScaler("{scaleTargetRef: {name: a}}"))
	require.NoError(t, err)
	// The others are the autoscaler's, so that a later release can change them.
	require.Equal(t, map[string]any{
		"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
		"minReplicas":    int64(1),
	}, stored.Object["spec"])
}

func TestColumnsOfScalers(t *testing.T) {
	client, namespace := startTyped(t)
	created, err := client.RawserveV1alpha1().Scalers(namespace).Create(t.Context(), &v1alpha1.Scaler{
		ObjectMeta: metav1.ObjectMeta{Name: "iris"},
		Spec:       v1alpha1.ScalerSpec{ScaleTargetRef: v1alpha1.ScaleTargetRef{Name: "iris-predictor"}, MaxReplicas: 3},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RawserveV1alpha1().Scalers(namespace).Patch(t.Context(), created.Name, types.MergePatchType,
		[]byte(`{"status": {"desiredReplicas": 2, "readyReplicas": 1, "path": "Direct", "reason": "FollowsDemand", "message": "Because."}}`), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	got := tableOf(t, client.RawserveV1alpha1().RESTClient(), namespace, "scalers")
	require.Equal(t, []string{"Name", "Target", "Min", "Max", "Desired", "Ready", "Path", "Reason", "Message", "Age"}, got.columns)
	require.Equal(t, []any{"iris", "iris-predictor", 1.0, 3.0, 2.0, 1.0, "Direct", "FollowsDemand", "Because."}, got.cells[:9])
}
