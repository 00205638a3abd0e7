package status_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/status"
)

var (
	monday = metav1.NewTime(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC))
	later  = metav1.NewTime(monday.Add(time.Hour))
)

const (
	first  = "iris-predictor-00001"
	second = "iris-predictor-00002"
)

// scene is an input in the making.
type scene struct{ status.Input }

// model is a model whose objects have been made and not been looked at yet.
func model() *scene {
	return &scene{status.Input{
		Service: &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: "iris", Namespace: "ml", Generation: 1}},
		Now:     monday,
		URLs: deployer.URLs{
			External: "http://iris-ml.example.com", Component: "http://iris-predictor-ml.example.com", Address: "http://iris-predictor.ml.svc.cluster.local",
		},
		Revision:   first,
		Runtime:    &deployer.RuntimeRef{Name: "kserve-sklearnserver", Scope: deployer.Cluster},
		Deployment: deployment(first, 1, 0),
		Path:       rawservev1alpha1.PathStatus{Mode: rawservev1alpha1.PathDirect, Confirmed: true},
	}}
}

func deployment(revision string, replicas, available int32, conditions ...appsv1.DeploymentCondition) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Generation: 3, Labels: map[string]string{deployer.LabelRevision: revision}},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 3, Replicas: replicas, UpdatedReplicas: replicas, AvailableReplicas: available, Conditions: conditions,
		},
	}
}

// Conditions as Kubernetes' Deployment controller sets them.
var (
	isAvailable   = condition(appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability.")
	notAvailable  = condition(appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
	rolledOut     = condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetAvailable", "ReplicaSet has successfully progressed.")
	rolling       = condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "ReplicaSetUpdated", "ReplicaSet is progressing.")
	deadline      = condition(appsv1.DeploymentProgressing, corev1.ConditionFalse, "ProgressDeadlineExceeded", "ReplicaSet has timed out progressing.")
	quotaExceeded = condition(appsv1.DeploymentReplicaFailure, corev1.ConditionTrue, "FailedCreate", "exceeded quota")
)

func condition(t appsv1.DeploymentConditionType, s corev1.ConditionStatus, reason, message string) appsv1.DeploymentCondition {
	return appsv1.DeploymentCondition{Type: t, Status: s, Reason: reason, Message: message}
}

func (s *scene) deployed(revision string, replicas, available int32, conditions ...appsv1.DeploymentCondition) *scene {
	s.Revision, s.Deployment = revision, deployment(revision, replicas, available, conditions...)
	return s
}

// ready is a model that serves.
func ready() *scene {
	s := model().deployed(first, 1, 1, isAvailable, rolledOut)
	s.Pods = []*corev1.Pod{pod("a", monday, first, servingPod)}
	return s.then()
}

// then stores the status, as the controller does, and lets an hour pass.
func (s *scene) then() *scene {
	s.Service = s.Service.DeepCopy()
	s.Service.Status = status.Compute(s.Input)
	s.Now = metav1.NewTime(s.Now.Add(time.Hour))
	return s
}

func (s *scene) scaler(reason, message string) *scene {
	zero := int32(0)
	s.Scaler = &rawservev1alpha1.Scaler{
		Spec:   rawservev1alpha1.ScalerSpec{RouteName: "iris-predictor", MinReplicas: &zero},
		Status: rawservev1alpha1.ScalerStatus{Reason: reason, Message: message},
	}
	return s
}

func (s *scene) with(edit func(*status.Input)) *scene {
	edit(&s.Input)
	return s
}

func pod(name string, created metav1.Time, revision string, edit func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: created, Labels: map[string]string{deployer.LabelRevision: revision}}}
	edit(p)
	return p
}

func servingPod(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1beta1.ContainerServer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
}

func pendingPod(*corev1.Pod) {}

func loadingPod(p *corev1.Pod) {
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1beta1.ContainerServer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
}

func downloadingPod(p *corev1.Pod) {
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "storage-initializer", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
}

func crashing(init bool, container, message string, code int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		s := []corev1.ContainerStatus{{
			Name:                 container,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: code, Message: message, FinishedAt: monday}},
		}}
		if init {
			p.Status.InitContainerStatuses = s
		} else {
			p.Status.ContainerStatuses = s
		}
	}
}

func unpullable(p *corev1.Pod) {
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1beta1.ContainerServer,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}}}
}

func ended(p *corev1.Pod) {
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "storage-initializer",
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1, Message: "no such bucket", FinishedAt: monday}}}}
}

