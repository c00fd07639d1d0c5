#!/usr/bin/env bash
# Runs every fuzz target one after the other, SECONDS each (default 600): ./run.sh [SECONDS] [TARGET...]
# What was learned is kept in corpus/, an input that fails is left in artifacts/ and ends this with 1.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-600}
shift || true
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo "needs a nightly toolchain and cargo-fuzz: rustup toolchain install nightly; cargo install cargo-fuzz --locked" >&2
  exit 2
fi
# No sanitizer: Oyez has no unsafe code of its own, and without one twice as much is tried in the same time.
build=(--sanitizer none)
mapfile -t targets < <(cargo +nightly fuzz list)
if [ $# -gt 0 ]; then targets=("$@"); fi

cargo +nightly fuzz build "${build[@]}"
failed=()
for target in "${targets[@]}"; do
  printf '\n== %s\n' "$target"
  mkdir -p "corpus/$target"
  options=(-max_total_time="$seconds" -timeout=2 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1)
  # Normalising text is slow under instrumentation, and its faults are in small places.
  case "$target" in html | post) options+=(-max_len=1024) ;; esac
  if [ -f "dictionaries/$target.dict" ]; then options+=(-dict="dictionaries/$target.dict"); fi
  # What ends the run is a panic, more than 2 seconds for one input, or more than 2 GiB.
  cargo +nightly fuzz run "${build[@]}" "$target" "corpus/$target" "seeds/$target" -- "${options[@]}" || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
  printf '\nfailed: %s; see artifacts/\n' "${failed[*]}"
  exit 1
fi
printf '\nall %s targets held\n' "${#targets[@]}"
