package deployer_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

func TestOnlySecretsThatMatterAreAskedFor(t *testing.T) {
	cfg := deployer.DefaultConfig()
	sa := &corev1.ServiceAccount{Secrets: []corev1.ObjectReference{{Name: "a"}, {Name: "b"}, {Name: "a"}}}
	isvc := ask("sklearn", "", "")
	require.Equal(t, []string{"a", "b"}, deployer.CredentialSecrets(isvc, "", sa, cfg))
	require.Empty(t, deployer.CredentialSecrets(isvc, "", nil, cfg))
	isvc.Spec.Predictor.Model.Storage = &v1beta1.StorageSpec{}
	require.Equal(t, []string{"a", "b", "storage-config"}, deployer.CredentialSecrets(isvc, "", sa, cfg))
	require.Equal(t, []string{"mine"}, deployer.CredentialSecrets(isvc, "mine", sa, cfg))
}

func TestTheSecretIsNamedByTheNearestAnnotation(t *testing.T) {
	naming := func(secret string) map[string]string {
		if secret == "" {
			return nil
		}
		return map[string]string{v1beta1.AnnotationStorageSecretName: secret}
	}
	for situation, row := range map[string]struct{ runtime, isvc, component, want string }{
		"nobody names one":     {"", "", "", ""},
		"the runtime":          {"r", "", "", "r"},
		"the InferenceService": {"r", "i", "", "i"},
		"the component":        {"r", "i", "c", "c"},
		"the component, alone": {"", "", "c", "c"},
		"a custom container":   {"", "i", "", "i"},
	} {
		t.Run(situation, func(t *testing.T) {
			isvc := ask("sklearn", "", "")
			isvc.Annotations, isvc.Spec.Predictor.Annotations = naming(row.isvc), naming(row.component)
			var runtime *deployer.ChosenRuntime
			if row.runtime != "" {
				runtime = &deployer.ChosenRuntime{}
				runtime.Spec.Annotations = naming(row.runtime)
			}
			require.Equal(t, row.want, deployer.StorageSecretName(isvc, runtime))
		})
	}
}
