package control

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/status"
)

// deployed creates a model with a controller at work and waits until it has settled.
func (c *cluster) deployed(name, predictor string, edit ...func(*v1beta1.InferenceService)) *running {
	c.t.Helper()
	c.model(name, predictor, edit...)
	r := c.start()
	c.eventually("the predictor to be reported", func() bool {
		return c.get(name).Status.Components[v1beta1.ComponentPredictor].LatestCreatedRevision != ""
	})
	r.quiet(c, name)
	return r
}

func (c *cluster) editRuntime(name string, change func(*v1alpha1.ClusterServingRuntime)) {
	c.t.Helper()
	runtimes := c.rawserve.ServingV1alpha1().ClusterServingRuntimes()
	r, err := runtimes.Get(c.t.Context(), name, metav1.GetOptions{})
	require.NoError(c.t, err)
	change(r)
	_, err = runtimes.Update(c.t.Context(), r, metav1.UpdateOptions{})
	require.NoError(c.t, err)
}

func (c *cluster) image(deployment string) string {
	return c.deployment(deployment).Spec.Template.Spec.Containers[0].Image
}

func TestARuntimeInstalledLaterLeavesALiveModelAlone(t *testing.T) {
	c := newCluster(t)
	c.runtime("zz-first", "sklearn", "example.com/first:1")
	r := c.deployed("iris", iris)
	before := c.deployment("iris-predictor")

	// Newer runtimes come first in a selection.
	c.runtime("aa-later", "sklearn", "example.com/later:1")
	r.again(c, "iris")
	require.Equal(t, before.Generation, c.deployment("iris-predictor").Generation)
	require.Equal(t, "zz-first", c.get("iris").Status.ClusterServingRuntimeName)
	r.stop()

	second := c.start()
	second.settle(c, 1)
	require.Equal(t, before.Generation, c.deployment("iris-predictor").Generation, "after a restart")
	c.model("iris-2", iris)
	c.eventually("the second model", func() bool { return c.get("iris-2").Status.ClusterServingRuntimeName != "" })
	require.Equal(t, "aa-later", c.get("iris-2").Status.ClusterServingRuntimeName, "a new model gets the new runtime")
}

// TestTheChoiceOfRuntimeOutlastsEditsThatChangeNoPod guards the record of the
// choice: such edits make no new revision in which to write it down.
func TestTheChoiceOfRuntimeOutlastsEditsThatChangeNoPod(t *testing.T) {
	name, one, v1, v2 := "zz-first", "1", v1beta1.ProtocolV1, v1beta1.ProtocolV2
	for situation, row := range map[string]struct {
		before, edit func(*v1beta1.ModelSpec)
	}{
		"the default protocol spelt out":  {edit: func(m *v1beta1.ModelSpec) { m.ProtocolVersion = &v1 }},
		"a version":                       {edit: func(m *v1beta1.ModelSpec) { m.ModelFormat.Version = &one }},
		"another protocol that it speaks": {edit: func(m *v1beta1.ModelSpec) { m.ProtocolVersion = &v2 }},
		"its name added":                  {edit: func(m *v1beta1.ModelSpec) { m.Runtime = &name }},
		"its name removed": {
			before: func(m *v1beta1.ModelSpec) { m.Runtime = &name },
			edit:   func(m *v1beta1.ModelSpec) { m.Runtime = nil },
		},
	} {
		t.Run(situation, func(t *testing.T) {
			c := newCluster(t)
			c.runtime(name, "sklearn", "example.com/first:1")
			r := c.deployed("iris", iris, func(i *v1beta1.InferenceService) {
				if row.before != nil {
					row.before(i.Spec.Predictor.Model)
				}
			})
			generation := c.deployment("iris-predictor").Generation
			c.edit("iris", func(i *v1beta1.InferenceService) { row.edit(i.Spec.Predictor.Model) })
			edited := c.get("iris").Generation
			c.eventually("the edit to be seen", func() bool { return c.get("iris").Status.ObservedGeneration == edited })
			r.quiet(c, "iris")

			c.runtime("aa-later", "sklearn", "example.com/later:1")
			c.model("new", iris)
			c.eventually("the runtime to be seen", func() bool { return c.get("new").Status.ClusterServingRuntimeName == "aa-later" })
			r.quiet(c, "iris")
			require.Equal(t, generation, c.deployment("iris-predictor").Generation)
			require.Equal(t, name, c.get("iris").Status.ClusterServingRuntimeName)
			require.Equal(t, "iris-predictor-00001", c.get("iris").Status.Components[v1beta1.ComponentPredictor].LatestCreatedRevision)
		})
	}
}

