# The commands of CONTRIBUTING.md. `just` alone lists them; all run from the workspace's root.

set positional-arguments := true
set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# What every change must pass
ci:
    .ci/run

# Formatting and lints
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo clippy -p castnet --no-default-features --all-targets --locked -- -D warnings

# Every test, or those of some crates: just test -p castnet-compiler
test *ARGS:
    cargo test --locked {{ if ARGS == "" { "--workspace" } else { "" } }} "$@"

# The documentation, without warnings
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Licences, sources, duplicates and advisories of the dependencies; needs cargo-deny, and the network for the advisories
deny *CHECKS:
    cargo deny check "$@"

# The crates that users get, built from what would be published of them
package *ARGS:
    cargo package --locked -p castnet-descriptors -p castnet-compiler -p castnet-macros -p castnet "$@"

# What a spec compiles to, or its errors: just check specs/resnet18.toml --inference
check SPEC *ARGS:
    cargo run -p castnet-compiler --example check -- "$@"

# The pairs NAME.toml and NAME.safetensors of any folder, through the macro
golden FOLDER:
    CASTNET_GOLDEN="$1" cargo test -p castnet-tests --test golden

# More random networks, and others
gradients COUNT="200" SEED="1000":
    CASTNET_RANDOM={{COUNT}} CASTNET_SEED={{SEED}} cargo test -p castnet-tests --test gradients

# More edited specs
properties CASES="60000":
    PROPTEST_CASES={{CASES}} cargo test -p castnet-tests --test properties

# Random specs, for tests/golden/oracle.py and then `just golden`
random-specs FOLDER COUNT="100" *ARGS:
    cargo run -p castnet-oracle --example random_specs -- {{quote(FOLDER)}} {{COUNT}} {{ARGS}}

# The pool's hand-over of loops in every order that its atomics allow
loom:
    cargo test --manifest-path tests/loom/Cargo.toml --target-dir target/loom

# Everything on another instruction set: just isa scalar
isa NAME:
    CASTNET_ISA={{NAME}} cargo test --workspace

# Writes the expected error texts anew
errors:
    TRYBUILD=overwrite cargo test -p castnet-tests --test compile_fail

# Writes the snapshots of emitted code anew; needs cargo-insta
snapshots:
    cargo insta test --accept -p castnet-compiler

# The error of each algorithm over a whole network
accuracy:
    cargo test -p castnet-tests --test accuracy -- --nocapture

# Frozen networks beside ONNX Runtime and OpenVINO; needs torch, onnx, onnxruntime, openvino
peers *ARGS:
    python benches/peers/table.py "$@"

# What each choice of algorithms brings
choices *ARGS:
    python benches/peers/choices.py "$@"

# Times a spec, frozen, checked against evaluation mode: just time specs/resnet18.toml --batch 1 --threads 1
time SPEC *ARGS:
    CASTNET_SPEC="$1" cargo run --release -p castnet-benches --bin time -- "${@:2}"

# The inference kernels in percent of the machine's peak
kernels *ARGS:
    cargo run --release -p castnet --example kernel_bench -- "$@"

# How long networks take to compile
compile-time:
    cargo run -p castnet-benches --bin compile_time

# Agreement with torchvision's networks; needs torch
torchvision:
    python benches/torchvision/compare.py

# Frozen networks beside other engines; needs torch
engines *ARGS:
    cargo run --release --manifest-path benches/engines/Cargo.toml -- "$@"

# Writes the golden cases anew, or some of them; needs torch
generate *NAMES:
    python tests/golden/generate.py "$@"

# NEON's kernels under emulation; needs an AArch64 standard library, a cross linker and qemu-user
neon *FILTERS:
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static \
    cargo test -p castnet --lib --target aarch64-unknown-linux-gnu -- "$@"
