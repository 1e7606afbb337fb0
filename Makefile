# Each target is also what CI runs; make test is the whole of it.

GO      ?= go
export PATH := $(CURDIR)/bin/go/bin:$(PATH)
PKGS    := ./...
FUZZFOR ?= 3s
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: setup setup-test build run demo test lint unit fuzz drill bench container generate cover clean

setup:            ## install what building and running needs; nothing to do the second time
	@deploy/setup.sh

setup-test:       ## and the peers that the tests speak to
	@deploy/setup.sh --test

build: setup      ## bin/endogate
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/endogate ./cmd/endogate

run: build        ## the gateway, for use on this machine
	bin/endogate serve --config configs/local.yaml

demo: build       ## gateway and stand-in PACS on the sample instances
	bin/endogate demo

test: setup-test build lint unit fuzz

lint:
	$(GO) vet $(PKGS)
	@test -z "$$($(GO) tool gofumpt -l cmd configs deploy dicomnode explain inference reports)" || { $(GO) tool gofumpt -l cmd configs deploy dicomnode explain inference reports; echo 'not gofumpt-ed'; exit 1; }
	$(GO) tool staticcheck $(PKGS)
	$(GO) tool errcheck -ignoretests -exclude .errcheck $(PKGS)
	$(GO) tool misspell -error README.md docs cmd configs deploy dicomnode explain inference reports

unit:             ## every test, with the race detector and the real peers; none may skip
	@deploy/unit.sh

fuzz:             ## every fuzz target for FUZZFOR
	@deploy/fuzz.sh $(FUZZFOR)

drill: setup-test ## the proofs of the whole gateway at full size: a quarter of an hour at most
	@deploy/drill.sh

bench: setup-test build
	@deploy/bench.sh

container: build  ## the container image, tried, in out/endogate.tar; needs buildah
	@deploy/container.sh --ffmpeg

generate:         ## what is made by programs; CI holds it against what is committed
	$(GO) generate $(PKGS)

cover:
	$(GO) test -coverprofile=bin/cover.out $(PKGS) && $(GO) tool cover -func=bin/cover.out | tail -1

clean:
	rm -rf bin data out
