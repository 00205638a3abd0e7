package api_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	applyrawserve "github.com/rawserve/rawserve/api/client/applyconfiguration/rawserve/v1alpha1"
	applyserving "github.com/rawserve/rawserve/api/client/applyconfiguration/serving/v1beta1"
	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/client/clientset/versioned/fake"
	"github.com/rawserve/rawserve/api/client/informers/externalversions"
	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/internal/apiservertest"
)

func startTyped(t *testing.T) (versioned.Interface, string) {
	t.Helper()
	config := apiservertest.Start(t)
	client, err := versioned.NewForConfig(config)
	require.NoError(t, err)
	return client, apiservertest.Namespace(t, config)
}

func sample(t *testing.T, name string) *v1beta1.InferenceService {
	t.Helper()
	raw, err := os.ReadFile("serving/v1beta1/testdata/manifests/" + name + ".yaml")
	require.NoError(t, err)
	isvc := &v1beta1.InferenceService{}
	require.NoError(t, yaml.UnmarshalStrict(raw, isvc))
	return isvc
}

func TestInformersSeeWhatTheClientWrites(t *testing.T) {
	client, namespace := startTyped(t)
	created, err := client.ServingV1beta1().InferenceServices(namespace).Create(t.Context(), sample(t, "model-with-everything"), metav1.CreateOptions{})
	require.NoError(t, err)

	factory := externalversions.NewSharedInformerFactoryWithOptions(client, 0, externalversions.WithNamespace(namespace))
	informer := factory.Serving().V1beta1().InferenceServices()
	lister := informer.Lister()
	factory.Start(t.Context().Done())
	t.Cleanup(factory.Shutdown)
	for kind, synced := range factory.WaitForCacheSync(t.Context().Done()) {
		require.Truef(t, synced, "%v", kind)
	}
	listed, err := lister.InferenceServices(namespace).List(labels.Everything())
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.Equal(t, created.Spec, listed[0].Spec)
	require.Equal(t, sample(t, "model-with-everything").Spec.Predictor.Model, listed[0].Spec.Predictor.Model)
}

