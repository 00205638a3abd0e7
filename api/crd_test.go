package api_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/internal/apiservertest"
)

func TestMain(m *testing.M) { apiservertest.Main(m) }

var (
	isvcs    = schema.GroupVersionResource{Group: "serving.kserve.io", Version: "v1beta1", Resource: "inferenceservices"}
	runtimes = schema.GroupVersionResource{Group: "serving.kserve.io", Version: "v1alpha1", Resource: "servingruntimes"}
	crds     = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// cluster is one test's view of the server.
type cluster struct {
	dynamic.Interface
	namespace string
}

func start(t *testing.T) cluster {
	t.Helper()
	config := apiservertest.Start(t)
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	return cluster{Interface: client, namespace: apiservertest.Namespace(t, config)}
}

// create does what kubectl apply and create do: unknown fields are errors.
func (c cluster) create(t *testing.T, resource schema.GroupVersionResource, manifest string) (*unstructured.Unstructured, error) {
	t.Helper()
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(manifest), &object.Object))
	return c.Resource(resource).Namespace(c.namespace).Create(t.Context(), object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
}

func isvc(spec string) string {
	return "{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, metadata: {generateName: a-}, spec: " + spec + "}"
}

func servingRuntime(spec string) string {
	return "{apiVersion: serving.kserve.io/v1alpha1, kind: ServingRuntime, metadata: {generateName: a-}, spec: " + spec + "}"
}

func TestSampleManifestsAreAccepted(t *testing.T) {
	c := start(t)
	for _, group := range []struct {
		folder   string
		resource schema.GroupVersionResource
	}{
		{"serving/v1beta1/testdata/manifests", isvcs},
		{"serving/v1beta1/testdata/defaulted", isvcs},
		{"serving/v1alpha1/testdata/manifests", runtimes},
	} {
		paths, err := filepath.Glob(filepath.Join(group.folder, "*.yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			t.Run(path, func(t *testing.T) {
				raw, err := os.ReadFile(path)
				require.NoError(t, err)
				object := &unstructured.Unstructured{}
				require.NoError(t, yaml.Unmarshal(raw, &object.Object))
				// One namespace for all, so the names must not clash; and the kind that
				// is namespaced has the same schema as the one that is not.
				object.SetName("")
				object.SetGenerateName("a-")
				if group.resource == runtimes {
					object.SetKind("ServingRuntime")
				}
				manifest, err := yaml.Marshal(object.Object)
				require.NoError(t, err)
				stored, err := c.create(t, group.resource, string(manifest))
				require.NoError(t, err)
				requireSubset(t, object.Object["spec"], stored.Object["spec"], "spec")
			})
		}
	}
}

func TestSamplesAndGoldenInputsAreAccepted(t *testing.T) {
	c := start(t)
	// What the deployer must bear although the server no longer lets it in.
	refused := map[string]string{
		"../deployer/testdata/name-too-long/in.yaml": "at most 63 characters",
	}
	resources := map[string]schema.GroupVersionResource{
		"InferenceService": isvcs, "ServingRuntime": runtimes, "ClusterServingRuntime": runtimes, "Scaler": scalers,
	}
	for _, pattern := range []string{"../manifests/samples/*.yaml", "../manifests/runtimes/*.yaml", "../deployer/testdata/*/in.yaml"} {
		paths, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			t.Run(path, func(t *testing.T) {
				raw, err := os.ReadFile(path)
				require.NoError(t, err)
				for _, document := range strings.Split("\n"+string(raw), "\n---\n") {
					object := &unstructured.Unstructured{}
					require.NoError(t, yaml.Unmarshal([]byte(document), &object.Object))
					resource, ok := resources[object.GetKind()]
					if !ok {
						continue
					}
					object.SetNamespace("")
					if resource == runtimes {
						object.SetKind("ServingRuntime")
					}
					manifest, err := yaml.Marshal(object.Object)
					require.NoError(t, err)
					stored, err := c.create(t, resource, string(manifest))
					if want := refused[path]; want != "" {
						require.ErrorContains(t, err, want)
						continue
					}
					require.NoError(t, err)
					require.NoError(t, c.Resource(resource).Namespace(c.namespace).Delete(t.Context(), stored.GetName(), metav1.DeleteOptions{}))
				}
			})
		}
	}
}