// short is a status in one line: what most rows are about.
func short(s v1beta1.InferenceServiceStatus) string {
	text := ""
	for _, t := range []v1beta1.ConditionType{v1beta1.ConditionReady, v1beta1.ConditionPredictorReady, v1beta1.ConditionIngressReady} {
		c := v1beta1.FindCondition(s.Conditions, t)
		text += string(t) + "=" + string(c.Status)
		if c.Reason != "" {
			text += "(" + c.Reason + ")"
		}
		text += " "
	}
	text += string(s.ModelStatus.TransitionStatus)
	if m := s.ModelStatus.ModelRevisionStates; m != nil {
		text += " " + string(m.ActiveModelState) + "/" + string(m.TargetModelState)
	}
	return text
}

func TestReadinessFollowsTheDeploymentAsInKServe(t *testing.T) {
	const notReached = " IngressReady=False(Predictor ingress not created) InProgress Pending/Pending"
	for _, c := range []struct {
		situation  string
		conditions []appsv1.DeploymentCondition
		want       string
	}{
		{"nothing known", nil, "Ready=False(NotApplied) PredictorReady=False(NotApplied)" + notReached},
		{"available", []appsv1.DeploymentCondition{isAvailable}, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) InProgress Pending/Pending"},
		{"available and rolled out", []appsv1.DeploymentCondition{isAvailable, rolledOut}, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) InProgress Pending/Pending"},
		{"available and rolling", []appsv1.DeploymentCondition{isAvailable, rolling}, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) InProgress Pending/Pending"},
		{"rolling, availability unknown", []appsv1.DeploymentCondition{rolling}, "Ready=False(Predictor ingress not created) PredictorReady=Unknown(ReplicaSetUpdated) IngressReady=False(Predictor ingress not created) InProgress Pending/Pending"},
		{"rolling and not available", []appsv1.DeploymentCondition{rolling, notAvailable}, "Ready=False(MinimumReplicasUnavailable) PredictorReady=False(MinimumReplicasUnavailable)" + notReached},
		{"past the deadline, old pods available", []appsv1.DeploymentCondition{isAvailable, deadline}, "Ready=False(ProgressDeadlineExceeded) PredictorReady=False(ProgressDeadlineExceeded)" + notReached},
		{"rolled out, then not available", []appsv1.DeploymentCondition{rolledOut, notAvailable}, "Ready=False(MinimumReplicasUnavailable) PredictorReady=False(MinimumReplicasUnavailable)" + notReached},
		{"pods cannot be made", []appsv1.DeploymentCondition{isAvailable, rolledOut, quotaExceeded}, "Ready=False(FailedCreate) PredictorReady=False(FailedCreate)" + notReached},
	} {
		t.Run(c.situation, func(t *testing.T) {
			require.Equal(t, c.want, short(status.Compute(model().deployed(first, 1, 0, c.conditions...).Input)))
		})
	}
}

func TestAReadyModelSaysWhereAndWhichRevision(t *testing.T) {
	percent, yes := int64(100), true
	got := ready().Service.Status
	require.Equal(t, v1beta1.InferenceServiceStatus{
		ObservedGeneration: 1,
		Conditions: []v1beta1.Condition{
			{Type: v1beta1.ConditionIngressReady, Status: corev1.ConditionTrue, LastTransitionTime: monday, Reason: status.ReasonClusterLocal,
				Message: "Reached within the cluster at http://iris-predictor.ml.svc.cluster.local. No Ingress or HTTPRoute is made: route http://iris-ml.example.com to the Service yourself if it is needed outside."},
			{Type: v1beta1.ConditionPredictorReady, Status: corev1.ConditionTrue, LastTransitionTime: monday},
			{Type: v1beta1.ConditionReady, Status: corev1.ConditionTrue, LastTransitionTime: monday},
			{Type: v1beta1.ConditionStopped, Status: corev1.ConditionFalse, Severity: v1beta1.SeverityInfo, LastTransitionTime: monday},
		},
		URL:     "http://iris-ml.example.com",
		Address: &v1beta1.Address{URL: "http://iris-predictor.ml.svc.cluster.local"},
		Components: map[v1beta1.Component]v1beta1.ComponentStatus{v1beta1.ComponentPredictor: {
			LatestCreatedRevision: first, LatestReadyRevision: first, LatestRolledoutRevision: first,
			Traffic: []v1beta1.TrafficTarget{{RevisionName: first, Percent: &percent, LatestRevision: &yes}},
			URL:     "http://iris-predictor-ml.example.com",
			Address: &v1beta1.Address{URL: "http://iris-predictor.ml.svc.cluster.local"},
		}},
		ModelStatus: v1beta1.ModelStatus{
			TransitionStatus:    v1beta1.TransitionUpToDate,
			ModelRevisionStates: &v1beta1.ModelRevisionStates{ActiveModelState: v1beta1.ModelLoaded, TargetModelState: v1beta1.ModelLoaded},
			ModelCopies:         &v1beta1.ModelCopies{TotalCopies: 1},
		},
		DeploymentMode:            "Standard",
		ClusterServingRuntimeName: "kserve-sklearnserver",
	}, got)
}

