#!/usr/bin/env bash
# Runs the tests:
#   unit       those without a cluster, with the race detector, API server included
#   apiserver  only the packages of these that start a real kube-apiserver and etcd
#   e2e        the promises to users, on the local cluster or the one in KUBECONFIG
#   dashboards every query and rule of manifests/dashboards in a real Prometheus
#   all        unit, e2e and the local cluster's own test
# Go must be there. The race detector needs a C compiler (not for e2e), the local
# cluster root and some Debian packages. Root on a Debian machine gets the packages
# installed; anybody else is told what is missing before anything is built.
set -euo pipefail
cd "$(dirname "$0")/.."

cluster() { (cd e2e/cluster && go run ./cmd/cluster "$@"); }

step() { printf '\n== %s ==\n' "$*"; }

root() { [[ $(id -u) == 0 ]]; }

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# A fresh machine has no lists of packages, or old ones.
install() {
  step "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install --yes --no-install-recommends "$@" && return
  apt-get update
  apt-get install --yes --no-install-recommends "$@"
}

# The C library's headers come apart from the compiler, so one is tried.
compiles() { echo '#include <stdlib.h>' | ${CC:-gcc} -fsyntax-only -x c - 2>/dev/null; }

needs_compiler() {
  compiles && return
  if root && command -v apt-get >/dev/null; then
    install gcc libc6-dev
    compiles && return
  fi
  fail "go test -race needs a C compiler. On Debian: sudo apt-get install gcc libc6-dev"
}

needs_cluster() {
  root || [[ -n ${KUBECONFIG:-} ]] ||
    fail "The end-to-end tests need a cluster: run this as root, which starts a local one, or set KUBECONFIG."
}

race() { CGO_ENABLED=1 go test -race "$@"; }

# The binaries that the API server suites start.
binaries() {
  step "building kube-apiserver and etcd (cached by version)"
  cluster build --link "$PWD/bin/apiserver" etcd kube-apiserver
  export RAWSERVE_APISERVER_BIN_DIR=$PWD/bin/apiserver
}

unit() {
  step "unit and API server tests, race detector on"
  race ./...
  for module in e2e/cluster e2e/modelserver e2e/load; do
    step "tests of $module, race detector on"
    (cd "$module" && race ./...)
  done
  # Only what parses queries: the race detector has nothing to find there.
  step "queries of the dashboard and the rules"
  (cd e2e/prometheus && go test .)
  # The folder e2e is left out: its tests bring a cluster up.
  step "tests of e2e/suites, race detector on"
  (cd e2e/suites && race ./harness/... ./load/... ./cmd/...)
}

apiserver() {
  step "API server tests, race detector on"
  local packages
  packages=$(grep -rl --include='*_test.go' 'internal/apiservertest"' . | xargs dirname | sort -u)
  # shellcheck disable=SC2086 # one word a package
  race $packages ./internal/apiservertest
}

# The suite brings its cluster up itself and leaves it. It is removed here, also
# where the suite fails, unless KEEP_CLUSTER is set. A cluster of KUBECONFIG's is
# used as it is.
e2e() {
  step "end to end"
  local remove=
  [[ -n ${KUBECONFIG:-} || -n ${KEEP_CLUSTER:-} ]] || remove=yes
  [[ -z $remove ]] || trap 'cluster down --name rawserve-e2e' EXIT
  (cd e2e/suites && go vet ./... && go test -count=1 -timeout 40m -v ./e2e)
  # At once: what comes next starts a cluster of its own, and two are much for a
  # small machine.
  [[ -z $remove ]] || { trap - EXIT; cluster down --name rawserve-e2e; }
}

# Prometheus without its discovery of clouds, which is most of what there is to build.
dashboards() {
  local programs=$PWD/bin/prometheus
  step "building prometheus and promtool"
  mkdir -p "$programs"
  (cd e2e/prometheus && go build -tags remove_all_sd -o "$programs/" github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus/cmd/promtool)
  step "a real Prometheus scrapes an activator, an agent and a controller"
  (cd e2e/prometheus && RAWSERVE_PROMETHEUS_BIN_DIR=$programs go test -count=1 -v ./...)
}

# The local cluster's own promises: nothing is left behind, whatever is killed.
selftest() {
  if ! root || [[ -n ${KUBECONFIG:-} ]]; then
    echo "the local cluster's own test needs root and is left out with KUBECONFIG"
    return
  fi
  step "the local cluster itself"
  (cd e2e/cluster && RAWSERVE_CLUSTER_SELFTEST=1 go test -count=1 -timeout 20m -run TestUpTwiceAndDownLeavesNothing -v .)
}

# A shell in which a local cluster's kubeconfig was exported may outlive the
# cluster; the suite's own cluster is meant then.
case ${KUBECONFIG:-} in
/var/lib/rawserve/*/kubeconfig) [[ -e $KUBECONFIG ]] || unset KUBECONFIG ;;
esac

# Steps are commands of their own: joined by "&&" they would run without `set -e`,
# and a red step in the middle of one would go unnoticed.
case ${1:-all} in
unit) needs_compiler; binaries; unit ;;
apiserver) needs_compiler; binaries; apiserver ;;
e2e) needs_cluster; e2e ;;
dashboards) dashboards ;;
all) needs_cluster; needs_compiler; binaries; unit; e2e; selftest ;;
*) fail "usage: $0 [unit|apiserver|e2e|dashboards|all]" ;;
esac
