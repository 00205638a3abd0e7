# rawserve: build, test and install. `make help` lists the targets.
SHELL       := /bin/bash -o pipefail
.DEFAULT_GOAL := help

GO          ?= go
BIN         := bin
COMMANDS    := controller activator agent metrics-adapter storage-initializer
# The modules of this repository that hold code of their own.
MODULES     := . e2e/cluster e2e/load e2e/modelserver e2e/prometheus e2e/suites
LINT        := $(abspath $(BIN))/golangci-lint
KUSTOMIZE   := $(abspath $(BIN))/kustomize
CLUSTER     ?= rawserve

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z0-9_-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Build

.PHONY: build
build: ## Build every binary into bin/.
	@for c in $(COMMANDS); do echo "building $$c" && CGO_ENABLED=0 $(GO) build -trimpath -tags grpcnotrace -ldflags "-s -w" -o $(BIN)/$$c ./cmd/$$c || exit 1; done

.PHONY: generate
generate: $(KUSTOMIZE) ## Remake generated code, CRDs and manifests/install.yaml.
	hack/generate.sh
	{ echo "# Made by 'make generate' from manifests/default. Do not edit."; $(KUSTOMIZE) build manifests/default; } > manifests/install.yaml
	hack/prometheusrule.sh > manifests/dashboards/prometheusrule.yaml

##@ Test

.PHONY: test
test: ## Run every test: unit and race, API server, and end to end on a real cluster (needs root, or KUBECONFIG).
	hack/test.sh all

.PHONY: test-unit
test-unit: ## Run the unit and API server tests with the race detector (no cluster, no root).
	hack/test.sh unit

.PHONY: test-apiserver
test-apiserver: ## Run only the packages that start a real API server.
	hack/test.sh apiserver

.PHONY: test-e2e
test-e2e: ## Run the end-to-end suite on the local cluster, or the one in KUBECONFIG.
	hack/test.sh e2e

.PHONY: test-dashboards
test-dashboards: ## Have a real Prometheus evaluate every query and rule of manifests/dashboards (builds it: minutes).
	hack/test.sh dashboards

.PHONY: fuzz
fuzz: ## Run each fuzz target for a short time (FUZZTIME, default 10s).
	hack/fuzz.sh

.PHONY: bench
bench: ## Run the benchmarks recorded in docs/benchmarks.md.
	hack/bench.sh

.PHONY: load
load: ## Measure what a hop costs beside Go's proxy and Knative's parts (25 minutes; LOAD_FLAGS=-quick for two).
	cd e2e/load && $(GO) run ./cmd/load $(LOAD_FLAGS)

##@ Check

.PHONY: verify
verify: tidy generate fmt lint ## Tidy, generate, format and lint; fails if that changes a file.
	@git diff --exit-code || { echo "The files above were not up to date; commit what 'make verify' changed."; exit 1; }
	@test -z "$$(git status --porcelain)" || { git status --short; echo "Files above are not committed."; exit 1; }

.PHONY: tidy
tidy: ## Tidy every module.
	@for m in $(MODULES); do (cd $$m && echo "tidying $$m" && $(GO) mod tidy) || exit 1; done

.PHONY: fmt
fmt: ## Format the code.
	@git ls-files '*.go' | grep -v -e zz_generated -e '^api/client/' | xargs gofmt -w

.PHONY: lint
lint: $(LINT) ## Lint every module.
	@for m in $(MODULES); do (cd $$m && echo "linting $$m" && $(LINT) run --config $(abspath .golangci.yml) ./...) || exit 1; done

$(LINT):
	@mkdir -p $(BIN)
	cd tools/lint && $(GO) build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(KUSTOMIZE):
	@mkdir -p $(BIN)
	cd tools/kustomize && $(GO) build -o $@ sigs.k8s.io/kustomize/kustomize/v5

##@ Try

.PHONY: demo
demo: ## Bring a cluster up, install rawserve and show a model answer from zero.
	cd e2e/suites && $(GO) run ./cmd/demo

.PHONY: demo-down
demo-down: ## Remove everything that the demo made.
	cd e2e/suites && $(GO) run ./cmd/demo --down

.PHONY: cluster-up
cluster-up: ## Bring up a local cluster (CLUSTER=name).
	cd e2e/cluster && $(GO) run ./cmd/cluster up --name $(CLUSTER)

.PHONY: cluster-down
cluster-down: ## Remove the local cluster (CLUSTER=name).
	cd e2e/cluster && $(GO) run ./cmd/cluster down --name $(CLUSTER)

.PHONY: images
images: ## Build the rawserve image as an archive in bin/ (no Docker needed).
	cd e2e/suites && $(GO) run ./cmd/images --out $(abspath $(BIN))

.PHONY: model-images
model-images: ## Build the model server's and the model store's images as archives in bin/.
	cd e2e/modelserver && $(GO) run ./cmd/build-model-images --out $(abspath $(BIN))