func TestTheSameStateGivesTheSameStatusAtAnyTime(t *testing.T) {
	for name, s := range map[string]*scene{
		"new": model().then(), "ready": ready(), "stopped": model().with(func(i *status.Input) { i.Stopped = true }).then(),
		"asleep": ready().deployed(first, 0, 0, isAvailable, rolledOut).scaler("AtZero", "").then(),
		"failed": model().with(func(i *status.Input) { i.Pods = []*corev1.Pod{pod("a", monday, first, ended)} }).then(),
		"a problem": model().with(func(i *status.Input) {
			i.Problem = &status.Problem{Reason: "NoSupportingRuntime", Message: "none", Failure: v1beta1.FailureNoSupportingRuntime}
		}).then(),
		"given up": ready().deployed(first, 0, 0, isAvailable).scaler("StartFailed", "gave up").then(),
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, s.Service.Status, status.Compute(s.Input))
		})
	}
}

func TestATransitionTimeMovesWithTheStatusOnly(t *testing.T) {
	s := ready().deployed(first, 1, 0, notAvailable, rolledOut)
	at := func(t v1beta1.ConditionType) metav1.Time {
		return v1beta1.FindCondition(s.Service.Status.Conditions, t).LastTransitionTime
	}
	s.then()
	require.Equal(t, later, at(v1beta1.ConditionPredictorReady))
	require.Equal(t, monday, at(v1beta1.ConditionStopped))
	s.deployed(first, 1, 0, notAvailable, deadline).then()
	require.Equal(t, later, at(v1beta1.ConditionPredictorReady), "another reason, the same status")
}

// held is the path of a service whose requests activators hold.
func held(i *status.Input) {
	i.Path = rawservev1alpha1.PathStatus{Mode: rawservev1alpha1.PathActivator, Confirmed: true}
}

// unreached is the path of a service of which the nodes have not learned yet.
func unreached(i *status.Input) {
	i.Path = rawservev1alpha1.PathStatus{Mode: rawservev1alpha1.PathDirect, Message: "Waits for the nodes."}
}

func TestAModelIsReadyOnceRequestsReachItAndStaysSo(t *testing.T) {
	s := model().deployed(first, 1, 1, isAvailable, rolledOut).with(unreached).then()
	require.Equal(t, "Ready=False(PathNotConfirmed) PredictorReady=True IngressReady=False(PathNotConfirmed) UpToDate Loaded/Loaded", short(s.Service.Status))
	require.Contains(t, v1beta1.FindCondition(s.Service.Status.Conditions, v1beta1.ConditionReady).Message, "Waits for the nodes.")

	s.with(func(i *status.Input) { i.Path.Confirmed = true }).then()
	require.Equal(t, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) UpToDate Loaded/Loaded", short(s.Service.Status))

	s.with(unreached).then()
	require.Equal(t, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) UpToDate Loaded/Loaded", short(s.Service.Status), "a path that changes has endpoints all the time")
}

func TestMoreReplicasDoNotMakeAServingModelUnready(t *testing.T) {
	s := ready().deployed(first, 5, 1, notAvailable, rolledOut)
	require.Equal(t, "Ready=True PredictorReady=True(ReplicasMissing) IngressReady=True(ClusterLocal) UpToDate Loaded/Loaded", short(status.Compute(s.Input)))
	require.Equal(t, "Ready=False(MinimumReplicasUnavailable) PredictorReady=False(MinimumReplicasUnavailable) IngressReady=True(ClusterLocal) InProgress Pending/Loading",
		short(status.Compute(ready().deployed(first, 5, 0, notAvailable, rolledOut).Input)), "none is left")
	require.Equal(t, "Ready=False(MinimumReplicasUnavailable) PredictorReady=False(MinimumReplicasUnavailable) IngressReady=True(ClusterLocal) InProgress Loaded/Loading",
		short(status.Compute(ready().deployed(second, 5, 1, notAvailable, rolling).Input)), "a revision that has never been ready")
}

