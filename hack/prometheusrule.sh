#!/usr/bin/env bash
# Prints manifests/dashboards/rules.yaml as the object that the Prometheus operator
# takes: the same groups, one level deeper.
set -euo pipefail
cd "$(dirname "$0")/.."
cat <<'HEAD'
# Made by 'make generate' from manifests/dashboards/rules.yaml. Do not edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: rawserve
  labels:
    app.kubernetes.io/name: rawserve
spec:
HEAD
sed -n '/^groups:/,$p' manifests/dashboards/rules.yaml | sed 's/^\(.\)/  \1/'
