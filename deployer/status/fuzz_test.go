package status_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/randfill"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/status"
)

// anyOf fills a string type with one of the values that mean something.
func anyOf[T ~string](values ...T) func(*T, randfill.Continue) {
	return func(out *T, c randfill.Continue) { *out = values[c.Intn(len(values))] }
}

// fill makes up an input: any structure, with words that mean something.
func fill(seed int64, in *status.Input) {
	randfill.NewWithSeed(seed).NilChance(0.3).NumElements(0, 3).MaxDepth(12).Funcs(
		func(out *metav1.Time, c randfill.Continue) {
			*out = metav1.NewTime(monday.Add(time.Duration(c.Intn(100)) * time.Second))
		},
		func(out *resource.Quantity, c randfill.Continue) {
			*out = *resource.NewQuantity(int64(c.Intn(10)), resource.DecimalSI)
		},
		func(out *int32, c randfill.Continue) { *out = int32(c.Intn(4)) },
		func(out *map[string]string, c randfill.Continue) {
			*out = map[string]string{deployer.LabelRevision: []string{first, second}[c.Intn(2)]}
		},
		// The specification is not looked at, and nothing but large.
		func(*v1beta1.InferenceServiceSpec, randfill.Continue) {},
		func(*corev1.PodSpec, randfill.Continue) {},
		func(*corev1.PodTemplateSpec, randfill.Continue) {},
		func(*metav1.FieldsV1, randfill.Continue) {},
		anyOf(v1beta1.ConditionReady, v1beta1.ConditionPredictorReady, v1beta1.ConditionIngressReady, v1beta1.ConditionStopped, status.ConditionSpecHonoured),
		anyOf(corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown),
		anyOf(appsv1.DeploymentAvailable, appsv1.DeploymentProgressing, appsv1.DeploymentReplicaFailure),
		anyOf(v1beta1.ComponentPredictor, v1beta1.ComponentTransformer),
		anyOf(v1beta1.TransitionUpToDate, v1beta1.TransitionInProgress, v1beta1.TransitionBlockedByFailedLoad, v1beta1.TransitionInvalidSpec, ""),
		anyOf(v1beta1.ModelLoaded, v1beta1.ModelStandby, v1beta1.ModelFailedToLoad, v1beta1.ModelPending, ""),
		anyOf(first, second, "", "NewReplicaSetAvailable", "StartFailed", "CrashLoopBackOff", v1beta1.ContainerServer, "storage-initializer"),
	).Fill(in)
}

func FuzzComputeNeverPanicsAndSettles(f *testing.F) {
	for seed := range int64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		in := status.Input{}
		fill(seed, &in)
		if in.Service == nil {
			in.Service = &v1beta1.InferenceService{}
		}
		in.Pods = slicesOfPresent(in.Pods)
		in.Service.Status.Conditions = oneOfEach(in.Service.Status.Conditions)
		before := in.Service.DeepCopy()

		got := status.Compute(in)
		require.Equal(t, before, in.Service, "the input is not written to")
		require.NotNil(t, v1beta1.FindCondition(got.Conditions, v1beta1.ConditionReady))
		require.Equal(t, in.Service.Generation, got.ObservedGeneration)
		in.Service.Status = got
		in.Service.Status = status.Compute(in)
		in.Now = later
		require.Equal(t, in.Service.Status, status.Compute(in), "a third pass changes nothing")
	})
}

func slicesOfPresent(pods []*corev1.Pod) (out []*corev1.Pod) {
	for _, p := range pods {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}

// oneOfEach drops conditions of a type that is there already: the API server does not
// take two.
func oneOfEach(in []v1beta1.Condition) (out []v1beta1.Condition) {
	for _, c := range in {
		if v1beta1.FindCondition(out, c.Type) == nil {
			out = append(out, c)
		}
	}
	return out
}
