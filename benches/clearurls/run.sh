#!/usr/bin/env bash
# Ours and the `clearurls` library, on the same links, one after the other. OYEZ_CORPUS adds ours with ClearURLs' rules.
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --locked
(cd ../.. && cargo bench --locked --bench core -- links)
target/release/bench-clearurls
