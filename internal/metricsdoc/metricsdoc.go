// Package metricsdoc compares what a program serves to Prometheus with the tables of
// docs/observability.md, so that neither says what the other does not. It is for tests.
package metricsdoc

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metric is a metric as the tables describe it.
type Metric struct {
	// Type is counter, gauge or histogram.
	Type string
	// Labels are the names of the metric's own labels, sorted.
	Labels []string
}

// row is a row of a table: | `name` | type | `label` `label` | meaning |.
var (
	row    = regexp.MustCompile("^\\| `(rawserve_[a-z_]+)` \\| (\\w+) \\| ([^|]*)\\| (.+) \\|$")
	quoted = regexp.MustCompile("`([a-z_]+)`")
)

// Parse returns the metrics that the text's tables describe, by name.
func Parse(text string) map[string]Metric {
	out := map[string]Metric{}
	for line := range strings.SplitSeq(text, "\n") {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		metric := Metric{Type: m[2]}
		for _, l := range quoted.FindAllStringSubmatch(m[3], -1) {
			metric.Labels = append(metric.Labels, l[1])
		}
		slices.Sort(metric.Labels)
		out[m[1]] = metric
	}
	return out
}

// Served returns the metrics of ours in a scrape, by name.
func Served(scrape io.Reader) (map[string]Metric, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(scrape)
	if err != nil {
		return nil, fmt.Errorf("reading the scrape: %w", err)
	}
	return OfFamilies(slices.Collect(maps.Values(families))), nil
}

// OfFamilies is Served for what a registry has gathered.
func OfFamilies(families []*dto.MetricFamily) map[string]Metric {
	out := map[string]Metric{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "rawserve_") {
			continue
		}
		m := Metric{Type: strings.ToLower(f.GetType().String())}
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if !slices.Contains(m.Labels, l.GetName()) {
					m.Labels = append(m.Labels, l.GetName())
				}
			}
		}
		slices.Sort(m.Labels)
		out[f.GetName()] = m
	}
	return out
}

// Compare lists what the tables and a program say differently of metrics that begin
// with one of the prefixes.
func Compare(documented, served map[string]Metric, prefixes ...string) []string {
	var problems []string
	ours := func(name string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	for _, name := range slices.Sorted(maps.Keys(served)) {
		if !ours(name) {
			continue
		}
		d, ok := documented[name]
		switch s := served[name]; {
		case !ok:
			problems = append(problems, fmt.Sprintf("%s is served and not in docs/observability.md", name))
		case d.Type != s.Type || !slices.Equal(d.Labels, s.Labels):
			problems = append(problems, fmt.Sprintf("%s is a %s with labels %v, docs/observability.md says %s with %v", name, s.Type, s.Labels, d.Type, d.Labels))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if _, ok := served[name]; ours(name) && !ok {
			problems = append(problems, fmt.Sprintf("%s is in docs/observability.md and not served", name))
		}
	}
	return problems
}
