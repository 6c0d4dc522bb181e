# limn: `make demo` draws a picture on a bare machine, `make test` runs every test; both install what is missing.
# `make bench` measures limn, `make bench-peers` compares it with others, which it installs.
# `make train-demo` trains a miniature from packages to pictures, `make test-slow` is it and the long crash test.
JOBS ?= $(shell nproc)
RELEASE := build/release

.PHONY: train-demo test-slow demo test build bench bench-peers format setup goldens
demo: build
	tools/demo.sh

build: setup
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target limn_program

train-demo: build
	tools/train_demo.sh

test-slow: build
	ctest --test-dir build/release --output-on-failure -L slow

test:
	tools/setup.sh test
	tools/test.sh

bench: setup
	cmake --preset bench
	cmake --build --preset bench -j $(JOBS)
	tools/bench.sh

bench-peers: setup
	cmake --preset bench
	cmake --build --preset bench -j $(JOBS) --target limn_program
	tools/bench_peers.sh

format:
	git ls-files '*.cpp' '*.h' | xargs clang-format-14 -i

setup:
	tools/setup.sh

goldens:
	tools/goldens/make.sh
