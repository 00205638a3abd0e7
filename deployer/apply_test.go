package deployer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/internal/apiservertest"
)

func TestMain(m *testing.M) { apiservertest.Main(m) }

// resources are the kinds that Render makes.
var resources = map[string]schema.GroupVersionResource{
	"Service":                 {Version: "v1", Resource: "services"},
	"Deployment":              {Group: "apps", Version: "v1", Resource: "deployments"},
	"HorizontalPodAutoscaler": {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
	"InferenceRoute":          {Group: "rawserve.dev", Version: "v1alpha1", Resource: "inferenceroutes"},
	"Scaler":                  {Group: "rawserve.dev", Version: "v1alpha1", Resource: "scalers"},
}

// TestApplyingTwiceChangesNothing has a real API server accept every golden case
// and checks that it finds nothing to do the second time. Were it not
// so, each resync would write, and some would restart pods.
func TestApplyingTwiceChangesNothing(t *testing.T) {
	config := apiservertest.Start(t)
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	cases, err := filepath.Glob("testdata/*/in.yaml")
	require.NoError(t, err)
	for _, path := range cases {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			world := readWorld(t, path)
			namespace := apiservertest.Namespace(t, config)
			world.isvc.Namespace = namespace
			for i := range world.runtimes {
				world.runtimes[i].Namespace = namespace
			}
			in, err := world.input()
			var objects deployer.Objects
			if err == nil {
				objects, err = deployer.Render(in)
			}
			if err != nil {
				t.Skipf("nothing is rendered: %v", err)
			}
			for _, o := range list(objects) {
				b, err := json.Marshal(o)
				require.NoError(t, err)
				u := new(unstructured.Unstructured)
				require.NoError(t, json.Unmarshal(b, &u.Object))
				r := client.Resource(resources[u.GetKind()]).Namespace(namespace)
				apply := func() *unstructured.Unstructured {
					applied, err := r.Apply(t.Context(), u.GetName(), u, metav1.ApplyOptions{FieldManager: deployer.FieldManager, Force: true})
					require.NoError(t, err)
					return applied
				}
				first := apply()
				second := apply()
				require.Equal(t, first.GetResourceVersion(), second.GetResourceVersion(), "%s %s was written twice", u.GetKind(), u.GetName())
				require.Equal(t, first.Object["spec"], second.Object["spec"])
			}
		})
	}
}

// TestStockRuntimesAreAccepted creates them with strict validation, OpenVINO too.
func TestStockRuntimesAreAccepted(t *testing.T) {
	client, err := dynamic.NewForConfig(apiservertest.Start(t))
	require.NoError(t, err)
	files, err := filepath.Glob("../manifests/runtimes/kserve-*.yaml")
	require.NoError(t, err)
	require.Len(t, files, 15)
	runtimes := client.Resource(schema.GroupVersionResource{Group: "serving.kserve.io", Version: "v1alpha1", Resource: "clusterservingruntimes"})
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		u := new(unstructured.Unstructured)
		require.NoError(t, yaml.Unmarshal(b, &u.Object))
		_, err = runtimes.Create(t.Context(), u, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		require.NoError(t, err, f)
	}
}
