package deployer_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

func TestSecretsAreRecognizedByTheirKeys(t *testing.T) {
	const role = "eks.amazonaws.com/role-arn"
	region := func(r string) map[string]string { return map[string]string{"serving.kserve.io/s3-region": r} }
	s3 := func(name string, annotations map[string]string) *corev1.Secret {
		return secret(name, annotations, "awsAccessKeyID", "awsSecretAccessKey")
	}
	keysOf := func(name string, more ...string) map[string]string {
		env := map[string]string{"AWS_ACCESS_KEY_ID": name + "/awsAccessKeyID", "AWS_SECRET_ACCESS_KEY": name + "/awsSecretAccessKey"}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	withRole := map[string]string{role: "r", "serving.kserve.io/s3-region": "eu-1", "serving.kserve.io/s3-verifyssl": "0"}

	for situation, row := range map[string]struct {
		sa      *corev1.ServiceAccount
		secrets []*corev1.Secret
		named   string
		// env is what downloads get, of secrets as name/key.
		env     map[string]string
		missing []string
	}{
		"no service account": {},
		"the first kind wins within a secret": {
			sa: account(nil, "a"), secrets: []*corev1.Secret{secret("a", nil, "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")},
			env: map[string]string{"AWS_SECRET_ACCESS_KEY": "a/AWS_SECRET_ACCESS_KEY"}},
		"secrets of several kinds add up": {
			sa: account(nil, "a", "b"), secrets: []*corev1.Secret{secret("a", nil, "HF_TOKEN"), s3("b", nil)},
			env: keysOf("b", "HF_TOKEN", "a/HF_TOKEN")},
		"of two of a kind the last wins": {
			sa: account(nil, "b", "a"), secrets: []*corev1.Secret{secret("a", nil, "HF_TOKEN"), secret("b", nil, "HF_TOKEN")},
			env: map[string]string{"HF_TOKEN": "a/HF_TOKEN"}},
		"other secrets offer nothing": {
			sa: account(nil, "a"), secrets: []*corev1.Secret{secret("a", nil, ".dockerconfigjson")}},
		"a secret that is gone is named": {
			sa: account(nil, "a"), missing: []string{"a"}},
		"a role gives credentials, the account the options": {
			sa: account(withRole), env: map[string]string{"AWS_DEFAULT_REGION": "eu-1", "S3_VERIFY_SSL": "0"}},
		"without a role the account has no options": {
			sa: account(region("eu-1"))},
		"a secret's options win over the account's": {
			sa: account(withRole, "a"), secrets: []*corev1.Secret{s3("a", region("us-1"))},
			env: keysOf("a", "AWS_DEFAULT_REGION", "us-1", "S3_VERIFY_SSL", "0")},
		"a named secret's options too": {
			sa: account(withRole, "other"), secrets: []*corev1.Secret{s3("a", region("us-1"))}, named: "a",
			env: keysOf("a", "AWS_DEFAULT_REGION", "us-1", "S3_VERIFY_SSL", "0")},
		"a token of ModelScope": {
			sa: account(nil, "a"), secrets: []*corev1.Secret{secret("a", nil, "MODELSCOPE_API_TOKEN")},
			env: map[string]string{"MODELSCOPE_API_TOKEN": "a/MODELSCOPE_API_TOKEN"}},
		"a token of ModelScope under its former key": {
			sa: account(nil, "a"), secrets: []*corev1.Secret{secret("a", nil, "MS_TOKEN")},
			env: map[string]string{"MODELSCOPE_API_TOKEN": "a/MS_TOKEN", "MS_TOKEN": "a/MS_TOKEN"}},
		"an application of Azure's, in the older keys": {
			sa: account(nil, "a"), secrets: []*corev1.Secret{secret("a", nil, "AZ_CLIENT_ID", "AZ_CLIENT_SECRET", "AZ_TENANT_ID", "AZ_SUBSCRIPTION_ID")},
			env: map[string]string{"AZURE_CLIENT_ID": "a/AZ_CLIENT_ID", "AZURE_CLIENT_SECRET": "a/AZ_CLIENT_SECRET",
				"AZURE_TENANT_ID": "a/AZ_TENANT_ID", "AZURE_SUBSCRIPTION_ID": "a/AZ_SUBSCRIPTION_ID"}},
		"a token of Azure's": {
			sa: account(nil, "a"), secrets: []*corev1.Secret{secret("a", nil, "AZURE_ACCESS_TOKEN", "AZURE_ACCESS_EXPIRES_ON_SECONDS", "AZURE_ACCOUNT_NAME", "AZURE_SERVICE_URL")},
			env: map[string]string{"AZURE_ACCESS_TOKEN": "a/AZURE_ACCESS_TOKEN", "AZURE_ACCESS_EXPIRES_ON_SECONDS": "a/AZURE_ACCESS_EXPIRES_ON_SECONDS",
				"AZURE_ACCOUNT_NAME": "a/AZURE_ACCOUNT_NAME", "AZURE_SERVICE_URL": "a/AZURE_SERVICE_URL"}},
		"an account's name is no credential of Azure's": {
			sa: account(nil, "a"), secrets: []*corev1.Secret{secret("a", nil, "AZURE_ACCOUNT_NAME")}},
	} {
		t.Run(situation, func(t *testing.T) {
			creds, err := deployer.CredentialsFrom(row.sa, row.secrets, row.named, deployer.DefaultConfig())
			require.NoError(t, err)
			var env map[string]string
			for _, e := range creds.Env {
				if env == nil {
					env = map[string]string{}
				}
				require.NotContains(t, env, e.Name, "given twice")
				if env[e.Name] = e.Value; e.ValueFrom != nil {
					env[e.Name] = e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
				}
			}
			require.Equal(t, row.env, env)
			require.Equal(t, row.missing, creds.Missing)
		})
	}
}

// TestTheCABundleIsWhereTheDownloadLooksForIt: AWS_CA_BUNDLE is a file, and the
// ConfigMap with it has to be mounted as its folder.
func TestTheCABundleIsWhereTheDownloadLooksForIt(t *testing.T) {
	initializer := func(bundle string) (corev1.Container, error) {
		w := readWorld(t, "testdata/credentials-s3-ca-bundle/in.yaml")
		const name = "serving.kserve.io/s3-cabundle"
		if w.secrets[0].Annotations[name] = bundle; bundle == "" {
			delete(w.secrets[0].Annotations, name)
		}
		in, err := w.input()
		require.NoError(t, err)
		o, err := deployer.Render(in)
		if err != nil {
			return corev1.Container{}, err
		}
		var pod corev1.PodSpec
		b, err := json.Marshal(o.Deployment.Spec.Template.Spec)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &pod))
		i := slices.IndexFunc(pod.InitContainers, func(c corev1.Container) bool { return c.Name == deployer.StorageInitializerContainer })
		return pod.InitContainers[i], nil
	}
	for bundle, dir := range map[string]string{
		"":                        "/etc/ssl/custom-certs",
		"/etc/minio/certs/ca.pem": "/etc/minio/certs",
		"/etc/minio//ca.pem":      "/etc/minio",
	} {
		c, err := initializer(bundle)
		require.NoError(t, err)
		require.Contains(t, c.VolumeMounts, corev1.VolumeMount{Name: "cabundle-cert", MountPath: dir, ReadOnly: true})
		require.Contains(t, c.Env, corev1.EnvVar{Name: "CA_BUNDLE_VOLUME_MOUNT_POINT", Value: dir})
	}
	for _, bundle := range []string{"/ca.pem", "ca.pem", "certs/ca.pem", "/mnt/models/ca.pem", "/etc/../ca.pem"} {
		_, err := initializer(bundle)
		var e *deployer.RenderError
		require.ErrorAs(t, err, &e, bundle)
		require.Contains(t, e.Message, bundle)
	}
}

func account(annotations map[string]string, secrets ...string) *corev1.ServiceAccount {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Annotations: annotations}}
	for _, name := range secrets {
		sa.Secrets = append(sa.Secrets, corev1.ObjectReference{Name: name})
	}
	return sa
}

// secret has the same value under all keys.
func secret(name string, annotations map[string]string, keys ...string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}, Data: map[string][]byte{}}
	for _, k := range keys {
		s.Data[k] = []byte("never-shown")
	}
	return s
}
