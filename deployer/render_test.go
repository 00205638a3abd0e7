package deployer_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// TestNoSecretValueIsRendered reads the golden files: every secret in them has
// this value.
func TestNoSecretValueIsRendered(t *testing.T) {
	outs, err := filepath.Glob("testdata/*/out.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, outs)
	for _, out := range outs {
		b, err := os.ReadFile(out)
		require.NoError(t, err)
		require.NotContains(t, string(b), "never-shown", out)
	}
}

func TestInputIsNeverWrittenTo(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/in.yaml")
	require.NoError(t, err)
	for _, path := range cases {
		in, err := readWorld(t, path).input()
		if err != nil {
			continue
		}
		before, err := json.Marshal(in)
		require.NoError(t, err)
		first, firstErr := deployer.Render(in)
		if _, err = deployer.RevisionHash(in); firstErr == nil && !first.Stopped {
			require.NoError(t, err)
		}
		after, err := json.Marshal(in)
		require.NoError(t, err)
		require.JSONEq(t, string(before), string(after), path)

		second, secondErr := deployer.Render(in)
		require.Equal(t, firstErr, secondErr)
		require.Equal(t, first, second, "two renderings of %s differ", path)
	}
}

func TestStoppedIsRenderedWithoutRuntime(t *testing.T) {
	w := readWorld(t, "testdata/stopped/in.yaml")
	isvc := v1beta1.Default(w.isvc, w.config.Defaults())
	o, err := deployer.Render(deployer.Input{Service: isvc, Component: deployer.Predictor, Config: w.config})
	require.NoError(t, err)
	require.True(t, o.Stopped)
	require.Empty(t, list(o))
}

func TestMissingListenPortIsNotTheUsersFault(t *testing.T) {
	in, err := readWorld(t, "testdata/shorthand-sklearn/in.yaml").input()
	require.NoError(t, err)
	in.Ports = nil
	_, err = deployer.Render(in)
	require.ErrorContains(t, err, "no listen port is allocated for port 80")
	var e *deployer.RenderError
	require.False(t, errors.As(err, &e))
}

func TestStockRuntimesAreValid(t *testing.T) {
	files, err := filepath.Glob("../manifests/runtimes/kserve-*.yaml")
	require.NoError(t, err)
	require.Len(t, files, 15)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		var r v1alpha1.ClusterServingRuntime
		require.NoError(t, yaml.UnmarshalStrict(b, &r), f)
		require.Equal(t, strings.TrimSuffix(filepath.Base(f), ".yaml"), r.Name)
		require.Empty(t, v1alpha1.ValidateRuntime(&r.Spec, field.NewPath("spec")), f)
		for _, c := range r.Spec.Containers {
			require.NotNil(t, c.SecurityContext, f)
			require.False(t, *c.SecurityContext.AllowPrivilegeEscalation, f)
			require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop, f)
			require.NotEmpty(t, c.Resources.Limits, f)
		}
	}
	require.Len(t, stockRuntimes(t), 14, "all but OpenVINO are in the kustomization")
}

// TestMLServerIsNotAskedForAModelByName: the model has another name than the
// InferenceService where MLSERVER_MODEL_NAME or the folder's model-settings.json
// says so, and only the former can be seen from here.
func TestMLServerIsNotAskedForAModelByName(t *testing.T) {
	in, err := readWorld(t, "testdata/mlserver-own-model-name/in.yaml").input()
	require.NoError(t, err)
	o, err := deployer.Render(in)
	require.NoError(t, err)
	probe := o.Deployment.Spec.Template.Spec.Containers[0].ReadinessProbe
	require.Equal(t, "/v2/health/ready", *probe.HTTPGet.Path)
	require.Equal(t, int32(2), *probe.SuccessThreshold, "a server that gives up says for a tenth of a second that it is ready")
}

func TestTheLongestNames(t *testing.T) {
	for _, row := range []struct {
		name, own int
		want      string
	}{
		{name: 47},
		{name: 48, want: "metadata.name: it has 48 characters and may have 47"},
		{name: 30, own: 16},
		{name: 30, own: 17, want: "spec.predictor.name: together with metadata.name it has 47 characters and may have 46"},
	} {
		w := readWorld(t, "testdata/shorthand-sklearn/in.yaml")
		w.isvc.Name, w.isvc.Spec.Predictor.Name = strings.Repeat("a", row.name), strings.Repeat("b", row.own)
		in, err := w.input()
		if err == nil {
			_, err = deployer.Render(in)
		}
		if row.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, row.want)
	}
}

