#!/usr/bin/env bash
# Runs the benchmarks that docs/benchmarks.md records. Ratios within one run
# count; absolute times depend on the machine. `cluster` runs those that need the
# real cluster instead: the local one, as root, or the one in KUBECONFIG.
set -euo pipefail
cd "$(dirname "$0")/.."
run() { printf '\n== %s ==\n' "$*"; "$@"; }
if [[ ${1:-} == cluster ]]; then
  cd e2e/suites
  run go test -run '^$' -bench FromZero -benchtime 20x ./e2e
  exit
fi
run go test -run '^$' -bench 'Hop|Release|HeldMemory' -benchtime 2s ./activator/server
run go test -run '^$' -bench 'Decide' ./autoscaler
run go test -run '^$' -bench 'TickOf10000' -benchtime 5x ./autoscaler/control
run go test -run '^$' -bench 'ThousandPods|SelectScalers' ./metricsadapter/store
run go test -run '^$' -bench 'Scrape' ./metricsadapter/collect
run go test -run '^$' -bench 'Render|SelectRuntime' ./deployer
# The fleet is deployed by a real API server.
(cd e2e/cluster && go run ./cmd/cluster build --link "$OLDPWD/bin/apiserver" etcd kube-apiserver)
run env RAWSERVE_FLEET=1000 RAWSERVE_APISERVER_BIN_DIR="$PWD/bin/apiserver" \
  go test -count=1 -run LargeFleet -timeout 30m -v ./deployer/control
