package addon

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

type object struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		ClusterIP string
		Template  struct {
			Spec struct {
				Containers []struct{ Image string }
			}
		}
	}
}

func objects(t *testing.T) []object {
	t.Helper()
	var list []object
	for document := range strings.SplitSeq(Manifests(plan.Cluster{Name: "dev", Nodes: 1}), "\n---\n") {
		var strict map[string]any
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &strict), document)
		var o object
		require.NoError(t, yaml.Unmarshal([]byte(document), &o))
		require.NotEmpty(t, o.Kind)
		require.NotEmpty(t, o.Metadata.Name)
		list = append(list, o)
	}
	return list
}

func TestEveryImageThatAnAddonRunsIsMadeHere(t *testing.T) {
	made := map[string]bool{}
	for _, s := range Images(map[string]string{"pause": "/b/pause", "coredns": "/b/coredns", "metrics-server": "/b/metrics-server"}) {
		require.NoError(t, s.Validate())
		made[s.Reference] = true
	}
	require.True(t, made[plan.PauseImage])
	deployments := map[string]bool{}
	for _, o := range objects(t) {
		for _, c := range o.Spec.Template.Spec.Containers {
			require.True(t, made[c.Image], c.Image)
			deployments[o.Metadata.Name] = true
		}
	}
	require.Equal(t, map[string]bool{CoreDNS: true, MetricsServer: true}, deployments)
}

func TestTheDNSServiceHasTheAddressThatKubeletsGiveToPods(t *testing.T) {
	for _, o := range objects(t) {
		if o.Kind == "Service" && o.Metadata.Name == "kube-dns" {
			require.Equal(t, plan.DNSServiceIP, o.Spec.ClusterIP)
			return
		}
	}
	t.Fatal("there is no Service kube-dns")
}
