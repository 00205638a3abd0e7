package metricsdoc

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const table = "| metric | type | labels | meaning |\n|---|---|---|---|\n" +
	"| `rawserve_a_total` | counter | `route` `code` | requests |\n" +
	"| `rawserve_b` | gauge | | something |\n" +
	"| `rawserve_gone` | gauge | | was there once |\n" +
	"| `other` | text |\n"

func TestDifferencesAreNamed(t *testing.T) {
	documented := Parse(table)
	require.Equal(t, map[string]Metric{
		"rawserve_a_total": {Type: "counter", Labels: []string{"code", "route"}},
		"rawserve_b":       {Type: "gauge"}, "rawserve_gone": {Type: "gauge"},
	}, documented)
	served, err := Served(strings.NewReader("# TYPE rawserve_a_total counter\nrawserve_a_total{code=\"2xx\",route=\"r\"} 1\n" +
		"# TYPE rawserve_b gauge\nrawserve_b{pod=\"p\"} 1\n# TYPE rawserve_new gauge\nrawserve_new 1\n# TYPE go_x gauge\ngo_x 1\n"))
	require.NoError(t, err)
	require.Equal(t, []string{
		"rawserve_b is a gauge with labels [pod], docs/observability.md says gauge with []",
		"rawserve_new is served and not in docs/observability.md",
		"rawserve_gone is in docs/observability.md and not served",
	}, Compare(documented, served, "rawserve_"))
	require.Empty(t, Compare(documented, served, "rawserve_a_"))
}
