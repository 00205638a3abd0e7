package control

import (
	"testing"

	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// TestADeploymentAtZeroIsRaisedForAWriterThatWouldLeaveItThere: a Scaler leaves at
// zero what activators wake; an HPA takes that for being switched off.
func TestADeploymentAtZeroIsRaisedForAWriterThatWouldLeaveItThere(t *testing.T) {
	for situation, row := range map[string]struct {
		class string
		min   int32
		want  int32
	}{
		"an HPA":                     {"hpa", 0, 1},
		"an HPA with a minimum":      {"hpa", 2, 2},
		"somebody with a minimum":    {"external", 2, 2},
		"somebody who may have zero": {"external", 0, 0},
		"nobody":                     {"none", 2, 2},
	} {
		t.Run(situation, func(t *testing.T) {
			c := newCluster(t)
			c.runtime("sk", "sklearn", "example.com/sklearn:1")
			r := c.deployed("iris", iris, func(i *v1beta1.InferenceService) { *i.Spec.Predictor.MinReplicas = 0 })
			scaleTo := func(n int32) {
				t.Helper()
				_, err := c.kube.AppsV1().Deployments(c.namespace).UpdateScale(t.Context(), "iris-predictor", &autoscalingv1.Scale{
					ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor", Namespace: c.namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: n},
				}, metav1.UpdateOptions{FieldManager: "rawserve-autoscaler"})
				require.NoError(t, err)
			}
			scaleTo(0)
			r.again(c, "iris")
			require.Zero(t, *c.deployment("iris-predictor").Spec.Replicas)

			c.edit("iris", func(i *v1beta1.InferenceService) {
				*i.Spec.Predictor.MinReplicas = row.min
				annotated(v1beta1.AnnotationAutoscalerClass, row.class)(i)
			})
			c.eventually("no Scaler", func() bool {
				list, err := c.rawserve.RawserveV1alpha1().Scalers(c.namespace).List(t.Context(), metav1.ListOptions{})
				require.NoError(t, err)
				return len(list.Items) == 0
			})
			r.quiet(c, "iris")
			require.Equal(t, row.want, *c.deployment("iris-predictor").Spec.Replicas)
			if row.class == "none" {
				return
			}
			scaleTo(0)
			r.again(c, "iris")
			require.Zero(t, *c.deployment("iris-predictor").Spec.Replicas, "a zero of later is meant")
		})
	}
}