// requireSubset checks that the server dropped nothing; it may add defaults.
func requireSubset(t *testing.T, part, whole any, path string) {
	t.Helper()
	switch p := part.(type) {
	case map[string]any:
		w, ok := whole.(map[string]any)
		require.Truef(t, ok, "%s was dropped", path)
		for key := range p {
			requireSubset(t, p[key], w[key], path+"."+key)
		}
	case []any:
		w, ok := whole.([]any)
		require.Truef(t, ok && len(w) == len(p), "%s was dropped", path)
		for i := range p {
			requireSubset(t, p[i], w[i], path+"[]")
		}
	default:
		want, err := json.Marshal(part)
		require.NoError(t, err)
		got, err := json.Marshal(whole)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), path)
	}
}

func TestMisspeltFieldsAreRejectedByName(t *testing.T) {
	c := start(t)
	for field, manifest := range map[string]string{
		"spec.predicter":                               isvc("{predictor: {sklearn: {}}, predicter: {}}"),
		"spec.predictor.sklern":                        isvc("{predictor: {sklearn: {}, sklern: {}}}"),
		"spec.predictor.sklearn.storageURI":            isvc("{predictor: {sklearn: {storageURI: gs://x}}}"),
		"spec.predictor.model.modelFormat.nam":         isvc("{predictor: {model: {modelFormat: {name: a, nam: b}}}}"),
		"spec.predictor.model.resources.limit":         isvc("{predictor: {model: {modelFormat: {name: a}, resources: {limit: {cpu: 1}}}}}"),
		"spec.predictor.minReplica":                    isvc("{predictor: {sklearn: {}, minReplica: 1}}"),
		"spec.predictor.containers[0].livenessprobe":   isvc("{predictor: {containers: [{name: a, livenessprobe: {}}]}}"),
		"spec.predictor.volumes[0].emptyDir.mediums":   isvc("{predictor: {sklearn: {}, volumes: [{name: a, emptyDir: {mediums: Memory}}]}}"),
		"spec.predictor.logger.modes":                  isvc("{predictor: {sklearn: {}, logger: {mode: all, modes: all}}}"),
		"spec.predictor.ephemeralContainers":           isvc("{predictor: {sklearn: {}, ephemeralContainers: []}}"),
		"spec.transformer.container":                   isvc("{predictor: {sklearn: {}}, transformer: {containers: [{name: a}], container: {}}}"),
		"spec.explainer.alibi":                         isvc("{predictor: {sklearn: {}}, explainer: {art: {}, alibi: {}}}"),
		"spec.canary[0].predictor.sklearn.storageuri":  isvc("{predictor: {sklearn: {}}, canary: [{trafficPercent: 1, predictor: {name: b, sklearn: {storageuri: x}}}]}"),
		"spec.predictor.workerSpec.tensorParallelSiz":  isvc("{predictor: {sklearn: {}, workerSpec: {tensorParallelSiz: 1}}}"),
		"spec.predictor.affinity.nodeAffinities":       isvc("{predictor: {sklearn: {}, affinity: {nodeAffinities: {}}}}"),
		"spec.predictor.autoScaling.metrics[0].extern": isvc("{predictor: {sklearn: {}, autoScaling: {metrics: [{type: Resource, resource: {name: cpu, target: {}}, extern: {}}]}}}"),
	} {
		t.Run(field, func(t *testing.T) {
			c.requireUnknown(t, isvcs, manifest, field)
		})
	}
	c.requireUnknown(t, runtimes, servingRuntime("{containers: [{name: a}], supportedModelFormat: []}"), "spec.supportedModelFormat")
}

func (c cluster) requireUnknown(t *testing.T, resource schema.GroupVersionResource, manifest, field string) {
	t.Helper()
	_, err := c.create(t, resource, manifest)
	require.Truef(t, apierrors.IsBadRequest(err), "%v", err)
	require.ErrorContains(t, err, `unknown field "`+field+`"`)
}

func (c cluster) requireInvalid(t *testing.T, resource schema.GroupVersionResource, manifest string, want []string) {
	t.Helper()
	_, err := c.create(t, resource, manifest)
	require.Truef(t, apierrors.IsInvalid(err), "%v", err)
	for _, part := range want {
		require.ErrorContains(t, err, part)
	}
}