func TestURLs(t *testing.T) {
	isvc := &v1beta1.InferenceService{}
	isvc.Name, isvc.Namespace = "iris", "models"
	cfg := deployer.DefaultConfig()
	urls, err := deployer.URLsOf(isvc, deployer.Predictor, cfg)
	require.NoError(t, err)
	require.Equal(t, deployer.URLs{
		External:  "http://iris-models.example.com",
		Component: "http://iris-predictor-models.example.com",
		Address:   "http://iris-predictor.models.svc.cluster.local",
	}, urls)

	cfg.Ingress.URLScheme, cfg.Ingress.DomainTemplate = "https", "{{.Name}}.{{.Labels.team}}.{{.IngressDomain}}"
	require.NoError(t, cfg.Validate())
	_, err = deployer.URLsOf(isvc, deployer.Predictor, cfg)
	require.ErrorContains(t, err, `no entry for key "team"`)
	isvc.Labels = map[string]string{"team": "vision"}
	urls, err = deployer.URLsOf(isvc, deployer.Predictor, cfg)
	require.NoError(t, err)
	require.Equal(t, "https://iris.vision.example.com", urls.External)
	isvc.Labels["team"] = "Not A Host"
	_, err = deployer.URLsOf(isvc, deployer.Predictor, cfg)
	require.ErrorContains(t, err, "which is none")
}

func TestConfigIsChecked(t *testing.T) {
	require.NoError(t, deployer.DefaultConfig().Validate())
	for want, change := range map[string]func(*deployer.Config){
		"clusterDomain":            func(c *deployer.Config) { c.ClusterDomain = "" },
		"ingress.urlScheme":        func(c *deployer.Config) { c.Ingress.URLScheme = "ftp" },
		"ingress.domainTemplate":   func(c *deployer.Config) { c.Ingress.DomainTemplate = "{{.Name" },
		"ingress.domain":           func(c *deployer.Config) { c.Ingress.Domain = "a b" },
		"storageInitializer.image": func(c *deployer.Config) { c.StorageInitializer.Image = "" },
		"agent.drainQuiet":         func(c *deployer.Config) { c.Agent.DrainQuiet.Duration = 0 },
		"agent.drainReserve":       func(c *deployer.Config) { c.Agent.DrainReserve.Duration = 0 },
		"agent.resources.requests": func(c *deployer.Config) {
			delete(c.Agent.Resources.Limits, "cpu")
			c.Agent.Resources.Limits["memory"] = c.Agent.Resources.Requests["cpu"]
		},
		"credentials.storageSpec": func(c *deployer.Config) { c.Credentials.StorageSpecSecretName = "" },
		"rollout.maxSurge":        func(c *deployer.Config) { c.Rollout.MaxSurge.StrVal = "lots" },
		"progressDeadline":        func(c *deployer.Config) { c.ProgressDeadline.Duration = 1 },
	} {
		c := deployer.DefaultConfig()
		change(&c)
		require.ErrorContains(t, c.Validate(), want)
	}
}

// FuzzRender feeds InferenceServices and runtimes of any shape: whatever comes, it
// is rendered or refused with a field, and nothing panics.
func FuzzRender(f *testing.F) {
	cases, err := filepath.Glob("testdata/*/in.yaml")
	require.NoError(f, err)
	for _, path := range cases {
		w := readWorld(f, path)
		isvc, err := json.Marshal(w.isvc)
		require.NoError(f, err)
		runtime := v1alpha1.ClusterServingRuntime{}
		if len(w.runtimes) > 0 {
			runtime.Spec = w.runtimes[0].Spec
		}
		spec, err := json.Marshal(runtime.Spec)
		require.NoError(f, err)
		f.Add(isvc, spec)
	}
	stock := stockRuntimes(f)
	f.Fuzz(func(t *testing.T, isvc, runtime []byte) {
		w := &world{isvc: new(v1beta1.InferenceService), clusters: stock, config: deployer.DefaultConfig()}
		if json.Unmarshal(isvc, w.isvc) != nil {
			return
		}
		own := v1alpha1.ServingRuntime{}
		if json.Unmarshal(runtime, &own.Spec) == nil {
			own.Name, own.Namespace = "own", w.isvc.Namespace
			w.runtimes = append(w.runtimes, own)
		}
		deployer.UnsupportedFields(w.isvc)
		in, err := w.input()
		if err != nil {
			return
		}
		in.Ports = map[int32]int32{}
		ports, err := deployer.ServicePorts(in.Service, in.Runtime, in.Config)
		if err != nil {
			return
		}
		for i, p := range ports {
			in.Ports[p.Port] = 10000 + int32(i)
		}
		o, err := deployer.Render(in)
		if err == nil && !o.Stopped {
			require.NotNil(t, o.Deployment)
			require.NotNil(t, o.Service)
			require.NotNil(t, o.Route)
		}
		_, _ = deployer.RevisionHash(in)
	})
}

func BenchmarkRender(b *testing.B) {
	for _, name := range []string{"shorthand-sklearn", "mlserver-v2", "custom-container"} {
		b.Run(name, func(b *testing.B) {
			in, err := readWorld(b, filepath.Join("testdata", name, "in.yaml")).input()
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := deployer.Render(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSelectRuntime(b *testing.B) {
	stock, isvc := stockRuntimes(b), ask("sklearn", "1", "v2")
	for b.Loop() {
		if _, err := deployer.SelectRuntime(isvc, nil, stock, nil); err != nil {
			b.Fatal(err)
		}
	}
}
