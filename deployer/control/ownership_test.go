package control

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/deployer"
)

func fields(manager string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: operation, Subresource: subresource, APIVersion: "apps/v1",
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
}

const (
	update = metav1.ManagedFieldsOperationUpdate
	apply  = metav1.ManagedFieldsOperationApply
	all    = `{"f:spec":{"f:paused":{},"f:replicas":{}}}`
	paused = `{"f:spec":{"f:paused":{}}}`
	scale  = `{"f:spec":{"f:replicas":{}}}`
)

func TestOwnershipTellsDriftFromScaling(t *testing.T) {
	created := ownershipOf([]metav1.ManagedFieldsEntry{fields(deployer.FieldManager, update, "", all)})
	scaled := ownershipOf([]metav1.ManagedFieldsEntry{
		fields(deployer.FieldManager, update, "", paused), fields("rawserve-autoscaler", update, "scale", scale),
		fields("kube-controller-manager", update, "status", `{"f:status":{}}`),
	})
	require.True(t, created.scaled)
	require.False(t, scaled.scaled)
	scaled.scaled = true
	require.Equal(t, created, scaled, "nothing else")
	require.False(t, scaled.suspect)

	edited := ownershipOf([]metav1.ManagedFieldsEntry{fields(deployer.FieldManager, update, "", scale), fields("kubectl-edit", update, "", paused)})
	require.NotEqual(t, created.digest, edited.digest)
	require.True(t, edited.suspect)
	require.True(t, ownershipOf([]metav1.ManagedFieldsEntry{fields(deployer.FieldManager, apply, "", "{")}).suspect, "unreadable")
}

func TestFieldsAreHandedOverBeforeAnApplyThatWouldMissThem(t *testing.T) {
	other := fields("rawserve-autoscaler", update, "scale", scale)
	for _, c := range []struct {
		situation     string
		entries       []metav1.ManagedFieldsEntry
		applyReplicas bool
		want          []metav1.ManagedFieldsEntry
	}{
		{"as created", []metav1.ManagedFieldsEntry{fields(deployer.FieldManager, update, "", all), other}, false,
			[]metav1.ManagedFieldsEntry{other, fields(deployer.FieldManager, apply, "", paused), fields(deployer.FieldManager, update, "", scale)}},
		{"as created, with replicas of our own", []metav1.ManagedFieldsEntry{fields(deployer.FieldManager, update, "", all)}, true,
			[]metav1.ManagedFieldsEntry{fields(deployer.FieldManager, apply, "", all)}},
		{"as KServe left it", []metav1.ManagedFieldsEntry{fields("manager", update, "", all), fields("kube-controller-manager", update, "status", `{"f:status":{}}`)}, false,
			[]metav1.ManagedFieldsEntry{fields("kube-controller-manager", update, "status", `{"f:status":{}}`), fields(deployer.FieldManager, apply, "", paused), fields(deployer.FieldManager, update, "", scale)}},
		{"replicas were ours and no longer are", []metav1.ManagedFieldsEntry{fields(deployer.FieldManager, apply, "", all)}, false,
			[]metav1.ManagedFieldsEntry{fields(deployer.FieldManager, apply, "", paused), fields(deployer.FieldManager, update, "", scale)}},
		{"handed over before", []metav1.ManagedFieldsEntry{fields(deployer.FieldManager, apply, "", paused), fields(deployer.FieldManager, update, "", scale)}, false, nil},
		{"nothing of ours", []metav1.ManagedFieldsEntry{other}, false, nil},
	} {
		t.Run(c.situation, func(t *testing.T) {
			got, changed, err := handOver(c.entries, "apps/v1", c.applyReplicas)
			require.NoError(t, err)
			require.Equal(t, c.want != nil, changed)
			if changed {
				require.Equal(t, c.want, got)
				again, changed, err := handOver(got, "apps/v1", c.applyReplicas)
				require.NoError(t, err)
				require.False(t, changed)
				require.Equal(t, got, again)
			}
		})
	}
	_, _, err := handOver([]metav1.ManagedFieldsEntry{fields(deployer.FieldManager, update, "", "{")}, "apps/v1", false)
	require.ErrorContains(t, err, deployer.FieldManager)
}

func FuzzOwnershipNeverPanics(f *testing.F) {
	for _, seed := range []string{all, paused, scale, `{"f:spec":{"k:{\"name\":\"a\"}":{".":{}}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		entries := []metav1.ManagedFieldsEntry{fields(deployer.FieldManager, update, "", text), fields("manager", update, "", text), fields(deployer.FieldManager, apply, "", text)}
		ownershipOf(entries)
		out, changed, err := handOver(entries, "apps/v1", false)
		if err == nil && changed {
			_, again, err := handOver(out, "apps/v1", false)
			require.NoError(t, err)
			require.False(t, again)
		}
	})
}
