# The module, evaluated with right and wrong values. deploy/check.sh evaluates each case by itself:
#   nix-instantiate --eval --strict --json deploy/nix/tests/cases.nix -A results.NAME
# A right one is the configuration file and what the unit gets; a wrong one must be refused with the words in `refused`.
let
  lib = import ./lib.nix;
  inherit (lib) mkOption types;

  any = default: mkOption { type = types.anything; inherit default; };
  # What stands in for NixOS: the options the module sets, without any meaning.
  nixos = {
    assertions = any [ ];
    environment = { etc = any { }; systemPackages = any [ ]; };
    users.groups = any { };
    systemd = { packages = any [ ]; services = any { }; };
  };
  # TOML on one line for each section, all values inline; JSON's strings are TOML's too.
  inline = value:
    if builtins.isAttrs value then
      "{ ${builtins.concatStringsSep ", " (builtins.attrValues (builtins.mapAttrs (key: v: "${builtins.toJSON key} = ${inline v}") value))} }"
    else if builtins.isList value then "[${builtins.concatStringsSep ", " (map inline value)}]"
    else builtins.toJSON value;
  toml = document: builtins.concatStringsSep ""
    (builtins.attrValues (builtins.mapAttrs (key: value: "${key} = ${inline value}\n") document));
  package = { outPath = "/nix/store/00000000000000000000000000000000-oyez"; };
  pkgs = {
    stdenv.hostPlatform.system = "x86_64-linux";
    oyez = package;
    formats.toml = _: { generate = _: document: toml document; };
    runCommand = _: _: script: { inherit script; outPath = "/nix/store/11111111111111111111111111111111-oyez.toml"; };
  };

  evaluate = settings: lib.evalModules {
    inherit pkgs lib;
    options = nixos;
    modules = [ (import ../module.nix { }) { services.oyez = { enable = true; checkConfig = false; } // settings; } ];
  };
  result = settings:
    let
      inherit (evaluate settings) config;
      failed = builtins.filter (a: !a.assertion) config.assertions;
    in
    if failed != [ ] then throw (builtins.concatStringsSep "\n" (map (a: a.message) failed))
    else {
      file = config.environment.etc."oyez/oyez.toml".source;
      service = builtins.mapAttrs (_: v: if v._type or "" == "if" then v.content else v)
        (lib.filterAttrs (_: v: v._type or "" != "if" || v.condition) config.systemd.services.oyez.serviceConfig);
    };

  forum = { name = "announcements"; type = "discourse"; url = "https://forum.example.org"; category = 8; };
  dry = { name = "dry-run"; platform = "file"; path = "posts.jsonl"; };
  toot = { name = "mastodon"; platform = "mastodon"; server = "https://social.example.org"; token.file = "/run/secrets/mastodon-token"; };
  with' = source: account: { settings = { source = [ source ]; account = [ account ]; }; };
in
rec {
  # Every option path, for the comparison with the code's list of settings.
  paths =
    let
      settings = import ../settings.nix { inherit lib; };
    in
    builtins.concatMap (section: map (key: "${section}.${key}") (builtins.attrNames settings.typesOf.${section}))
      (builtins.attrNames settings.typesOf);
  # Forces every description and default text.
  words = let walk = value:
    if builtins.isAttrs value && value._type or "" == "option" then "${value.description} ${value.defaultText.text or ""}"
    else if builtins.isAttrs value then walk (builtins.attrValues value)
    else if builtins.isList value then builtins.concatStringsSep "\n" (map walk value) else "";
    in walk [ (evaluate { }).options.services.oyez (import ../settings.nix { inherit lib; }).sections ];

  accepted = {
    smallest = with' forum dry;
    secrets-become-credentials = with' (forum // { webhook-secret.file = "/run/keys/hook"; }) toot;
    credential = with' forum (toot // { token.credential = "mine"; });
    environment = (with' forum (toot // { token.env = "TOKEN"; })) // { environmentFile = "/run/keys/env"; };
    off-needs-no-token = with' forum (removeAttrs toot [ "token" ] // { enabled = false; });
    team = with' forum dry // { teamGroup = "oyez-team"; };
    everything = {
      settings = {
        service = { listen = "127.0.0.1:8181"; base-url = "https://social.example.org"; contact = "team@example.org"; time-zone = "Europe/Berlin"; };
        network = { allow-private = [ "127.0.0.0/8" ]; timeout = "30s"; };
        source = [
          (forum // { was = "news"; every = "5m"; backfill = "1d"; enabled = true; mark = "Community"; kind = "announcement"; subcategories = true;
            api-key.file = "/run/keys/api"; api-user = "oyez"; webhook-secret.file = "/run/keys/hook"; })
          { name = "talks"; type = "media-ccc-de"; url = "https://api.media.ccc.de"; conferences = [ "nixcon*" ]; kind = "talk"; }
          { name = "tube"; type = "peertube"; url = "https://tube.example.org"; channel = "nixcon"; kind = "talk"; every = "1h30m"; }
          { name = "blog"; type = "feed"; url = "https://example.org/feed.xml"; }
        ];
        hold = {
          window = "12h"; settle = "10m"; settle-at-most = "2h"; grace = "1h"; spacing = "2h"; at-most = "3/1d"; priority = 1; ask-expires = "7d"; stale = "none";
          quiet-hours = [ { from = "21:00"; to = "09:00"; } { from = "00:00"; to = "24:00"; days = [ "sat" "sun" ]; zone = "Europe/Paris"; } ];
          security = { window = "30m"; settle = "5m"; quiet-hours = "none"; spacing = "0s"; at-most = "none"; priority = 9; };
        };
        delivery = { give-up = "1d"; quiet-after = "0s"; };
        account = [
          (toot // { was = "toots"; kinds = [ "announcement" "talk" ]; hashtags = [ "NixOS" ]; language = "en"; visibility = "unlisted";
            hold = { spacing = "1h"; at-most = "5/1d"; quiet-hours = { from = "23:00"; to = "07:00"; }; }; })
          (dry // { limit = 300; enabled = false; })
        ];
        policy = [ { when = "\"no-social\" in tags"; "then" = "ignore"; because = "the author asked for it"; } { when = "true"; "then" = "hold"; } ];
      };
    };
  };

  refused = {
    unknown-setting = { settings = with' (forum // { evry = "3m"; }) dry; words = "settings.source.[0].evry' does not exist"; };
    unknown-section = { settings.settings.matrix = { }; words = "settings.matrix' does not exist"; };
    unknown-key-of-a-kind = { settings.settings.hold.talk.windwo = "3h"; words = "hold.talk.windwo' does not exist"; };
    no-duration = { settings.settings.hold.window = "2 days"; words = "a duration, like 90s, 30m, 4h, 2d or 1d12h': \"2 days\""; };
    no-rate = { settings.settings.hold.at-most = "3 a day"; words = "a count and a period, like 3/1d, or none"; };
    no-type = { settings = with' (forum // { type = "rss"; }) dry; words = "one of \"discourse\", \"feed\", \"media-ccc-de\", \"peertube\"': \"rss\""; };
    number-as-text = { settings.settings.hold.priority = "1"; words = "hold.priority' is not of type"; };
    name-with-space = { settings = with' (forum // { name = "My News"; }) dry; words = "a name (lower-case letters, digits, - and _; at most 64)"; };
    password-in-address = { settings = with' (forum // { url = "https://me:pw@forum.example.org"; }) dry; words = "without user name and password"; };
    limit-out-of-range = { settings = with' forum (dry // { limit = 5; }); words = "integer between 20 and 100000"; };
    secret-as-text = { settings = with' forum (toot // { token = "s3cret"; }); words = "account.[0].token' is not of type"; };
    without-url = { settings = with' (removeAttrs forum [ "url" ]) dry; words = "source: “announcements” has no `url`."; };
    without-name = { settings = with' (removeAttrs forum [ "name" ]) dry; words = "source: number 1 has no `name`."; };
    without-category = { settings = with' (removeAttrs forum [ "category" ]) dry; words = "“announcements” has no `category`, which discourse needs."; };
    without-conferences = { settings = with' { name = "t"; type = "media-ccc-de"; url = "https://a.example"; conferences = [ ]; } dry; words = "“t” has no `conferences`, which media-ccc-de needs."; };
    without-token = { settings = with' forum (removeAttrs toot [ "token" ]); words = "account: “mastodon” has no `token`, which mastodon needs."; };
    without-path = { settings = with' forum (removeAttrs dry [ "path" ]); words = "account: “dry-run” has no `path`, which file needs."; };
    rule-without-then = { settings.settings.policy = [{ when = "true"; }]; words = "policy: number 1 has no `then`."; };
    of-another-type = { settings = with' { name = "blog"; type = "feed"; url = "https://a.example"; category = 8; } dry; words = "`category` is for discourse."; };
    of-another-platform = { settings = with' forum (dry // { token.file = "/run/keys/x"; }); words = "“dry-run” has a `token`, but its `platform` is file"; };
    same-name-twice = { settings.settings.source = [ forum forum ]; words = "source: two are called “announcements”"; };
    secret-in-the-store = { settings = with' forum (toot // { token.file = "/nix/store/00000000000000000000000000000000-token"; }); words = "`token.file` is in the Nix store"; };
    secret-that-would-be-copied = { settings = with' forum (toot // { token.file = ./lib.nix; }); words = "`token.file` is in the Nix store"; };
    secret-with-relative-path = { settings = with' forum (toot // { token.file = "token"; }); words = "`token.file` is not an absolute path: token"; };
    secret-at-two-places = { settings = with' forum (toot // { token = { file = "/run/keys/x"; env = "X"; }; }); words = "`token` must name one place, `file`, `credential` or `env`; it names 2."; };
    secret-nowhere = { settings = with' forum (toot // { token = { }; }); words = "it names 0."; };
    variable-without-a-file = { settings = with' forum (toot // { token = { env = "TOKEN"; }; }); words = "but services.oyez.environmentFile is not set"; };
    state-elsewhere = { settings.settings.service.state = "/srv/oyez"; words = "service.state: the service may write nowhere but to /var/lib/oyez"; };
    socket-elsewhere = { settings.settings.service.socket = "/tmp/oyez.sock"; words = "service.socket: the service may make its socket in /run/oyez"; };
    posts-elsewhere = { settings = with' forum (dry // { path = "/tmp/posts.jsonl"; }); words = "“dry-run”: the service may write nowhere but to /var/lib/oyez, and `path` is /tmp/posts.jsonl"; };
  };

  names = { accepted = builtins.attrNames accepted; refused = builtins.mapAttrs (_: case: case.words) refused; };
  results = builtins.mapAttrs (_: result) (accepted // builtins.mapAttrs (_: case: case.settings) refused);
  # The build-time check: what its script does.
  check = (evaluate ((accepted.secrets-become-credentials) // { checkConfig = true; })).config.environment.etc."oyez/oyez.toml".source.script;
}
