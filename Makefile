# Every task by name; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test lint fmt edges unit stock conformance fuzz compose docs bench gen migrate doc deny clean

PAGE := crates/server/page

help: ## list the tasks
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' Makefile | expand -t 18

run: need-run $(PAGE)/node_modules ## build and run kabar with the demo, data in ./data
	cargo build --release --locked --package server
	KABAR__DEMO=true KABAR__DATABASE__DATA_DIR=data target/release/kabar

test: lint edges unit stock compose docs ## everything that a change has to pass

lint: need-cc $(PAGE)/node_modules ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: ## format the code
	cargo fmt --all

edges: ## check who imports whom
	scripts/edges.sh

unit: need-run $(PAGE)/node_modules ## tests of all crates, each on its own Postgres database
	cargo test --locked --workspace

stock: need-run need-python need-chromium $(PAGE)/node_modules ## unmodified Pusher clients against the binary
	cargo build --locked --package server
	tests/stock/stock.sh

conformance: need-cc ## the Autobahn WebSocket suite (needs a Python 2.7)
	tests/conformance/autobahn.sh

FUZZ_SECONDS ?= 60
fuzz: need-cc ## coverage-guided fuzzing of the parsers, FUZZ_SECONDS each
	scripts/fuzz.sh $(FUZZ_SECONDS)

compose: need-python ## check docker-compose.yml and Dockerfile without pulling images
	tests/compose/check.sh

docs: need-python ## check what the documents say against the code
	python3 scripts/docs.py

bench: need-run $(PAGE)/node_modules ## the loads of docs/performance.md, side by side with the naive server
	cargo build --release --locked --package server --package benches
	benches/run.sh

gen: need-python need-run ## generated parts of documents: close codes, and the table of settings
	python3 scripts/docs.py --write
	KABAR_WRITE_DOCS=1 cargo test --quiet --locked --package server --test configuration documentation

migrate: need-run $(PAGE)/node_modules ## bring the configured database to the newest schema
	cargo run --release --locked --package server -- migrate

doc: need-cc $(PAGE)/node_modules ## the crates' own documentation, in target/doc
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

deny: ## licences, bans and sources of dependencies (needs cargo-deny)
	cargo deny check bans licenses sources

clean: ## remove what was built (data/ stays)
	rm -rf target tests/stock/node_modules $(PAGE)/node_modules

.PHONY: need-cc need-run need-python need-chromium
need-cc:
	@scripts/need.sh cc node
need-run:
	@scripts/need.sh cc node postgres
need-python:
	@scripts/need.sh python
need-chromium:
	@scripts/need.sh chromium

# The page's dependencies are embedded at compile time.
$(PAGE)/node_modules: $(wildcard $(PAGE)/package-lock.json)
	@if [ -e $(PAGE)/package.json ]; then npm ci --silent --prefix $(PAGE) && touch $@; fi
