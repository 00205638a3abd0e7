package v1beta1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// predictorWith returns a manifest whose predictor has these YAML flow fields.
func predictorWith(fields string) string {
	return "metadata: {name: iris}\nspec: {predictor: {" + fields + "}}"
}

// withClass adds the autoscaler class to a manifest's annotations.
func withClass(class, manifest string) string {
	return strings.Replace(manifest, "{name: iris}", "{name: iris, annotations: {serving.kserve.io/autoscalerClass: "+class+"}}", 1)
}

func withMode(mode, manifest string) string {
	return strings.Replace(manifest, "{name: iris}", "{name: iris, annotations: {serving.kserve.io/deploymentMode: "+mode+"}}", 1)
}

func TestValidateNamesTheFieldAndTheRemedy(t *testing.T) {
	tests := map[string]struct {
		manifest string
		want     []string
	}{
		"a name with a capital": {
			"metadata: {name: Iris}\nspec: {predictor: {sklearn: {}}}", []string{"metadata.name", "lower-case"}},
		"a name that makes too long a service": {
			"metadata: {name: " + strings.Repeat("a", 54) + "}\nspec: {predictor: {sklearn: {}}}", []string{"metadata.name", "64 characters", "shorten"}},
		"an autoscaler class that does not exist": {
			withClass("kpa", predictorWith("sklearn: {}")), []string{"autoscalerClass", "kpa", "keda"}},
		"no implementation": {
			predictorWith(""), []string{"spec.predictor", "exactly one implementation", "set model"}},
		"two implementations": {
			predictorWith("sklearn: {}, onnx: {}"), []string{"spec.predictor.onnx", "sklearn, onnx", "keep one"}},
		"a model and a server": {
			predictorWith("sklearn: {}, containers: [{name: kserve-container}]"), []string{"spec.predictor.containers", "keep one"}},
		"a model without a format": {
			predictorWith("model: {storageUri: gs://x}"), []string{"spec.predictor.model.modelFormat.name", "for example"}},
		"a named container in a shorthand": {
			predictorWith("sklearn: {name: server}"), []string{"spec.predictor.sklearn.name", "remove"}},
		"an unknown protocol": {
			predictorWith("sklearn: {protocolVersion: v3}"), []string{"spec.predictor.sklearn.protocolVersion", "grpc-v2"}},
		"a python path in a model": {
			predictorWith("sklearn: {env: [{name: PYTHONPATH, value: /x}]}"), []string{"spec.predictor.sklearn.env[0]", "PYTHONPATH", "image"}},
		"a python path in an init container": {
			predictorWith("sklearn: {}, initContainers: [{name: i, env: [{name: A}, {name: PYTHONPATH}]}]"), []string{"spec.predictor.initContainers[0].env[1]"}},
		"a model named twice": {
			predictorWith("sklearn: {storageUri: gs://x}, storageUris: [{uri: gs://y}]"), []string{"spec.predictor.storageUris", "exclude each other"}},
		"a custom model named twice": {
			predictorWith("containers: [{env: [{name: STORAGE_URI, value: gs://x}]}], storageUris: [{uri: gs://y}]"), []string{"spec.predictor.storageUris"}},
		"a relative mount path": {
			predictorWith("sklearn: {}, storageUris: [{uri: gs://y, mountPath: models}]"), []string{"storageUris[0].mountPath", "absolute"}},
		"a mount path that climbs": {
			predictorWith("sklearn: {}, storageUris: [{uri: gs://y, mountPath: /mnt/../etc}]"), []string{"storageUris[0].mountPath", "'..'"}},
		"the root as mount path": {
			predictorWith("sklearn: {}, storageUris: [{uri: gs://y, mountPath: //}]"), []string{"storageUris[0].mountPath", "root"}},
		"downloads that share only the root": {
			predictorWith("sklearn: {}, storageUris: [{uri: gs://x, mountPath: /a}, {uri: gs://y, mountPath: /b}]"), []string{"spec.predictor.storageUris", "share a folder"}},
		"claims on one path": {
			predictorWith("sklearn: {}, storageUris: [{uri: pvc://a, mountPath: /c}, {uri: pvc://b, mountPath: /c}]"), []string{"storageUris[1].mountPath", "Duplicate"}},
		"a storage URI on a transformer beside the server": {
			predictorWith("containers: [{name: kserve-container}, {name: transformer-container, env: [{name: STORAGE_URI}]}]"), []string{"containers[1].env", "STORAGE_URI"}},
		"more replicas at least than at most": {
			predictorWith("sklearn: {}, minReplicas: 3, maxReplicas: 2"), []string{"spec.predictor.minReplicas", "raise maxReplicas"}},
		"negative replicas": {
			predictorWith("sklearn: {}, minReplicas: -1"), []string{"spec.predictor.minReplicas", "0 or more"}},
		"a target of nothing": {
			predictorWith("sklearn: {}, scaleTarget: 0"), []string{"spec.predictor.scaleTarget", "between 1 and 1000000000"}},
		"a negative limit": {
			predictorWith("sklearn: {}, containerConcurrency: -1"), []string{"spec.predictor.containerConcurrency"}},
		"more than all traffic": {
			predictorWith("sklearn: {}, canaryTrafficPercent: 150"), []string{"canaryTrafficPercent", "between 0 and 100"}},
		"an unknown scale metric": {
			predictorWith("sklearn: {}, scaleMetric: gpu"), []string{"spec.predictor.scaleMetric", "concurrency"}},
		"a logger without a mode": {
			predictorWith("sklearn: {}, logger: {url: http://sink}"), []string{"spec.predictor.logger.mode", "all, request or response"}},
		"a logger's store without a key": {
			predictorWith("sklearn: {}, logger: {mode: all, storage: {path: p, parameters: {}}}"), []string{"spec.predictor.logger.storage.key"}},
		"a metric without what its type names": {
			predictorWith("sklearn: {}, autoScaling: {metrics: [{type: External, resource: {name: cpu}}]}"), []string{"metrics[0].external", "type names it"}},
		"an hpa target above all memory": {
			withClass("hpa", predictorWith("sklearn: {}, scaleMetric: memory, scaleTarget: 150")), []string{"spec.predictor.scaleTarget", "1 to 100"}},
		"an hpa on an external metric": {
			withClass("hpa", predictorWith("sklearn: {}, autoScaling: {metrics: [{type: External, external: {}}]}")), []string{"metrics[0].type", "Resource"}},
		"keda with a scale metric": {
			withClass("keda", predictorWith("sklearn: {}, scaleMetric: cpu")), []string{"spec.predictor.scaleMetric", "autoScaling.metrics"}},
		"keda on cpu by value": {
			withClass("keda", predictorWith("sklearn: {}, autoScaling: {metrics: [{type: Resource, resource: {name: cpu, target: {type: AverageValue}}}]}")), []string{"resource.target.type", "Utilization"}},
		"keda on too little memory": {
			withClass("keda", predictorWith("sklearn: {}, autoScaling: {metrics: [{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Ki}}}]}")), []string{"averageValue", "1Mi"}},
		"keda without a query": {
			withClass("keda", predictorWith("sklearn: {}, autoScaling: {metrics: [{type: External, external: {target: {value: 1}}}]}")), []string{"external.metric.query"}},
		"keda without a threshold": {
			withClass("keda", predictorWith("sklearn: {}, autoScaling: {metrics: [{type: PodMetric, podmetric: {metric: {query: q}}}]}")), []string{"podmetric.target.value"}},
		"knative mode scaled by cpu": {
			withMode("Serverless", predictorWith("sklearn: {}, scaleMetric: cpu")), []string{"spec.predictor.scaleMetric", "rps"}},
		"knative mode with a deployment strategy": {
			withMode("Knative", predictorWith("sklearn: {}, deploymentStrategy: {type: Recreate}")), []string{"deploymentStrategy", "Standard"}},
		"a transformer without containers": {
			"metadata: {name: iris}\nspec: {predictor: {sklearn: {}}, transformer: {}}", []string{"spec.transformer.containers"}},
		"an explainer without implementation": {
			"metadata: {name: iris}\nspec: {predictor: {sklearn: {}}, explainer: {}}", []string{"spec.explainer", "art or containers"}},
		"an explainer with two": {
			"metadata: {name: iris}\nspec: {predictor: {sklearn: {}}, explainer: {art: {}, containers: [{}]}}", []string{"spec.explainer.containers", "art is set"}},
		"several nodes scaled": {
			predictorWith("model: {modelFormat: {name: a}, storageUri: pvc://c}, workerSpec: {}"), []string{"autoscalerClass", "none"}},
		"several nodes with a bucket": {
			withClass("none", predictorWith("model: {modelFormat: {name: a}, storageUri: gs://b}, workerSpec: {}")), []string{"spec.predictor.model.storageUri", "pvc://"}},
		"several nodes with their size in env": {
			withClass("none", predictorWith("model: {modelFormat: {name: a}, storageUri: pvc://b, env: [{name: TENSOR_PARALLEL_SIZE}]}, workerSpec: {}")), []string{"TENSOR_PARALLEL_SIZE", "workerSpec.tensorParallelSize"}},
		"several nodes with an unknown GPU": {
			withClass("none", predictorWith("model: {modelFormat: {name: a}, storageUri: pvc://b}, workerSpec: {containers: [{name: w, resources: {limits: {example.com/tpu: 1}}}]}")), []string{"workerSpec.containers[0].resources", "example.com/tpu", "gpu-resource-types"}},
		"several nodes of no size": {
			withClass("none", predictorWith("model: {modelFormat: {name: a}, storageUri: pvc://b}, workerSpec: {tensorParallelSize: 0}")), []string{"workerSpec.tensorParallelSize"}},
		"a canary without a name": {
			"metadata: {name: iris}\nspec: {predictor: {sklearn: {}}, canary: [{predictor: {sklearn: {}}}]}", []string{"spec.canary[0].predictor.name"}},
		"two canaries of one name": {
			"metadata: {name: iris}\nspec: {predictor: {sklearn: {}}, canary: [{predictor: {name: b, sklearn: {}}}, {predictor: {name: b, sklearn: {}}}]}", []string{"spec.canary[1].predictor.name", "Duplicate"}},
		"a canary with the stable name": {
			"metadata: {name: iris}\nspec: {predictor: {name: a, sklearn: {}}, canary: [{predictor: {name: a, sklearn: {}}}]}", []string{"spec.canary[0].predictor.name", "stable"}},
		"canaries with more than all traffic": {
			"metadata: {name: iris}\nspec: {predictor: {sklearn: {}}, canary: [{trafficPercent: 60, predictor: {name: b, sklearn: {}}}, {trafficPercent: 60, predictor: {name: c, sklearn: {}}}]}", []string{"spec.canary", "120", "at most 100"}},
		"a scaled canary": {
			"metadata: {name: iris}\nspec: {predictor: {sklearn: {}}, canary: [{predictor: {name: b, sklearn: {}, maxReplicas: 3}}]}", []string{"spec.canary[0].predictor.maxReplicas", "fixed number"}},
		"a canary larger than the stable one": {
			"metadata: {name: iris}\nspec: {predictor: {sklearn: {}}, canary: [{predictor: {name: b, sklearn: {}, minReplicas: 2}}]}", []string{"spec.canary[0].predictor.minReplicas", "stable predictor's 1"}},
		"a canary in knative mode": {
			withMode("Knative", "metadata: {name: iris}\nspec: {predictor: {sklearn: {}}, canary: [{predictor: {name: b, sklearn: {}}}]}"), []string{"spec.canary", "Standard"}},
		"an encrypted model that is nowhere": {
			predictorWith("sklearn: {confidential: {enabled: true}}"), []string{"spec.predictor.sklearn.storageUri"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			isvc := &InferenceService{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(test.manifest), isvc))
			errs := Validate(isvc)
			require.Lenf(t, errs, 1, "each row has one mistake: %v", errs)
			for _, part := range test.want {
				require.ErrorContains(t, errs[0], part)
			}
		})
	}
}

