package control

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/deployer/status"
)

func TestAChoiceAmongEqualRuntimesIsTold(t *testing.T) {
	c := newCluster(t)
	for _, name := range []string{"aa", "bb"} {
		c.runtime(name, "sklearn", "example.com/"+name+":1")
		c.editRuntime(name, func(r *v1alpha1.ClusterServingRuntime) {
			one := int32(1)
			r.Spec.SupportedModelFormats[0].Priority = &one
		})
	}
	r := c.deployed("iris", iris)
	require.Contains(t, c.condition("iris", status.ConditionSpecHonoured).Message, "was chosen among equals")
	require.Contains(t, <-r.events.Events, "the same priority for sklearn 1")
}