func TestWithoutItsNameARuntimeIsSelectedAnew(t *testing.T) {
	c := newCluster(t)
	c.runtime("zz-first", "sklearn", "example.com/first:1")
	c.runtime("aa-later", "sklearn", "example.com/later:1")
	name := "zz-first"
	c.deployed("iris", iris, func(i *v1beta1.InferenceService) { i.Spec.Predictor.Model.Runtime = &name })
	require.Equal(t, "example.com/first:1", c.image("iris-predictor"))
	c.edit("iris", func(i *v1beta1.InferenceService) { i.Spec.Predictor.Model.Runtime = nil })
	c.eventually("another runtime", func() bool { return c.image("iris-predictor") == "example.com/later:1" })
}

func TestASecretNamedByAnAnnotationIsReadAtOnce(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	for _, name := range []string{"first", "second"} {
		_, err := c.kube.CoreV1().Secrets(c.namespace).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"HF_TOKEN": "t"},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	c.deployed("iris", iris, annotated(v1beta1.AnnotationStorageSecretName, "first"))
	secret := func() string {
		for _, container := range c.deployment("iris-predictor").Spec.Template.Spec.InitContainers {
			for _, e := range container.Env {
				if e.Name == "HF_TOKEN" {
					return e.ValueFrom.SecretKeyRef.Name
				}
			}
		}
		return ""
	}
	require.Equal(t, "first", secret())
	// An annotation makes no new generation.
	c.edit("iris", annotated(v1beta1.AnnotationStorageSecretName, "second"))
	c.eventually("the other secret", func() bool { return secret() == "second" })
}

