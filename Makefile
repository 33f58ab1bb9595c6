# `make` alone prints the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build test race check fmt vet lint generated ranks nodev fused tidy generate integration integration-deps quality quality-search bench bench-stream versions fuzz demo dev soak model linear crowd leaders chaos clean

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Functions of what only dev, the object store's client, logins, specs and the log use are not
# inlined: 3.9 MB of the binary. Every target has the same flag, so that packages are compiled once.
SMALL := aws/aws-sdk-go-v2 versity/versitygw gofiber/fiber valyala/fasthttp nats-io/nats.go twmb/franz-go spf13 coreos/go-oidc go-jose minio/minio-go expr-lang prometheus vbauerster tinylib hashicorp goccy invopop santhosh-tekuri mattn robfig google/flatbuffers apache/arrow/go/v15/arrow/ipc twmb/avro
export GOFLAGS := $(strip $(GOFLAGS) -trimpath $(SMALL:%=-gcflags=github.com/%/...=-l))

FUZZTIME ?= 30s
BENCH ?= .
BENCHTIME ?= 1s
COUNT ?= 5
PACKAGES ?= ./...
BENCHES = $(if $(filter file,$(origin PACKAGES)),./integration/bench ./worker/train ./worker/average,$(PACKAGES))
ROUNDS ?= 10
CHAOS_RUNS ?= 100
LEADER_KILLS ?= 200

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/thalweg (TAGS=nodev for images: without the embedded broker and S3 endpoint)
	go build $(if $(TAGS),-tags '$(TAGS)') -ldflags "-s -w -X main.version=$(VERSION)" -o bin/thalweg ./cmd/thalweg

demo: build ## run the main job once on an embedded cluster (DATA=flights.parquet for other data)
	bin/thalweg demo $(if $(DATA),--data "$(DATA)")

dev: build ## run an embedded cluster until interrupted (DIR=directory, WORKERS=2)
	bin/thalweg dev $(if $(DIR),--dir "$(DIR)") $(if $(WORKERS),--workers $(WORKERS))

test: ## run all unit tests: of the stream's protocol a sample of seeds and crashes
	go test -vet=off -p $$(($$(getconf _NPROCESSORS_ONLN) + 1)) -timeout 10m $(PACKAGES) # many tests wait: one package more than cores; make check vets

race: ## run all unit tests once more, in random order and with the race detector (a C compiler needed)
	go test -vet=off -race -shuffle=on -timeout 40m $(PACKAGES)

check: fmt vet lint generated ranks nodev fused tidy ## everything that needs no test run: format, vet, lint, generated code, import ranks, rounding, go.mod

fmt: ## report files that gofmt would change
	@changed=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$changed" ]; then echo "gofmt would change:"; echo "$$changed"; exit 1; fi

vet:
	go vet -tags integration ./...
	go vet -tags nodev ./cmd/thalweg
	go vet -tags chaos ./cmd/thalweg
	go vet -tags newer ./coordinator/level

lint: ## run golangci-lint
	@tools/build.sh golangci-lint
	.cache/tools/golangci-lint run ./...

generate: ## regenerate what is generated
	tools/generate.sh

generated: generate ## regenerate and report what was not up to date
	@git diff --exit-code --stat -- '*.pb.go' '*.connect.go' 'pipeline/kernel/simd_*' pipeline/descriptions.txt docs/reference || { echo "generated code is out of date: commit what make generate wrote"; exit 1; }

nodev: ## build what images hold, and check that it says what it lacks
	go build -tags nodev -o /dev/null ./cmd/thalweg
	go test -count=1 -tags nodev -run '^TestABuildWithoutEmbeddedPartsSaysSo$$' ./cmd/thalweg

ranks: ## check import ranks and house rules
	go test -count=1 .

