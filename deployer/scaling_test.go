package deployer

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// scaled renders a custom predictor with the given fields of spec.predictor (as
// YAML) and annotations, without their common prefix.
func scaled(t *testing.T, fields string, annotations map[string]string) (Objects, error) {
	t.Helper()
	isvc := &v1beta1.InferenceService{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(fields), &isvc.Spec.Predictor))
	isvc.ObjectMeta = metav1.ObjectMeta{Name: "iris", Namespace: "models", Annotations: map[string]string{}}
	for k, v := range annotations {
		if k != v1beta1.AnnotationAutoscalerClass && k != deadlineAnnotation {
			k = knativePrefix + k
		}
		isvc.Annotations[k] = v
	}
	c := v1beta1.Container{Image: "registry.example.com/own:1"}.Core()
	isvc.Spec.Predictor.Containers = append(isvc.Spec.Predictor.Containers, c)
	return Render(Input{
		Service: isvc, Component: Predictor, Config: DefaultConfig(),
		Revision: Revision{Name: "iris-predictor-00001", Number: 1}, Ports: map[int32]int32{80: 10000},
	})
}

// TestActivatorsRaiseNoScaleThatIsSomebodyElses: with KEDA and external a minimum of
// zero says that requests are to wake the component.
func TestActivatorsRaiseNoScaleThatIsSomebodyElses(t *testing.T) {
	for name, row := range map[string]struct {
		class  string
		fields string
		keep   bool
	}{
		"rawserve's own":         {"", "{minReplicas: 0}", false},
		"its own, above zero":    {"", "", false},
		"an HPA":                 {"hpa", "", true},
		"an HPA, zero or not":    {"hpa", "{minReplicas: 0}", true},
		"nobody":                 {"none", "", true},
		"nobody, at zero":        {"none", "{minReplicas: 0}", true},
		"external from zero":     {"external", "{minReplicas: 0}", false},
		"external, nothing said": {"external", "", true},
		"KEDA from zero":         {"keda", "{minReplicas: 0}", false},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{}
			if row.class != "" {
				annotations[v1beta1.AnnotationAutoscalerClass] = row.class
			}
			o, err := scaled(t, row.fields, annotations)
			require.NoError(t, err)
			keep := o.Route.Spec.Targets[0].KeepScale
			require.Equal(t, row.keep, keep != nil && *keep)
		})
	}
}

