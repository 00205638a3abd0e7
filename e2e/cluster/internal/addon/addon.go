// Package addon holds what every cluster runs as pods: its DNS and its metrics.
package addon

import (
	_ "embed"
	"strings"
	"text/template"

	"github.com/rawserve/rawserve/e2e/cluster/image"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

//go:embed coredns.yaml
var coreDNS string

//go:embed metrics-server.yaml
var metricsServer string

var manifests = template.Must(template.New("addons").Parse(coreDNS + "---\n" + metricsServer))

// Names of the images, which are made here and found in no registry.
const (
	CoreDNSImage       = "rawserve.dev/coredns:1"
	MetricsServerImage = "rawserve.dev/metrics-server:1"
)

// Deployments are those of kube-system that Manifests makes.
const (
	CoreDNS       = "coredns"
	MetricsServer = "metrics-server"
)

// Manifests is the YAML to apply to a new cluster.
func Manifests(c plan.Cluster) string {
	var text strings.Builder
	err := manifests.Execute(&text, map[string]string{
		"CoreDNS":       CoreDNSImage,
		"MetricsServer": MetricsServerImage,
		"DNS":           plan.DNSServiceIP,
		"Domain":        plan.DNSDomain,
		"Node":          c.First().Name(),
	})
	if err != nil {
		// The template is literal and tested.
		panic(err)
	}
	return text.String()
}

// Images describes the images that a cluster needs, made of those binaries. The
// first is needed by every pod.
func Images(binaries map[string]string) []image.Spec {
	return []image.Spec{
		image.Binary(plan.PauseImage, binaries["pause"]),
		image.Binary(CoreDNSImage, binaries["coredns"]),
		image.Binary(MetricsServerImage, binaries["metrics-server"]),
	}
}
