# A whole machine: `nix build .#checks.x86_64-linux.vm`, or `nix flake check`. Needs KVM and nixpkgs.
{ module }:
{ pkgs, ... }:
let
  # A feed whose second item appears when somebody asks for it.
  feed = pkgs.writeText "feed.py" ''
    import http.server

    titles = ["Known already"]

    class Feed(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/announce":
                titles.append(f"News {len(titles)}")
            items = "".join(
                f"<item><title>{title}</title><link>http://127.0.0.1:8999/{n}</link><guid>g{n}</guid></item>"
                for n, title in enumerate(titles)
            )
            body = f'<rss version="2.0"><channel><title>t</title><link>http://127.0.0.1/</link><description>d</description>{items}</channel></rss>'.encode()
            self.send_response(200)
            self.send_header("content-type", "application/rss+xml")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    http.server.HTTPServer(("127.0.0.1", 8999), Feed).serve_forever()
  '';
in
{
  name = "oyez";

  nodes.machine = {
    imports = [ module ];
    environment.etc."secrets/token" = { text = "s3cret-t0ken"; mode = "0400"; };
    environment.systemPackages = [ pkgs.curl pkgs.jq ];
    users.users.ida = { isNormalUser = true; extraGroups = [ "oyez-team" ]; };
    users.users.otto.isNormalUser = true;
    systemd.services.feed = {
      wantedBy = [ "multi-user.target" ];
      before = [ "oyez.service" ];
      serviceConfig.ExecStart = "${pkgs.python3}/bin/python3 ${feed}";
    };
    services.oyez = {
      enable = true;
      teamGroup = "oyez-team";
      settings = {
        source = [{ name = "news"; type = "feed"; url = "http://127.0.0.1:8999/feed.xml"; every = "1s"; }];
        account = [
          { name = "dry-run"; platform = "file"; path = "posts.jsonl"; }
          { name = "mastodon"; platform = "mastodon"; server = "http://127.0.0.1:9"; token.file = "/etc/secrets/token"; }
        ];
        hold = { settle = "0s"; quiet-hours = "none"; };
      };
    };
  };

  testScript = ''
    import json

    machine.wait_for_unit("oyez.service")

    with subtest("it is hardened, and its secret is not in the configuration"):
        machine.succeed("systemd-analyze security --threshold=15 oyez.service")
        machine.fail("grep -r s3cret-t0ken /etc/oyez/oyez.toml")
        machine.succeed("grep -q 'credential' /etc/oyez/oyez.toml")

    with subtest("it answers machines"):
        machine.succeed("curl --fail --silent http://127.0.0.1:8080/health")
        machine.succeed("curl --fail --silent http://127.0.0.1:8080/metrics | grep -q ^oyez_build_info")

    with subtest("what is there at first is only known; what comes is held"):
        machine.wait_until_succeeds("oyez queue --all --json | jq --exit-status 'select(.state == \"known\")'")
        machine.succeed("curl --silent http://127.0.0.1:8999/announce")
        machine.wait_until_succeeds("oyez queue --json | jq --exit-status 'select(.number == 2 and .state == \"held\")'")

    with subtest("the team may act under its own names, others may not"):
        machine.fail("su otto -c 'oyez veto 2'")
        machine.succeed("su ida -c 'oyez veto 2 --reason \"not this one\"'")
        journal = [json.loads(line) for line in machine.succeed("oyez log --item 2 --json").splitlines()]
        assert [entry["actor"] for entry in journal if entry["what"] == "veto"] == ["cli:ida"], journal

    with subtest("killed, it comes back and remembers"):
        machine.succeed("systemctl kill --signal=KILL oyez.service")
        machine.wait_until_succeeds("oyez show 2 --json | jq --exit-status '.state == \"vetoed\"'")
        machine.wait_for_unit("oyez.service")

    with subtest("what is approved for now leaves"):
        machine.succeed("curl --silent http://127.0.0.1:8999/announce")
        machine.wait_until_succeeds("oyez queue --json | jq --exit-status 'select(.number == 3)'")
        machine.succeed("su ida -c 'oyez approve 3 --now'")
        machine.wait_until_succeeds("grep -q 'News 2' /var/lib/oyez/posts.jsonl")
        machine.succeed("oyez log --verify")
  '';
}
