# make help lists what there is. Everything but help, build and shape wants to be root.
SHELL := /bin/bash
GO    ?= go
BIN   := bin
# What the tests and the demo need of Debian; nothing of it is needed to build.
PACKAGES := crun busybox-static iproute2 nftables procps docker-registry

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: build
build: ## build gantryd, gantry-supervisor and gantry into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o $(BIN)/ ./cmd/...

.PHONY: packages
packages: ## install what is missing of the tests' Debian packages
	@missing=""; for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

.PHONY: demo
demo: packages build ## run a small web server in a container, fetch its page, leave nothing behind
	GANTRY_BIN=$(CURDIR)/$(BIN) $(GO) run ./examples/demo

.PHONY: run
run: packages build ## start a real daemon in the foreground; ARGS=--docker-socket adds /var/run/docker.sock
	$(BIN)/gantryd $(ARGS)

.PHONY: vet
vet: ## go vet and staticcheck
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

.PHONY: shape
shape: ## print the longest functions and the types with most methods
	@$(GO) test -count=1 -run TestShape . -shape

# Rooms whose tests start real containers or take the host's namespaces run one after another: two cores.
UNIT := $(shell $(GO) list ./... 2>/dev/null | grep -v '/integration$$')

.PHONY: test
test: packages build vet ## all tests but the long ones
	$(GO) test -race -p 2 -timeout 15m $(UNIT)
	GANTRY_BIN=$(CURDIR)/$(BIN) $(GO) test -timeout 40m ./integration

.PHONY: test-long
test-long: packages build ## the tests that take minutes
	$(GO) test -timeout 60m ./network -long
	GANTRY_BIN=$(CURDIR)/$(BIN) $(GO) test -timeout 120m ./integration -long

.PHONY: bench
bench: packages build ## measure side by side with Debian's docker.io; ARGS="-quick -only exec"
	$(GO) run ./bench $(ARGS)

-include contrib/install.mk