func TestZeroReplicasAreReadyWhereSomethingHoldsRequests(t *testing.T) {
	for _, c := range []struct {
		situation string
		scene     *scene
		want      string
	}{
		{"scaled to zero", ready().deployed(first, 0, 0, isAvailable, rolledOut).scaler("AtZero", ""),
			"Ready=True PredictorReady=True(ScaledToZero) IngressReady=True(ClusterLocal) UpToDate Standby/Standby"},
		{"never started, initial scale zero, and no activator holds its requests yet", model().deployed(first, 0, 0, isAvailable, rolledOut).scaler("AtZero", "").with(unreached),
			"Ready=False(Predictor ingress not created) PredictorReady=Unknown(PathNotConfirmed) IngressReady=False(Predictor ingress not created) UpToDate Standby/Standby"},
		{"never started, initial scale zero", model().deployed(first, 0, 0, isAvailable, rolledOut).scaler("AtZero", "").with(held),
			"Ready=True PredictorReady=True(ScaledToZero) IngressReady=True(ClusterLocal) UpToDate Standby/Standby"},
		{"at zero without a Scaler", ready().deployed(first, 0, 0, isAvailable, rolledOut).with(func(i *status.Input) { i.Pods = nil }),
			"Ready=True PredictorReady=True IngressReady=True(ClusterLocal) UpToDate Standby/Standby"},
		{"waking", ready().deployed(first, 0, 0, isAvailable, rolledOut).scaler("AtZero", "").then().deployed(first, 1, 0, notAvailable, rolledOut).
			with(func(i *status.Input) { i.Pods = []*corev1.Pod{pod("b", later, first, loadingPod)} }),
			"Ready=True PredictorReady=True(Activating) IngressReady=True(ClusterLocal) InProgress Standby/Loading"},
		{"waking, and the server crashes", ready().deployed(first, 0, 0, isAvailable, rolledOut).scaler("AtZero", "").then().deployed(first, 1, 0, notAvailable, rolledOut).
			with(func(i *status.Input) {
				i.Pods = []*corev1.Pod{pod("b", later, first, crashing(false, v1beta1.ContainerServer, "CUDA", 1))}
			}),
			"Ready=False(MinimumReplicasUnavailable) PredictorReady=False(MinimumReplicasUnavailable) IngressReady=True(ClusterLocal) BlockedByFailedLoad Standby/FailedToLoad"},
		{"a start that was given up", ready().deployed(first, 0, 0, isAvailable, rolledOut).scaler("StartFailed", "No replica became ready within 10m0s."),
			"Ready=False(StartFailed) PredictorReady=False(StartFailed) IngressReady=True(ClusterLocal) BlockedByFailedLoad Pending/FailedToLoad"},
		{"some time after that", ready().deployed(first, 0, 0, isAvailable, rolledOut).scaler("StartFailed", "gave up").then().scaler("AtZero", ""),
			"Ready=False(StartFailed) PredictorReady=False(StartFailed) IngressReady=True(ClusterLocal) BlockedByFailedLoad Pending/FailedToLoad"},
		{"and a new revision after that", ready().deployed(first, 0, 0, isAvailable, rolledOut).scaler("StartFailed", "gave up").then().scaler("AtZero", "").deployed(second, 0, 0, isAvailable, rolledOut).with(held),
			"Ready=True PredictorReady=True(ScaledToZero) IngressReady=True(ClusterLocal) UpToDate Standby/Standby"},
	} {
		t.Run(c.situation, func(t *testing.T) {
			require.Equal(t, c.want, short(status.Compute(c.scene.Input)))
		})
	}
}

func TestTheUrlStaysAtZero(t *testing.T) {
	got := status.Compute(ready().deployed(first, 0, 0, isAvailable).scaler("AtZero", "").Input)
	require.Equal(t, "http://iris-ml.example.com", got.URL)
	require.Equal(t, first, got.Components[v1beta1.ComponentPredictor].LatestReadyRevision)
}

func TestAClusterLocalModelHasNoUrlOutside(t *testing.T) {
	got := status.Compute(ready().with(func(i *status.Input) { i.ClusterLocal = true }).Input)
	require.Equal(t, "http://iris-predictor.ml.svc.cluster.local", got.URL)
}

func TestACacheBehindTheUpdateIsNoReadyRevision(t *testing.T) {
	s := ready()
	s.Revision = second
	got := status.Compute(s.Input)
	require.Equal(t, first, got.Components[v1beta1.ComponentPredictor].LatestReadyRevision, "the Deployment is still that of the first revision")
}

