package control

import (
	"testing"

	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer/revision"
)

const iris = `
minReplicas: 0
maxReplicas: 5
model:
  modelFormat: {name: sklearn}
  storageUri: gs://models/iris
`

func TestAModelBecomesObjectsThatItOwns(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	isvc := c.model("iris", iris)
	r := c.start()
	c.eventually("the predictor to be reported", func() bool {
		return c.get("iris").Status.Components[v1beta1.ComponentPredictor].LatestCreatedRevision != ""
	})
	r.quiet(c, "iris")

	ctx := t.Context()
	owners := map[string][]metav1.OwnerReference{}
	d := c.deployment("iris-predictor")
	owners["deployment"] = d.OwnerReferences
	require.Equal(t, int32(1), *d.Spec.Replicas, "the initial scale")
	require.Equal(t, "iris-predictor-00001", d.Labels["rawserve.dev/revision"])
	require.Equal(t, map[string]string{"app": "isvc.iris-predictor"}, d.Spec.Selector.MatchLabels)
	service, err := c.kube.CoreV1().Services(c.namespace).Get(ctx, "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	owners["service"] = service.OwnerReferences
	require.Equal(t, int32(80), service.Spec.Ports[0].Port)
	headless, err := c.kube.CoreV1().Services(c.namespace).Get(ctx, "iris-predictor-00001", metav1.GetOptions{})
	require.NoError(t, err)
	owners["revision service"] = headless.OwnerReferences
	require.Equal(t, corev1.ClusterIPNone, headless.Spec.ClusterIP)
	route, err := c.rawserve.RawserveV1alpha1().InferenceRoutes(c.namespace).Get(ctx, "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	owners["route"] = route.OwnerReferences
	require.Equal(t, "iris-predictor-00001", route.Spec.Targets[0].Revision)
	require.GreaterOrEqual(t, route.Spec.Ports[0].ListenPort, int32(10000))
	require.Empty(t, route.Spec.Path, "the path is the autoscaler's")
	scaler, err := c.rawserve.RawserveV1alpha1().Scalers(c.namespace).Get(ctx, "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	owners["scaler"] = scaler.OwnerReferences
	require.Equal(t, int32(0), *scaler.Spec.MinReplicas)
	recorded, err := c.kube.AppsV1().ControllerRevisions(c.namespace).Get(ctx, "iris-predictor-00001", metav1.GetOptions{})
	require.NoError(t, err)
	owners["revision"] = recorded.OwnerReferences
	data, err := revision.ReadData(recorded)
	require.NoError(t, err)
	require.Equal(t, "sk", data.Runtime.Ref.Name)

	yes := true
	for what, got := range owners {
		require.Equal(t, []metav1.OwnerReference{{
			APIVersion: "serving.kserve.io/v1beta1", Kind: "InferenceService", Name: "iris", UID: isvc.UID, Controller: &yes, BlockOwnerDeletion: &yes,
		}}, got, what)
	}

	status := c.get("iris").Status
	require.Equal(t, "sk", status.ClusterServingRuntimeName)
	require.Equal(t, "Standard", status.DeploymentMode)
	require.Equal(t, corev1.ConditionFalse, c.condition("iris", v1beta1.ConditionReady).Status)
	require.Empty(t, status.URL)

	c.roll("iris-predictor")
	c.eventually("ready", func() bool { return c.condition("iris", v1beta1.ConditionReady).Status == corev1.ConditionTrue })
	status = c.get("iris").Status
	require.Equal(t, "http://iris-"+c.namespace+".example.com", status.URL)
	require.Equal(t, "http://iris-predictor."+c.namespace+".svc.cluster.local", status.Address.URL)
	require.Equal(t, "iris-predictor-00001", status.Components[v1beta1.ComponentPredictor].LatestReadyRevision)
	require.Contains(t, <-r.events.Events, "InferenceServiceReady")
}

func TestAPassWithNothingToChangeWritesNothing(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.model("iris", iris)
	c.model("fixed", iris, annotated("serving.kserve.io/autoscalerClass", "none"))
	c.model("by-cpu", "scaleMetric: cpu\n"+iris[1:], func(i *v1beta1.InferenceService) { *i.Spec.Predictor.MinReplicas = 1 })
	c.model("broken", iris, func(i *v1beta1.InferenceService) { i.Spec.Predictor.Model.ModelFormat.Name = "unheard-of" })
	names := []string{"iris", "fixed", "by-cpu", "broken"}

	first := c.start()
	c.eventually("all deployed", func() bool {
		for _, name := range names {
			if c.get(name).Status.ObservedGeneration == 0 {
				return false
			}
		}
		return true
	})
	c.roll("iris-predictor")
	c.eventually("ready", func() bool { return c.condition("iris", v1beta1.ConditionReady).Status == corev1.ConditionTrue })
	for _, name := range names {
		first.quiet(c, name)
	}
	before := first.writes.count()
	for _, name := range names {
		first.again(c, name)
	}
	require.Empty(t, first.writes.since(before), "the same controller")
	first.stop()

	second := c.start()
	second.settle(c, uint64(len(names)))
	for _, name := range names {
		second.again(c, name)
	}
	require.Empty(t, second.writes.since(0), "a new leader, without any memory")
}

func TestReplicasBelongToWhoeverScales(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.model("iris", iris)
	r := c.start()
	c.eventually("a Deployment", func() bool { return len(r.writes.of("/scalers")) > 0 })
	r.quiet(c, "iris")

	scale := func(n int32) {
		_, err := c.kube.AppsV1().Deployments(c.namespace).UpdateScale(t.Context(), "iris-predictor",
			&autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor", Namespace: c.namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: n}}, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	scale(7)
	before := r.writes.count()
	r.again(c, "iris")
	require.Empty(t, r.writes.of("PATCH /apis/apps"), "a scale is no drift")
	require.Len(t, r.writes.since(before), 0)

	update := func(uri string) {
		generation := c.deployment("iris-predictor").Generation
		c.edit("iris", func(i *v1beta1.InferenceService) { i.Spec.Predictor.Model.StorageURI = &uri })
		c.eventually("the update", func() bool { return c.deployment("iris-predictor").Generation > generation })
	}
	update("gs://models/iris-2")
	require.Equal(t, int32(7), *c.deployment("iris-predictor").Spec.Replicas)
	scale(0)
	update("gs://models/iris-3")
	require.Equal(t, int32(0), *c.deployment("iris-predictor").Spec.Replicas, "an update does not wake")
	require.Equal(t, "iris-predictor-00003", c.deployment("iris-predictor").Labels["rawserve.dev/revision"])
}

func TestAFixedNumberOfReplicasIsKept(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", iris, annotated(v1beta1.AnnotationAutoscalerClass, "none"), func(i *v1beta1.InferenceService) { *i.Spec.Predictor.MinReplicas = 3 })
	for _, n := range []int32{7, 1} {
		_, err := c.kube.AppsV1().Deployments(c.namespace).UpdateScale(t.Context(), "iris-predictor",
			&autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor", Namespace: c.namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: n}}, metav1.UpdateOptions{})
		require.NoError(t, err)
		c.eventually("the number to be back", func() bool { return *c.deployment("iris-predictor").Spec.Replicas == 3 })
	}
	_, err := c.kube.AppsV1().Deployments(c.namespace).Patch(t.Context(), "iris-predictor", types.MergePatchType, []byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	require.NoError(t, err)
	c.eventually("the number to be back", func() bool { return *c.deployment("iris-predictor").Spec.Replicas == 3 })
	r.quiet(c, "iris")
}

func TestReplicasNeverScaledSurviveAnUpdate(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.model("iris", iris, func(i *v1beta1.InferenceService) { *i.Spec.Predictor.MinReplicas = 3 })
	r := c.start()
	c.eventually("a Deployment", func() bool { return len(r.writes.of("/scalers")) > 0 })
	require.Equal(t, int32(3), *c.deployment("iris-predictor").Spec.Replicas)
	for _, uri := range []string{"gs://models/iris-2", "gs://models/iris-3"} {
		generation := c.deployment("iris-predictor").Generation
		c.edit("iris", func(i *v1beta1.InferenceService) { i.Spec.Predictor.Model.StorageURI = &uri })
		c.eventually("the update", func() bool { return c.deployment("iris-predictor").Generation > generation })
		require.Equal(t, int32(3), *c.deployment("iris-predictor").Spec.Replicas)
	}
}

func TestWhatIsRemovedFromASpecificationGoesFromTheDeployment(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.model("iris", iris, func(i *v1beta1.InferenceService) {
		i.Spec.Predictor.Model.Env = []corev1.EnvVar{{Name: "WORKERS", Value: "2"}}
		i.Spec.Predictor.NodeSelector = map[string]string{"disk": "fast"}
	})
	r := c.start()
	c.eventually("a Deployment", func() bool { return len(r.writes.of("/scalers")) > 0 })
	require.Equal(t, map[string]string{"disk": "fast"}, c.deployment("iris-predictor").Spec.Template.Spec.NodeSelector)

	c.edit("iris", func(i *v1beta1.InferenceService) {
		i.Spec.Predictor.Model.Env = nil
		i.Spec.Predictor.NodeSelector = nil
	})
	c.eventually("the selector to go", func() bool {
		return len(c.deployment("iris-predictor").Spec.Template.Spec.NodeSelector) == 0
	})
	for _, e := range c.deployment("iris-predictor").Spec.Template.Spec.Containers[0].Env {
		require.NotEqual(t, "WORKERS", e.Name)
	}
}

// annotated sets an annotation.
func annotated(name, value string) func(*v1beta1.InferenceService) {
	return func(i *v1beta1.InferenceService) {
		if i.Annotations == nil {
			i.Annotations = map[string]string{}
		}
		i.Annotations[name] = value
	}
}