func TestRulesRejectWithFieldAndRemedy(t *testing.T) {
	c := start(t)
	tests := map[string]struct {
		manifest string
		want     []string
	}{
		"a name with a leading digit": {
			strings.Replace(isvc("{predictor: {sklearn: {}}}"), "generateName: a-", "name: 1a", 1), []string{"metadata.name", "lower-case letter"}},
		"a long name": {
			strings.Replace(isvc("{predictor: {sklearn: {}}}"), "generateName: a-", "name: "+strings.Repeat("a", 48), 1), []string{"metadata.name", "at most 63 characters", "shorten"}},
		"a long name of a version": {
			strings.Replace(isvc("{predictor: {name: b, sklearn: {}}}"), "generateName: a-", "name: "+strings.Repeat("a", 46), 1), []string{"predictor.name", "at most 63 characters"}},
		"no spec":      {"{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, metadata: {name: a}}", []string{"spec", "Required"}},
		"no predictor": {isvc("{}"), []string{"spec.predictor", "Required"}},
		"no implementation": {
			isvc("{predictor: {minReplicas: 1}}"), []string{"spec.predictor", "none is set", "set model"}},
		"two shorthands": {
			isvc("{predictor: {sklearn: {}, xgboost: {}}}"), []string{"spec.predictor", "several are set", "keep one"}},
		"a model and a server": {
			isvc("{predictor: {model: {modelFormat: {name: a}}, containers: [{name: kserve-container}]}}"), []string{"spec.predictor", "several are set"}},
		"a model without format":  {isvc("{predictor: {model: {storageUri: gs://x}}}"), []string{"modelFormat is required", "for example"}},
		"a format without a name": {isvc("{predictor: {model: {modelFormat: {name: ''}}}}"), []string{"spec.predictor.model.modelFormat.name"}},
		"a canary without format": {
			isvc("{predictor: {sklearn: {}}, canary: [{trafficPercent: 1, predictor: {name: b, model: {storageUri: gs://x}}}]}"), []string{"spec.canary[0].predictor", "modelFormat is required"}},
		"a named container in a model": {isvc("{predictor: {sklearn: {name: a}}}"), []string{"spec.predictor.sklearn", "remove name"}},
		"storage twice": {
			isvc("{predictor: {onnx: {storageUri: gs://x}, storageUris: [{uri: gs://y}]}}"), []string{"exclude each other", "move storageUri"}},
		"storage twice in a custom server": {
			isvc("{predictor: {containers: [{name: kserve-container, env: [{name: STORAGE_URI, value: gs://x}]}], storageUris: [{uri: gs://y}]}}"), []string{"spec.predictor", "STORAGE_URI", "move it"}},
		"storage twice in a custom server of another name": {
			isvc("{predictor: {containers: [{name: transformer-container}, {name: b, env: [{name: A}, {name: STORAGE_URI, value: gs://x}]}], storageUris: [{uri: gs://y}]}}"), []string{"spec.predictor", "STORAGE_URI"}},
		"storage twice in a transformer": {
			isvc("{predictor: {sklearn: {}}, transformer: {containers: [{name: a, env: [{name: STORAGE_URI, value: gs://x}]}], storageUris: [{uri: gs://y}]}}"), []string{"spec.transformer", "STORAGE_URI"}},
		"storage twice in an explainer": {
			isvc("{predictor: {sklearn: {}}, explainer: {containers: [{name: a, env: [{name: STORAGE_URI, value: gs://x}]}], storageUris: [{uri: gs://y}]}}"), []string{"spec.explainer", "STORAGE_URI"}},
		"the root as a mount path":           {isvc("{predictor: {sklearn: {}, storageUris: [{uri: a, mountPath: /}]}}"), []string{"storageUris[0].mountPath", "below /"}},
		"the root, spelt differently":        {isvc("{predictor: {sklearn: {}, storageUris: [{uri: a, mountPath: //}]}}"), []string{"storageUris[0].mountPath", "below /"}},
		"no storage at all in a list":        {isvc("{predictor: {sklearn: {}, storageUris: []}}"), []string{"spec.predictor.storageUris", "at least 1"}},
		"a mount path that climbs":           {isvc("{predictor: {sklearn: {}, storageUris: [{uri: a, mountPath: /a/../b}]}}"), []string{"storageUris[0].mountPath", "absolute path below /"}},
		"a relative mount path":              {isvc("{predictor: {sklearn: {}, storageUris: [{uri: a, mountPath: a}]}}"), []string{"storageUris[0].mountPath"}},
		"a python path in a shorthand":       {isvc("{predictor: {sklearn: {env: [{name: PYTHONPATH, value: a}]}}}"), []string{"spec.predictor.sklearn", "PYTHONPATH"}},
		"a python path in a container":       {isvc("{predictor: {containers: [{name: a, env: [{name: PYTHONPATH, value: a}]}]}}"), []string{"spec.predictor", "PYTHONPATH", "containers"}},
		"a python path in an init container": {isvc("{predictor: {sklearn: {}, initContainers: [{name: a, env: [{name: PYTHONPATH}]}]}}"), []string{"PYTHONPATH", "initContainers"}},
		"a python path in an explainer":      {isvc("{predictor: {sklearn: {}}, explainer: {art: {env: [{name: PYTHONPATH}]}}}"), []string{"spec.explainer.art", "PYTHONPATH"}},
		"storage of a transformer beside": {
			isvc("{predictor: {sklearn: {}, containers: [{name: transformer-container, env: [{name: STORAGE_URI, value: a}]}]}}"), []string{"spec.predictor", "STORAGE_URI"}},
		"more replicas at least than at most": {isvc("{predictor: {sklearn: {}, minReplicas: 3, maxReplicas: 2}}"), []string{"spec.predictor", "minReplicas must not be above maxReplicas"}},
		"the same in a transformer":           {isvc("{predictor: {sklearn: {}}, transformer: {containers: [{name: a}], minReplicas: 3, maxReplicas: 2}}"), []string{"spec.transformer", "minReplicas must not be above"}},
		"negative replicas":                   {isvc("{predictor: {sklearn: {}, minReplicas: -1}}"), []string{"spec.predictor.minReplicas", "greater than or equal to 0"}},
		"more than all traffic":               {isvc("{predictor: {sklearn: {}, canaryTrafficPercent: 150}}"), []string{"spec.predictor.canaryTrafficPercent", "less than or equal to 100"}},
		"a negative limit":                    {isvc("{predictor: {sklearn: {}, containerConcurrency: -1}}"), []string{"spec.predictor.containerConcurrency"}},
		"an unknown scale metric":             {isvc("{predictor: {sklearn: {}, scaleMetric: gpu}}"), []string{"spec.predictor.scaleMetric", "Unsupported value", "concurrency"}},
		"a target of nothing":                 {isvc("{predictor: {sklearn: {}, scaleTarget: 0}}"), []string{"spec.predictor.scaleTarget", "greater than or equal to 1"}},
		"a target beyond reach":               {isvc("{predictor: {sklearn: {}, scaleTarget: 1000000001}}"), []string{"spec.predictor.scaleTarget", "less than or equal to 1000000000"}},
		"an unknown protocol":                 {isvc("{predictor: {sklearn: {protocolVersion: v3}}}"), []string{"protocolVersion", "Unsupported value"}},
		"a logger without mode":               {isvc("{predictor: {sklearn: {}, logger: {url: http://a}}}"), []string{"spec.predictor.logger", "logger.mode is required", "all, request or response"}},
		"a logger with a mode of its own":     {isvc("{predictor: {sklearn: {}, logger: {mode: some}}}"), []string{"spec.predictor.logger.mode", "Unsupported value"}},
		"a logger's store without a key":      {isvc("{predictor: {sklearn: {}, logger: {mode: all, storage: {path: a}}}}"), []string{"logger.storage", "path, parameters and key"}},
		"a logger's store without a name":     {isvc("{predictor: {sklearn: {}, logger: {mode: all, storage: {path: a, parameters: {}, key: ''}}}}"), []string{"logger.storage", "path, parameters and key"}},
		"a logger's store of nowhere":         {isvc("{predictor: {sklearn: {}, logger: {mode: all, storage: {path: '', parameters: {}, key: a}}}}"), []string{"logger.storage", "path, parameters and key"}},
		"a metric without its field":          {isvc("{predictor: {sklearn: {}, autoScaling: {metrics: [{type: PodMetric}]}}}"), []string{"metrics[0]", "podmetric for PodMetric"}},
		"a transformer without containers":    {isvc("{predictor: {sklearn: {}}, transformer: {}}"), []string{"spec.transformer", "containers is required"}},
		"an explainer of nothing":             {isvc("{predictor: {sklearn: {}}, explainer: {}}"), []string{"spec.explainer", "either art or containers"}},
		"an explainer of two":                 {isvc("{predictor: {sklearn: {}}, explainer: {art: {}, containers: [{name: a}]}}"), []string{"spec.explainer", "either art or containers"}},
		"several nodes with a bucket":         {isvc("{predictor: {model: {modelFormat: {name: a}, storageUri: gs://a}, workerSpec: {}}}"), []string{"storageUri", "pvc:// or oci://"}},
		"several nodes with a shorthand's bucket": {
			isvc("{predictor: {huggingface: {storageUri: hf://a/b}, workerSpec: {}}}"), []string{"storageUri", "pvc:// or oci://"}},
		"several nodes with no model": {
			isvc("{predictor: {huggingface: {}, workerSpec: {}}}"), []string{"storageUri", "pvc:// or oci://"}},
		"several nodes with their size in a shorthand's env": {
			isvc("{predictor: {huggingface: {storageUri: pvc://a, env: [{name: PIPELINE_PARALLEL_SIZE}]}, workerSpec: {}}}"), []string{"PIPELINE_PARALLEL_SIZE", "workerSpec"}},
		"several nodes with their size in env": {
			isvc("{predictor: {model: {modelFormat: {name: a}, storageUri: pvc://a, env: [{name: TENSOR_PARALLEL_SIZE}]}, workerSpec: {}}}"), []string{"TENSOR_PARALLEL_SIZE", "workerSpec"}},
		"two containers of a worker": {
			isvc("{predictor: {model: {modelFormat: {name: a}, storageUri: pvc://a}, workerSpec: {containers: [{name: a}, {name: b}]}}}"), []string{"workerSpec", "at most one container"}},
		"workers of no size":        {isvc("{predictor: {sklearn: {}, workerSpec: {tensorParallelSize: 0}}}"), []string{"tensorParallelSize", "greater than or equal to 1"}},
		"encrypted, nowhere":        {isvc("{predictor: {sklearn: {confidential: {enabled: true}}}}"), []string{"spec.predictor.sklearn", "set storageUri"}},
		"a bad name of a predictor": {isvc("{predictor: {name: V2, sklearn: {}}}"), []string{"spec.predictor.name"}},
		"a canary without a name": {
			isvc("{predictor: {sklearn: {}}, canary: [{trafficPercent: 1, predictor: {sklearn: {}}}]}"), []string{"canary[].predictor.name is required"}},
		"two canaries of one name": {
			isvc("{predictor: {sklearn: {}}, canary: [{trafficPercent: 1, predictor: {name: b, sklearn: {}}}, {trafficPercent: 1, predictor: {name: b, sklearn: {}}}]}"), []string{"must be unique"}},
		"a canary of the stable name": {
			isvc("{predictor: {name: b, sklearn: {}}, canary: [{trafficPercent: 1, predictor: {name: b, sklearn: {}}}]}"), []string{"must differ from predictor.name"}},
		"canaries with more than all traffic": {
			isvc("{predictor: {sklearn: {}}, canary: [{trafficPercent: 60, predictor: {name: b, sklearn: {}}}, {trafficPercent: 60, predictor: {name: c, sklearn: {}}}]}"), []string{"at most 100", "lower one"}},
		"a scaled canary": {
			isvc("{predictor: {sklearn: {}}, canary: [{trafficPercent: 1, predictor: {name: b, scaleTarget: 3, sklearn: {}}}]}"), []string{"spec.canary[0]", "fixed number of replicas"}},
		"a canary larger than the stable one": {
			isvc("{predictor: {sklearn: {}}, canary: [{trafficPercent: 1, predictor: {name: b, minReplicas: 2, sklearn: {}}}]}"), []string{"must not be above predictor.minReplicas"}},
		"a canary over several nodes": {
			isvc("{predictor: {sklearn: {}}, canary: [{trafficPercent: 1, predictor: {name: b, sklearn: {}, workerSpec: {}}}]}"), []string{"workerSpec is not supported"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c.requireInvalid(t, isvcs, test.manifest, test.want)
		})
	}
}

