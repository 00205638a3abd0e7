package control

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer/ports"
)

func TestAListenPortOfAModelThatNeverHadARouteIsGivenBack(t *testing.T) {
	c := &Controller{}
	take := func(name string) error {
		_, err := c.ports.Allocate("ml", name+"-predictor", []int32{80})
		return err
	}
	for i := range ports.Size {
		require.NoError(t, take(fmt.Sprintf("model-%d", i)))
	}
	for i, gone := range []any{
		&v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "model-7"}},
		cache.DeletedFinalStateUnknown{Obj: &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "model-8"}}},
	} {
		name := fmt.Sprintf("later-%d", i)
		require.ErrorIs(t, take(name), ports.ErrFull)
		c.withdrawPorts(gone)
		require.NoError(t, take(name))
	}
	c.ports.See("ml", "model-9-predictor", metav1.Now().Time, map[int32]int32{80: 10000})
	c.withdrawPorts(&v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "model-9"}})
	got, err := c.ports.Allocate("ml", "model-9-predictor", []int32{80})
	require.NoError(t, err, "the port of a route stays until that is gone")
	require.NotEmpty(t, got)
}
