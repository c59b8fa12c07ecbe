# Purser's targets. `make help` lists them.
SHELL := /bin/bash
GO    ?= go

.DEFAULT_GOAL := help

help: ## Show what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

test: ## Run every test: unit, golden, property, end to end
	$(GO) test -timeout 9m ./...

lint: ## go vet, staticcheck and gofumpt
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted=$$($(GO) tool gofumpt -l cmd functions internal bench 2>/dev/null); \
	if [ -n "$$unformatted" ]; then echo "not gofumpt-ed (run make fmt):"; echo "$$unformatted"; exit 1; fi

fmt: ## Format the code with gofumpt
	$(GO) tool gofumpt -w $$(ls -d cmd functions internal bench 2>/dev/null)

.PHONY: help test lint fmt