func TestWhatLooksWrongButIsNot(t *testing.T) {
	for name, manifest := range map[string]string{
		"no upper bound":                             predictorWith("sklearn: {}, minReplicas: 3"),
		"an hpa on our own metric":                   withClass("hpa", predictorWith("sklearn: {}, scaleMetric: concurrency, scaleTarget: 200")),
		"two downloads into one folder":              predictorWith("sklearn: {}, storageUris: [{uri: gs://x}, {uri: gs://y}]"),
		"a sidecar beside a model":                   predictorWith("sklearn: {}, containers: [{name: proxy}]"),
		"a GPU that the annotation names":            strings.Replace(withClass("none", predictorWith("model: {modelFormat: {name: a}, storageUri: pvc://b}, workerSpec: {containers: [{name: w, resources: {limits: {example.com/tpu: 1}}}]}")), "annotations: {", `annotations: {serving.kserve.io/gpu-resource-types: '["example.com/tpu"]', `, 1),
		"a MIG slice":                                withClass("none", predictorWith("model: {modelFormat: {name: a}, storageUri: pvc://b, resources: {limits: {nvidia.com/mig-1g.5gb: 1}}}, workerSpec: {}")),
		"an external metric for our own autoscaler":  predictorWith("sklearn: {}, autoScaling: {metrics: [{type: External, external: {metric: {query: q}, target: {value: 1}}}]}"),
		"a name that the server is to generate":      "metadata: {generateName: iris-}\nspec: {predictor: {sklearn: {}}}",
		"a canary as large as the stable one":        "metadata: {name: iris}\nspec: {predictor: {sklearn: {}, minReplicas: 2}, canary: [{predictor: {name: b, sklearn: {}, minReplicas: 2}}]}",
		"an unknown storage scheme, left to deploy":  predictorWith("sklearn: {storageUri: foo://bar}"),
		"a download at the root's folder, but alone": predictorWith("sklearn: {}, storageUris: [{uri: gs://x, mountPath: /models}]"),
	} {
		t.Run(name, func(t *testing.T) {
			isvc := &InferenceService{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(manifest), isvc))
			require.Empty(t, Validate(isvc))
		})
	}
}

func TestValidateReturnsAllMistakes(t *testing.T) {
	isvc := &InferenceService{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(predictorWith("sklearn: {name: x}, minReplicas: -1, logger: {}")), isvc))
	require.Len(t, Validate(isvc), 3)
}

func TestAMalformedGPUAnnotationIsNamed(t *testing.T) {
	isvc := &InferenceService{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(strings.Replace(
		withClass("none", predictorWith("model: {modelFormat: {name: a}, storageUri: pvc://b}, workerSpec: {}")),
		"annotations: {", "annotations: {serving.kserve.io/gpu-resource-types: 'tpu', ", 1)), isvc))
	errs := Validate(isvc)
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "gpu-resource-types")
}
