#!/usr/bin/env bash
# Runs the benchmarks that docs/benchmarks.md records. Ratios within one run
# count; absolute times depend on the machine. `cluster` adds those that need the
# real cluster.
set -euo pipefail
cd "$(dirname "$0")/.."
run() { printf '\n== %s ==\n' "$*"; "$@"; }
run go test -run '^$' -bench 'Hop|Release|HeldMemory' -benchtime 2s ./activator/server
run go test -run '^$' -bench 'Decide' ./autoscaler
run go test -run '^$' -bench 'TickOf10000' -benchtime 5x ./autoscaler/control
run go test -run '^$' -bench 'ThousandPods|SelectScalers' ./metricsadapter/store
run go test -run '^$' -bench 'Render|SelectRuntime' ./deployer
if [[ ${1:-} == cluster ]]; then
  cd e2e/suites && run go test -run '^$' -bench FromZero -benchtime 20x ./e2e
fi
