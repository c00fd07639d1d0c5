# The NixOS module: services.oyez. `self` is the flake, for the package.
{ self ? null }:
{ config, lib, pkgs, ... }:
let
  inherit (builtins) attrNames concatMap filter isAttrs isList isPath length mapAttrs;
  inherit (lib) imap1 mkEnableOption mkIf mkOption types;

  cfg = config.services.oyez;
  settings = import ./settings.nix { inherit lib; };
  toml = pkgs.formats.toml { };
  stateDir = "/var/lib/oyez";
  runtimeDir = "/run/oyez";

  starts = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  within = dir: path: path == dir || starts "${dir}/" path;
  inStore = path: isPath path || within builtins.storeDir path;

  # --- entries of lists, as people would call them -----------------------------------------------------------------
  entries = kind: imap1
    (n: entry: {
      inherit kind entry;
      shown = "services.oyez.settings.${kind}: ${
        if entry.name or null == null then "number ${toString n}" else "“${entry.name}”"}";
    })
    cfg.settings.${kind};
  isOn = entry: entry.enabled != false;

  # --- secrets -----------------------------------------------------------------------------------------------------
  secretKeys = kind: filter (key: settings.typesOf.${kind}.${key} == "secret") (attrNames settings.typesOf.${kind});
  secretsIn = kind: concatMap
    ({ entry, shown, ... }: concatMap
      (key:
        if entry.${key} == null then [ ]
        else [{ inherit shown key; secret = entry.${key}; id = "${kind}-${toString entry.name}-${key}"; }])
      (secretKeys kind))
    (entries kind);
  secrets = secretsIn "source" ++ secretsIn "account";
  ofFile = filter (s: s.secret.file != null) secrets;
  # What stands in oyez.toml: never the file, which only root may read, but the credential that systemd makes of it.
  placed = kind: entry: entry // builtins.listToAttrs (map
    (key: {
      name = key;
      value =
        if entry.${key} == null then null
        else if entry.${key}.file != null then { credential = "${kind}-${toString entry.name}-${key}"; }
        else entry.${key};
    })
    (secretKeys kind));

  # --- the file ----------------------------------------------------------------------------------------------------
  withoutNulls = value:
    if isAttrs value then
      mapAttrs (_: withoutNulls) (removeAttrs value (filter (key: value.${key} == null) (attrNames value)))
    else if isList value then map withoutNulls value
    else if isPath value then "${value}"
    else value;
  withoutEmpty = value: removeAttrs value (filter (key: value.${key} == { } || value.${key} == [ ]) (attrNames value));
  document = withoutEmpty (withoutNulls (cfg.settings // {
    source = map (placed "source") cfg.settings.source;
    account = map (placed "account") cfg.settings.account;
  }));
  written = toml.generate "oyez.toml" document;

  dir = cfg.settings.templates.dir;
  credentials = map (s: if s.secret.file != null then s.id else s.secret.credential)
    (filter (s: s.secret.file != null || s.secret.credential != null) secrets);
  variables = map (s: s.secret.env) (filter (s: s.secret.env != null) secrets);
  # Every mistake is told when the system is built, by the program itself, with stand-ins for the secrets.
  checked = pkgs.runCommand "oyez.toml" { nativeBuildInputs = [ cfg.package ]; } ''
    export HOME="$PWD" CREDENTIALS_DIRECTORY="$PWD/credentials"
    mkdir "$CREDENTIALS_DIRECTORY"
    for name in ${lib.escapeShellArgs credentials}; do echo stand-in > "$CREDENTIALS_DIRECTORY/$name"; done
    for name in ${lib.escapeShellArgs variables}; do export "$name=stand-in"; done
    oyez check --config ${written}
    cp ${written} "$out"
  '';
  file = if cfg.checkConfig then checked else written;

  # --- what people should be told before anything is built ---------------------------------------------------------
  say = assertion: message: { inherit assertion message; };
  required = kind: selector: concatMap
    ({ entry, shown, ... }: map
      (key:
        let
          what = (settings.requiredFor kind).${key};
          chosen = if selector == null then null else entry.${selector};
          applies = what == "" || (chosen == what && !(key == "token" && !isOn entry));
        in
        say (!applies || (entry.${key} != null && entry.${key} != [ ]))
          "${shown} has no `${key}`${if what == "" then "" else ", which ${what} needs"}.")
      (attrNames (settings.requiredFor kind)))
    (entries kind);
  # A setting that belongs to another type of source or platform would be refused at start.
  onlyFor = kind: selector: only: concatMap
    ({ entry, shown, ... }: map
      (key: say (entry.${key} == null || entry.${selector} == null || entry.${selector} == only.${key})
        "${shown} has a `${key}`, but its `${selector}` is ${toString entry.${selector}}: `${key}` is for ${only.${key}}.")
      (attrNames only))
    (entries kind);
  unique = kind:
    let names = filter (name: name != null) (map ({ entry, ... }: entry.name) (entries kind));
    in map
      (name: say (length (filter (other: other == name) names) == 1)
        "services.oyez.settings.${kind}: two are called “${name}”; each needs a name of its own.")
      names;
  places = s: filter (place: s.secret.${place} != null) [ "file" "credential" "env" ];
  messages =
    required "source" "type" ++ required "account" "platform" ++ required "policy" null
    ++ onlyFor "source" "type" {
      category = "discourse";
      subcategories = "discourse";
      webhook-secret = "discourse";
      api-key = "discourse";
      api-user = "discourse";
      conferences = "media-ccc-de";
      channel = "peertube";
    }
    ++ onlyFor "account" "platform" {
      server = "mastodon";
      token = "mastodon";
      visibility = "mastodon";
      path = "file";
      limit = "file";
    }
    ++ unique "source" ++ unique "account"
    ++ map
      (s: say (length (places s) == 1)
        "${s.shown}: `${s.key}` must name one place, `file`, `credential` or `env`; it names ${toString (length (places s))}.")
      secrets
    ++ map
      (s: say (!inStore s.secret.file)
        "${s.shown}: `${s.key}.file` is in the Nix store, which everybody on the machine can read (and every cache it is copied to). Write the path as a text, in quotes, to a file outside of it, such as \"/run/secrets/oyez-${s.key}\".")
      ofFile
    ++ map
      (s: say (inStore s.secret.file || starts "/" s.secret.file)
        "${s.shown}: `${s.key}.file` is not an absolute path: ${toString s.secret.file}")
      ofFile
    ++ map
      (s: say (s.secret.env == null || cfg.environmentFile != null)
        "${s.shown}: `${s.key}` is read from the variable ${toString s.secret.env}, but services.oyez.environmentFile is not set.")
      secrets
    ++ [
      (say
        (within stateDir (toString cfg.settings.service.state))
        "services.oyez.settings.service.state: the service may write nowhere but to ${stateDir}. Leave it as it is; to have it on another disk, mount that there.")
      (say
        (within runtimeDir (toString cfg.settings.service.socket) || within stateDir (toString cfg.settings.service.socket))
        "services.oyez.settings.service.socket: the service may make its socket in ${runtimeDir} or ${stateDir} only.")
    ]
    ++ map
      ({ entry, shown, ... }: say
        (entry.path == null || !starts "/" entry.path || within stateDir entry.path)
        "${shown}: the service may write nowhere but to ${stateDir}, and `path` is ${toString entry.path}. A relative path is taken from there.")
      (entries "account");
