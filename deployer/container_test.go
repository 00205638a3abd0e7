package deployer

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

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
