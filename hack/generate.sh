#!/usr/bin/env bash
# Remakes everything generated from the types in api/: deep copies, CRDs, and the
# typed client (apply configurations, clientset, listers, informers). Running it
# twice changes nothing. The tools' versions are those of go.mod.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

module=github.com/rawserve/rawserve
client=api/client
header=hack/boilerplate.go.txt
apis=(serving/v1beta1 serving/v1alpha1 rawserve/v1alpha1)
packages=() paths=() inputs=()
for api in "${apis[@]}"; do
  packages+=("$module/api/$api")
  paths+=("paths=./api/$api")
  inputs+=(--input "api/$api")
done

echo "deep copies" >&2
go tool controller-gen "object:headerFile=$header" "${paths[@]}"

echo "CRDs" >&2
crds=$(mktemp -d)
definitions=hack/openapi/definitions.go
trap 'rm -rf "$crds" "$definitions"' EXIT
# Without descriptions: with them the InferenceService's CRD is larger than the
# API server takes. allowDangerousTypes is not set: no field is a float.
go tool controller-gen crd:maxDescLen=0 "${paths[@]}" "output:crd:dir=$crds"
go run ./hack/crdfix -in "$crds" -out manifests/crd

# Old output goes first, so that what is no longer generated disappears.
rm -rf "$client"
mkdir -p "$client"

# With the schema, the fake client's NewClientset merges as the API server does.
echo "OpenAPI schema" >&2
go tool openapi-gen --go-header-file "$header" --report-filename /dev/null \
  --output-dir hack/openapi --output-pkg main --output-file "$(basename "$definitions")" \
  "${packages[@]}" k8s.io/api/{core/v1,apps/v1,autoscaling/v2} \
  k8s.io/apimachinery/pkg/{apis/meta/v1,api/resource,util/intstr,runtime,version}
go run hack/openapi/main.go "$definitions" > "$crds/openapi.json"

echo "apply configurations" >&2
go tool applyconfiguration-gen --go-header-file "$header" --openapi-schema "$crds/openapi.json" \
  --output-dir "$client/applyconfiguration" --output-pkg "$module/$client/applyconfiguration" \
  "${packages[@]}"

echo "clientset" >&2
go tool client-gen --go-header-file "$header" \
  --clientset-name versioned --input-base "$module" "${inputs[@]}" \
  --output-dir "$client/clientset" --output-pkg "$module/$client/clientset" \
  --apply-configuration-package "$module/$client/applyconfiguration"

echo "listers" >&2
go tool lister-gen --go-header-file "$header" \
  --output-dir "$client/listers" --output-pkg "$module/$client/listers" \
  "${packages[@]}"

echo "informers" >&2
go tool informer-gen --go-header-file "$header" \
  --versioned-clientset-package "$module/$client/clientset/versioned" \
  --listers-package "$module/$client/listers" \
  --output-dir "$client/informers" --output-pkg "$module/$client/informers" \
  "${packages[@]}"

gofmt -l -w "$client" >/dev/null
