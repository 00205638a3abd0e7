package v1beta1

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestDefaultsMatchTheGoldenFiles(t *testing.T) {
	for name, manifest := range manifests(t) {
		t.Run(name, func(t *testing.T) {
			got, err := yaml.Marshal(Default(decode(t, manifest), StockDefaults()))
			require.NoError(t, err)
			golden := filepath.Join("testdata", "defaulted", name+".yaml")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
				require.NoError(t, os.WriteFile(golden, got, 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err, "run the test with -update")
			require.Equal(t, string(want), string(got))
		})
	}
}

func TestDefaultingTwiceChangesNothing(t *testing.T) {
	for name, manifest := range manifests(t) {
		t.Run(name, func(t *testing.T) {
			before := decode(t, manifest)
			given := before.DeepCopy()
			once := Default(before, StockDefaults())
			require.Equal(t, given, before, "the object given must not change")
			require.Equal(t, once, Default(once, StockDefaults()))
		})
	}
}

func TestDefaults(t *testing.T) {
	v1 := ProtocolV1
	tests := map[string]struct {
		edit   func(*InferenceService)
		config DefaultsConfig
		check  func(*testing.T, *InferenceService)
	}{
		"the old name of the mode is rewritten": {
			edit: func(i *InferenceService) {
				i.Annotations = map[string]string{AnnotationDeploymentMode: "RawDeployment"}
			},
			check: func(t *testing.T, i *InferenceService) {
				require.Equal(t, "Standard", i.Annotations[AnnotationDeploymentMode])
			},
		},
		"the mode of the configuration is written under its present name": {
			config: DefaultsConfig{DeploymentMode: ModeRawDeployment},
			check: func(t *testing.T, i *InferenceService) {
				require.Equal(t, "Standard", i.Annotations[AnnotationDeploymentMode])
			},
		},
		"knative as the configured mode is not written": {
			config: DefaultsConfig{DeploymentMode: ModeServerless},
			check: func(t *testing.T, i *InferenceService) {
				require.NotContains(t, i.Annotations, AnnotationDeploymentMode)
			},
		},
		"a given protocol stays": {
			edit: func(i *InferenceService) {
				i.Spec.Predictor = PredictorSpec{Triton: &PredictorExtensionSpec{ProtocolVersion: &v1}}
			},
			check: func(t *testing.T, i *InferenceService) {
				require.Equal(t, ProtocolV1, *i.Spec.Predictor.Model.ProtocolVersion)
			},
		},
		"the format onnx gets no protocol but by its shorthand": {
			edit: func(i *InferenceService) {
				i.Spec.Predictor = PredictorSpec{Model: &ModelSpec{ModelFormat: ModelFormat{Name: "onnx"}}}
			},
			check: func(t *testing.T, i *InferenceService) {
				require.Nil(t, i.Spec.Predictor.Model.ProtocolVersion)
			},
		},
		"a model format annotation of the user stays": {
			edit: func(i *InferenceService) { i.Annotations = map[string]string{AnnotationModelFormat: "mine"} },
			check: func(t *testing.T, i *InferenceService) {
				require.Equal(t, "mine", i.Annotations[AnnotationModelFormat])
			},
		},
		"two implementations stay as they are": {
			edit: func(i *InferenceService) { i.Spec.Predictor.ONNX = &PredictorExtensionSpec{} },
			check: func(t *testing.T, i *InferenceService) {
				require.NotNil(t, i.Spec.Predictor.SKLearn)
				require.NotNil(t, i.Spec.Predictor.ONNX)
				require.Nil(t, i.Spec.Predictor.Model)
			},
		},
		"an empty predictor stays empty": {
			edit: func(i *InferenceService) { i.Spec.Predictor = PredictorSpec{} },
			check: func(t *testing.T, i *InferenceService) {
				require.Equal(t, PredictorSpec{}, i.Spec.Predictor)
			},
		},
		"a transformer listed before the server is not taken for it": {
			edit: func(i *InferenceService) {
				i.Spec.Predictor = PredictorSpec{PodSpec: PodSpec{Containers: []corev1.Container{
					{Name: ContainerTransformer}, {Name: ContainerServer},
				}}}
			},
			config: StockDefaults(),
			check: func(t *testing.T, i *InferenceService) {
				containers := i.Spec.Predictor.Containers
				require.Equal(t, ContainerTransformer, containers[0].Name)
				require.Empty(t, containers[0].Resources)
				require.Equal(t, ContainerServer, containers[1].Name)
				require.Equal(t, "2Gi", containers[1].Resources.Limits.Memory().String())
			},
		},
		"sidecars of a model get neither name nor resources": {
			edit: func(i *InferenceService) {
				i.Spec.Predictor.Containers = []corev1.Container{{Name: "sidecar"}}
			},
			config: StockDefaults(),
			check: func(t *testing.T, i *InferenceService) {
				require.Equal(t, []corev1.Container{{Name: "sidecar"}}, i.Spec.Predictor.Containers)
			},
		},
		"a default gives way to a smaller limit and a larger request": {
			edit: func(i *InferenceService) {
				i.Spec.Predictor = PredictorSpec{PodSpec: PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
				}}}}}
			},
			config: StockDefaults(),
			check: func(t *testing.T, i *InferenceService) {
				resources := i.Spec.Predictor.Containers[0].Resources
				require.Equal(t, "4", resources.Limits.Cpu().String())
				require.Equal(t, "512Mi", resources.Requests.Memory().String())
			},
		},
		"the token is not mounted where the pod does not say": {
			edit: func(i *InferenceService) {
				mount := true
				i.Spec.Transformer = &TransformerSpec{PodSpec: PodSpec{AutomountServiceAccountToken: &mount}}
			},
			config: DefaultsConfig{NoServiceAccountToken: true},
			check: func(t *testing.T, i *InferenceService) {
				require.False(t, *i.Spec.Predictor.AutomountServiceAccountToken)
				require.True(t, *i.Spec.Transformer.AutomountServiceAccountToken)
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			isvc := minimal()
			if test.edit != nil {
				test.edit(isvc)
			}
			test.check(t, Default(isvc, test.config))
		})
	}
}

// minimal returns a valid service that sets nothing but what it must.
func minimal() *InferenceService {
	uri := "gs://bucket/model"
	isvc := &InferenceService{}
	isvc.Name = "iris"
	isvc.Spec.Predictor.SKLearn = &PredictorExtensionSpec{StorageURI: &uri}
	return isvc
}

func FuzzDefaultAndValidateNeverPanic(f *testing.F) {
	for _, manifest := range manifests(f) {
		f.Add(manifest)
	}
	f.Add([]byte(`{"spec": {"predictor": {"mlflow": {}}}}`))
	f.Add([]byte(`{"spec": {"default": {"predictor": {"sklearn": {"storageUri": "gs://x"}}}}}`))
	f.Add([]byte(`{"spec": {"predictor": {"workerSpec": {}}, "canary": [{}, {"predictor": {"containers": [{}]}}]}}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		isvc := &InferenceService{}
		if yaml.Unmarshal(manifest, isvc) != nil {
			return
		}
		given := isvc.DeepCopy()
		Validate(isvc)
		defaulted := Default(isvc, StockDefaults())
		Validate(defaulted)
		require.Equal(t, given, isvc, "the object given must not change")
		require.Equal(t, defaulted, Default(defaulted, StockDefaults()))
	})
}