func TestAProblemIsSaidAndNothingElseForgotten(t *testing.T) {
	problem := &status.Problem{Reason: "NoSupportingRuntime", Message: "spec.predictor.model.modelFormat: none.", Failure: v1beta1.FailureNoSupportingRuntime}
	got := status.Compute(model().with(func(i *status.Input) { i.Problem, i.Deployment, i.Revision = problem, nil, "" }).Input)
	require.Equal(t, "Ready=False(NoSupportingRuntime) PredictorReady=False(NoSupportingRuntime) IngressReady=False(Predictor ingress not created) InvalidSpec Pending/FailedToLoad", short(got))
	require.Equal(t, &v1beta1.FailureInfo{Reason: v1beta1.FailureNoSupportingRuntime, Message: problem.Message, Time: &monday}, got.ModelStatus.LastFailureInfo)

	s := ready().with(func(i *status.Input) { i.Problem = problem }).then()
	require.Equal(t, "Ready=False(NoSupportingRuntime) PredictorReady=False(NoSupportingRuntime) IngressReady=True(ClusterLocal) InvalidSpec Loaded/FailedToLoad", short(s.Service.Status))
	require.Contains(t, v1beta1.FindCondition(s.Service.Status.Conditions, v1beta1.ConditionReady).Message, "Until then revision iris-predictor-00001 goes on serving.")
	require.Equal(t, "kserve-sklearnserver", s.Service.Status.ClusterServingRuntimeName)
	require.NotEmpty(t, s.Service.Status.URL)

	cured := status.Compute(s.with(func(i *status.Input) { i.Problem = nil }).Input)
	require.Equal(t, "Ready=True PredictorReady=True IngressReady=True(ClusterLocal) UpToDate Loaded/Loaded", short(cured))
	require.Nil(t, cured.ModelStatus.LastFailureInfo)
}

func TestAProblemThatIsNotTheSpecificationsLeavesTheModelStatus(t *testing.T) {
	s := ready()
	got := status.Compute(s.with(func(i *status.Input) { i.Problem = &status.Problem{Reason: "NameTaken", Message: "taken."} }).Input)
	require.Equal(t, s.Service.Status.ModelStatus, got.ModelStatus)
}

func TestFieldsThatAreNotHonouredAreNamedOnce(t *testing.T) {
	s := ready().with(func(i *status.Input) {
		i.Unsupported = []deployer.Unsupported{{Field: "spec.transformer", Message: "not served yet."}, {Field: "spec.canary", Message: "not split yet."}}
		i.Warnings = []deployer.Warning{{Field: "spec.predictor.scaleTarget", Message: "rounded."}}
	}).then()
	got := v1beta1.FindCondition(s.Service.Status.Conditions, status.ConditionSpecHonoured)
	require.Equal(t, "spec.transformer: not served yet.; spec.canary: not split yet.; spec.predictor.scaleTarget: rounded.", got.Message)
	require.Equal(t, status.ReasonFieldsNotSupported, got.Reason)
	require.Equal(t, corev1.ConditionTrue, v1beta1.FindCondition(s.Service.Status.Conditions, v1beta1.ConditionReady).Status)

	s.with(func(i *status.Input) { i.Unsupported = nil }).then()
	require.Equal(t, status.ReasonFieldsAdapted, v1beta1.FindCondition(s.Service.Status.Conditions, status.ConditionSpecHonoured).Reason)
	s.with(func(i *status.Input) { i.Warnings = nil }).then()
	require.Nil(t, v1beta1.FindCondition(s.Service.Status.Conditions, status.ConditionSpecHonoured))
}

func TestStoppingWipesTheStatusButTheMode(t *testing.T) {
	got := ready().with(func(i *status.Input) { i.Stopped = true }).then().Service.Status
	require.Equal(t, "Standard", got.DeploymentMode)
	require.Equal(t, "Ready=False(Stopped) PredictorReady=False(Stopped) IngressReady=False(Stopped) ", short(got))
	require.Equal(t, corev1.ConditionTrue, v1beta1.FindCondition(got.Conditions, v1beta1.ConditionStopped).Status)
	require.Empty(t, got.URL)
	require.Empty(t, got.Components)
	require.Equal(t, v1beta1.ModelStatus{}, got.ModelStatus)
}

func TestANamespacedRuntimeHasAFieldOfItsOwn(t *testing.T) {
	got := status.Compute(model().with(func(i *status.Input) { i.Runtime = &deployer.RuntimeRef{Name: "mine", Scope: deployer.Namespaced} }).Input)
	require.Equal(t, "mine", got.ServingRuntimeName)
	require.Empty(t, got.ClusterServingRuntimeName)
	got = status.Compute(ready().with(func(i *status.Input) { i.Runtime = nil }).Input)
	require.Empty(t, got.ClusterServingRuntimeName, "custom containers have none")
}
