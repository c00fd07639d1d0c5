# The options under services.oyez.settings: one for each setting of oyez.toml, under the same name, with its type.
# `null` (the default) leaves a setting out of the file, so that Oyez's own default holds, also after an upgrade.
{ lib }:
let
  inherit (builtins) attrNames filter head isList isString listToAttrs map mapAttrs match readFile split;
  inherit (lib) mkOption types;

  typesOf = builtins.fromTOML (readFile ./types.toml);

  # --- words: the manual is the one place that explains a setting --------------------------------------------------
  lines = filter isString (split "\n" (readFile ../../docs/configuration.md));
  row = line: match "[|] `([a-z.-]+)` [|] (.*) [|] (.*) [|]" line;
  manual = listToAttrs (map
    (cells: {
      name = head cells;
      value = { default = builtins.elemAt cells 1; meaning = builtins.elemAt cells 2; };
    })
    (filter (cells: cells != null) (map row lines)));
  # Links between the pages of the manual lead nowhere from NixOS's.
  unlinked = text: builtins.concatStringsSep "" (map
    (part: if isList part then head part else part)
    (split "\\[([^]]*)]\\([^)]*\\)" text));
  explained = path: manual.${path} or (throw "deploy/nix: docs/configuration.md does not explain `${path}`");

  # --- types -------------------------------------------------------------------------------------------------------
  duration = "([0-9]+[smhd])+";
  described = words: type: type // { description = words; };
  name = described "a name (lower-case letters, digits, - and _; at most 64)" (types.strMatching "[a-z0-9_-]{1,64}");
  named = {
    text = types.str;
    texts = types.listOf types.str;
    inherit name;
    names = types.listOf name;
    flag = types.bool;
    number = types.int;
    limit = types.ints.between 20 100000;
    text-or-number = types.either types.ints.unsigned types.str;
    path = described "an absolute path" (types.strMatching "/.*");
    # A Nix path (./templates) is copied into the store, a text ("/etc/oyez/templates") stays where it is.
    directory = types.path;
    directories = types.listOf types.path;
    mirrors = types.listOf (types.enum [ "media-ccc-de" "peertube" "archive-org" ]);
    url = described "an address like https://…, without user name and password" (types.strMatching "https?://[^@]+");
    listen = described "an address and a port, like 127.0.0.1:8080" (types.strMatching ".+:[0-9]+");
    duration = described "a duration, like 90s, 30m, 4h, 2d or 1d12h" (types.strMatching duration);
    duration-or-none = described "a duration, like 90s, 30m, 4h, 2d or 1d12h, or none" (types.strMatching "none|${duration}");
    rate-or-none = described "a count and a period, like 3/1d, or none" (types.strMatching "none|[1-9][0-9]*/${duration}");
    hashtags = types.listOf (described "a hashtag without #" (types.strMatching "[^# ]+"));
    language = described "two letters of ISO 639-1" (types.strMatching "[a-z]{2}");
    quiet-hours = types.either (types.enum [ "none" ]) (types.either range (types.listOf range));
    account-hold = types.submodule {
      options = mapAttrs (key: type: option "hold.${key}" type)
        { inherit (typesOf.hold) spacing at-most quiet-hours; };
    };
    secret = types.submodule {
      options = {
        file = optional (types.either types.path types.str)
          "File that holds the secret, on the machine that runs Oyez: `\"/run/secrets/mastodon-token\"`. Only root needs to be able to read it; systemd hands it to the service as a credential.";
        credential = optional types.str
          "Name of a credential that you give to the unit yourself, such as with `systemd.services.oyez.serviceConfig.LoadCredentialEncrypted`.";
        env = optional types.str
          "Name of a variable in `services.oyez.environmentFile`.";
      };
    };
  };
  hour = described "a time of day, like 22:00" (types.strMatching "[0-9]{1,2}:[0-9]{2}");
  range = types.submodule {
    options = {
      from = mkOption { type = hour; description = "When nothing leaves any more."; example = "22:00"; };
      to = mkOption { type = hour; description = "Until when; not after `from`: on the next day."; example = "08:00"; };
      days = optional (types.listOf types.str) "Days on which `from` counts: `[ \"sat\" \"sun\" ]`; every day without it.";
      zone = optional types.str "Another zone than `service.time-zone`.";
    };
  };

  optional = type: description: mkOption { type = types.nullOr type; default = null; inherit description; };
  typeOf = path: type:
    if isList type then types.enum type
    else named.${type} or (throw "deploy/nix: `${path}` has the type `${type}`, which settings.nix does not know");
  option = path: type: mkOption {
    type = types.nullOr (typeOf path type);
    default = null;
    defaultText = lib.literalMD (explained path).default;
    description = unlinked (explained path).meaning;
  };
  section = name: mapAttrs (key: type: option "${name}.${key}" type) typesOf.${name};
  one = name: types.submodule { options = section name; };
in
{
  inherit typesOf;
  sections = mapAttrs (name: _: section name) typesOf;

  # "required for discourse" in the manual's column of defaults: { category = "discourse"; }.
  requiredFor = name: listToAttrs (filter (entry: entry.value != null) (map
    (key: {
      name = key;
      value = let words = match "required( for (.*))?" (explained "${name}.${key}").default; in
        if words == null then null else if head words == null then "" else builtins.elemAt words 1;
    })
    (attrNames typesOf.${name})));

  type = types.submodule {
    options = {
      service = mkOption { type = one "service"; default = { }; description = "The service itself."; };
      network = mkOption { type = one "network"; default = { }; description = "How sources are asked."; };
      source = mkOption {
        type = types.listOf (one "source");
        default = [ ];
        description = "The places that announce. Where two show the same thing, text and kind come from the first.";
      };
      hold = mkOption {
        type = types.submodule {
          options = section "hold";
          # [hold.KIND]
          freeformType = types.attrsOf (one "hold");
        };
        default = { };
        description = "When posts leave. `hold.KIND` takes the same settings for one kind.";
        example = { window = "12h"; security = { window = "30m"; quiet-hours = "none"; }; };
      };
      delivery = mkOption { type = one "delivery"; default = { }; description = "Retries."; };
      links = mkOption { type = one "links"; default = { }; description = "What becomes of links."; };
      account = mkOption { type = types.listOf (one "account"); default = [ ]; description = "The identities that post."; };
      templates = mkOption { type = one "templates"; default = { }; description = "Templates of your own."; };
      policy = mkOption {
        type = types.listOf (one "policy");
        default = [ ];
        description = "Rules, asked in this order; the first that matches decides.";
      };
    };
  };
}