func TestStatusIsASubresourceAndKeepsWhatItDoesNotKnow(t *testing.T) {
	client, namespace := startTyped(t)
	isvcs := client.ServingV1beta1().InferenceServices(namespace)
	isvc := sample(t, "shorthand-sklearn")
	isvc.Status.URL = "http://ignored"
	created, err := isvcs.Create(t.Context(), isvc, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Empty(t, created.Status.URL)

	percent := int64(100)
	latest := true
	created.Status = v1beta1.InferenceServiceStatus{
		ObservedGeneration: 1,
		URL:                "http://sklearn.example.com",
		Address:            &v1beta1.Address{URL: "http://sklearn-predictor"},
		Conditions:         v1beta1.WithCondition(nil, v1beta1.Condition{Type: v1beta1.ConditionReady, Status: corev1.ConditionTrue}, metav1.NewTime(time.Unix(1e9, 0))),
		Components: map[v1beta1.Component]v1beta1.ComponentStatus{v1beta1.ComponentPredictor: {
			LatestReadyRevision: "sklearn-predictor-00001",
			Traffic:             []v1beta1.TrafficTarget{{RevisionName: "sklearn-predictor-00001", LatestRevision: &latest, Percent: &percent}},
		}},
		ModelStatus: v1beta1.ModelStatus{TransitionStatus: v1beta1.TransitionUpToDate,
			ModelRevisionStates: &v1beta1.ModelRevisionStates{ActiveModelState: v1beta1.ModelLoaded}},
		DeploymentMode: string(v1beta1.ModeStandard),
	}
	updated, err := isvcs.UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Equal(t, created.Status.Components, updated.Status.Components)
	require.Equal(t, created.Spec, updated.Spec)

	// Fields of later versions of KServe survive in status.
	patch := []byte(`{"status": {"later": {"field": 1}}}`)
	raw, err := client.ServingV1beta1().RESTClient().Patch("application/merge-patch+json").
		Namespace(namespace).Resource("inferenceservices").Name(created.Name).SubResource("status").Body(patch).DoRaw(t.Context())
	require.NoError(t, err)
	require.Contains(t, string(raw), `"later":{"field":1}`)

	table := tableOf(t, client.ServingV1beta1().RESTClient(), namespace, "inferenceservices")
	require.Equal(t, []string{"Name", "URL", "Ready", "Prev", "Latest", "PrevRolledoutRevision", "LatestReadyRevision", "Age"}, table.columns)
	require.Equal(t, []any{"sklearn-model", "http://sklearn.example.com", "True", nil, float64(100), nil, "sklearn-predictor-00001"}, table.cells[:7])
}

type row struct {
	columns []string
	cells   []any
}

// tableOf returns what kubectl get prints of the only object.
func tableOf(t *testing.T, client rest.Interface, namespace, resource string) row {
	t.Helper()
	raw, err := client.Get().Namespace(namespace).Resource(resource).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	require.NoError(t, err)
	var table metav1.Table
	require.NoError(t, json.Unmarshal(raw, &table))
	require.Len(t, table.Rows, 1)
	out := row{cells: table.Rows[0].Cells}
	for _, c := range table.ColumnDefinitions {
		out.columns = append(out.columns, c.Name)
	}
	return out
}

func TestEachWriterOwnsItsConditions(t *testing.T) {
	client, namespace := startTyped(t)
	isvcs := client.ServingV1beta1().InferenceServices(namespace)
	created, err := isvcs.Create(t.Context(), sample(t, "shorthand-sklearn"), metav1.CreateOptions{})
	require.NoError(t, err)

	apply := func(manager string, condition *applyserving.ConditionApplyConfiguration) *v1beta1.InferenceService {
		config := applyserving.InferenceService(created.Name, namespace).
			WithStatus(applyserving.InferenceServiceStatus().WithConditions(condition))
		applied, err := isvcs.ApplyStatus(t.Context(), config, metav1.ApplyOptions{FieldManager: manager})
		require.NoError(t, err)
		return applied
	}
	apply("one", applyserving.Condition().WithType(v1beta1.ConditionPredictorReady).WithStatus(corev1.ConditionTrue))
	got := apply("two", applyserving.Condition().WithType(v1beta1.ConditionIngressReady).WithStatus(corev1.ConditionFalse))
	require.Len(t, got.Status.Conditions, 2, "the second writer must not remove the first one's condition")
}

func irisRoute() *rawservev1alpha1.InferenceRoute {
	return &rawservev1alpha1.InferenceRoute{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor"},
		Spec: rawservev1alpha1.InferenceRouteSpec{
			ServiceName: "iris-predictor",
			Ports:       []rawservev1alpha1.RoutePort{{ServicePort: 80, TargetPort: 8080, ListenPort: 10000}},
			Targets: []rawservev1alpha1.RouteTarget{{
				Revision: "iris-predictor-00001", DeploymentName: "iris-predictor",
				PodSelector: map[string]string{"app": "isvc.iris-predictor"}, Weight: 100,
			}},
		},
	}
}

func TestActivatorsAcknowledgeSideBySide(t *testing.T) {
	client, namespace := startTyped(t)
	routes := client.RawserveV1alpha1().InferenceRoutes(namespace)
	created, err := routes.Create(t.Context(), irisRoute(), metav1.CreateOptions{})
	require.NoError(t, err)

	for _, activator := range []string{"a", "b"} {
		_, err := routes.ApplyStatus(t.Context(), applyrawserve.InferenceRoute(created.Name, namespace).WithStatus(
			applyrawserve.InferenceRouteStatus().WithActivators(applyrawserve.ActivatorAck().WithName(activator).WithGeneration(created.Generation)),
		), metav1.ApplyOptions{FieldManager: "rawserve-activator-" + activator})
		require.NoError(t, err)
	}
	got, err := routes.Get(t.Context(), created.Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, []rawservev1alpha1.ActivatorAck{{Name: "a", Generation: 1}, {Name: "b", Generation: 1}}, got.Status.Activators)
}

func TestTheFakeAppliesAsTheServerDoes(t *testing.T) {
	routes := fake.NewClientset(irisRoute()).RawserveV1alpha1().InferenceRoutes("")
	for _, activator := range []string{"a", "b"} {
		_, err := routes.ApplyStatus(t.Context(), applyrawserve.InferenceRoute("iris-predictor", "").WithStatus(
			applyrawserve.InferenceRouteStatus().WithActivators(applyrawserve.ActivatorAck().WithName(activator).WithGeneration(1)),
		), metav1.ApplyOptions{FieldManager: "rawserve-activator-" + activator})
		require.NoError(t, err)
	}
	got, err := routes.Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, []rawservev1alpha1.ActivatorAck{{Name: "a", Generation: 1}, {Name: "b", Generation: 1}}, got.Status.Activators)

	isvcs := fake.NewClientset(sample(t, "model-with-everything")).ServingV1beta1().InferenceServices("")
	list, err := isvcs.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
}
