#!/usr/bin/env bash
# Runs the tests: `unit` (race detector, and a real kube-apiserver and etcd, without
# nodes), `e2e` (the local cluster, or the one in KUBECONFIG), or `all` of them and
# the local cluster's own. What they need beside Go is built, or, as root on
# Debian, installed.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}

cluster() { (cd e2e/cluster && go run ./cmd/cluster "$@"); }

step() { printf '\n== %s ==\n' "$*"; }

# The race detector needs a C compiler.
needs() {
  local compiler
  compiler=$(go env CC)
  if command -v "${compiler%% *}" >/dev/null; then
    return
  fi
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "the race detector needs a C compiler: install one, on Debian with 'apt-get install gcc libc6-dev'" >&2
    exit 1
  fi
  step "installing a C compiler for the race detector"
  apt-get install -y -q gcc libc6-dev || { apt-get update -q && apt-get install -y -q gcc libc6-dev; }
}

# The binaries that the API server suites start.
binaries() {
  step "building kube-apiserver and etcd (cached by version)"
  cluster build --link "$PWD/bin/apiserver" etcd kube-apiserver
  export RAWSERVE_APISERVER_BIN_DIR=$PWD/bin/apiserver
}

unit() {
  step "unit and API server tests, race detector on"
  go test -race ./...
  for module in e2e/cluster e2e/modelserver; do
    step "tests of $module, race detector on"
    (cd "$module" && go test -race ./...)
  done
}

# The suite brings its cluster up itself and leaves it; it is removed here, unless
# KEEP_CLUSTER is set. A cluster of KUBECONFIG's is used as it is.
e2e() {
  step "end to end"
  if [[ -z ${KUBECONFIG:-} && -z ${KEEP_CLUSTER:-} ]]; then
    trap 'cluster down --name rawserve-e2e' EXIT
  fi
  (
    cd e2e/suites
    go vet ./...
    go test -count=1 -timeout 40m -v ./e2e
  )
  # The local cluster's own tests want the machine for themselves.
  if [[ -n $(trap -p EXIT) ]]; then
    trap - EXIT
    cluster down --name rawserve-e2e
  fi
}

# The local cluster's own promises: nothing is left behind, whatever is killed.
selftest() {
  if [[ $(id -u) != 0 || -n ${KUBECONFIG:-} ]]; then
    echo "the local cluster's own test needs root and is left out with KUBECONFIG"
    return
  fi
  step "the local cluster itself"
  (cd e2e/cluster && RAWSERVE_CLUSTER_SELFTEST=1 go test -count=1 -timeout 20m -run TestUpTwiceAndDownLeavesNothing -v .)
}

# One command a line: a list with && would switch set -e off inside the functions.
case $what in
unit)
  needs
  binaries
  unit
  ;;
e2e)
  e2e
  ;;
all)
  needs
  binaries
  unit
  e2e
  selftest
  ;;
*)
  echo "usage: $0 unit|e2e|all" >&2
  exit 2
  ;;
esac
