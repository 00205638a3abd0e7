package scrape

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	queries "github.com/rawserve/rawserve/e2e/prometheus"
)

const dashboards = "../../../manifests/dashboards/"

func program(t *testing.T, name string) string {
	dir := os.Getenv("RAWSERVE_PROMETHEUS_BIN_DIR")
	if dir == "" {
		t.Skip("RAWSERVE_PROMETHEUS_BIN_DIR is not set; `make test-dashboards` sets it")
	}
	return filepath.Join(dir, name)
}

func TestPromtoolAcceptsTheRulesAndTheirTests(t *testing.T) {
	tool := program(t, "promtool")
	for _, args := range [][]string{
		{"check", "rules", dashboards + "rules.yaml"},
		{"test", "rules", dashboards + "rules_test.yaml"},
		{"check", "config", "--syntax-only", dashboards + "scrape.yaml"},
	} {
		out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
		require.NoError(t, err, "promtool %s: %s", strings.Join(args, " "), out)
	}
}

func TestPromtoolFindsNothingToSayAboutTheMetrics(t *testing.T) {
	tool := program(t, "promtool")
	p := start(t)
	for job, addr := range p.targets {
		res, err := http.Get("http://" + addr + "/metrics")
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), tool, "check", "metrics")
		cmd.Stdin = res.Body
		out, err := cmd.CombinedOutput()
		res.Body.Close()
		require.NoError(t, err, "%s: %s", job, out)
	}
}

// prom is a running Prometheus.
type prom struct{ addr string }

// run starts Prometheus on the targets with the rules, evaluated each second.
func run(t *testing.T, targets map[string]string) *prom {
	dir := t.TempDir()
	rules, err := filepath.Abs(dashboards + "rules.yaml")
	require.NoError(t, err)
	var b strings.Builder
	fmt.Fprintf(&b, "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n", rules)
	for job, addr := range targets {
		fmt.Fprintf(&b, "- {job_name: %s, honor_labels: true, static_configs: [{targets: [%q], labels: {pod: %s-1}}]}\n", job, addr, job)
	}
	config := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(config, []byte(b.String()), 0o600))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	ln.Close()
	cmd := exec.Command(program(t, "prometheus"), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn")
	var log strings.Builder
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	p := &prom{addr: addr}
	require.Eventually(t, func() bool {
		res, err := http.Get("http://" + addr + "/-/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, time.Minute, 100*time.Millisecond)
	return p
}

// ask puts a question to the API and decodes the answer's data.
func (p *prom) ask(path string, query url.Values, data any) error {
	res, err := http.Get("http://" + p.addr + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var envelope struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	if envelope.Status != "success" {
		return fmt.Errorf("%s: %s", envelope.Status, envelope.Error)
	}
	return json.Unmarshal(envelope.Data, data)
}

// series is how many series a range query brings that hold a number.
func (p *prom) series(expr string) (int, error) {
	now := time.Now()
	var data struct {
		Result []struct {
			Values [][2]any `json:"values"`
		} `json:"result"`
	}
	err := p.ask("/api/v1/query_range", url.Values{
		"query": {expr}, "start": {strconv.FormatInt(now.Add(-15*time.Second).Unix(), 10)}, "end": {strconv.FormatInt(now.Unix(), 10)}, "step": {"1"},
	}, &data)
	n := 0
	for _, s := range data.Result {
		for _, v := range s.Values {
			if text, ok := v[1].(string); ok && text != "NaN" {
				n++
				break
			}
		}
	}
	return n, err
}

// TestEveryQueryOfTheDashboardAndEveryRuleWorks starts all, has a request held, a
// model come up, requests served, queued, failed and refused, and looks at what a
// person would see.
func TestEveryQueryOfTheDashboardAndEveryRuleWorks(t *testing.T) {
	program(t, "prometheus")
	p := start(t)
	prometheus := run(t, p.targets)
	// What a series begins with is no increase: it is scraped at zero first.
	require.Eventually(t, func() bool {
		n, err := prometheus.series("up == 1")
		return err == nil && n == len(p.targets)
	}, time.Minute, 100*time.Millisecond)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	for range 3 {
		clients.Go(func() { p.traffic(ctx, "/v1/models/iris:predict") })
	}
	clients.Go(func() { p.traffic(ctx, "/fail") })
	// They are held until a pod is there, and Prometheus sees that.
	require.Eventually(t, func() bool {
		n, err := prometheus.series("rawserve_activator_waiting_requests > 0")
		return err == nil && n > 0
	}, time.Minute, 100*time.Millisecond)
	p.ready(t)
	// One method that no proxy passes on, so that the activator answers itself.
	clients.Go(func() {
		for ctx.Err() == nil {
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
			if err != nil {
				continue
			}
			_, _ = io.WriteString(conn, "CONNECT models:80 HTTP/1.1\r\nHost: models\r\nConnection: close\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})

	d, err := queries.ReadDashboard(dashboards + "data-path.json")
	require.NoError(t, err)
	missing := map[string]string{}
	for _, q := range d.Queries("10s") {
		missing[q.Where+": "+q.Expr] = q.Expr
	}
	total := len(missing)
	deadline := time.Now().Add(90 * time.Second)
	for len(missing) > 0 && time.Now().Before(deadline) {
		for where, expr := range missing {
			n, err := prometheus.series(expr)
			require.NoError(t, err, where)
			if n > 0 || neverHere(expr) {
				delete(missing, where)
			}
		}
		time.Sleep(500 * time.Millisecond) // a real Prometheus scrapes in real time
	}
	for where := range missing {
		t.Errorf("no data: %s", where)
	}
	t.Logf("%d queries of the dashboard work", total)

	var state struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError string
			}
		}
	}
	rules := 0
	require.Eventually(t, func() bool {
		if err := prometheus.ask("/api/v1/rules", nil, &state); err != nil {
			return false
		}
		rules = 0
		for _, g := range state.Groups {
			for _, r := range g.Rules {
				if rules++; r.Health == "unknown" {
					return false
				}
			}
		}
		return rules > 0
	}, time.Minute, 200*time.Millisecond)
	for _, g := range state.Groups {
		for _, r := range g.Rules {
			require.Equal(t, "ok", r.Health, "%s: %s", r.Name, r.LastError)
		}
	}
	t.Logf("%d rules are evaluated", rules)
	for _, recorded := range []string{"namespace_route:rawserve_activator_errors:ratio_rate5m", "namespace_route:rawserve_activator_queue_seconds:p99_rate5m"} {
		n, err := prometheus.series(recorded)
		require.NoError(t, err)
		require.Equal(t, 1, n, recorded)
	}
}

// neverHere are queries for what these programs do not do; that the API takes them
// is all that can be seen. Nothing scales here.
func neverHere(expr string) bool {
	return strings.Contains(expr, "rawserve_agent_rejections_total")
}
