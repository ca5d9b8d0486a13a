# `make help` lists the targets.
SHELL := /bin/bash
# The pinned runtime (package.json) once it is installed; until then the system's Node runs npm.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
.DEFAULT_GOAL := help
NPM_STAMP := node_modules/.hostler-stamp
BUILD_STAMP := dist/.stamp
# Not in src/gen, because each run empties that folder.
GEN_STAMP := node_modules/.hostler-gen-stamp
SOURCES := $(shell find src test bench conformance scripts -name '*.ts' -not -path 'src/gen/*' 2>/dev/null) tsconfig.json
# It ends when make ends.
TEST := setpriv --pdeathsig TERM scripts/test.sh
PROTOS := $(shell find proto -name '*.proto') buf.yaml buf.daemon.yaml buf.gen.yaml

.PHONY: again help setup build gen run demo test test-crashes test-glance test-corpus test-ceph test-metrics test-disks test-faults test-far test-package test-bare test-campaign test-power test-languages test-clients test-nova test-nova-libvirt demo-nova contract conformance parity check lint format coverage deb soak fuzz fuzz-rpc bench bench-keep bench-far clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(NPM_STAMP) $(GEN_STAMP) ## install what is missing: system packages (apt-get, when allowed) and npm packages; generate src/gen
	@scripts/system-packages.sh

# Not `npm ci`: it refuses a lock file that was made with a registry that lacks the packages of other
# platforms. --no-save does not change the lock file. Any npm can do this; where there is none,
# Debian's is installed.
$(NPM_STAMP): package.json package-lock.json
	@scripts/system-packages.sh npm:npm
	npm install --no-save --no-audit --no-fund --loglevel error
	@touch $@

build: $(BUILD_STAMP) ## compile into dist/

# Generated code is not in git. It is generated again when src/gen is missing.
$(GEN_STAMP): $(NPM_STAMP) $(PROTOS) $(if $(wildcard src/gen),,again)
	scripts/generate.sh code
	@touch $@

$(BUILD_STAMP): $(NPM_STAMP) $(GEN_STAMP) $(SOURCES)
	npx tsc
	scripts/bundle.sh
	npx buf build --config buf.daemon.yaml --as-file-descriptor-set -o dist/hostler.binpb
	@touch $@

gen: $(NPM_STAMP) ## generate src/gen and the generated pages of docs/
	scripts/generate.sh code
	@touch $(GEN_STAMP)
	scripts/generate.sh docs

run: setup build ## start a daemon in a scratch folder, to be called by hand; Ctrl-C ends it
	@scripts/run.sh

demo: setup build ## do the main job on a real image (IMAGE=file: on that image); about a minute
	@scripts/demo.sh $(IMAGE)

test: setup build ## run every test (ONLY='^the docs ': those whose titles match this regular expression); installs what tests need, when allowed
	@scripts/test-packages.sh
	@$(TEST) $(if $(ONLY),--only '$(ONLY)')

test-crashes: setup build ## kill daemons at every step of every verb and of every transfer, and break connections; takes several minutes
	@scripts/test-packages.sh
	@$(TEST) --suite crashes $(if $(ONLY),--only '$(ONLY)')

test-glance: setup build ## run the tests against a real Glance API server, which it installs
	@scripts/glance-packages.sh
	@$(TEST) --suite glance $(if $(ONLY),--only '$(ONLY)')

test-corpus: setup build ## send images of every kind through every call that accepts images; takes several minutes (EVERY=1: with every empty qcow2, not a fifth of them)
	@scripts/corpus-packages.sh
	@$(TEST) --suite corpus $(if $(ONLY),--only '$(ONLY)')

test-ceph: setup build ## run the tests against a real one-node Ceph cluster, which it installs
	@scripts/ceph-packages.sh
	@$(TEST) --suite ceph $(if $(ONLY),--only '$(ONLY)')

test-metrics: setup build ## let a real Prometheus and a real OpenTelemetry Collector, which it installs, get what is exported, and fire the alerts
	@scripts/metrics-packages.sh
	@$(TEST) --suite metrics $(if $(ONLY),--only '$(ONLY)')

test-disks: setup build ## let each system call below a root fail once, under every verb; takes several minutes, as root
	@scripts/test-packages.sh
	@$(TEST) --suite disks $(if $(ONLY),--only '$(ONLY)')