fused: ## report products that arm64 would add before it rounds them: bits must not depend on the processor
	@mkdir -p .cache
	@GOARCH=arm64 go build -gcflags=-S ./pipeline/... ./worker/train ./worker/average >.cache/arm64.txt 2>&1 || { tail -5 .cache/arm64.txt; exit 1; }
	@grep -q FMULD .cache/arm64.txt || { echo "no assembly in .cache/arm64.txt"; exit 1; }
	@! grep -E '\bFN?M(ADD|SUB)[SD]\b' .cache/arm64.txt | grep -oE '[a-z0-9_/]+\.go:[0-9]+' | sort -u | sed 's/$$/: write float64(a*b) + c/' | grep .
	@rm .cache/arm64.txt

tidy:
	go mod tidy -diff

model: ## test the stream's protocol in full: 20,000 seeds, each wrong variant of it, a crash at every point, outages of the store
	EFFORT=full go test -count=1 -v -timeout 30m ./worker/stream/... | grep -v -e '^=== ' -e '^ *--- PASS' -e '\[no test files\]'

.PHONY: faults
faults: ## train under 800 faults: each algorithm, one to eight workers, one of them killed, stopped, slowed down or joined
	EFFORT=full go test -count=1 -v -timeout 2h -run '^TestTrainingUnderFaults$$' ./worker/train

.PHONY: same
same: ## compare in full what unit tests sample: models by any workers with kills, formats by any tasks, each byte of the log
	EFFORT=full go test -count=1 -timeout 1h -run '^TestModelIsTheSameWhereverItIsTrained$$|^TestSecondAlgorithmHasTheSameBits|^TestAllFormatsOfTheSameRows|^TestEachByteOfTheLog' ./worker ./worker/train ./coordinator/raftnode

.PHONY: hostile
hostile: ## read 100,000 damaged models and 200,000 damaged tables by seed: no death, no hang, bounded memory
	EFFORT=full go test -count=1 -v -timeout 2h -run '^TestMutated|^TestDamagedStreams|Hostile' ./pipeline ./pipeline/imported ./pipeline/event ./storage/dataset ./worker ./worker/serve ./coordinator/...

# QUALITY has targets of its own. What disturbs processes (KILLED) is played apart from what looks
# at them, so that each has its time.
QUALITY := ^(TestQuality|TestSearchedNetworks|TestServiceBesideOthers)$$
KILLED := WhateverIsKilled$$|WhateverIsCut$$|^TestChaos$$|^TestFaultsCostLittle$$

integration: integration-deps ## run the tests against real Kafka, a real S3 server and real processes (root, JDK 17, Maven and nftables needed)
	go test -tags integration -timeout 30m -v $(if $(RUN),-run '$(RUN)') -skip '$(QUALITY)$(if $(RUN),,|$(KILLED))' ./integration/...
	$(if $(RUN),,go test -tags integration -timeout 30m -v -run '$(KILLED)' ./integration)
	go test -tags integration -timeout 10m -v -run '$(or $(RUN),^TestFilesOfEveryKind)' ./storage/dataset
	go test -tags integration -timeout 10m -v -run '$(or $(RUN),^TestDocumentedCommandsRun$$|^TestWhatIsNotRun|^TestTheFirstScoredRow|^TestDuckDB)' ./cmd/thalweg

quality: build ## train on tables of PyPI packages with nothing set, and compare with scikit-learn on the same splits (TABLES="digits mroz": only these)
	@integration/python.sh quality
	TABLES="$(TABLES)" go test -tags integration -count=1 -timeout 20m -v -run '^TestQuality$$' ./integration | grep -v -e '^=== '

quality-search: build ## search for the options of networks on all tables of make quality, and compare with scikit-learn's network tuned by the same search (TABLES="mpg tips": only these)
	@integration/python.sh quality
	TABLES="$(TABLES)" go test -tags integration -count=1 -timeout 90m -v -run '^TestSearchedNetworks$$' ./integration | grep -v -e '^=== '

linear: ## check that answers of coordinators are linearizable under kills and partitions, with 200 seeds
	EFFORT=full go test -count=1 -timeout 60m -run '^TestAnswersAreLinearizable' ./coordinator