func TestRulesTakeWhatOnlyLooksWrong(t *testing.T) {
	c := start(t)
	for name, manifest := range map[string]string{
		"a sidecar's own storage":              isvc("{predictor: {sklearn: {}, containers: [{name: a, env: [{name: STORAGE_URI, value: gs://x}]}], storageUris: [{uri: gs://y}]}}"),
		"a second container's own storage":     isvc("{predictor: {containers: [{name: a}, {name: b, env: [{name: STORAGE_URI, value: gs://x}]}], storageUris: [{uri: gs://y}]}}"),
		"a custom server's empty storage":      isvc("{predictor: {containers: [{name: a, env: [{name: STORAGE_URI}]}], storageUris: [{uri: gs://y}]}}"),
		"a custom server over several nodes":   isvc("{predictor: {containers: [{name: a}], workerSpec: {}}}"),
		"a shorthand over several nodes":       isvc("{predictor: {huggingface: {storageUri: oci://a}, workerSpec: {}}}"),
		"the longest name":                     strings.Replace(isvc("{predictor: {sklearn: {}}}"), "generateName: a-", "name: "+strings.Repeat("a", 47), 1),
		"the longest name with a version's":    strings.Replace(isvc("{predictor: {name: bb, sklearn: {}}}"), "generateName: a-", "name: "+strings.Repeat("b", 44), 1),
		"a mount path with slashes to spare":   isvc("{predictor: {sklearn: {}, storageUris: [{uri: a, mountPath: //a//}]}}"),
		"a container without a name to be one": isvc("{predictor: {containers: [{name: '', image: a}]}}"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.create(t, isvcs, manifest)
			require.NoError(t, err)
		})
	}
}

