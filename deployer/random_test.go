package deployer_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// FuzzRenderOfRandomObjects fills InferenceService and runtime with typed
// nonsense, which gets deeper than bytes that have to be JSON first.
func FuzzRenderOfRandomObjects(f *testing.F) {
	for seed := range int64(64) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		filler := randfill.NewWithSeed(seed).NilChance(0.5).NumElements(1, 2).MaxDepth(14).Funcs(
			func(q *resource.Quantity, c randfill.Continue) {
				*q = *resource.NewQuantity(c.Int63n(5), resource.DecimalSI)
			},
			func(v *intstr.IntOrString, c randfill.Continue) {
				*v = intstr.FromInt32(c.Int31n(70000))
				if c.Bool() {
					*v = intstr.FromString(c.String(4))
				}
			},
			// Names that meet: otherwise nothing would ever be merged.
			func(s *string, c randfill.Continue) {
				*s = []string{"", "a", "kserve-container", "transformer-container", "agent", "sklearn", "own", "s3", "1",
					"gs://b/m", "pvc://c/p", "{{.Name}}", "{{", "/mnt/models", "grpc", "$patch"}[c.Intn(16)]
			},
			func(n *int32, c randfill.Continue) { *n = c.Int31n(4) * 9080 },
		)
		w := &world{isvc: new(v1beta1.InferenceService), config: deployer.DefaultConfig()}
		filler.Fill(&w.isvc.Spec.Predictor)
		filler.Fill(&w.isvc.Annotations)
		w.isvc.Name, w.isvc.Namespace = "iris", "models"
		w.isvc.Spec.Predictor.WorkerSpec = nil
		w.isvc.Spec.Predictor.Name = ""

		spec := v1alpha1.ServingRuntimeSpec{}
		filler.Fill(&spec)
		runtime := &deployer.ChosenRuntime{Ref: deployer.RuntimeRef{Name: "own", Scope: deployer.Cluster}, Spec: spec}
		if m := w.isvc.Spec.Predictor.Model; m == nil {
			runtime = nil
		}
		isvc := v1beta1.Default(w.isvc, w.config.Defaults())
		if isvc.Spec.Predictor.Model != nil && runtime == nil {
			runtime = &deployer.ChosenRuntime{Ref: deployer.RuntimeRef{Name: "kserve-mlserver"}, Spec: spec}
		}
		_, _ = deployer.SelectRuntime(isvc, []v1alpha1.ServingRuntime{{Spec: spec}}, nil, nil)
		deployer.UnsupportedFields(isvc)
		in := deployer.Input{
			Service: isvc, Component: deployer.Predictor, Runtime: runtime, Config: w.config,
			Revision: deployer.Revision{Name: "iris-predictor-00001", Number: 1}, Ports: map[int32]int32{},
		}
		ports, err := deployer.ServicePorts(isvc, runtime, w.config)
		if err != nil {
			require.ErrorContains(t, err, ": ", "an error without a field")
			return
		}
		for i, p := range ports {
			in.Ports[p.Port] = 10000 + int32(i)
		}
		o, err := deployer.Render(in)
		if err != nil || o.Stopped {
			return
		}
		names := map[string]bool{}
		for _, c := range o.Deployment.Spec.Template.Spec.Containers {
			require.False(t, names[*c.Name], "two containers are named %s", *c.Name)
			names[*c.Name] = true
			env := map[string]bool{}
			for _, e := range c.Env {
				require.False(t, env[*e.Name], "two variables are named %s", *e.Name)
				env[*e.Name] = true
			}
		}
		require.True(t, names[v1beta1.ContainerServer])
	})
}