func TestASecretMadeAfterItWasMissedIsSeenAtTheNextPass(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.model("iris", iris, annotated(v1beta1.AnnotationStorageSecretName, "late"))
	r := c.start()
	reason := func() string { return c.condition("iris", v1beta1.ConditionPredictorReady).Reason }
	c.eventually("the problem", func() bool { return reason() == string(deployer.ReasonCredentialsMissing) })
	_, err := c.kube.CoreV1().Secrets(c.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "late"}, StringData: map[string]string{"HF_TOKEN": "t"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	r.again(c, "iris")
	c.eventually("deployed", func() bool { return reason() != string(deployer.ReasonCredentialsMissing) })
}

func TestAChangedRuntimeReachesItsModelsUnlessTheyAreFrozen(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("follows", iris)
	c.model("frozen", iris, annotated(v1beta1.AnnotationDisableAutoUpdate, "true"))
	c.model("frozen-unready", iris, annotated(v1beta1.AnnotationDisableAutoUpdate, "true"))
	c.eventually("all deployed", func() bool {
		return c.get("frozen-unready").Status.ObservedGeneration > 0 && c.get("frozen").Status.ObservedGeneration > 0
	})
	c.roll("frozen-predictor")
	c.eventually("ready", func() bool { return c.condition("frozen", v1beta1.ConditionReady).Status == corev1.ConditionTrue })
	r.quiet(c, "frozen")

	c.editRuntime("sk", func(r *v1alpha1.ClusterServingRuntime) { r.Spec.Containers[0].Image = "example.com/sklearn:2" })
	for _, name := range []string{"follows", "frozen-unready"} {
		c.eventually(name+" follows", func() bool { return c.image(name+"-predictor") == "example.com/sklearn:2" })
		c.eventually("a new revision", func() bool {
			return c.get(name).Status.Components[v1beta1.ComponentPredictor].LatestCreatedRevision == name+"-predictor-00002"
		})
	}
	r.again(c, "frozen")
	require.Equal(t, "example.com/sklearn:1", c.image("frozen-predictor"))
	r.stop()
	second := c.start()
	second.settle(c, 3)
	require.Equal(t, "example.com/sklearn:1", c.image("frozen-predictor"), "after a restart")
}

func TestAFrozenModelNeedsNoRuntimeAnyMore(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.runtime("other", "other", "example.com/other:1")
	name := "sk"
	freeze := annotated(v1beta1.AnnotationDisableAutoUpdate, "true")
	r := c.deployed("selected", iris, freeze)
	c.model("named", iris, freeze, func(i *v1beta1.InferenceService) { i.Spec.Predictor.Model.Runtime = &name })
	c.eventually("both deployed", func() bool { return c.get("named").Status.ObservedGeneration > 0 })
	for _, model := range []string{"selected", "named"} {
		r.quiet(c, model)
		c.roll(model + "-predictor")
		c.eventually("ready", func() bool { return c.condition(model, v1beta1.ConditionReady).Status == corev1.ConditionTrue })
	}
	generation := c.deployment("selected-predictor").Generation
	c.editRuntime("sk", func(r *v1alpha1.ClusterServingRuntime) {
		yes := true
		r.Spec.Disabled, r.Spec.Containers[0].Image = &yes, "example.com/sklearn:2"
	})
	// A problem of another kind makes it unready, and does not thaw it.
	c.edit("selected", annotated(v1beta1.AnnotationAutoscalerClass, "kpa"))
	c.eventually("the problem", func() bool { return c.condition("selected", v1beta1.ConditionReady).Status == corev1.ConditionFalse })
	c.edit("selected", func(i *v1beta1.InferenceService) { delete(i.Annotations, v1beta1.AnnotationAutoscalerClass) })
	for _, model := range []string{"selected", "named"} {
		r.again(c, model)
		c.eventually("ready again", func() bool { return c.condition(model, v1beta1.ConditionReady).Status == corev1.ConditionTrue })
		require.Equal(t, "example.com/sklearn:1", c.image(model+"-predictor"))
	}
	require.Equal(t, generation, c.deployment("selected-predictor").Generation)
	// What asks for something else is selected anew.
	c.edit("selected", func(i *v1beta1.InferenceService) { i.Spec.Predictor.Model.ModelFormat.Name = "other" })
	c.eventually("the other runtime", func() bool { return c.image("selected-predictor") == "example.com/other:1" })
}

func TestAModelWaitsForItsRuntime(t *testing.T) {
	c := newCluster(t)
	c.model("iris", iris)
	r := c.start()
	c.eventually("the problem", func() bool {
		return c.condition("iris", v1beta1.ConditionPredictorReady).Reason == "NoSupportingRuntime"
	})
	s := c.get("iris").Status
	require.Equal(t, v1beta1.TransitionInvalidSpec, s.ModelStatus.TransitionStatus)
	require.Equal(t, v1beta1.FailureNoSupportingRuntime, s.ModelStatus.LastFailureInfo.Reason)
	require.Contains(t, <-r.events.Events, "NoSupportingRuntime")

	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.eventually("deployed", func() bool { return c.get("iris").Status.ClusterServingRuntimeName == "sk" })
	require.Equal(t, "example.com/sklearn:1", c.image("iris-predictor"))
}

func TestAnInvalidUpdateLeavesWhatRunsAlone(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", iris)
	c.roll("iris-predictor")
	c.eventually("ready", func() bool { return c.condition("iris", v1beta1.ConditionReady).Status == corev1.ConditionTrue })
	generation := c.deployment("iris-predictor").Generation

	for reason, break_ := range map[string]func(*v1beta1.InferenceService){
		"NoSupportingRuntime":  func(i *v1beta1.InferenceService) { i.Spec.Predictor.Model.ModelFormat.Name = "unheard-of" },
		"InvalidPredictorSpec": annotated(v1beta1.AnnotationAutoscalerClass, "kpa"),
	} {
		old := c.get("iris")
		c.edit("iris", break_)
		c.eventually(reason, func() bool { return c.condition("iris", v1beta1.ConditionPredictorReady).Reason == reason })
		require.Equal(t, corev1.ConditionFalse, c.condition("iris", v1beta1.ConditionReady).Status)
		require.Contains(t, c.condition("iris", v1beta1.ConditionPredictorReady).Message, "revision iris-predictor-00001 goes on serving")
		require.NotEmpty(t, c.get("iris").Status.URL)
		require.Equal(t, generation, c.deployment("iris-predictor").Generation)
		require.Empty(t, r.writes.of("DELETE"))

		c.edit("iris", func(i *v1beta1.InferenceService) { i.Spec, i.Annotations = old.Spec, old.Annotations })
		c.eventually("cured", func() bool { return c.condition("iris", v1beta1.ConditionReady).Status == corev1.ConditionTrue })
	}
	require.Equal(t, "iris-predictor-00001", c.get("iris").Status.Components[v1beta1.ComponentPredictor].LatestCreatedRevision)
}

func TestAFieldThatIsNotHonouredIsNamed(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", "batcher: {maxBatchSize: 8}\ncanaryTrafficPercent: 20\n"+iris)
	condition := c.condition("iris", status.ConditionSpecHonoured)
	require.Equal(t, corev1.ConditionFalse, condition.Status)
	require.Contains(t, condition.Message, "spec.predictor.batcher")
	require.Contains(t, condition.Message, "spec.predictor.canaryTrafficPercent")
	require.Contains(t, <-r.events.Events, "spec.predictor.batcher")

	c.edit("iris", func(i *v1beta1.InferenceService) {
		i.Spec.Predictor.Batcher, i.Spec.Predictor.CanaryTrafficPercent = nil, nil
	})
	c.eventually("the condition to go", func() bool { return c.condition("iris", status.ConditionSpecHonoured).Type == "" })
}

func TestStoppingDeletesWhatRunsAndStartingAgainKeepsTheListenPort(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", iris)
	routes := c.rawserve.RawserveV1alpha1().InferenceRoutes(c.namespace)
	route, err := routes.Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	port := route.Spec.Ports[0].ListenPort

	c.edit("iris", annotated(v1beta1.AnnotationStop, "True"))
	c.eventually("stopped", func() bool { return c.condition("iris", v1beta1.ConditionStopped).Status == corev1.ConditionTrue })
	r.quiet(c, "iris")
	_, err = c.kube.AppsV1().Deployments(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "%v", err)
	for _, name := range []string{"iris-predictor", "iris-predictor-00001"} {
		_, err = c.kube.CoreV1().Services(c.namespace).Get(t.Context(), name, metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err), "%v", err)
	}
	_, err = c.rawserve.RawserveV1alpha1().Scalers(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "%v", err)
	route, err = routes.Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	require.True(t, route.Spec.Targets[0].Stopped)
	s := c.get("iris").Status
	require.Equal(t, "Standard", s.DeploymentMode)
	require.Empty(t, s.Components)
	require.Empty(t, s.URL)

	c.edit("iris", func(i *v1beta1.InferenceService) { delete(i.Annotations, v1beta1.AnnotationStop) })
	c.eventually("started", func() bool { return len(c.get("iris").Status.Components) > 0 })
	route, err = routes.Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, port, route.Spec.Ports[0].ListenPort)
	require.False(t, route.Spec.Targets[0].Stopped)
	require.Equal(t, "iris-predictor-00001", c.deployment("iris-predictor").Labels[deployer.LabelRevision], "the same state, the same revision")
}

