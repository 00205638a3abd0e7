package deployer_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

func hashOf(t *testing.T, change func(*world)) string {
	t.Helper()
	return hashOfCase(t, "shorthand-sklearn", change)
}

func hashOfCase(t *testing.T, name string, change func(*world)) string {
	t.Helper()
	w := readWorld(t, "testdata/"+name+"/in.yaml")
	if change != nil {
		change(w)
	}
	in, err := w.input()
	require.NoError(t, err)
	hash, err := deployer.RevisionHash(in)
	require.NoError(t, err)
	return hash
}

func TestWhatMakesARevision(t *testing.T) {
	base := hashOf(t, nil)
	for name, change := range map[string]func(*world){
		"another model": func(w *world) { uri := "gs://bucket/other"; w.isvc.Spec.Predictor.SKLearn.StorageURI = &uri },
		"more memory": func(w *world) {
			w.isvc.Spec.Predictor.SKLearn.Resources.Limits = corev1.ResourceList{"memory": resource.MustParse("4Gi")}
		},
		"another image":         func(w *world) { v := "v9"; w.isvc.Spec.Predictor.SKLearn.RuntimeVersion = &v },
		"an argument":           func(w *world) { w.isvc.Spec.Predictor.SKLearn.Args = []string{"--workers=2"} },
		"a label that pods get": func(w *world) { w.isvc.Labels = map[string]string{"team": "a"} },
		"a concurrency limit":   func(w *world) { one := int64(1); w.isvc.Spec.Predictor.ContainerConcurrency = &one },
		"an edit of the runtime": func(w *world) {
			for i := range w.clusters {
				w.clusters[i].Spec.Containers[0].Image += "-patched"
			}
		},
	} {
		t.Run(name, func(t *testing.T) { require.NotEqual(t, base, hashOf(t, change)) })
	}
}

func TestWhereAStorageSpecPointsMakesARevision(t *testing.T) {
	base := hashOfCase(t, "storage-spec", nil)
	for name, change := range map[string]func(*world){
		"another key": func(w *world) {
			w.secrets[0].Data["other"] = w.secrets[0].Data["minio"]
			key := "other"
			w.isvc.Spec.Predictor.Model.Storage.StorageKey = &key
		},
		"another secret": func(w *world) {
			w.secrets[0].Name = "mine"
			w.isvc.Annotations = map[string]string{v1beta1.AnnotationStorageSecretName: "mine"}
		},
		"another endpoint": func(w *world) {
			(*w.isvc.Spec.Predictor.Model.Storage.Parameters)["endpoint_url"] = "https://other.example.com"
		},
	} {
		t.Run(name, func(t *testing.T) { require.NotEqual(t, base, hashOfCase(t, "storage-spec", change)) })
	}
	require.Equal(t, base, hashOfCase(t, "storage-spec", func(w *world) {
		w.secrets[0].Data["unused"] = []byte("{}")
	}), "what the model does not use")
}

func TestWhatMakesNoRevision(t *testing.T) {
	base := hashOf(t, nil)
	annotate := func(name, value string) func(*world) {
		return func(w *world) { w.isvc.Annotations = map[string]string{name: value} }
	}
	for name, change := range map[string]func(*world){
		"bounds of scaling": func(w *world) {
			zero := int32(0)
			w.isvc.Spec.Predictor.MinReplicas, w.isvc.Spec.Predictor.MaxReplicas = &zero, 9
		},
		"a target of scaling": func(w *world) {
			metric, target := v1beta1.MetricConcurrency, int32(5)
			w.isvc.Spec.Predictor.ScaleMetric, w.isvc.Spec.Predictor.ScaleTarget = &metric, &target
		},
		"a scaling annotation":         annotate("autoscaling.knative.dev/window", "90s"),
		"another preference of zones":  annotate("rawserve.dev/traffic-distribution", "PreferSameZone"),
		"Kubernetes' word for it":      annotate("service.kubernetes.io/topology-mode", "Auto"),
		"another autoscaler":           annotate(v1beta1.AnnotationAutoscalerClass, "external"),
		"what kubectl notes":           annotate("kubectl.kubernetes.io/last-applied-configuration", "{}"),
		"a time-out":                   func(w *world) { s := int64(9); w.isvc.Spec.Predictor.TimeoutSeconds = &s },
		"another version of the agent": func(w *world) { w.config.Agent.Image = "rawserve/rawserve:next" },
		"another version of the initializer": func(w *world) {
			w.config.StorageInitializer.Image = "rawserve/rawserve:next"
		},
		"a runtime that is not used": func(w *world) { w.clusters = append(w.clusters, offer("other", byHand)) },
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, base, hashOf(t, change)) })
	}
}
