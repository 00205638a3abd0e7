package deployer

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

func TestImageOfTheServer(t *testing.T) {
	for name, row := range map[string]struct {
		runtime, image, version, gpu, want string
	}{
		"as the runtime has it":                {"own", "a/b:1", "", "", "a/b:1"},
		"with the wanted version":              {"own", "a/b:1", "2", "", "a/b:2"},
		"with a version where there was none":  {"own", "a/b", "2", "", "a/b:2"},
		"from a registry with a port":          {"own", "host:5000/a/b", "2", "", "host:5000/a/b:2"},
		"by digest, whatever version":          {"own", "a/b@sha256:00", "2", "", "a/b@sha256:00"},
		"for a GPU":                            {"kserve-torchserve", "a/b:1", "", "nvidia.com/gpu", "a/b:1-gpu"},
		"for a MIG device":                     {"kserve-torchserve", "a/b:1", "", "nvidia.com/mig-1g.5gb", "a/b:1-gpu"},
		"for a configured resource":            {"kserve-torchserve", "a/b:1", "", "example.com/tpu", "a/b:1-gpu"},
		"for a resource that is no GPU":        {"kserve-torchserve", "a/b:1", "", "example.com/nic", "a/b:1"},
		"for a GPU already":                    {"kserve-torchserve", "a/b:1-gpu", "", "nvidia.com/gpu", "a/b:1-gpu"},
		"for a GPU, with the wanted version":   {"kserve-torchserve", "a/b:1", "2", "nvidia.com/gpu", "a/b:2"},
		"for a GPU, of a runtime of one's own": {"own", "a/b:1", "", "nvidia.com/gpu", "a/b:1"},
		"of vLLM without GPU":                  {"kserve-vllmserver", "a/b:1", "", "", "a/b-cpu:1"},
		"of vLLM without GPU, wanted version":  {"kserve-vllmserver", "a/b:1", "2", "", "a/b-cpu:2"},
		"of vLLM with GPU":                     {"kserve-vllmserver", "a/b:1", "", "amd.com/gpu", "a/b:1"},
		"of vLLM, made for the CPU already":    {"kserve-vllmserver", "a/b-cpu:1", "", "", "a/b-cpu:1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.GPUResourceTypes = []string{"example.com/tpu"}
			c := corev1.Container{Name: v1beta1.ContainerServer, Image: row.image}
			if row.gpu != "" {
				c.Resources.Limits = corev1.ResourceList{corev1.ResourceName(row.gpu): resource.MustParse("1")}
			}
			w := &workload{
				in:    Input{Config: cfg, Runtime: &ChosenRuntime{Ref: RuntimeRef{Name: row.runtime}}},
				model: &v1beta1.ModelSpec{},
			}
			w.template.Spec.Containers = []corev1.Container{c}
			if row.version != "" {
				w.model.RuntimeVersion = &row.version
			}
			require.NoError(t, w.chooseImage())
			require.Equal(t, row.want, w.server().Image)
		})
	}
}

func TestUserOverridesOneVariantOfAField(t *testing.T) {
	base := corev1.Container{
		Name: v1beta1.ContainerServer,
		Args: []string{"a"},
		Env:  []corev1.EnvVar{{Name: "FIRST", Value: "1"}, {Name: "SECOND", Value: "$(FIRST)"}},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready"}}, PeriodSeconds: 5,
		},
	}
	exec := &corev1.ExecAction{Command: []string{"true"}}
	user := corev1.Container{
		Args:           []string{"b"},
		Env:            []corev1.EnvVar{{Name: "NEW", Value: "x"}, {Name: "FIRST", ValueFrom: secretKey("s", "k")}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: exec}},
	}
	merged, err := mergeContainer(base, user)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, merged.Args)
	require.Equal(t, []corev1.EnvVar{
		{Name: "FIRST", ValueFrom: secretKey("s", "k")}, {Name: "SECOND", Value: "$(FIRST)"}, {Name: "NEW", Value: "x"},
	}, merged.Env)
	require.Equal(t, &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: exec}, PeriodSeconds: 5}, merged.ReadinessProbe)
}

func TestSecretsAreRecognizedByTheirKeys(t *testing.T) {
	secret := func(name string, annotations map[string]string, keys ...string) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}, Data: map[string][]byte{}}
		for _, k := range keys {
			s.Data[k] = []byte("never-shown")
		}
		return s
	}
	account := func(annotations map[string]string, names ...string) *corev1.ServiceAccount {
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Annotations: annotations}}
		for _, n := range names {
			sa.Secrets = append(sa.Secrets, corev1.ObjectReference{Name: n})
		}
		return sa
	}
	region := map[string]string{"serving.kserve.io/s3-region": "eu-1"}
	for name, row := range map[string]struct {
		sa      *corev1.ServiceAccount
		secrets []*corev1.Secret
		env     []string
		missing []string
	}{
		"no service account":                         {nil, nil, nil, nil},
		"the first kind wins within a secret":        {account(nil, "a"), []*corev1.Secret{secret("a", nil, "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")}, []string{"AWS_SECRET_ACCESS_KEY"}, nil},
		"secrets of several kinds add up":            {account(nil, "a", "b"), []*corev1.Secret{secret("a", nil, "HF_TOKEN"), secret("b", nil, "awsSecretAccessKey", "awsAccessKeyID")}, []string{"HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}, nil},
		"of two of a kind the first wins":            {account(nil, "b", "a"), []*corev1.Secret{secret("a", nil, "HF_TOKEN"), secret("b", nil, "HF_TOKEN")}, []string{"HF_TOKEN"}, nil},
		"other secrets offer nothing":                {account(nil, "a"), []*corev1.Secret{secret("a", nil, ".dockerconfigjson")}, nil, nil},
		"a secret that is gone is named":             {account(nil, "a"), nil, nil, []string{"a"}},
		"a role gives credentials, options are ours": {account(map[string]string{"eks.amazonaws.com/role-arn": "r", "serving.kserve.io/s3-region": "eu-1"}), nil, []string{"AWS_DEFAULT_REGION"}, nil},
		"without a role the account has no options":  {account(region), nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			creds, err := CredentialsFrom(row.sa, row.secrets, "", DefaultConfig())
			require.NoError(t, err)
			var names []string
			for _, e := range creds.Env {
				names = append(names, e.Name)
				require.NotContains(t, e.Value, "never-shown")
			}
			require.Equal(t, row.env, names)
			require.Equal(t, row.missing, creds.Missing)
		})
	}
}
