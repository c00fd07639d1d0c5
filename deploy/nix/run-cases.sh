#!/usr/bin/env bash
# Evaluates the NixOS module with right and wrong values (tests/cases.nix), and compares its options with the code's list.
# Usage: run-cases.sh [OYEZ]   OYEZ: a program that reads the files the module would write (`oyez check`).
set -euo pipefail
cd "$(dirname "$0")"
oyez=${1:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export NIX_STATE_DIR=$scratch/nix NIX_CONFIG="build-users-group ="
bad=0
no() { echo "not so: $*" >&2; bad=$((bad + 1)); }
evaluate() { nix-instantiate --eval --strict --json tests/cases.nix "$@"; }

for file in ./*.nix tests/*.nix ../../flake.nix; do
  nix-instantiate --parse "$file" >/dev/null || no "$file cannot be parsed"
done

# The list in the code, and the options.
sed -nE 's/^ *setting\("([a-z.-]+)".*/\1/p' ../../src/config/settings.rs | sort >"$scratch/code"
evaluate -A paths | jq -r '.[]' | sort >"$scratch/options"
diff "$scratch/code" "$scratch/options" || no "the options are not the settings of src/config/settings.rs"
evaluate -A words >/dev/null || no "an option is not explained in docs/configuration.md"

names=$(evaluate -A names)
right=0 read=0
for name in $(jq -r '.accepted[]' <<<"$names"); do
  if ! evaluate -A "results.$name" >"$scratch/result" 2>"$scratch/said"; then
    no "$name is refused: $(tail -3 "$scratch/said")"
    continue
  fi
  right=$((right + 1))
  # The program reads what the module writes, with stand-ins for the secrets.
  if [ -n "$oyez" ]; then
    jq -r .file "$scratch/result" >"$scratch/oyez.toml"
    mkdir -p "$scratch/credentials"
    for credential in $(jq -r '.service.LoadCredential[] | split(":")[0]' "$scratch/result") mine; do
      echo stand-in >"$scratch/credentials/$credential"
    done
    if TOKEN=stand-in CREDENTIALS_DIRECTORY=$scratch/credentials "$oyez" check --config "$scratch/oyez.toml" >"$scratch/said" 2>&1; then
      read=$((read + 1))
    else
      no "oyez check refuses $name: $(cat "$scratch/said")"
    fi
  fi
done

wrong=0
while IFS=$'\t' read -r name words; do
  if evaluate -A "results.$name" >/dev/null 2>"$scratch/said"; then
    no "$name is accepted"
  elif grep -qF -- "$words" "$scratch/said"; then
    wrong=$((wrong + 1))
  else
    no "$name is refused in other words: $(grep -v ^warning "$scratch/said" | head -5)"
  fi
done < <(jq -r '.refused | to_entries[] | [.key, .value] | join("\t")' <<<"$names")

echo "NixOS module: $(wc -l <"$scratch/code") settings are options; $right right configurations accepted" \
  "($read read by oyez check), $wrong wrong ones refused in the right words"
[ "$bad" = 0 ]
