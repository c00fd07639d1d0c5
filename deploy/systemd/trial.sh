#!/usr/bin/env bash
# Starts the unit under a real systemd, in a small Debian of its own (systemd-nspawn), and tries what it promises. Takes a minute or three,
# most of it to make that Debian; needs root. Not part of deploy/check.sh.
# Usage: deploy/systemd/trial.sh [OYEZ [UNIT]]      the program (target/release/oyez) and the unit (oyez.service beside this)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
oyez=$(realpath "${1:-$here/../../target/release/oyez}")
unit=$(realpath "${2:-$here/oyez.service}")
[ "$(id -u)" = 0 ] || { echo "trial: needs root" >&2; exit 2; }
missing=()
command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
[ ${#missing[@]} = 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null

scratch=$(mktemp -d /var/tmp/oyez-trial.XXXXXX)
root=$scratch/root
machine='' feed=''
finish() {
  [ -z "$machine" ] || kill "$machine" 2>/dev/null || true
  [ -z "$feed" ] || kill "$feed" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT

echo "making a Debian"
sources=()
for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
  [ ! -s "$file" ] || sources+=("$file")
done
# shellcheck source=/dev/null
mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,libnss-systemd,ca-certificates,curl \
  "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" "${sources[@]}" 2>"$scratch/debian.log" || { tail "$scratch/debian.log" >&2; exit 1; }

# A feed whose next item appears when somebody asks for it, on a port that is free.
cat >"$scratch/feed.py" <<'PYTHON'
import http.server, sys
titles = ["Known already"]
class Feed(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/announce":
            titles.append(f"News {len(titles)}")
        items = "".join(f"<item><title>{t}</title><link>http://127.0.0.1/{n}</link><guid>g{n}</guid></item>" for n, t in enumerate(titles))
        body = f'<rss version="2.0"><channel><title>t</title><link>http://127.0.0.1/</link><description>d</description>{items}</channel></rss>'.encode()
        self.send_response(200)
        self.send_header("content-type", "application/rss+xml")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Feed)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
python3 "$scratch/feed.py" >"$scratch/port" &
feed=$!
until [ -s "$scratch/port" ]; do read -rt 0.1 <> <(:) || true; done
port=$(<"$scratch/port")
listen=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

install "$oyez" "$root/usr/local/bin/oyez"
install -m 644 "$unit" "$root/etc/systemd/system/oyez.service"
install -d -m 700 "$root/etc/oyez/credentials"
chmod 755 "$root/etc/oyez"
(umask 077 && echo s3cret-t0ken >"$root/etc/oyez/credentials/mastodon-token")
mkdir "$root/etc/systemd/system/oyez.service.d"
printf '[Service]\nGroup=oyez-team\nLoadCredential=mastodon-token:/etc/oyez/credentials/mastodon-token\n' \
  >"$root/etc/systemd/system/oyez.service.d/override.conf"
cat >"$root/etc/oyez/oyez.toml" <<TOML
[service]
state = "/var/lib/oyez"
socket = "/run/oyez/oyez.sock"
listen = "127.0.0.1:$listen"
[[source]]
name = "news"
type = "feed"
url = "http://127.0.0.1:$port/feed.xml"
every = "1s"
[hold]
settle = "0s"
quiet-hours = "none"
[[account]]
name = "dry-run"
platform = "file"
path = "posts.jsonl"
[[account]]
name = "mastodon"
platform = "mastodon"
server = "http://127.0.0.1:9"
token = { credential = "mastodon-token" }
kinds = ["nothing-of-this-trial"]
TOML
chroot "$root" groupadd --system oyez-team
chroot "$root" useradd --create-home --groups oyez-team ida
chroot "$root" useradd --create-home otto

systemd-nspawn --quiet --directory="$root" --machine="oyez-trial-$$" --register=no --keep-unit --console=pipe --boot \
  >"$scratch/boot.log" 2>&1 </dev/null &
machine=$!
leader=
inside() { nsenter --all --target "$leader" -- "$@"; }
# until_true WHAT SECONDS COMMAND...
until_true() {
  local what=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "FAILED  $what"; inside journalctl --unit oyez --no-pager --lines 20 || true; exit 1; }
    sleep 0.2
  done
  echo "ok      $what"
}
# Helpers of nspawn come and go first; the one that stays is the machine's process 1.
find_leader() { leader=$(pgrep --parent "$machine" --exact systemd | head -1) && [ -n "$leader" ] && inside true; }
shows() { inside sh -c "$1" | grep -q "$2"; }
is() { [ "$(inside sh -c "$1")" = "$2" ]; }

until_true "a real systemd runs: $(systemd-analyze --version | head -1)" 60 find_leader
until_true "it is up" 60 inside systemctl is-active multi-user.target
inside systemctl start oyez
until_true "the service has started ($(inside systemctl show oyez --property Type --value))" 5 inside systemctl is-active oyez
until_true "the socket is of the team's group, 0660" 5 is "stat -c '%G %a' /run/oyez/oyez.sock" "oyez-team 660"
until_true "the store is for its user only" 5 is "stat -c '%U %a' /var/lib/private/oyez" "oyez 700"
until_true "first contact is quiet" 20 shows "oyez queue --all" "1 *known"
curl --silent --fail "http://127.0.0.1:$port/announce" >/dev/null
until_true "what is new is held" 30 shows "oyez queue" "2 *held"
until_true "a member of the team vetoes" 5 inside su ida -c 'oyez veto 2 --reason trial'
until_true "under her own name" 5 shows "oyez log --item 2" "cli:ida.*veto"
if inside su otto -c 'oyez veto 2' >/dev/null 2>&1; then echo "FAILED  nobody else may"; exit 1; else echo "ok      nobody else may"; fi
curl --silent --fail "http://127.0.0.1:$port/announce" >/dev/null
until_true "the next one is there" 30 shows "oyez queue" "3 *held"
until_true "it is approved for now" 5 inside su ida -c 'oyez approve 3 --now'
until_true "and leaves, into the one directory it may write to" 20 shows "cat /var/lib/oyez/posts.jsonl" "News 2"
until_true "it is well, by its own word" 20 inside oyez health
until_true "it has metrics" 5 shows "curl --silent http://127.0.0.1:$listen/metrics" "^oyez_build_info"
inside systemctl kill --signal=KILL oyez
until_true "killed, it is started again" 40 is "systemctl show oyez --property NRestarts --property ActiveState --value | tr '\n' ' '" "1 active "
until_true "and remembers" 20 shows "oyez show 2" "^vetoed"
if is "systemctl show oyez --property Type --value" notify; then
  # A process that hangs is one that does not feed the watchdog.
  inside systemctl kill --signal=STOP oyez
  until_true "hung, it is ended by the watchdog and started again" 200 is "systemctl show oyez --property NRestarts --property ActiveState --value | tr '\n' ' '" "2 active "
fi
began=$SECONDS
inside systemctl stop oyez
until_true "it stops cleanly, in $((SECONDS - began)) s" 5 is "systemctl show oyez --property Result --property ActiveState --value | tr '\n' ' '" "success inactive "
sed -i '1i nonsense = 1' "$root/etc/oyez/oyez.toml"
inside systemctl start oyez 2>/dev/null || true
until_true "a wrong configuration is not tried again" 15 is "systemctl show oyez --property ExecMainStatus --property ActiveState --property SubState --value | tr '\n' ' '" "2 failed failed "
sed -i 1d "$root/etc/oyez/oyez.toml"
inside systemctl reset-failed oyez
inside sh -c 'oyez export --output /root/export.jsonl && mv /var/lib/private/oyez /root/old && mkdir --mode=700 /var/lib/private/oyez && oyez import /root/export.jsonl' >/dev/null
inside systemctl start oyez
until_true "what root imported the service reads" 20 shows "oyez log --verify" "unaltered"
until_true "its own user has it back" 5 is "find /var/lib/private/oyez ! -user oyez | wc -l" 0
if inside sh -c 'journalctl --no-pager; cat /etc/oyez/oyez.toml; find /var/lib/private /root -type f -exec cat {} +' | grep -aq s3cret-t0ken; then
  echo "FAILED  the secret is in a log, the configuration or the store"; exit 1
else
  echo "ok      the secret is in no log, not in the configuration and not in the store"
fi