func TestAnObjectOfSomebodyElseIsNamedAndLeftAlone(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	foreign := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor", Namespace: c.namespace},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1234}}},
	}
	foreign, err := c.kube.CoreV1().Services(c.namespace).Create(t.Context(), foreign, metav1.CreateOptions{})
	require.NoError(t, err)
	c.model("iris", iris)
	r := c.start()
	c.eventually("the problem", func() bool { return c.condition("iris", v1beta1.ConditionPredictorReady).Reason == "NameTaken" })
	require.Contains(t, c.condition("iris", v1beta1.ConditionPredictorReady).Message, "Service "+c.namespace+"/iris-predictor")
	require.Contains(t, <-r.events.Events, "NameTaken")
	live, err := c.kube.CoreV1().Services(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, foreign.ResourceVersion, live.ResourceVersion)

	require.NoError(t, c.kube.CoreV1().Services(c.namespace).Delete(t.Context(), "iris-predictor", metav1.DeleteOptions{}))
	r.again(c, "iris")
	c.eventually("deployed", func() bool { return c.condition("iris", v1beta1.ConditionPredictorReady).Reason != "NameTaken" })
	require.Equal(t, "iris-predictor", c.deployment("iris-predictor").Name)
}

// pod plays the kubelet: a ready pod of a revision.
func (c *cluster) pod(name, model, revision string) {
	c.t.Helper()
	pods := c.kube.CoreV1().Pods(c.namespace)
	p, err := pods.Create(c.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"app": "isvc." + model + "-predictor", v1beta1.LabelInferenceService: model, v1beta1.LabelComponent: "predictor", deployer.LabelRevision: revision,
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: v1beta1.ContainerServer, Image: "example.com/server:1"}}},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	_, err = pods.UpdateStatus(c.t.Context(), p, metav1.UpdateOptions{})
	require.NoError(c.t, err)
}

