# Purser's targets. `make help` lists them.
SHELL := /bin/bash
GO    ?= go
SHEET ?= examples/plain.csv

.DEFAULT_GOAL := help

help: ## Show what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: build chromium ## Fetch the documents of a sheet's POs (SHEET=examples/plain.csv) from the demo portal, on this machine
	@bin/purser run $(SHEET); code=$$?; \
	if [ $$code = 1 ]; then echo "Some of the demo portal's POs fail by design."; exit 0; fi; exit $$code

test: chromium ## Run every test: unit, golden, property, end to end
	$(GO) test -timeout 12m ./...

# Bounded: POS purchase orders and a sixth as many troubles, in the order that SEED draws.
chaos: POS  ?= 300
chaos: SEED ?= 1
chaos: chromium ## Kill functions, Chromium and the stack under a job while the portal and AWS calls fail (POS=300 SEED=1)
	PURSER_CHAOS=$(POS) PURSER_SEED=$(SEED) $(GO) test -count=1 -timeout 30m -run TestALongChaosRun -v ./e2e

lint: ## go vet, staticcheck and gofumpt
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted=$$($(GO) tool gofumpt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofumpt-ed (make fmt does it):"; echo "$$unformatted"; exit 1; fi

fmt: ## Format the code with gofumpt
	$(GO) tool gofumpt -w $$(git ls-files '*.go')

build: ## Build the command, both functions and AWS's runtime interface emulator into bin/
	$(GO) build -o bin/ ./cmd/purser ./functions/dispatcher ./functions/downloader \
	  github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie

chromium: ## Find a Chromium, or get the pinned one
	@bin=$${CHROMIUM_PATH:-}; \
	if [ -n "$$bin" ] && [ -x "$$bin" ]; then echo "Chromium: $$bin"; else $(MAKE) --no-print-directory -C layers/chromium chromium; fi

local: build chromium ## Start the local stack and keep it: S3, SQS, DynamoDB and both functions on 127.0.0.1:4566
	bin/purser local

demo: build ## Start the demo portal and keep it
	bin/purser demo

pictures: build chromium ## Make the README's pictures from a real run
	$(GO) run ./docs/pictures bin docs/pictures

bench: build chromium ## Compare Purser with other tools on the heavy demo portal (BENCH='--pos 50 --rounds 1' for a short run)
	cd bench/peers && { [ -d node_modules ] || npm ci; }
	$(GO) run ./bench $(BENCH)

bench-pool: chromium ## Measure the warm browser against one for each PO (POS=40), and whether its memory grows (SOAK=1000)
	$(GO) test ./internal/download -run '^$$' -bench Pool -benchtime $(or $(POS),40)x -timeout 60m
	$(if $(SOAK),PURSER_SOAK=$(SOAK) $(GO) test ./internal/download -run 'TestSoak$$' -v -timeout 120m)

sam-local: build ## Invoke both functions in containers (SAM, or docker alone), with the local stack and the demo portal
	events/sam-local.sh

lint-template: ## Check template.yaml with cfn-lint and sam, where they are installed
	@if command -v cfn-lint >/dev/null; then cfn-lint template.yaml; else echo "cfn-lint is not installed"; fi
	@if command -v sam >/dev/null; then sam validate --lint; else echo "sam is not installed"; fi

# What `sam build` calls for the dispatcher's zip.
build-DispatcherFunction:
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -buildvcs=false -tags lambda.norpc -ldflags="-s -w -buildid=" \
	  -o $(ARTIFACTS_DIR)/bootstrap ./functions/dispatcher

.PHONY: help run test chaos lint fmt build chromium local demo bench bench-pool pictures lint-template build-DispatcherFunction