test-faults: setup build ## let the n-th call of a disk fail under every verb, for n = 1, 2, 3 …; takes half an hour or more, as root
	@$(TEST) --suite faults $(if $(ONLY),--only '$(ONLY)')

test-far: setup build ## run the tests with images of 20 GiB between hosts; as root
	@scripts/test-packages.sh
	@$(TEST) --suite far $(if $(ONLY),--only '$(ONLY)')

test-languages: setup build ## compile the contract as a stranger would, in each language that can be installed
	@scripts/language-packages.sh
	@$(TEST) --suite languages $(if $(ONLY),--only '$(ONLY)')

test-clients: setup build ## run the tests and the example scheduler of each client library (ONLY=python)
	@scripts/client-libraries.sh $(ONLY)

test-nova: setup build ## run the tests of the integration with OpenStack Nova, which it installs (Debian's python3-nova)
	@scripts/client-libraries.sh nova

test-nova-libvirt: setup build ## let Nova run guests with a real libvirtd, which it installs, without KVM; as root
	@scripts/client-libraries.sh nova/guests

demo-nova: setup build ## run a small OpenStack cloud with two computes on this machine, with Hostler below Nova; as root
	@integrations/nova/demo/demo.sh $(ARGS)

contract: $(NPM_STAMP) ## pack the contract: dist/hostler-proto-VERSION.tar.gz
	@scripts/contract.sh

deb: setup build ## build the Debian package: dist/hostler_VERSION_ARCH.deb
	@scripts/system-packages.sh dh:debhelper
	@scripts/package/deb.sh

test-package: setup build ## install, upgrade, remove and purge the Debian package in a clean Debian, with systemd and without; as root
	@scripts/system-packages.sh dh:debhelper
	@scripts/system-packages.sh --optional lintian:lintian
	@$(TEST) --suite package $(if $(ONLY),--only '$(ONLY)')

test-bare: ## run the README's two commands in the root of a bare Debian, which it makes; as root
	@scripts/bare-machine.sh

test-campaign: setup build ## three minutes of kills, cancels and a failing state disk (CAMPAIGN_SECONDS=n, SEED=n); as root
	@$(TEST) --suite campaign $(if $(ONLY),--only '$(ONLY)')

test-power: setup build ## cut the power under the daemon 200 times (POWER_CUTS=n, SEED=n); as root
	@$(TEST) --suite power $(if $(ONLY),--only '$(ONLY)')

conformance: setup build ## run the conformance suite against the daemon of this checkout, healthy and with planted faults
	@$(TEST) --suite conformance $(if $(ONLY),--only '$(ONLY)')

parity: setup build ## run the tests of the 27 functions of the old module and print a table with pass or fail
	@scripts/test-packages.sh
	@$(TEST) --parity

check: setup build ## check the sources: linters, formats, generated pages, unused code
	@scripts/check.sh

format: $(NPM_STAMP) ## rewrite sources as the formatters want them
	npx prettier --write --log-level warn .
	npx buf format -w proto

coverage: setup build ## run every test and show which code it covers
	@scripts/test-packages.sh
	@$(TEST) --coverage

soak: setup build ## run 2,000 mixed operations with cancels and disconnects (SOAK=n, SEED=n)
	SOAK=$${SOAK:-2000} $(TEST) --only '^soak'

fuzz: setup build ## try a million hostile image headers (FUZZ=n, SEED=n, FUZZ_SECONDS=n)
	FUZZ=$${FUZZ:-1000000} $(TEST) --only '^hostile headers'

fuzz-rpc: setup build ## try a million hostile requests for every RPC (FUZZ=n, SEED=n, REPLAY='a line that it printed'); as root
	@scripts/test-packages.sh
	@FUZZ=$${FUZZ:-1000000} $(TEST) --suite fuzz-rpc

bench: setup build ## measure in turns with the bare tools; writes bench/results.json
	@scripts/bench-packages.sh
	node dist/bench/main.js

bench-keep: ## show the figures of the last `make bench` in docs/benchmarks.md
	cp bench/results.json bench/kept-results.json
	scripts/generate.sh docs

bench-far: setup build ## measure copies between hosts in turns with rsync, scp and qemu-img
	@scripts/bench-packages.sh
	node dist/bench/far.js

clean: ## remove everything built or downloaded
	rm -rf dist src/gen coverage node_modules .cache