// targets are the ports to which a predictor's Service and route send requests.
func (c *cluster) targets(name string) [2]int32 {
	c.t.Helper()
	s, err := c.kube.CoreV1().Services(c.namespace).Get(c.t.Context(), name, metav1.GetOptions{})
	require.NoError(c.t, err)
	r, err := c.rawserve.RawserveV1alpha1().InferenceRoutes(c.namespace).Get(c.t.Context(), name, metav1.GetOptions{})
	require.NoError(c.t, err)
	return [2]int32{s.Spec.Ports[0].TargetPort.IntVal, r.Spec.Ports[0].TargetPort}
}

// listening has the server listen on another port.
func listening(port int32) func(*v1beta1.InferenceService) {
	return func(i *v1beta1.InferenceService) {
		i.Spec.Predictor.Model.Ports = []corev1.ContainerPort{{ContainerPort: port, Protocol: corev1.ProtocolTCP}}
	}
}

func TestARefusedDeploymentLeavesTheAddressOfWhatRunsAlone(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.deployed("iris", iris, annotated(v1beta1.AnnotationAutoscalerClass, "none"))
	require.Equal(t, [2]int32{8080, 8080}, c.targets("iris-predictor"))
	c.edit("iris", func(i *v1beta1.InferenceService) {
		listening(9000)(i)
		i.Spec.Predictor.Model.Resources = corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
		}
	})
	c.eventually("the problem", func() bool {
		return c.condition("iris", v1beta1.ConditionPredictorReady).Reason == v1beta1.ReasonReconcileFailed
	})
	require.Contains(t, c.condition("iris", v1beta1.ConditionPredictorReady).Message, "must be less than or equal to cpu limit")
	require.Equal(t, [2]int32{8080, 8080}, c.targets("iris-predictor"))
}

func TestRequestsStayWithTheFormerPortUntilAsManyPodsHaveTheNewOne(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", iris, annotated(v1beta1.AnnotationAutoscalerClass, "none"))
	c.pod("old", "iris", "iris-predictor-00001")
	r.quiet(c, "iris")
	c.edit("iris", listening(9000))
	c.eventually("a new revision", func() bool {
		return c.deployment("iris-predictor").Labels[deployer.LabelRevision] == "iris-predictor-00002"
	})
	r.quiet(c, "iris")
	require.Equal(t, [2]int32{8080, 8080}, c.targets("iris-predictor"))
	c.pod("new", "iris", "iris-predictor-00002")
	c.eventually("the new port", func() bool { return c.targets("iris-predictor") == [2]int32{9000, 9000} })
}

