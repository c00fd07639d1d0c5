# A small stand-in for the part of nixpkgs' `lib` that the module uses, so that it can be evaluated where nixpkgs is not at
# hand: option types that refuse with the option's path, mkIf, mkDefault, submodules, and the search for definitions.
# It is stricter than the real one where they differ (one definition of a value at a priority), never looser.
let
  inherit (builtins)
    all any attrNames concatLists concatMap concatStringsSep elem elemAt filter foldl' genList hasAttr head isAttrs isBool
    isFunction isInt isList isPath isString length listToAttrs mapAttrs match toJSON;

  unique = foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ];
  show = concatStringsSep ".";
  tagged = tag: value: isAttrs value && value._type or null == tag;

  # --- definitions -------------------------------------------------------------------------------------------------
  # A definition: { priority; value; }. mkIf and mkDefault are taken off here, and only where the value is wanted.
  discharge = priority: value:
    if tagged "if" value then (if value.condition then discharge priority value.content else [ ])
    else if tagged "override" value then discharge value.priority value.content
    else [{ inherit priority value; }];
  # What `value`, a set that may be wrapped in mkIf, says about `key`: conditions are not looked at.
  at = key: value:
    if tagged "if" value then map (content: value // { inherit content; }) (at key value.content)
    else if tagged "override" value then map (content: value // { inherit content; }) (at key value.content)
    else if isAttrs value && hasAttr key value then [ value.${key} ]
    else [ ];
  keysOf = value: if tagged "if" value || tagged "override" value then keysOf value.content else attrNames value;
  strongest = defs:
    let least = foldl' (a: d: if d.priority < a then d.priority else a) 999999 defs;
    in map (d: d.value) (filter (d: d.priority == least) defs);

  # --- types: { description; check; merge = path: values: value; } --------------------------------------------------
  refuse = path: type: value: throw
    "A definition for option `${show path}' is not of type `${type.description}': ${
      if isAttrs value then "a set" else if isFunction value then "a function" else toJSON (if isPath value then toString value else value)}";
  plain = description: check:
    let type = {
      inherit description check;
      merge = path: values:
        let value = head values; in
        if length values > 1 && any (v: v != value) values then throw "The option `${show path}' has conflicting definitions"
        else if type.check value then value else refuse path type value;
    }; in type;
  # A type whose description was replaced still refuses in its own words.
  run = type: path: values: if all type.check values then type.merge path values else refuse path type (head (filter (v: !type.check v) values));

  types = rec {
    str = plain "string" isString;
    bool = plain "boolean" isBool;
    int = plain "signed integer" isInt;
    ints = {
      unsigned = plain "unsigned integer, meaning >=0" (v: isInt v && v >= 0);
      between = low: high: plain "integer between ${toString low} and ${toString high} (both inclusive)" (v: isInt v && v >= low && v <= high);
    };
    path = plain "path" (v: isPath v || (isString v && match "/.*" v != null));
    package = plain "package" (v: isAttrs v && v ? outPath);
    anything = { description = "anything"; check = _: true; merge = path: values:
      if all isAttrs values && length values > 1 then
        listToAttrs (map (name: { inherit name; value = anything.merge (path ++ [ name ]) (concatMap (at name) values); }) (unique (concatMap attrNames values)))
      else if all isList values then concatLists values
      else (plain "anything" (_: true)).merge path values; };
    strMatching = pattern: plain "string matching the pattern ${pattern}" (v: isString v && match pattern v != null);
    enum = choices: plain "one of ${concatStringsSep ", " (map toJSON choices)}" (v: elem v choices);
    nullOr = inner: {
      description = "null or ${inner.description}";
      check = v: v == null || inner.check v;
      merge = path: values:
        if all (v: v == null) values then null
        else if any (v: v == null) values then throw "The option `${show path}' has conflicting definitions"
        else run inner path values;
    };
    either = a: b: {
      description = "${a.description} or ${b.description}";
      check = v: a.check v || b.check v;
      merge = path: values: if all a.check values then run a path values else run b path values;
    };
    listOf = inner: {
      description = "list of ${inner.description}";
      check = isList;
      merge = path: values:
        let items = concatLists values; in
        genList (i: run inner (path ++ [ "[${toString i}]" ]) [ (elemAt items i) ]) (length items);
    };
    attrsOf = inner: {
      description = "attribute set of ${inner.description}";
      check = isAttrs;
      merge = path: values: listToAttrs (map
        (name: { inherit name; value = run inner (path ++ [ name ]) (concatMap (at name) values); })
        (unique (concatMap attrNames values)));
    };
    submodule = module: {
      description = "submodule";
      check = isAttrs;
      merge = path: values: evaluate path module.options (module.freeformType or null) values;
    };
  };

  # --- modules -----------------------------------------------------------------------------------------------------
  isOption = tagged "option";
  evaluate = path: options: freeform: values:
    let
      known = attrNames options;
      said = unique (concatMap keysOf values);
      others = filter (key: !(elem key known)) said;
      one = key:
        let
          here = path ++ [ key ];
          option = options.${key};
          raw = concatMap (at key) values;
          defs = strongest (concatMap (discharge 100) raw);
        in
        if !isOption option then evaluate here option null raw
        # The type of a set merges what is said at several places, each part with its own priority.
        else if defs != [ ] && elem (option.type.description) [ "submodule" ] then run option.type here (map (d: d.value) (concatMap (discharge 100) raw))
        else if defs != [ ] then run option.type here defs
        else if option ? default then (if option.default == { } && option.type.description == "submodule" then option.type.merge here [ { } ] else option.default)
        else throw "The option `${show here}' is used but not defined";
      declared = listToAttrs (map (key: { name = key; value = one key; }) known);
      unknown = head others;
    in
    if others != [ ] && freeform == null then throw
      "The option `${show (path ++ [ unknown ])}' does not exist. It has: ${concatStringsSep ", " known}"
    else if others != [ ] then declared // freeform.merge path (map (v: removeAttrs v known) values)
    else declared;
in
rec {
  inherit types;
  mkOption = attrs: { _type = "option"; } // attrs;
  mkEnableOption = what: mkOption { type = types.bool; default = false; description = "Whether to enable ${what}."; };
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkDefault = mkOverride 1000;
  filterAttrs = keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
  literalExpression = text: { _type = "literalExpression"; inherit text; };
  literalMD = text: { _type = "literalMD"; inherit text; };
  imap1 = f: list: genList (i: f (i + 1) (elemAt list i)) (length list);
  escapeShellArgs = args: concatStringsSep " " (map (arg: "'${arg}'") args);

  # `options`: what the module finds in NixOS; `modules`: functions of { config, lib, pkgs }.
  evalModules = { options, modules, pkgs, lib }:
    let
      loaded = map (module: if isFunction module then module { inherit config lib pkgs; } else { config = module; }) modules;
      merge = a: b: a // mapAttrs (key: value: if hasAttr key a && !isOption value then merge a.${key} value else value) b;
      all' = foldl' merge options (map (m: m.options or { }) loaded);
      config = evaluate [ ] all' null (map (m: m.config or { }) loaded);
    in
    { inherit config; options = all'; };
}
