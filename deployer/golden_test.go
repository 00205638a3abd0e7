package deployer_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

var update = flag.Bool("update", false, "write out.yaml of the golden cases")

// TestGolden renders each case in testdata: in.yaml holds an InferenceService and
// what is around it in the cluster, out.yaml what becomes of it. The stock
// runtimes are always installed.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/in.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	for _, in := range cases {
		t.Run(filepath.Base(filepath.Dir(in)), func(t *testing.T) {
			world := readWorld(t, in)
			got := world.render(t)
			out := filepath.Join(filepath.Dir(in), "out.yaml")
			if *update {
				require.NoError(t, os.WriteFile(out, []byte(got), 0o644))
			}
			want, err := os.ReadFile(out)
			require.NoError(t, err)
			require.Equal(t, string(want), got)
		})
	}
}

// world is what is in a cluster beside an InferenceService.
type world struct {
	isvc     *v1beta1.InferenceService
	runtimes []v1alpha1.ServingRuntime
	clusters []v1alpha1.ClusterServingRuntime
	account  *corev1.ServiceAccount
	secrets  []*corev1.Secret
	narrow   bool
	missing  bool
	config   deployer.Config
}

func readWorld(t testing.TB, path string) *world {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	w := &world{clusters: stockRuntimes(t), config: deployer.DefaultConfig()}
	for _, doc := range strings.Split(string(b), "\n---\n") {
		var kind metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal([]byte(doc), &kind))
		switch kind.Kind {
		case "InferenceService":
			w.isvc = new(v1beta1.InferenceService)
			strict(t, doc, w.isvc)
		case "ServingRuntime":
			var r v1alpha1.ServingRuntime
			strict(t, doc, &r)
			w.runtimes = append(w.runtimes, r)
		case "ClusterServingRuntime":
			var r v1alpha1.ClusterServingRuntime
			strict(t, doc, &r)
			w.clusters = append(w.clusters, r)
		case "ServiceAccount":
			w.account = new(corev1.ServiceAccount)
			strict(t, doc, w.account)
		case "Secret":
			s := new(corev1.Secret)
			strict(t, doc, s)
			// As an API server does.
			s.Data = map[string][]byte{}
			for k, v := range s.StringData {
				s.Data[k] = []byte(v)
			}
			w.secrets = append(w.secrets, s)
		case "Config":
			var c struct {
				metav1.TypeMeta `json:",inline"`
				NarrowSelector  bool            `json:"narrowSelector"`
				AgentMissing    bool            `json:"agentMissing"`
				Config          deployer.Config `json:"config"`
			}
			c.Config = w.config
			strict(t, doc, &c)
			w.narrow, w.missing, w.config = c.NarrowSelector, c.AgentMissing, c.Config
			require.NoError(t, w.config.Validate())
		default:
			t.Fatalf("%s: kind %q is not known", path, kind.Kind)
		}
	}
	require.NotNil(t, w.isvc, "%s holds no InferenceService", path)
	w.isvc.UID = "7f3c4a52-0000-4000-8000-000000000001"
	return w
}

func strict(t testing.TB, doc string, into any) {
	t.Helper()
	require.NoError(t, yaml.UnmarshalStrict([]byte(doc), into))
}

// stockRuntimes are those of the kustomization.
func stockRuntimes(t testing.TB) []v1alpha1.ClusterServingRuntime {
	t.Helper()
	const dir = "../manifests/runtimes"
	b, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	require.NoError(t, err)
	var k struct{ Resources []string }
	require.NoError(t, yaml.Unmarshal(b, &k))
	var all []v1alpha1.ClusterServingRuntime
	for _, name := range k.Resources {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		var r v1alpha1.ClusterServingRuntime
		strict(t, string(b), &r)
		all = append(all, r)
	}
	return all
}

// input does what the controller does before it renders.
func (w *world) input() (deployer.Input, error) {
	isvc := v1beta1.Default(w.isvc, w.config.Defaults())
	in := deployer.Input{
		Service:        isvc,
		Component:      deployer.Predictor,
		Revision:       deployer.Revision{Name: deployer.RevisionName(isvc, deployer.Predictor, 1), Number: 1},
		Ports:          map[int32]int32{},
		NarrowSelector: w.narrow,
		AgentMissing:   w.missing,
		Config:         w.config,
	}
	var err error
	if in.Runtime, err = deployer.SelectRuntime(isvc, w.runtimes, w.clusters, nil); err != nil {
		if deployer.Stopped(isvc) {
			return in, nil
		}
		return in, fmt.Errorf("selecting a runtime: %w", err)
	}
	if in.Credentials, err = deployer.CredentialsFrom(w.account, w.secrets, deployer.StorageSecretName(isvc, in.Runtime), w.config); err != nil {
		return in, fmt.Errorf("reading credentials: %w", err)
	}
	ports, err := deployer.ServicePorts(isvc, in.Runtime, w.config)
	if err != nil {
		return in, fmt.Errorf("listing ports: %w", err)
	}
	for i, p := range ports {
		if p.Routed() {
			in.Ports[p.Port] = 10000 + int32(i)
		}
	}
	return in, nil
}

// notes are what Render says beside the objects.
type notes struct {
	Runtime         string                 `json:"runtime,omitempty"`
	Class           string                 `json:"class,omitempty"`
	InitialReplicas int32                  `json:"initialReplicas"`
	Agent           bool                   `json:"agent"`
	Stopped         bool                   `json:"stopped,omitempty"`
	Warnings        []deployer.Warning     `json:"warnings,omitempty"`
	Unsupported     []deployer.Unsupported `json:"unsupported,omitempty"`
	Error           *deployer.RenderError  `json:"error,omitempty"`
}

// render returns the objects, and the notes at the end.
func (w *world) render(t testing.TB) string {
	t.Helper()
	n := notes{Unsupported: deployer.UnsupportedFields(w.isvc)}
	var objects deployer.Objects
	in, err := w.input()
	if err == nil {
		objects, err = deployer.Render(in)
	}
	if err != nil {
		require.True(t, errors.As(err, &n.Error), "the error names no field: %v", err)
		return document(t, n)
	}
	if in.Runtime != nil {
		n.Runtime = in.Runtime.Ref.Name
	}
	n.Class, n.InitialReplicas, n.Agent = string(objects.Class), objects.InitialReplicas, objects.Agent
	n.Stopped, n.Warnings = objects.Stopped, objects.Warnings
	var docs []string
	for _, o := range list(objects) {
		docs = append(docs, document(t, o))
	}
	return strings.Join(append(docs, document(t, n)), "---\n")
}

// list returns the objects that are wanted, in the order of their application.
func list(o deployer.Objects) []any {
	var all []any
	if o.Service != nil {
		all = append(all, o.Service)
	}
	if o.RevisionService != nil {
		all = append(all, o.RevisionService)
	}
	if o.Route != nil {
		all = append(all, o.Route)
	}
	if o.Deployment != nil {
		all = append(all, o.Deployment)
	}
	if o.Scaler != nil {
		all = append(all, o.Scaler)
	}
	if o.HPA != nil {
		all = append(all, o.HPA)
	}
	return all
}

func document(t testing.TB, value any) string {
	t.Helper()
	b, err := yaml.Marshal(value)
	require.NoError(t, err)
	return string(bytes.TrimPrefix(b, []byte("---\n")))
}