func TestAnObjectThatCannotBeDeletedIsNamed(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", iris)
	services := c.kube.CoreV1().Services(c.namespace)
	finalizers := func(value string) {
		_, err := services.Patch(t.Context(), "iris-predictor", types.MergePatchType, []byte(`{"metadata":{"finalizers":`+value+`}}`), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	finalizers(`["example.com/lb"]`)
	require.NoError(t, services.Delete(t.Context(), "iris-predictor", metav1.DeleteOptions{}))
	c.eventually("the problem", func() bool {
		return c.condition("iris", v1beta1.ConditionPredictorReady).Reason == "ObjectTerminating"
	})
	require.Contains(t, c.condition("iris", v1beta1.ConditionPredictorReady).Message, "/iris-predictor is being deleted and still has the finalizers example.com/lb")
	finalizers("null")
	c.eventually("another", func() bool {
		s, err := services.Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		return err == nil && s.DeletionTimestamp == nil && c.condition("iris", v1beta1.ConditionPredictorReady).Reason != "ObjectTerminating"
	})
	r.quiet(c, "iris")
}

func TestTheSelectorFollowsThePath(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	c.deployed("iris", iris)
	selector := func() map[string]string {
		s, err := c.kube.CoreV1().Services(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		require.NoError(t, err)
		return s.Spec.Selector
	}
	narrow := func(is string) {
		patch := `{"status":{"path":{"mode":"ActivatorOnly","confirmed":true,"narrowSelector":` + is + `}}}`
		_, err := c.rawserve.RawserveV1alpha1().InferenceRoutes(c.namespace).Patch(t.Context(), "iris-predictor", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
		require.NoError(t, err)
	}
	require.NotContains(t, selector(), deployer.LabelPath)
	narrow("true")
	c.eventually("a narrowed selector", func() bool { return selector()[deployer.LabelPath] == deployer.PathActivator })
	narrow("false")
	c.eventually("the selector of the pods", func() bool { return len(selector()) == 1 })
	require.Equal(t, map[string]string{"app": "isvc.iris-predictor"}, selector())
}

func TestMemoryWithoutATargetIsLeftToKubernetesDefault(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", "scaleMetric: memory\nscaleTarget: 60\n"+iris)
	metrics := func() []autoscalingv2.MetricSpec {
		hpa, err := c.kube.AutoscalingV2().HorizontalPodAutoscalers(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		require.NoError(t, err)
		return hpa.Spec.Metrics
	}
	require.Equal(t, corev1.ResourceMemory, metrics()[0].Resource.Name)
	c.edit("iris", func(i *v1beta1.InferenceService) { i.Spec.Predictor.ScaleTarget = nil })
	c.eventually("the default", func() bool { return len(metrics()) == 1 && metrics()[0].Resource.Name == corev1.ResourceCPU })
	r.quiet(c, "iris")
	require.Equal(t, int32(80), *metrics()[0].Resource.Target.AverageUtilization)
}

func TestDriftIsRepaired(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", iris)
	drift := func() {
		_, err := c.kube.AppsV1().Deployments(c.namespace).Patch(t.Context(), "iris-predictor", types.StrategicMergePatchType,
			[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"kserve-container","image":"evil:1"}]}}}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
		require.NoError(t, err)
	}
	for _, when := range []string{"after creation", "after an update"} {
		drift()
		c.eventually("repaired "+when, func() bool { return c.image("iris-predictor") == "example.com/sklearn:1" })
	}
	require.NoError(t, c.kube.CoreV1().Services(c.namespace).Delete(t.Context(), "iris-predictor", metav1.DeleteOptions{}))
	c.eventually("the Service to be back", func() bool {
		_, err := c.kube.CoreV1().Services(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		return err == nil
	})
	r.quiet(c, "iris")
	r.stop()
	drift()
	c.start()
	c.eventually("drift while nobody watched", func() bool { return c.image("iris-predictor") == "example.com/sklearn:1" })
}

func TestObjectsOfKServeAreAdoptedInPlace(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	isvc := c.model("iris", "minReplicas: 2\n"+strings.Replace(iris[1:], "minReplicas: 0\n", "", 1))
	// What KServe leaves behind, made under its field manager.
	labels := map[string]string{"app": "isvc.iris-predictor", "component": "predictor", "serving.kserve.io/inferenceservice": "iris"}
	owner := *metav1.NewControllerRef(isvc, v1beta1.SchemeGroupVersion.WithKind("InferenceService"))
	four := int32(4)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor", Namespace: c.namespace, Labels: labels, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: appsv1.DeploymentSpec{
			Replicas: &four,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "isvc.iris-predictor"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"internal.serving.kserve.io/agent": "true"}},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{"of": "kserve"},
					Containers:   []corev1.Container{{Name: "kserve-container", Image: "old:1", Env: []corev1.EnvVar{{Name: "OF_KSERVE", Value: "1"}}}},
				},
			},
		},
	}
	d, err := c.kube.AppsV1().Deployments(c.namespace).Create(t.Context(), d, metav1.CreateOptions{FieldManager: "manager"})
	require.NoError(t, err)
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor", Namespace: c.namespace, Labels: labels, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "isvc.iris-predictor"},
			Ports: []corev1.ServicePort{{Name: "iris-predictor", Port: 80, Protocol: "TCP"}}},
	}
	s, err = c.kube.CoreV1().Services(c.namespace).Create(t.Context(), s, metav1.CreateOptions{FieldManager: "manager"})
	require.NoError(t, err)

	r := c.start()
	c.eventually("adopted", func() bool { return c.get("iris").Status.ObservedGeneration > 0 })
	r.quiet(c, "iris")
	got := c.deployment("iris-predictor")
	require.Equal(t, d.UID, got.UID)
	require.Equal(t, int32(4), *got.Spec.Replicas, "whoever scaled it")
	require.Equal(t, "example.com/sklearn:1", got.Spec.Template.Spec.Containers[0].Image)
	require.Empty(t, got.Spec.Template.Spec.NodeSelector)
	require.NotContains(t, got.Spec.Template.Annotations, "internal.serving.kserve.io/agent")
	for _, e := range got.Spec.Template.Spec.Containers[0].Env {
		require.NotEqual(t, "OF_KSERVE", e.Name)
	}
	service, err := c.kube.CoreV1().Services(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, s.UID, service.UID)
	require.Equal(t, s.Spec.ClusterIP, service.Spec.ClusterIP)
	require.Len(t, service.Spec.Ports, 1)
	require.Empty(t, r.writes.of("DELETE"))
}