crowd: ## run a million shards by ten thousand simulated workers, and print what that takes
	EFFORT=full go test -count=1 -timeout 30m -v -run '^TestACrowdOfWorkers$$' ./coordinator | grep crowd_test

.PHONY: fault-cost
fault-cost: build ## train undisturbed, and with a worker killed each half minute, and print what that cost (FAULT_COST_SECONDS each; the worker is away for FAULT_COST_AWAY)
	@tools/build.sh minio
	FAULT_COST_SECONDS=$(or $(FAULT_COST_SECONDS),200) FAULT_COST_AWAY=$(or $(FAULT_COST_AWAY),6) go test -tags integration -count=1 -timeout 60m -v -run '^TestFaultsCostLittle$$' ./integration | grep -v '^=== '

leaders: integration-deps ## kill the leader LEADER_KILLS times under changes, and print how long they waited for the next
	LEADER_KILLS=$(LEADER_KILLS) go test -tags integration -count=1 -timeout 60m -v -run '^TestWhatWasAcknowledgedSurvivesLeaders$$' ./integration | grep leaders_test

chaos: integration-deps ## disturb real processes on real Kafka and MinIO, CHAOS_RUNS times (CHAOS_SEED plays a run again)
	CHAOS_RUNS=$(CHAOS_RUNS) $(if $(CHAOS_SEED),CHAOS_SEED=$(CHAOS_SEED)) go test -tags integration -count=1 -timeout 2h -v -run '^TestChaos$$' ./integration | grep -v '^=== '
	@cat .cache/chaos.tsv

integration-deps: build
	@tools/build.sh minio
	@integration/maven.sh kafka dependency:copy-dependencies
	@integration/maven.sh registry dependency:unpack-dependencies -DmarkersDirectory="$(CURDIR)/.cache/registry/.markers"
	@integration/maven.sh spark dependency:copy-dependencies
	@integration/maven.sh flink dependency:copy-dependencies
	@integration/python.sh readers
	@integration/python.sh onnx
	@integration/python.sh serve

soak: integration-deps ## run the integration tests ROUNDS times
	go test -tags integration -timeout 0 -count=$(ROUNDS) $(if $(RUN),-run '$(RUN)') ./integration/...

.PHONY: bench-serve
bench-serve: build ## ask models over HTTP beside MLServer, FastAPI with scikit-learn and a bare handler (BENCH_SERVE_SECONDS each)
	@integration/python.sh peers
	BENCH_SERVE_SECONDS=$(or $(BENCH_SERVE_SECONDS),8) go test -tags integration -count=1 -timeout 30m -v -run '^TestServiceBesideOthers$$' ./integration | grep serve_bench_test

bench: ## measure whole paths as ratios to peers (DATA=flights.parquet); PACKAGES=./pipeline/... for single functions
	@tools/build.sh benchstat
	@integration/python.sh lightgbm
	@integration/python.sh engines
	@mkdir -p .cache
	$(if $(DATA),FLIGHTS="$(abspath $(DATA))") go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -count $(COUNT) -timeout 1h $(BENCHES) | tee .cache/bench.txt
	@echo; .cache/tools/benchstat .cache/bench.txt

bench-stream: integration-deps ## measure the stream with Apache Kafka and MinIO in the loop, beside Reader + encoding/json
	go test -tags integration -run '^$$' -bench '^BenchmarkReal' -benchtime 5x -timeout 30m ./integration/bench

versions: ## print the modules of the binary with their versions, and newer ones where there are any (asks the module proxy)
	@go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' ./cmd/thalweg | sort -u | \
		xargs go list -m -u -f '{{.Path}} {{.Version}}{{with .Update}} -> {{.Version}}{{end}}'

fuzz: ## run every fuzz target for FUZZTIME
	tools/fuzz.sh $(FUZZTIME)

clean: ## remove what was built and what the demo left
	rm -rf bin .thalweg
