# Each target is also what CI runs; make test is the whole of it.

GO      ?= go
export PATH := $(CURDIR)/bin/go/bin:$(PATH)
PKGS    := ./...
FUZZFOR ?= 30s
CHECKS  ?= 10000
SOAKFOR ?= 1h
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
export VERSION COMMIT
# As deploy/build.sh has it, so that binary, lint and tests share what is compiled.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath -buildvcs=false)

.PHONY: setup setup-test model-video build run demo test lint unit race fuzz drill soak bench container reproducible generate cover clean

setup:            ## install what building and running needs; nothing to do the second time
	@deploy/setup.sh

setup-test:       ## and the peers that the tests speak to
	@deploy/setup.sh --test

build: setup      ## bin/endogate
	@deploy/build.sh bin/endogate

run: build        ## the gateway, for use on this machine
	bin/endogate serve --config configs/local.yaml

demo: build       ## gateway and stand-in PACS on the sample instances
	bin/endogate demo

test: setup-test build lint unit

# Vet, staticcheck and errcheck read packages as compiled for the race detector, which the tests need too, and are none of them themselves.
# C is not optimised for it, which the race detector does not look into: SQLite alone takes a minute else.
raced := CGO_CFLAGS=-O0 GOFLAGS='$(GOFLAGS) -race'
lint:
	$(raced) $(GO) vet $(PKGS)
	@test -z "$$($(GO) tool gofumpt -l cmd configs dicomnode explain hl7 inference reports)" || { $(GO) tool gofumpt -l cmd configs dicomnode explain hl7 inference reports; echo 'not gofumpt-ed'; exit 1; }
	$(raced) $$($(GO) tool -n staticcheck) $(PKGS)
	$(raced) $$($(GO) tool -n errcheck) -ignoretests -exclude .errcheck $(PKGS)
	@! grep -rnE --include='*_test.go' 'func\(([^t]\w*|t\w+) \*rapid\.T\)' . || { echo 'call it t: a check must not reach the test around it, whose failure cannot shrink'; exit 1; }
	@find README.md docs cmd configs deploy dicomnode explain hl7 inference reports -type f -not -path '*/languages/*' -print0 | xargs -0 $(GO) tool misspell -error -i indikation,terminales

unit:             ## every test, with the real peers, and with the race detector where much happens at once; none may skip; properties with a fixed seed, of fuzz targets the seeds
	@deploy/unit.sh

race: setup-test   ## every test with the race detector
	@deploy/unit.sh ./...

fuzz:             ## CHECKS of every property with fresh seeds, every fuzz target for FUZZFOR
	@deploy/fuzz.sh $(FUZZFOR) $(CHECKS)

drill: setup-test build ## every proof at full size, within an hour; writes docs/drills.md
	@deploy/drill.sh

soak: setup-test   ## examinations at full rate for SOAKFOR
	ENDOGATE_SOAK=$(SOAKFOR) ENDOGATE_TEST_PEERS=1 $(GO) test -count=1 -v -timeout 0 -run '^TestGateway_soak$$' ./cmd/endogate/gateway

bench: setup-test build ## measures beside stock peers; PART=Workers measures that alone, ARGS='-rounds 5' says how
	@deploy/bench.sh $(ARGS)

container: build  ## the container image, tried, in out/endogate.tar; needs buildah
	@deploy/container.sh --ffmpeg

reproducible: setup ## builds twice from nothing, in folders, at times and for users that differ, and compares
	@deploy/reproducible.sh

model-video:      ## the network that looks across time at full size, trained on drawn clips, in out/models/video; ARGS='--steps 8 --held-out 20' is a short try
	/usr/bin/python3 testdata/models/video.py --full out/models/video $(ARGS)

generate:         ## what is made by programs; CI holds it against what is committed
	$(GO) generate $(PKGS)

cover:
	$(GO) test -coverprofile=bin/cover.out $(PKGS) && $(GO) tool cover -func=bin/cover.out | tail -1

clean:
	rm -rf bin data out