func TestRulesOfRuntimesRejectWithFieldAndRemedy(t *testing.T) {
	c := start(t)
	tests := map[string]struct {
		spec string
		want []string
	}{
		"no containers": {"{}", []string{"spec.containers", "Required"}},
		"a python path": {"{containers: [{name: a, env: [{name: PYTHONPATH}]}]}", []string{"PYTHONPATH"}},
		"a python path in a worker": {
			"{containers: [{name: a}], workerSpec: {containers: [{name: w, env: [{name: PYTHONPATH}]}]}}", []string{"spec.workerSpec", "PYTHONPATH"}},
		"a format without a name": {"{containers: [{name: a}], supportedModelFormats: [{name: ''}]}", []string{"supportedModelFormats[0].name"}},
		"two worker containers":   {"{containers: [{name: a}], workerSpec: {containers: [{name: a}, {name: b}]}}", []string{"spec.workerSpec", "at most one container"}},
		"priority nought":         {"{containers: [{name: a}], supportedModelFormats: [{name: a, priority: 0}]}", []string{"supportedModelFormats[0].priority"}},
		"two priorities": {
			"{containers: [{name: a}], supportedModelFormats: [{name: a, autoSelect: true, priority: 1}, {name: a, version: '2', autoSelect: true, priority: 2}]}",
			[]string{"two priorities", "same priority"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c.requireInvalid(t, runtimes, servingRuntime(test.spec), test.want)
		})
	}

	stored, err := c.create(t, runtimes, servingRuntime("{containers: [{name: a}], workerSpec: {containers: [{name: w}]}}"))
	require.NoError(t, err)
	unstructured.RemoveNestedField(stored.Object, "spec", "workerSpec")
	_, err = c.Resource(runtimes).Namespace(c.namespace).Update(t.Context(), stored, metav1.UpdateOptions{})
	require.ErrorContains(t, err, "workerSpec cannot be removed")
}

func TestTheLargestCRDLeavesRoomInARequest(t *testing.T) {
	c := start(t)
	crd, err := c.Resource(crds).Get(t.Context(), "inferenceservices.serving.kserve.io", metav1.GetOptions{})
	require.NoError(t, err)
	encoded, err := json.Marshal(crd.Object)
	require.NoError(t, err)
	// etcd takes 1.5 MiB in one request. A second version of the same size must fit.
	require.Less(t, len(encoded), 1<<20*3/4, "shorten the schema")
}
