package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// withoutRules takes the rules of InferenceServices as a whole away while do runs.
func (c cluster) withoutRules(t *testing.T, do func()) {
	t.Helper()
	const name = "inferenceservices.serving.kserve.io"
	set := func(rules []any) []any {
		crd, err := c.Resource(crds).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
		require.NoError(t, err)
		root := versions[0].(map[string]any)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
		had, _ := root["x-kubernetes-validations"].([]any)
		root["x-kubernetes-validations"] = rules
		require.NoError(t, unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"))
		_, err = c.Resource(crds).Update(t.Context(), crd, metav1.UpdateOptions{})
		require.NoError(t, err)
		return had
	}
	inForce := func(want bool) {
		probe := strings.Replace(isvc("{predictor: {sklearn: {}}}"), "generateName: a-", "name: 1a", 1)
		require.Eventually(t, func() bool {
			stored, err := c.create(t, isvcs, probe)
			if err == nil {
				require.NoError(t, c.Resource(isvcs).Namespace(c.namespace).Delete(t.Context(), stored.GetName(), metav1.DeleteOptions{}))
			}
			return (err != nil) == want
		}, time.Minute, 100*time.Millisecond)
	}
	rules := set([]any{})
	inForce(false)
	do()
	set(rules)
	inForce(true)
}

// TestANameThatWasTooLongBeforeCanBeReportedOn: KServe lets longer names in. The
// deployer says in the status why it does not serve them, and must be able to.
func TestANameThatWasTooLongBeforeCanBeReportedOn(t *testing.T) {
	c := start(t)
	name := strings.Repeat("a", 50)
	c.withoutRules(t, func() {
		_, err := c.create(t, isvcs, strings.Replace(isvc("{predictor: {sklearn: {}}}"), "generateName: a-", "name: "+name, 1))
		require.NoError(t, err)
	})
	patch := func(patch string, subresources ...string) error {
		_, err := c.Resource(isvcs).Namespace(c.namespace).Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
		return err
	}
	require.NoError(t, patch(`{"status": {"conditions": [{"type": "Ready", "status": "False"}]}}`, "status"))
	require.NoError(t, patch(`{"metadata": {"annotations": {"a": "b"}}}`))
	require.ErrorContains(t, patch(`{"spec": {"predictor": {"name": "b"}}}`), "at most 63 characters", "it must not get longer")
}
