# The door for people: every target says what it does in `make help`. The work itself is in scripts/ and in cargo.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build demo install test fmt lint bench bench-peers fuzz clean

# What a target may be told: make demo INPUT=~/study DEVICE=cuda
INPUT  ?= third_party/testdata/RG1_UNCI.dcm
OUT    ?= demo-out
DEVICE ?= cpu
PORT   ?= 0
PREFIX ?= /opt/overread
SECONDS_EACH ?= 600
export DEVICE

help: ## Show this help
	@echo 'overread: DICOM studies in, calibrated findings with heatmaps out. Research use only.'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \2/p' $(MAKEFILE_LIST) | awk '{ printf "  %s %-11s ", $$1, $$2; $$1 = $$2 = ""; sub(/^ +/, ""); print }'
	@echo
	@echo 'First time here:  make demo                     a radiograph in, findings and heatmaps in demo-out/ (first run: minutes)'
	@echo 'Your own images:  make demo INPUT=path          a DICOM file, or a folder of them'
	@echo 'With a GPU:       make demo DEVICE=cuda         fetches the CUDA libraries too, once'
	@echo 'Before a change is proposed:  make test'

setup: ## Fetch what builds and tests need into third_party/ (once, 0.6 GB; offline afterwards)
	@scripts/setup

build: setup ## Build the release binary: target/release/overread
	cargo build --release --locked

demo: build ## Start a server, send it INPUT over gRPC, show the findings, write OUT (INPUT= OUT= DEVICE= PORT=)
	@scripts/demo '$(INPUT)' '$(OUT)' '$(PORT)'

install: build ## Lay out binary, libraries and models so that they run from anywhere (PREFIX=/opt/overread)
	@scripts/install '$(PREFIX)'

test: setup ## Run every check: format, lints, tests, docs, API lint, licences
	@scripts/test

fmt: ## Format the Rust code
	cargo fmt

lint: setup ## Run the lints alone, warnings denied
	cargo clippy --all-targets --locked -- -D warnings

bench: setup ## Run the benchmarks (quiet machine, please)
	cargo bench --locked

fuzz: setup ## Fuzz everything that reads bytes from outside, 10 minutes a target (SECONDS_EACH=)
	@scripts/fuzz '$(SECONDS_EACH)'

bench-peers: setup ## Compare decoding with pydicom, pylibjpeg, GDCM, DCMTK, dicom-rs and the libraries alone
	@scripts/bench-peers

clean: ## Remove build results and demo output; third_party/ stays
	rm -rf target demo-out
