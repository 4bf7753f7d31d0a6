# A thin front door; the build is Meson's. `make demo` and `make test` install what is missing (as root), build, and run.
#
#   make demo [SCAN=head.nii.gz] [METHOD=mae|dino]   phantoms -> pre-training -> probes, fine-tuning -> runs/demo/report.html
#   make study                     the paper's claims on phantoms: hours, resumable; ci/study
#   make test [SUITE=golden]       what CI runs: release, sanitizers, clang
#   make test-all                  the same and the long checks (mutants, many kills)
#   make bench                     beside PyTorch and MONAI (installs them: 3 GB each)
#   make wheel                     dist/*.whl: the Python package with all of headct inside
#   make deb                       dist/*.deb, one package for each optional backend
#   make oci                       dist/headct-VERSION-oci.tar, a container image for the CPU
#   make dist                      dist/headct-VERSION.tar.xz
#   make install, uninstall [DESTDIR= PREFIX=]
#   make build, lint, format, deps, clean

BUILD ?= build
PREFIX ?= /usr/local
SUITE ?=
METHOD ?= mae

.PHONY: all build deps demo study test test-all bench lint format install uninstall wheel deb dist oci clean
all: build

deps:
	@ci/deps

$(BUILD)/build.ninja:
	@meson setup $(BUILD) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

build: deps $(BUILD)/build.ninja
	@ninja -C $(BUILD)

demo: build
	@SCAN='$(SCAN)' METHOD='$(METHOD)' ci/demo $(BUILD)/apps/headct

study: build
	@ci/study $(BUILD)/apps/headct

test: deps
	@SUITE='$(SUITE)' ci/test

test-all: deps
	@SUITE='$(SUITE)' ci/test --all

bench: build
	@ninja -C $(BUILD) bench/vit_rate
	@bench/run $(BUILD)

lint: deps
	@ci/lint

format: deps
	@clang-format -i $$(git ls-files '*.c' '*.h' '*.cl' '*.cu')

install: deps $(BUILD)/build.ninja
	@DESTDIR='$(DESTDIR)' ci/install $(BUILD) '$(PREFIX)'

uninstall:
	@DESTDIR='$(DESTDIR)' ci/install --uninstall '$(PREFIX)'

wheel: build
	@ci/wheel $(BUILD)

deb:
	@ci/deb

dist:
	@ci/dist

oci: deb
	@ci/oci

clean:
	rm -rf $(BUILD) build-asan build-clang