in
{
  options.services.oyez = {
    enable = mkEnableOption "Oyez, which hears what a community announces and says it once on its accounts";

    package = mkOption {
      type = types.package;
      default = if self != null then self.packages.${pkgs.stdenv.hostPlatform.system}.oyez else pkgs.oyez;
      defaultText = lib.literalExpression "oyez.packages.\${system}.oyez";
      description = "The package, with the unit file in it.";
    };

    settings = mkOption {
      type = settings.type;
      default = { };
      description = ''
        What stands in oyez.toml, under the same names; each `[[section]]` is a list. Secrets never stand here, only the
        path of the file that holds them.
      '';
      example = lib.literalExpression ''
        {
          source = [{
            name = "announcements";
            type = "discourse";
            url = "https://forum.example.org";
            category = 8;
          }];
          account = [{
            name = "mastodon";
            platform = "mastodon";
            server = "https://social.example.org";
            token.file = "/run/secrets/mastodon-token";
          }];
        }
      '';
    };

    teamGroup = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "oyez-team";
      description = ''
        The group whose members may act: veto, edit, approve. It is made if it is not there; add people with
        `users.users.NAME.extraGroups`. Without it, only root can.
      '';
    };

    environmentFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/oyez.env";
      description = "File with variables, for secrets given as `{ env = \"NAME\"; }`.";
    };

    checkConfig = mkOption {
      type = types.bool;
      # A directory that is only there on the running machine cannot be read by a build.
      default = dir == null || inStore dir;
      defaultText = lib.literalMD "`true`, unless `settings.templates.dir` is outside of the Nix store";
      description = "Whether `oyez check` reads the file when the system is built.";
    };
  };

  config = mkIf cfg.enable {
    assertions = messages;

    # The command line looks for both where the service has them.
    services.oyez.settings.service = {
      state = lib.mkDefault stateDir;
      socket = lib.mkDefault "${runtimeDir}/oyez.sock";
    };
    environment.etc."oyez/oyez.toml".source = file;
    environment.systemPackages = [ cfg.package ];

    users.groups = mkIf (cfg.teamGroup != null) { ${cfg.teamGroup} = { }; };

    # The unit, with all its hardening, is the package's own; here stands only what this machine adds to it.
    systemd.packages = [ cfg.package ];
    systemd.services.oyez = {
      wantedBy = [ "multi-user.target" ];
      restartTriggers = [ file ];
      serviceConfig = {
        LoadCredential = map (s: "${s.id}:${toString s.secret.file}") ofFile;
        # The socket is of the service's own group.
        Group = mkIf (cfg.teamGroup != null) cfg.teamGroup;
        EnvironmentFile = mkIf (cfg.environmentFile != null) cfg.environmentFile;
      };
    };
  };
}
