// Package prometheus checks what manifests/dashboards gives to Prometheus and
// Grafana. Its own tests parse every query and compare the names in it with the
// tables of docs/observability.md, which other tests hold to what the programs
// serve; that takes seconds. Those of the folder scrape have a real Prometheus
// scrape real programs; building it takes minutes, so they run by
// `make test-dashboards` only.
package prometheus

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Query is a query of a panel or a variable.
type Query struct {
	// Where names it for people.
	Where string
	// Expr is the expression, Grafana's variables in it.
	Expr string
}

// Panel is what is read of a dashboard's panel.
type Panel struct {
	ID         int    `json:"id"`
	Type       string `json:"type"`
	Title      string `json:"title"`
	Datasource struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	GridPos struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Targets []struct {
		Expr       string `json:"expr"`
		Datasource struct {
			UID string `json:"uid"`
		} `json:"datasource"`
	} `json:"targets"`
}

// Dashboard is what is read of a dashboard.
type Dashboard struct {
	UID           string  `json:"uid"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []Panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

// ReadDashboard reads the file at path.
func ReadDashboard(path string) (*Dashboard, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the dashboard: %w", err)
	}
	var d Dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", path, err)
	}
	return &d, nil
}

// Queries are those of the panels, with a value for each of Grafana's variables:
// everything, over the interval.
func (d *Dashboard) Queries(interval string) []Query {
	fill := strings.NewReplacer("$__rate_interval", interval, "$namespace", ".*", "$route", ".*")
	var out []Query
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			out = append(out, Query{Where: p.Title, Expr: fill.Replace(t.Expr)})
		}
	}
	return out
}