// TestScalerMapping checks what each field and annotation becomes in the Scaler,
// as its spec without the parts that are always the same.
func TestScalerMapping(t *testing.T) {
	for name, row := range map[string]struct {
		fields      string
		annotations map[string]string
		want        string
		initial     int32
	}{
		"nothing said":                           {"", nil, `{minReplicas: 1, metrics: [{name: concurrency}]}`, 1},
		"scale to zero":                          {"{minReplicas: 0}", nil, `{minReplicas: 0, metrics: [{name: concurrency}]}`, 1},
		"bounds":                                 {"{minReplicas: 2, maxReplicas: 5}", nil, `{minReplicas: 2, maxReplicas: 5, initialReplicas: 2, metrics: [{name: concurrency}]}`, 2},
		"a target of concurrency":                {"{scaleMetric: concurrency, scaleTarget: 4}", nil, `{minReplicas: 1, metrics: [{name: concurrency, target: "4"}]}`, 1},
		"a target of requests per second":        {"{scaleMetric: rps, scaleTarget: 40}", nil, `{minReplicas: 1, metrics: [{name: rps, target: "40"}]}`, 1},
		"a hard limit":                           {"{containerConcurrency: 3}", nil, `{minReplicas: 1, containerConcurrency: 3, metrics: [{name: concurrency}]}`, 1},
		"bounds by annotation":                   {"", map[string]string{"min-scale": "0", "max-scale": "7"}, `{minReplicas: 0, maxReplicas: 7, metrics: [{name: concurrency}]}`, 1},
		"bounds by annotation, former spelling":  {"", map[string]string{"minScale": "3", "maxScale": "7"}, `{minReplicas: 3, maxReplicas: 7, initialReplicas: 3, metrics: [{name: concurrency}]}`, 3},
		"a field wins over its annotation":       {"{minReplicas: 0, maxReplicas: 4, scaleMetric: rps, scaleTarget: 9}", map[string]string{"min-scale": "3", "max-scale": "9", "metric": "concurrency", "target": "1"}, `{minReplicas: 0, maxReplicas: 4, metrics: [{name: rps, target: "9"}]}`, 1},
		"the present spelling wins":              {"", map[string]string{"min-scale": "1", "minScale": "2"}, `{minReplicas: 1, metrics: [{name: concurrency}]}`, 1},
		"a fraction of a request":                {"", map[string]string{"target": "0.5"}, `{minReplicas: 1, metrics: [{name: concurrency, target: 500m}]}`, 1},
		"metric and utilization":                 {"", map[string]string{"metric": "rps", "target": "150", "target-utilization-percentage": "80"}, `{minReplicas: 1, metrics: [{name: rps, target: "150", targetUtilizationPercentage: 80}]}`, 1},
		"windows":                                {"", map[string]string{"window": "2m", "panic-window-percentage": "5.0", "panic-threshold-percentage": "300"}, `{minReplicas: 1, stableWindow: 2m0s, burstWindowPercentage: 5, burstThresholdPercentage: 300, metrics: [{name: concurrency}]}`, 1},
		"delays":                                 {"", map[string]string{"scale-down-delay": "15m", "scale-to-zero-pod-retention-period": "42s"}, `{minReplicas: 1, scaleDownDelay: 15m0s, scaleToZeroPodRetentionPeriod: 42s, metrics: [{name: concurrency}]}`, 1},
		"no delay is a wish too":                 {"", map[string]string{"scale-down-delay": "0s"}, `{minReplicas: 1, scaleDownDelay: 0s, metrics: [{name: concurrency}]}`, 1},
		"burst capacity, former spelling":        {"", map[string]string{"targetBurstCapacity": "200"}, `{minReplicas: 1, targetBurstCapacity: 200, metrics: [{name: concurrency}]}`, 1},
		"activators always in the path":          {"", map[string]string{"target-burst-capacity": "-1"}, `{minReplicas: 1, targetBurstCapacity: -1, metrics: [{name: concurrency}]}`, 1},
		"no first replica":                       {"{minReplicas: 0}", map[string]string{"initial-scale": "0"}, `{minReplicas: 0, initialReplicas: 0, metrics: [{name: concurrency}]}`, 0},
		"no first replica, but a least number":   {"{minReplicas: 2}", map[string]string{"initial-scale": "0"}, `{minReplicas: 2, initialReplicas: 2, metrics: [{name: concurrency}]}`, 2},
		"more first replicas than allowed":       {"{maxReplicas: 3}", map[string]string{"initial-scale": "5"}, `{minReplicas: 1, maxReplicas: 3, initialReplicas: 3, metrics: [{name: concurrency}]}`, 3},
		"activation scale":                       {"{minReplicas: 0}", map[string]string{"activation-scale": "3"}, `{minReplicas: 0, activationReplicas: 3, metrics: [{name: concurrency}]}`, 1},
		"activation scale above the bound":       {"{minReplicas: 0, maxReplicas: 2}", map[string]string{"activation-scale": "3"}, `{minReplicas: 0, maxReplicas: 2, activationReplicas: 2, metrics: [{name: concurrency}]}`, 1},
		"progress deadline":                      {"", map[string]string{deadlineAnnotation: "1h"}, `{minReplicas: 1, progressDeadline: 1h0m0s, metrics: [{name: concurrency}]}`, 1},
		"a least number above an annotated most": {"{minReplicas: 5}", map[string]string{"max-scale": "3"}, `{minReplicas: 5, maxReplicas: 5, initialReplicas: 5, metrics: [{name: concurrency}]}`, 5},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := scaled(t, row.fields, row.annotations)
			require.NoError(t, err)
			require.Equal(t, AutoscalerOwn, o.Class)
			require.Equal(t, row.initial, o.InitialReplicas)

			want := map[string]any{
				"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "iris-predictor"},
				"routeName":      "iris-predictor", "maxReplicas": 0.0, "initialReplicas": 1.0,
			}
			require.NoError(t, yaml.Unmarshal([]byte(row.want), &want))
			got, err := convert[map[string]any](o.Scaler.Spec)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestBadAnnotationsAreNamedAndIgnored(t *testing.T) {
	for key, value := range map[string]string{
		"min-scale": "-1", "max-scale": "many", "initial-scale": "1.5", "activation-scale": "0",
		"target": "0.001", "target-utilization-percentage": "101", "target-burst-capacity": "-0.5",
		"window": "61m", "panic-window-percentage": "NaN", "panic-threshold-percentage": "109",
		"scale-down-delay": "1500ms", "scale-to-zero-pod-retention-period": "-1s",
		"metric": "gpu", "metric-aggregation-algorithm": "weighted-exponential", deadlineAnnotation: "0s",
	} {
		t.Run(key, func(t *testing.T) {
			o, err := scaled(t, "", map[string]string{key: value})
			require.NoError(t, err)
			require.Len(t, o.Warnings, 1)
			require.Contains(t, o.Warnings[0].Field, key)
			require.Contains(t, o.Warnings[0].Message, value)
			plain, err := scaled(t, "", nil)
			require.NoError(t, err)
			require.Equal(t, plain.Scaler.Spec, o.Scaler.Spec)
		})
	}
}

// TestValuesBeyondWhatAScalerTakesAreNamed: the API server would refuse the Scaler.
func TestValuesBeyondWhatAScalerTakesAreNamed(t *testing.T) {
	o, err := scaled(t, "", map[string]string{deadlineAnnotation: "48h"})
	require.NoError(t, err)
	require.Equal(t, 24*time.Hour, o.Scaler.Spec.ProgressDeadline.Duration)
	require.Len(t, o.Warnings, 1)
	require.Contains(t, o.Warnings[0].Message, "24h")

	o, err = scaled(t, "", map[string]string{"target": "2e9"})
	require.NoError(t, err)
	require.Nil(t, o.Scaler.Spec.Metrics[0].Target)
	require.Len(t, o.Warnings, 1)
	require.Contains(t, o.Warnings[0].Message, "2e9")
}

func TestBadScalingFieldsAreErrors(t *testing.T) {
	for fields, field := range map[string]string{
		"{minReplicas: -1}":                   "spec.predictor.minReplicas",
		"{maxReplicas: -1}":                   "spec.predictor.maxReplicas",
		"{minReplicas: 3, maxReplicas: 2}":    "spec.predictor.minReplicas",
		"{scaleMetric: rps, scaleTarget: 0}":  "spec.predictor.scaleTarget",
		"{containerConcurrency: -1}":          "spec.predictor.containerConcurrency",
		"{timeout: -1}":                       "spec.predictor.timeout",
		"{terminationGracePeriodSeconds: -1}": "spec.predictor.terminationGracePeriodSeconds",
		"{autoScaling: {metrics: [{type: Resource, resource: {name: cpu, target: {type: Value, value: 3}}}]}}": "spec.predictor.autoScaling.metrics[0].resource.target",
	} {
		_, err := scaled(t, fields, nil)
		var e *RenderError
		require.ErrorAs(t, err, &e, fields)
		require.Equal(t, field, e.Field)
		require.Equal(t, ReasonInvalidSpec, e.Reason)
	}
}

func TestWhoScales(t *testing.T) {
	class := func(c string) map[string]string { return map[string]string{v1beta1.AnnotationAutoscalerClass: c} }
	for name, row := range map[string]struct {
		fields      string
		annotations map[string]string
		class       AutoscalerClass
		agent       bool
		replicas    *int32
	}{
		"nothing said":                      {"", nil, AutoscalerOwn, true, nil},
		"CPU":                               {"{scaleMetric: cpu}", nil, "hpa", false, nil},
		"CPU by annotation":                 {"", map[string]string{"metric": "cpu"}, "hpa", false, nil},
		"Knative's HPA class":               {"", map[string]string{"class": "hpa.autoscaling.knative.dev"}, "hpa", false, nil},
		"resource metrics":                  {"{autoScaling: {metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}", nil, "hpa", false, nil},
		"an HPA on requests":                {"{scaleMetric: rps}", class("hpa"), "hpa", true, nil},
		"an HPA on CPU with a hard limit":   {"{containerConcurrency: 1}", class("hpa"), "hpa", true, nil},
		"nobody":                            {"{minReplicas: 0}", class("none"), "none", false, ptr(0)},
		"nobody, with the default":          {"", class("none"), "none", false, ptr(1)},
		"somebody else":                     {"", class("external"), "external", false, nil},
		"somebody else who may go to zero":  {"{minReplicas: 0}", class("external"), "external", true, nil},
		"somebody else who counts requests": {"{scaleMetric: concurrency}", class("external"), "external", true, nil},
		"KEDA":                              {"", class("keda"), "keda", false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := scaled(t, row.fields, row.annotations)
			require.NoError(t, err)
			require.Equal(t, row.class, o.Class)
			require.Equal(t, row.agent, o.Agent)
			require.Equal(t, row.replicas, o.Deployment.Spec.Replicas)
			require.Equal(t, row.class == AutoscalerOwn, o.Scaler != nil)
			require.Equal(t, row.class == "hpa", o.HPA != nil)
		})
	}
	_, err := scaled(t, "", class("kpa"))
	require.ErrorContains(t, err, `"kpa" is no autoscaler class`)
}

func ptr(n int32) *int32 { return &n }

// TestHPAMapping checks what becomes of targets and bounds in an HPA: the metrics,
// the greatest number, and the fields that are warned about.
func TestHPAMapping(t *testing.T) {
	const (
		ofCPU    = "[{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: %s}}}]"
		ofMemory = "[{type: Resource, resource: {name: memory, target: {type: %s}}}]"
	)
	cpu := func(percent string) string { return strings.Replace(ofCPU, "%s", percent, 1) }
	memory := func(target string) string { return strings.Replace(ofMemory, "%s", target, 1) }
	requests := func(average string) string {
		return "[{type: Pods, pods: {metric: {name: inference_concurrency}, target: {type: AverageValue, averageValue: " + average + "}}}]"
	}
	const target = "metadata.annotations[autoscaling.knative.dev/target]"
	knative := func(more ...string) map[string]string {
		m := map[string]string{"class": "hpa.autoscaling.knative.dev"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	kserve := func(more ...string) map[string]string {
		m := knative(more...)
		delete(m, "class")
		m[v1beta1.AnnotationAutoscalerClass] = "hpa"
		return m
	}
	for name, row := range map[string]struct {
		fields      string
		annotations map[string]string
		metrics     string
		most        int32
		warnings    []string
	}{
		"KServe's default":                        {"", kserve(), cpu("80"), 1, nil},
		"KServe's CPU":                            {"{maxReplicas: 3, scaleMetric: cpu, scaleTarget: 60}", nil, cpu("60"), 3, nil},
		"KServe's memory, in percent":             {"{maxReplicas: 3, scaleMetric: memory, scaleTarget: 60}", nil, memory("Utilization, averageUtilization: 60"), 3, nil},
		"KServe's memory without a target":        {"{maxReplicas: 3, scaleMetric: memory}", nil, "", 3, []string{"spec.predictor.scaleTarget"}},
		"Knative's default is CPU, without bound": {"", knative("target", "70"), cpu("70"), math.MaxInt32, nil},
		"Knative's CPU":                           {"", knative("metric", "cpu", "target", "70", "max-scale", "4"), cpu("70"), 4, nil},
		"Knative's CPU, without a class":          {"", map[string]string{"metric": "cpu", "target": "70"}, cpu("70"), math.MaxInt32, nil},
		"Knative's memory, in Mi":                 {"", knative("metric", "memory", "target", "500.5", "max-scale", "0"), memory("AverageValue, averageValue: 501Mi"), math.MaxInt32, nil},
		"Knative's memory without a target":       {"", knative("metric", "memory"), "", math.MaxInt32, []string{"spec.predictor.scaleTarget"}},
		"Knative's bound on the field":            {"{maxReplicas: 2}", knative("metric", "memory", "target", "500"), memory("AverageValue, averageValue: 500Mi"), 2, nil},
		"a field's target is KServe's":            {"{scaleTarget: 60}", knative("metric", "memory", "target", "500"), memory("Utilization, averageUtilization: 60"), math.MaxInt32, nil},
		"KServe's class bounds Knative's metric":  {"", kserve("metric", "cpu", "target", "70"), cpu("70"), 1, nil},
		"a target left over from concurrency":     {"{maxReplicas: 4}", kserve("target", "10"), cpu("80"), 4, []string{target}},
		"left over beside KServe's CPU":           {"{maxReplicas: 4, scaleMetric: cpu}", map[string]string{"target": "10"}, cpu("80"), 4, []string{target}},
		"left over, but of concurrency again":     {"{maxReplicas: 4, scaleMetric: concurrency}", kserve("target", "10"), requests(`"7"`), 4, nil},
		"KServe's metrics, beside what is left of Knative's": {"{autoScaling: {metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}",
			map[string]string{"metric": "concurrency", "target": "10"}, cpu("50"), 1, nil},
		"a limit a little below the target": {"{maxReplicas: 4, scaleMetric: concurrency, containerConcurrency: 10}", kserve("target", "10.5"), requests(`"7"`), 4, nil},
		"left over with its metric":         {"{maxReplicas: 4}", kserve("metric", "concurrency", "target", "10"), requests(`"7"`), 4, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := scaled(t, row.fields, row.annotations)
			require.NoError(t, err)
			require.NotNil(t, o.HPA)
			require.Equal(t, row.most, *o.HPA.Spec.MaxReplicas)
			var want []any
			require.NoError(t, yaml.Unmarshal([]byte(row.metrics), &want))
			got, err := convert[map[string]any](o.HPA.Spec)
			require.NoError(t, err)
			metrics, _ := got["metrics"].([]any)
			require.Equal(t, want, metrics)
			var fields []string
			for _, w := range o.Warnings {
				fields = append(fields, w.Field)
			}
			require.Equal(t, row.warnings, fields)
		})
	}
}

// TestDrainEndsBeforeTheGracePeriod guards the server's own time to stop.
func TestDrainEndsBeforeTheGracePeriod(t *testing.T) {
	for _, grace := range []int64{0, 1, 5, 6, 8, 30, 3600} {
		o, err := scaled(t, "{terminationGracePeriodSeconds: "+strconv.FormatInt(grace, 10)+"}", nil)
		require.NoError(t, err)
		pod := o.Deployment.Spec.Template.Spec
		var quiet, timeout time.Duration
		for _, a := range pod.InitContainers[0].Args {
			if d, ok := cutDuration(a, "--drain-quiet="); ok {
				quiet = d
			}
			if d, ok := cutDuration(a, "--drain-timeout="); ok {
				timeout = d
			}
		}
		if grace <= 5 {
			require.Zero(t, timeout)
			require.Nil(t, pod.Containers[0].Lifecycle)
			require.Len(t, o.Warnings, 1)
			continue
		}
		require.Equal(t, time.Duration(grace-5)*time.Second, timeout)
		require.Positive(t, quiet)
		require.LessOrEqual(t, quiet, timeout)
		require.Equal(t, "/drain", *pod.Containers[0].Lifecycle.PreStop.HTTPGet.Path)
	}
}

// TestAStoppingPodHasTimeForTheLongestRequest: kubelet kills at the end of the grace
// period, whatever is still being generated.
func TestAStoppingPodHasTimeForTheLongestRequest(t *testing.T) {
	for name, row := range map[string]struct {
		fields string
		grace  int64
		drain  time.Duration
	}{
		"nothing said":                        {"", 605, 600 * time.Second},
		"no limit of a request":               {"{timeout: 0}", 605, 600 * time.Second},
		"requests shorter than the default":   {"{timeout: 60}", 605, 600 * time.Second},
		"longer requests":                     {"{timeout: 1800}", 1805, 1800 * time.Second},
		"the user's word":                     {"{terminationGracePeriodSeconds: 30}", 30, 25 * time.Second},
		"the user's word and longer requests": {"{terminationGracePeriodSeconds: 30, timeout: 1800}", 30, 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := scaled(t, row.fields, nil)
			require.NoError(t, err)
			pod := o.Deployment.Spec.Template.Spec
			require.Equal(t, row.grace, *pod.TerminationGracePeriodSeconds)
			require.Contains(t, pod.InitContainers[0].Args, "--drain-timeout="+row.drain.String())
		})
	}
	o, err := scaled(t, "{scaleMetric: cpu}", nil)
	require.NoError(t, err)
	require.Nil(t, o.Deployment.Spec.Template.Spec.TerminationGracePeriodSeconds, "without an agent nothing drains")
}

// TestAServerThatHangsIsRestartedNoLaterForIt: the requests inside never end, so
// the drain before a restart lasts for all of the grace period.
func TestAServerThatHangsIsRestartedNoLaterForIt(t *testing.T) {
	const probes = "containers: [{image: own, livenessProbe: {tcpSocket: {port: 1}}, startupProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 7}}]"
	grace := func(fields string) (liveness, startup *int64) {
		isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: "iris", Namespace: "models"}}
		require.NoError(t, yaml.UnmarshalStrict([]byte(fields), &isvc.Spec.Predictor))
		w, err := build(Input{Service: v1beta1.Default(isvc, v1beta1.StockDefaults()), Component: Predictor, Config: DefaultConfig()}, true)
		require.NoError(t, err)
		require.Nil(t, w.server().ReadinessProbe.TerminationGracePeriodSeconds, "Kubernetes refuses it")
		return w.server().LivenessProbe.TerminationGracePeriodSeconds, w.server().StartupProbe.TerminationGracePeriodSeconds
	}
	liveness, startup := grace("{" + probes + "}")
	require.EqualValues(t, 30, *liveness)
	require.EqualValues(t, 7, *startup, "the user's word")
	liveness, _ = grace("{terminationGracePeriodSeconds: 60, " + probes + "}")
	require.Nil(t, liveness, "the pod's is the user's word too")
}

func TestTheTimeToDrainIsConfigured(t *testing.T) {
	c := DefaultConfig().Agent
	c.DrainTimeout, c.DrainReserve = metav1.Duration{Duration: 20 * time.Minute}, metav1.Duration{Duration: 1500 * time.Millisecond}
	require.EqualValues(t, 1202, c.grace(time.Minute), "in whole seconds")
	require.EqualValues(t, 3602, c.grace(time.Hour))
	for _, d := range []time.Duration{0, c.DrainQuiet.Duration - 1, 8 * 24 * time.Hour} {
		config := DefaultConfig()
		config.Agent.DrainTimeout.Duration = d
		require.ErrorContains(t, config.Validate(), "agent.drainTimeout", d)
	}
}

func cutDuration(arg, prefix string) (time.Duration, bool) {
	if len(arg) < len(prefix) || arg[:len(prefix)] != prefix {
		return 0, false
	}
	d, err := time.ParseDuration(arg[len(prefix):])
	return d, err == nil
}
