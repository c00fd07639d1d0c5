#!/usr/bin/env bash
# Checks everything under deploy/ with the tools that will read it, and says what it could not check and why.
# What is missing it installs from Debian when it is root there (nothing is started); elsewhere the check is skipped.
# Usage: deploy/check.sh [--no-install]
set -uo pipefail
cd "$(dirname "$0")/.." || exit
install=${1:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
target=${CARGO_TARGET_DIR:-target}

passed=0 failed=0 skipped=()
ok() { passed=$((passed + 1)); echo "ok      $*"; }
bad() { failed=$((failed + 1)); echo "FAILED  $*"; }
skip() { skipped+=("$*"); echo "skipped $*"; }
# try WHAT COMMAND...: what it says is shown only when it fails.
try() {
  local what=$1
  shift
  if "$@" >"$scratch/said" 2>&1; then ok "$what"; else bad "$what"; sed 's/^/        /' "$scratch/said" | tail -n 40; fi
}
may_install() { [ "$install" != --no-install ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
updated=
update() { [ -n "$updated" ] || apt-get update -qq >/dev/null 2>&1; updated=1; }
# need COMMAND PACKAGE: a tool that only runs when it is called.
need() {
  command -v "$1" >/dev/null && return
  may_install || return
  update
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$2" >/dev/null 2>&1
  command -v "$1" >/dev/null
}
# borrow COMMAND PACKAGE: a program of a package that would start a server; it is unpacked under target/, not installed.
borrow() {
  command -v "$1" && return
  may_install || return
  local root=$target/deploy-tools
  [ -n "$(find "$root" -path "*bin/$1" 2>/dev/null)" ] || {
    update
    mkdir -p "$root"
    (cd "$scratch" && apt-get download -qq "$2") >/dev/null 2>&1 && dpkg --extract "$scratch/$2"_*.deb "$root"
  }
  find "$root" -path "*bin/$1" -exec realpath {} \; 2>/dev/null | grep .
}
# The program, if it was built; of several, the newest.
oyez=${OYEZ:-$(find "$target/release/oyez" "$target/debug/oyez" -maxdepth 0 -printf '%T@ %p\n' 2>/dev/null | sort -rn | head -1 | cut -d' ' -f2)}
[ -z "$oyez" ] || oyez=$(realpath "$oyez")

# --- systemd ---------------------------------------------------------------------------------------------------------
unit=deploy/systemd/oyez.service
if need systemd-analyze systemd; then
  try "systemd: exposure of at most 1.5" systemd-analyze security --offline=true --threshold=15 --no-pager "$unit"
  # It looks for the program of ExecStart, which is not installed here.
  mkdir -p "$scratch/unit"
  sed 's#^ExecStart=oyez #ExecStart=/bin/true #' "$unit" >"$scratch/unit/oyez.service"
  verify() {
    systemd-analyze verify --man=no "$scratch/unit/oyez.service" >"$scratch/verified" 2>&1 || { cat "$scratch/verified"; return 1; }
    # An option it does not know is a warning only.
    ! grep oyez.service "$scratch/verified"
  }
  try "systemd: the unit is understood" verify
else
  skip "systemd unit: there is no systemd-analyze"
fi
skip "systemd: starting it takes minutes (deploy/systemd/trial.sh)"

# --- Nix -------------------------------------------------------------------------------------------------------------
if need nix-instantiate nix-bin && need jq jq; then
  [ -n "$oyez" ] || skip "NixOS module: what it writes, by oyez check: the program is not built"
  try "Nix: flake and module are parsed; the module accepts what is right and refuses what is wrong" deploy/nix/run-cases.sh "$oyez"
  [ "$failed" != 0 ] || sed 's/^/        /' "$scratch/said"
  skip "Nix: building the package and the VM test: both need nixpkgs (\`nix flake check\`)"
else
  skip "Nix: there is no nix-instantiate or jq"
fi

# --- web servers -----------------------------------------------------------------------------------------------------
if nginx=$(borrow nginx nginx) && "$nginx" -v 2>/dev/null && need openssl openssl; then
  dir=$scratch/nginx
  mkdir -p "$dir"
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=social.example.org -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
  sed "s#/etc/letsencrypt/live/social.example.org/fullchain.pem#$dir/cert.pem#; s#/etc/letsencrypt/live/social.example.org/privkey.pem#$dir/key.pem#" \
    deploy/proxy/nginx.conf >"$dir/oyez.conf"
  printf 'pid %s/pid;\nerror_log stderr;\nevents { }\nhttp { access_log off; client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s; include %s/oyez.conf; }\n' \
    "$dir" "$dir" "$dir" "$dir" "$dir" "$dir" "$dir" >"$dir/nginx.conf"
  try "nginx: the configuration is understood" "$nginx" -t -q -p "$dir" -c "$dir/nginx.conf"
else
  skip "nginx: it is not installed, or lacks a library"
fi
if caddy=$(borrow caddy caddy) && "$caddy" version >/dev/null; then
  try "Caddy: the configuration is understood" env HOME="$scratch" "$caddy" validate --adapter caddyfile --config deploy/proxy/Caddyfile
  formatted() { "$caddy" fmt deploy/proxy/Caddyfile | diff deploy/proxy/Caddyfile -; }
  try "Caddy: it is formatted" formatted
else
  skip "Caddy: it is not installed"
fi

# --- monitoring ------------------------------------------------------------------------------------------------------
if promtool=$(borrow promtool prometheus) && "$promtool" --version >/dev/null 2>&1; then
  try "Prometheus: the rules are understood" "$promtool" check rules deploy/monitoring/alerts.yml
  try "Prometheus: each rule is silent on a good day and speaks on a bad one" "$promtool" test rules deploy/monitoring/alerts.test.yml
  if need jq jq; then
    jq '{groups: [{name: "dashboard", rules: [.panels[].targets[]?.expr | gsub("\\$job"; "oyez")] | to_entries | map({record: "panel:\(.key)", expr: .value})}]}' \
      deploy/monitoring/grafana-dashboard.json >"$scratch/panels.json" || true
    try "Grafana: each expression of the dashboard is understood" "$promtool" check rules "$scratch/panels.json"
  fi
else
  skip "Prometheus: there is no promtool"
fi

# --- container -------------------------------------------------------------------------------------------------------
if command -v hadolint >/dev/null; then
  try "container: the file is clean" hadolint deploy/container/Containerfile
else
  skip "container: hadolint is not installed"
fi
if docker compose version >/dev/null 2>&1; then
  try "container: the compose file is understood" docker compose --file deploy/container/compose.yaml config --quiet
else
  skip "container: the compose file: there is no docker compose"
fi
skip "container: building it: needs podman or docker, a registry and minutes (podman build --file deploy/container/Containerfile .)"

# --- Debian ----------------------------------------------------------------------------------------------------------
if ! command -v cargo-deb >/dev/null; then
  skip "Debian package: there is no cargo-deb (cargo install cargo-deb --locked)"
elif [ ! -x "$target/release/oyez" ]; then
  skip "Debian package: the release is not built (deploy/debian/build.sh builds it)"
else
  try "Debian package: it is packed" deploy/debian/build.sh --no-build
  deb=$(find "$target/debian" -name 'oyez_*.deb' -printf '%T@ %p\n' 2>/dev/null | sort -rn | head -1 | cut -d' ' -f2)
  [ -z "$deb" ] || dpkg-deb --contents "$deb" | awk '{print $6}' >"$scratch/contents"
  holds() { grep -qxF "./$1" "$scratch/contents" || { echo "it lacks $1"; return 1; }; }
  contents() {
    holds usr/bin/oyez && holds usr/lib/systemd/system/oyez.service && holds usr/share/doc/oyez/docs/installing.md &&
      holds usr/share/bash-completion/completions/oyez && holds usr/share/doc/oyez/examples/alerts.yml
  }
  [ -z "$deb" ] || try "Debian package: what belongs in it is in it" contents
fi

# --- scripts ---------------------------------------------------------------------------------------------------------
if need shellcheck shellcheck; then
  try "scripts: shellcheck" shellcheck deploy/check.sh deploy/nix/run-cases.sh deploy/debian/build.sh deploy/systemd/trial.sh deploy/debian/postinst deploy/debian/postrm
else
  skip "scripts: there is no shellcheck"
fi

echo "deploy: $passed checks in order, $failed failed, ${#skipped[@]} skipped"
[ "$failed" = 0 ]