func TestChangingWhoScalesKeepsTheReplicas(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", iris, annotated(v1beta1.AnnotationAutoscalerClass, "none"), func(i *v1beta1.InferenceService) { *i.Spec.Predictor.MinReplicas = 3 })
	require.Equal(t, int32(3), *c.deployment("iris-predictor").Spec.Replicas)
	c.edit("iris", func(i *v1beta1.InferenceService) { *i.Spec.Predictor.MinReplicas = 4 })
	c.eventually("four", func() bool { return *c.deployment("iris-predictor").Spec.Replicas == 4 })
	r.quiet(c, "iris")

	c.edit("iris", func(i *v1beta1.InferenceService) { delete(i.Annotations, v1beta1.AnnotationAutoscalerClass) })
	c.eventually("a Scaler", func() bool {
		_, err := c.rawserve.RawserveV1alpha1().Scalers(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		return err == nil
	})
	r.quiet(c, "iris")
	require.Equal(t, int32(4), *c.deployment("iris-predictor").Spec.Replicas)

	c.edit("iris", annotated(v1beta1.AnnotationAutoscalerClass, "hpa"))
	c.edit("iris", func(i *v1beta1.InferenceService) { *i.Spec.Predictor.MinReplicas = 1 })
	c.eventually("an HPA and no Scaler", func() bool {
		_, err := c.rawserve.RawserveV1alpha1().Scalers(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		_, hpa := c.kube.AutoscalingV2().HorizontalPodAutoscalers(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		return apierrors.IsNotFound(err) && hpa == nil
	})
	require.Equal(t, int32(4), *c.deployment("iris-predictor").Spec.Replicas)
}

func TestARenamedPredictorServesUntilTheNewOneDoes(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	r := c.deployed("iris", iris)
	c.roll("iris-predictor")
	c.eventually("ready", func() bool { return c.condition("iris", v1beta1.ConditionReady).Status == corev1.ConditionTrue })
	c.edit("iris", func(i *v1beta1.InferenceService) { i.Spec.Predictor.Name = "v2" })
	c.eventually("the new one", func() bool {
		_, err := c.kube.AppsV1().Deployments(c.namespace).Get(t.Context(), "iris-v2-predictor", metav1.GetOptions{})
		return err == nil
	})
	r.quiet(c, "iris")
	require.Equal(t, "iris-predictor", c.deployment("iris-predictor").Name, "the old one is still there")
	c.roll("iris-v2-predictor")
	c.eventually("the old one to go", func() bool {
		_, err := c.kube.AppsV1().Deployments(c.namespace).Get(t.Context(), "iris-predictor", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}
