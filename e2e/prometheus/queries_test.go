package prometheus

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/metricsdoc"
)

const (
	rulesFile     = "../../manifests/dashboards/rules.yaml"
	dashboardFile = "../../manifests/dashboards/data-path.json"
	tableFile     = "../../docs/observability.md"
)

// ofTargets are the labels that scraping adds, ofGo the metrics that a Go program
// serves by itself.
var (
	ofTargets = []string{"instance", "job", "pod", "namespace", "inferenceservice", "revision"}
	ofGo      = []string{"process_cpu_seconds_total", "process_resident_memory_bytes"}
)

func documented(t *testing.T) map[string]metricsdoc.Metric {
	text, err := os.ReadFile(tableFile)
	require.NoError(t, err)
	out := metricsdoc.Parse(string(text))
	require.Greater(t, len(out), 40, "the tables cannot be read")
	return out
}

func rules(t *testing.T) *rulefmt.RuleGroups {
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	return groups
}

// check lists what is wrong with a query; recorded are the names that rules record.
func check(q Query, known map[string]metricsdoc.Metric, recorded map[string]bool) []string {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(q.Expr)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", q.Where, err)}
	}
	var problems []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		s, ok := node.(*parser.VectorSelector)
		if !ok || recorded[s.Name] || slices.Contains(ofGo, s.Name) {
			return nil
		}
		metric, ok := known[base(s.Name, known)]
		if !ok {
			problems = append(problems, fmt.Sprintf("%s: nothing serves %s", q.Where, s.Name))
			return nil
		}
		for _, m := range s.LabelMatchers {
			if m.Name != model.MetricNameLabel && m.Name != "le" && !slices.Contains(metric.Labels, m.Name) && !slices.Contains(ofTargets, m.Name) {
				problems = append(problems, fmt.Sprintf("%s: %s has no label %s", q.Where, s.Name, m.Name))
			}
		}
		return nil
	})
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		a, ok := node.(*parser.AggregateExpr)
		if !ok || a.Without {
			return nil
		}
		for _, label := range a.Grouping {
			if label != "le" && label != "resource" && !slices.Contains(ofTargets, label) && !has(a.Expr, label, known) {
				problems = append(problems, fmt.Sprintf("%s: nothing below has the label %s: %s", q.Where, label, a))
			}
		}
		return nil
	})
	return problems
}

// has reports whether a metric within the expression has the label.
func has(expr parser.Expr, label string, known map[string]metricsdoc.Metric) bool {
	found := false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			found = found || slices.Contains(known[base(s.Name, known)].Labels, label)
		}
		return nil
	})
	return found
}

// base is the name of the metric that a series belongs to.
func base(series string, known map[string]metricsdoc.Metric) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, suffix); ok && known[name].Type == "histogram" {
			return name
		}
	}
	if known[series].Type == "histogram" {
		return "" // a classic histogram has no series of its own name
	}
	return series
}

func TestEveryRuleIsValidAndNamesWhatIsServed(t *testing.T) {
	known := documented(t)
	recorded := map[string]bool{}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				recorded[r.Record] = true
			}
			require.Empty(t, check(Query{Where: r.Record + r.Alert, Expr: r.Expr}, known, recorded))
			if r.Alert == "" {
				continue
			}
			require.Contains(t, []string{"critical", "warning", "info"}, r.Labels["severity"], r.Alert)
			for _, a := range []string{"summary", "description", "runbook"} {
				require.NotEmpty(t, r.Annotations[a], "%s has no %s", r.Alert, a)
			}
		}
	}
}

// TestEveryAlertHasATest looks for its name among the tests that promtool runs.
func TestEveryAlertHasATest(t *testing.T) {
	tests, err := os.ReadFile("../../manifests/dashboards/rules_test.yaml")
	require.NoError(t, err)
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				require.Contains(t, string(tests), r.Alert)
			}
		}
	}
}

func TestEveryQueryOfTheDashboardNamesWhatIsServed(t *testing.T) {
	known := documented(t)
	d, err := ReadDashboard(dashboardFile)
	require.NoError(t, err)
	queries := d.Queries("1m")
	require.Greater(t, len(queries), 50)
	for _, q := range queries {
		require.Empty(t, check(q, known, nil))
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			name := strings.TrimPrefix(v.Definition, "label_values(")
			require.Contains(t, known, name[:strings.IndexAny(name, "{,")], v.Name)
		}
	}
}

// TestTheDashboardCanBeDrawn: panels have numbers of their own, do not overlap, and ask
// the data source that the user picks.
func TestTheDashboardCanBeDrawn(t *testing.T) {
	d, err := ReadDashboard(dashboardFile)
	require.NoError(t, err)
	require.GreaterOrEqual(t, d.SchemaVersion, 39)
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], p.Title)
		ids[p.ID] = true
		g := p.GridPos
		require.LessOrEqual(t, g.X+g.W, 24, p.Title)
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s lies over it", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		for _, q := range p.Targets {
			require.Equal(t, "${datasource}", q.Datasource.UID, p.Title)
		}
	}
}

func TestAQueryThatIsWrongIsFound(t *testing.T) {
	known := map[string]metricsdoc.Metric{
		"a_total": {Type: "counter", Labels: []string{"code"}}, "h_seconds": {Type: "histogram"},
	}
	for expr, want := range map[string]string{
		`sum by (code) (rate(a_total{code="5xx"}[5m]))`:                     "",
		`histogram_quantile(0.9, sum by (le) (rate(h_seconds_bucket[5m])))`: "",
		`recorded`:               "",
		`sum(a_totl)`:            "x: nothing serves a_totl",
		`a_total{cod="5xx"}`:     "x: a_total has no label cod",
		`rate(h_seconds[5m])`:    "x: nothing serves h_seconds",
		`sum by (cde) (a_total)`: "x: nothing below has the label cde: sum by (cde) (a_total)",
		`a_total_bucket`:         "x: nothing serves a_total_bucket",
	} {
		require.Equal(t, want, strings.Join(check(Query{Where: "x", Expr: expr}, known, map[string]bool{"recorded": true}), "; "), expr)
	}
	require.Len(t, check(Query{Where: "x", Expr: "sum(("}, known, nil), 1)
}
