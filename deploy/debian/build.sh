#!/usr/bin/env bash
# Builds the Debian package: target/debian/oyez_VERSION_ARCH.deb. Needs Rust, and `cargo install cargo-deb --locked`.
# --no-build packs the program that is in target/release already.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
if [ "${1:-}" != --no-build ]; then
  cargo build --release --locked --bin oyez
fi
# The package lists them under target/, where cargo-deb finds them wherever that is.
mkdir -p "$target/release/completions"
"$target/release/oyez" completions bash >"$target/release/completions/oyez.bash"
"$target/release/oyez" completions fish >"$target/release/completions/oyez.fish"
"$target/release/oyez" completions zsh >"$target/release/completions/_oyez"
cargo deb --locked --no-build
