// Package scrape has a real Prometheus scrape real programs of rawserve on loopback,
// and asks it everything that the dashboard and the rules ask. Its tests need the
// programs prometheus and promtool in the folder RAWSERVE_PROMETHEUS_BIN_DIR; `make
// test-dashboards` builds them.
package scrape
