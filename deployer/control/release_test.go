package control

import (
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

func finalized(names ...string) func(*v1beta1.InferenceService) {
	return func(i *v1beta1.InferenceService) { i.Finalizers = names }
}

func TestAModelThatKServeLeftBehindCanBeDeleted(t *testing.T) {
	c := newCluster(t)
	c.runtime("sk", "sklearn", "example.com/sklearn:1")
	const other = "example.com/billing"
	c.model("iris", iris, finalized("inferenceservice.finalizers"))
	c.model("billed", iris, finalized(other, "inferenceservice.finalizers"))
	r := c.start()
	r.settle(c, 2)
	require.Equal(t, []string{"inferenceservice.finalizers"}, c.get("iris").Finalizers, "a model that stays is left alone")
	isvcs := c.rawserve.ServingV1beta1().InferenceServices(c.namespace)
	for _, name := range []string{"iris", "billed"} {
		require.NoError(t, isvcs.Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
	c.eventually("gone", func() bool {
		_, err := isvcs.Get(t.Context(), "iris", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	c.eventually("released", func() bool { return len(c.get("billed").Finalizers) == 1 })
	require.Equal(t, []string{other}, c.get("billed").Finalizers, "the finalizer of another is its own to remove")
	c.edit("billed", finalized())
}
