//! From the text of `oyez.toml` to [`Config`]. Goes on after a mistake, so that all are told at once.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use url::Url;

use super::error::ConfigError;
use super::settings::{LATER_PLATFORMS, SETTINGS};
use super::table::{DURATION_HINT, Parser, Table, not, text, whole};
use super::{
    AccountConfig, AccountSpec, Config, DeliveryConfig, Hold, HoldSettings, KindHold, LinksConfig, MirrorKind, Network,
    PolicyRule, Secret, Service, SourceConfig, SourceSpec,
};
use crate::item::VerdictKind;
use crate::policy::Policy;

/// The environment variables a configuration may name. Passed in, so that tests need not change the process's own.
#[derive(Debug, Clone, Default)]
pub struct Env {
    vars: HashMap<String, String>,
    /// Secrets that cannot be read are left empty: nothing will be done that needs them.
    pub(super) without_secrets: bool,
}

impl Env {
    /// Those of this process.
    pub fn of_process() -> Self {
        let text =
            |(k, v): (std::ffi::OsString, std::ffi::OsString)| Some((k.into_string().ok()?, v.into_string().ok()?));
        Self { vars: std::env::vars_os().filter_map(text).collect(), without_secrets: false }
    }

    /// The same, for somebody who may not read the secrets and needs none: the command line of the team.
    pub fn without_secrets(self) -> Self {
        Self { without_secrets: true, ..self }
    }

    /// Just these.
    pub fn of<const N: usize>(vars: [(&str, &str); N]) -> Self {
        let vars = vars.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self { vars, without_secrets: false }
    }

    /// One of them; an empty one counts as absent.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// A configuration, and what is allowed in it but odd.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The settings.
    pub config: Config,
    /// Odd but allowed: shown by `oyez check` and at start.
    pub warnings: Vec<String>,
}

pub(super) fn parse(text: &str, env: &Env) -> Result<Parsed, Vec<ConfigError>> {
    let parser = Parser { text, env, errors: RefCell::default(), warnings: RefCell::default() };
    let (document, broken) = DeTable::parse_recoverable(text);
    for error in broken {
        parser.errors.borrow_mut().push(ConfigError {
            key: String::new(),
            line: error.span().map(|span| parser.line(span.start)),
            message: error.message().to_owned(),
            hint: None,
        });
    }
    // What stands around such a mistake would be told as missing, or as in the wrong place.
    if !parser.errors.borrow().is_empty() {
        return Err(parser.errors.into_inner());
    }
    let config = parser.config(document.get_ref());
    let mut errors = parser.errors.into_inner();
    if errors.is_empty() {
        return Ok(Parsed { config, warnings: parser.warnings.into_inner() });
    }
    errors.sort_by_key(|error| error.line);
    Err(errors)
}

pub(super) fn service_of_broken(text: &str, env: &Env) -> Service {
    let parser = Parser { text, env, errors: RefCell::default(), warnings: RefCell::default() };
    let (document, _) = DeTable::parse_recoverable(text);
    let root = parser.table(String::new(), String::new(), Some(document.get_ref()), 0);
    parser.service(&root.table("service"))
}

impl<'a> Parser<'a> {
    fn config<'p>(&'p self, document: &'p DeTable<'p>) -> Config {
        let root = self.table(String::new(), String::new(), Some(document), 0);
        let service = self.service(&root.table("service"));
        let network = root.table("network");
        let allow_private = network.nets("allow-private");
        if !allow_private.is_empty() {
            self.warn(
                "network.allow-private is set: links in posts may reach private addresses; it is meant for tests",
            );
        }
        let network = {
            let timeout = network.duration("timeout", Duration::from_secs(20));
            if timeout.is_zero() {
                network.error("timeout", "it must not be zero", DURATION_HINT);
            }
            network.finish();
            Network { allow_private, timeout }
        };
        let source_tables = root.tables("source");
        let sources: Vec<_> = source_tables.iter().map(|table| self.source(table)).collect();
        let account_tables = root.tables("account");
        let accounts: Vec<_> = account_tables.iter().map(|table| self.account(table, &service.time_zone)).collect();
        let hold = self.hold(&root.table("hold"), &service.time_zone);
        let links = self.links(&root.table("links"));
        let delivery = root.table("delivery");
        let delivery_config = DeliveryConfig {
            give_up: delivery.duration("give-up", Duration::from_secs(2 * 86_400)),
            quiet_after: delivery.duration("quiet-after", Duration::from_secs(9 * 86_400)),
        };
        delivery.finish();
        let templates = root.table("templates");
        let templates_dir = templates.string("dir").map(PathBuf::from);
        templates.finish();
        let policy = root.tables("policy").iter().map(|table| self.policy(table)).collect();
        root.finish();
        unique(&source_tables, sources.iter().map(|s| (s.name.as_str(), s.was.as_deref())));
        unique(&account_tables, accounts.iter().map(|a| (a.name.as_str(), a.was.as_deref())));
        Config { service, network, sources, links, hold, delivery: delivery_config, accounts, templates_dir, policy }
    }

    fn links(&self, table: &Table<'_, '_>) -> LinksConfig {
        let keep = table
            .with("keep", "write a list of hosts, like [\"example.org\"]", |v| {
                let list = v.as_array().ok_or_else(|| not(v, "a list"))?;
                list.iter()
                    .map(|entry| {
                        let host = text(entry.get_ref())?;
                        match url::Host::parse(host.trim_end_matches('.')) {
                            Ok(url::Host::Domain(host)) => Ok(host),
                            Ok(_) | Err(_) => Err(format!("`{host}` is not the name of a host")),
                        }
                    })
                    .collect()
            })
            .unwrap_or_default();
        let rules = table.strings("rules").unwrap_or_default().into_iter().map(PathBuf::from).collect();
        let mirrors = table
            .with("mirrors", "write a list of \"media-ccc-de\", \"peertube\" and \"archive-org\"", |v| {
                let list = v.as_array().ok_or_else(|| not(v, "a list"))?;
                let mirror = |entry: &Spanned<DeValue<'_>>| match text(entry.get_ref())? {
                    "media-ccc-de" => Ok(MirrorKind::MediaCcc),
                    "peertube" => Ok(MirrorKind::PeerTube),
                    "archive-org" => Ok(MirrorKind::ArchiveOrg),
                    other => Err(format!("`{other}` is no place where mirrors are looked for")),
                };
                list.iter().map(mirror).collect()
            })
            .unwrap_or_else(|| vec![MirrorKind::MediaCcc, MirrorKind::PeerTube]);
        let three_days = Some(Duration::from_secs(3 * 86_400));
        let wait_for_mirror = table.optional_duration("wait-for-mirror").unwrap_or(three_days);
        let archive =
            table.url("archive-org").unwrap_or_else(|| Url::parse("https://archive.org").expect("a constant"));
        let expand = table.bool("expand", true);
        let links = LinksConfig { expand, rules, mirrors, archive, wait_for_mirror, keep };
        table.finish();
        links
    }

    fn service(&self, table: &Table<'_, '_>) -> Service {
        let state = table.string("state").map(PathBuf::from).unwrap_or_else(|| self.default_state());
        let listen = table
            .with("listen", "write an address and a port, like \"127.0.0.1:8080\"", |v| {
                let address = text(v)?;
                address.parse().map_err(|_| format!("`{address}` is not an address and a port"))
            })
            .unwrap_or_else(|| ([127, 0, 0, 1], 8080).into());
        let socket = table.string("socket").map_or_else(|| state.join("oyez.sock"), PathBuf::from);
        let service = Service {
            state,
            listen,
            socket,
            base_url: table.url("base-url"),
            contact: table.string("contact"),
            time_zone: table.zone("time-zone").unwrap_or(TimeZone::UTC),
        };
        table.finish();
        service
    }

    fn default_state(&self) -> PathBuf {
        if let Some(directory) = self.env.var("STATE_DIRECTORY") {
            return PathBuf::from(directory);
        }
        match (self.env.var("XDG_STATE_HOME"), self.env.var("HOME")) {
            (Some(state), _) => Path::new(state).join("oyez"),
            (None, Some(home)) => Path::new(home).join(".local/state/oyez"),
            (None, None) => PathBuf::from("/var/lib/oyez"),
        }
    }

    fn name(&self, table: &Table<'_, '_>) -> String {
        let name = table.required("name", "give it a short name, like \"announcements\"");
        if !name.is_empty() && !is_name(&name) {
            table.error("name", format!("`{name}` is not a name"), "use lower-case letters, digits, `-` and `_`");
        }
        name
    }

    fn kind(&self, table: &Table<'_, '_>, key: &str, kind: &str) {
        if !is_name(kind) {
            table.error(
                key,
                format!("`{kind}` is not a kind"),
                "use `announcement`, `talk`, or a word of your own in lower-case letters",
            );
        }
    }

    fn source(&self, table: &Table<'_, '_>) -> SourceConfig {
        let name = self.name(table);
        let kind = table.string("kind").unwrap_or_else(|| "announcement".to_owned());
        self.kind(table, "kind", &kind);
        let type_name = table.required("type", "write discourse, feed, media-ccc-de or peertube");
        let (spec, usual) = match type_name.as_str() {
            "feed" => (SourceSpec::Feed { url: table.required_url("url") }, 15),
            "media-ccc-de" => {
                let conferences = table.strings("conferences").unwrap_or_default();
                if conferences.is_empty() {
                    table.error("conferences", "it names no conference", "write patterns like [\"nixcon*\"]");
                }
                for glob in &conferences {
                    if globset::Glob::new(glob).is_err() {
                        table.error(
                            "conferences",
                            format!("`{glob}` is not a pattern"),
                            "write patterns like [\"nixcon*\"]",
                        );
                    }
                }
                (SourceSpec::MediaCcc { url: table.required_url("url"), conferences }, 30)
            }
            "peertube" => {
                let channel = table.required("channel", "write the channel's handle, like \"nixcon\"");
                (SourceSpec::PeerTube { url: table.required_url("url"), channel }, 15)
            }
            other => {
                if !other.is_empty() && other != "discourse" {
                    table.error(
                        "type",
                        format!("`{other}` is no type of source"),
                        "write discourse, feed, media-ccc-de or peertube",
                    );
                    // What else it says belongs to a type nobody knows; one mistake is told once.
                    for key in table.table.into_iter().flat_map(|t| t.keys()) {
                        table.taken.borrow_mut().insert(key.get_ref().to_string());
                    }
                }
                let discourse = other == "discourse";
                if discourse && !table.has("category") {
                    table.error("category", "it is missing", "write the category's slug or its number");
                }
                let category = table
                    .with("category", "write the category's slug or its number", |v| match v.as_integer() {
                        Some(_) => whole(v).map(|n| n.to_string()),
                        None => text(v).map(str::to_owned),
                    })
                    .unwrap_or_default();
                let url = if discourse {
                    table.required_url("url")
                } else {
                    Url::parse("https://missing.invalid").expect("a constant")
                };
                let spec = SourceSpec::Discourse {
                    url,
                    category,
                    subcategories: table.bool("subcategories", false),
                    webhook_secret: table.secret("webhook-secret"),
                    api_key: table.secret("api-key"),
                    api_user: table.string("api-user"),
                };
                (spec, 3)
            }
        };
        let every = table.duration("every", Duration::from_secs(usual * 60));
        if every < Duration::from_secs(1) {
            table.error("every", "it is shorter than a second", DURATION_HINT);
        } else if every < Duration::from_secs(60) {
            self.warn(format!("source {name}: `every` is under a minute; forums answer the same bytes for a minute"));
        }
        let source = SourceConfig {
            was: table.string("was"),
            every,
            backfill: table.duration("backfill", Duration::ZERO),
            enabled: table.bool("enabled", true),
            mark: table.string("mark"),
            name,
            kind,
            spec,
        };
        table.finish();
        source
    }

    fn account(&self, table: &Table<'_, '_>, zone: &TimeZone) -> AccountConfig {
        let name = self.name(table);
        let platform = table.required("platform", "write mastodon or file");
        let spec = match platform.as_str() {
            "mastodon" => {
                let visibility = table.string("visibility").unwrap_or_else(|| "public".to_owned());
                if !matches!(visibility.as_str(), "public" | "unlisted" | "private" | "direct") {
                    table.error(
                        "visibility",
                        format!("`{visibility}` is no visibility"),
                        "write public, unlisted, private or direct",
                    );
                }
                let enabled = table.bool("enabled", true);
                // A disabled account needs no token yet.
                let token = if enabled || table.has("token") {
                    table.required_secret("token")
                } else {
                    Secret(SecretString::from(String::new()))
                };
                AccountSpec::Mastodon { server: table.required_url("server"), token, visibility }
            }
            "file" => {
                let path = PathBuf::from(table.required("path", "write a file name, or \"-\" for stdout"));
                let limit = table.integer("limit").unwrap_or(500);
                if !(20..=100_000).contains(&limit) {
                    table.error(
                        "limit",
                        format!("{limit} is no sensible limit"),
                        "write the most characters of a post, 20 to 100000",
                    );
                }
                AccountSpec::File { path, limit: usize::try_from(limit).unwrap_or(500) }
            }
            other => {
                if LATER_PLATFORMS.contains(&other) {
                    table.error(
                        "platform",
                        format!("this version does not speak `{other}` yet"),
                        "leave the account out for now: a later version of oyez speaks it",
                    );
                } else if !other.is_empty() {
                    table.error("platform", format!("`{other}` is no platform"), "write mastodon or file");
                }
                for key in table.table.into_iter().flat_map(|t| t.keys()) {
                    table.taken.borrow_mut().insert(key.get_ref().to_string());
                }
                AccountSpec::File { path: PathBuf::new(), limit: 500 }
            }
        };
        let kinds = table.strings("kinds").unwrap_or_default();
        for kind in &kinds {
            self.kind(table, "kinds", kind);
        }
        let hashtags: Vec<String> = table.strings("hashtags").unwrap_or_default();
        for tag in &hashtags {
            if tag.is_empty()
                || !tag.chars().all(|c| c.is_alphanumeric() || c == '_')
                || tag.chars().all(|c| c.is_numeric())
            {
                table.error(
                    "hashtags",
                    format!("`{tag}` is no hashtag"),
                    "write letters and digits only, without `#`, like [\"NixOS\"]",
                );
            }
        }
        let language = table.string("language");
        if let Some(language) = &language
            && !(language.len() == 2 && language.chars().all(|c| c.is_ascii_lowercase()))
        {
            table.error(
                "language",
                format!("`{language}` is no language"),
                "write two letters of ISO 639-1, like \"en\"",
            );
        }
        let hold = table.table("hold");
        let spacing = hold.has("spacing").then(|| hold.duration("spacing", Duration::ZERO));
        let at_most = hold.rate("at-most");
        let quiet_hours = hold.quiet_hours("quiet-hours", zone);
        self.finish_account_hold(&hold);
        let account = AccountConfig {
            was: table.string("was"),
            kinds,
            hashtags,
            language,
            enabled: table.bool("enabled", true),
            spacing,
            at_most,
            quiet_hours,
            spec,
            name,
        };
        table.finish();
        account
    }

    fn finish_account_hold(&self, hold: &Table<'_, '_>) {
        for (key, _) in hold.table.into_iter().flat_map(|t| t.iter()) {
            if !hold.taken.borrow().contains(key.get_ref().as_ref()) {
                self.error(
                    hold.shown(key.get_ref()),
                    key.span().start,
                    "an account has no such hold setting",
                    Some("an account's hold takes spacing, at-most and quiet-hours".into()),
                );
            }
        }
    }

    fn hold<'p>(&'p self, table: &Table<'p, 'a>, zone: &TimeZone) -> Hold {
        let usual = HoldSettings::default();
        let base = self.hold_settings(table, &usual, zone);
        let mut kinds = BTreeMap::new();
        let own: BTreeSet<&str> = SETTINGS.iter().filter_map(|s| s.path.strip_prefix("hold.")).collect();
        for (key, value) in table.table.into_iter().flat_map(|t| t.iter()) {
            let name = key.get_ref().as_ref();
            if own.contains(name) || !value.get_ref().is_table() {
                continue;
            }
            table.taken.borrow_mut().insert(name.to_owned());
            let inner =
                self.table(format!("hold.{name}"), "hold".to_owned(), value.get_ref().as_table(), value.span().start);
            if !is_name(name) {
                inner.error("", format!("`{name}` is not a kind"), "use lower-case letters");
            }
            let merged = self.hold_settings(&inner, &base, zone);
            kinds.insert(
                name.to_owned(),
                KindHold {
                    spacing: inner.has("spacing").then_some(merged.spacing),
                    at_most: inner.has("at-most").then_some(merged.at_most),
                    quiet_hours: inner.has("quiet-hours").then(|| merged.quiet_hours.clone()),
                    merged,
                },
            );
            inner.finish();
        }
        table.finish();
        if base.window.is_zero() {
            self.warn("hold.window is 0s: nobody has time to veto");
        }
        Hold { base, kinds }
    }

    fn hold_settings(&self, table: &Table<'_, '_>, base: &HoldSettings, zone: &TimeZone) -> HoldSettings {
        HoldSettings {
            window: table.duration("window", base.window),
            settle: table.duration("settle", base.settle),
            settle_at_most: table.duration("settle-at-most", base.settle_at_most),
            grace: table.duration("grace", base.grace),
            quiet_hours: table.quiet_hours("quiet-hours", zone).unwrap_or_else(|| base.quiet_hours.clone()),
            spacing: table.duration("spacing", base.spacing),
            at_most: table.rate("at-most").unwrap_or(base.at_most),
            priority: table.integer("priority").unwrap_or(base.priority),
            ask_expires: table.duration("ask-expires", base.ask_expires),
            stale: table.optional_duration("stale").unwrap_or(base.stale),
        }
    }

    fn policy(&self, table: &Table<'_, '_>) -> PolicyRule {
        let when = table.required("when", "write an expression over the item's fields, like '\"no-social\" in tags'");
        let then = match table.required("then", "write ignore, hold or ask").as_str() {
            "ignore" => VerdictKind::Ignore,
            "ask" => VerdictKind::Ask,
            "hold" | "" => VerdictKind::Hold,
            other => {
                table.error("then", format!("`{other}` is no verdict"), "write ignore, hold or ask");
                VerdictKind::Hold
            }
        };
        let rule = PolicyRule { when, then, because: table.string("because") };
        table.finish();
        // Where it is missing, that was said.
        if let Some(written) = table.raw("when").filter(|_| !rule.when.is_empty()) {
            for flaw in Policy::compile(std::slice::from_ref(&rule)).err().into_iter().flatten() {
                self.error(format!("{}.when", table.shown), written.span().start, flaw.message, flaw.hint);
            }
        }
        rule
    }
}

/// Two of one name, and a former name that is still one's own, are told where the later one stands.
fn unique<'s>(tables: &[Table<'_, '_>], names: impl Iterator<Item = (&'s str, Option<&'s str>)> + Clone) {
    let mut seen = BTreeSet::new();
    for (table, (name, _)) in tables.iter().zip(names.clone()) {
        if !name.is_empty() && !seen.insert(name) {
            table.error("name", format!("two are named `{name}`"), "each needs a name of its own");
        }
    }
    for (table, (_, was)) in tables.iter().zip(names) {
        if let Some(was) = was.filter(|was| seen.contains(was)) {
            let message = format!("`{was}` is the name of one that still exists");
            table.error("was", message, "`was` is the name it had before it was renamed");
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigErrors, Period, Rate};
    use super::*;

    fn errors(text: &str) -> String {
        match Config::parse(text, "oyez.toml", &Env::default()) {
            Ok(_) => "no error".to_owned(),
            Err(errors) => errors.to_string(),
        }
    }

    #[track_caller]
    fn config(text: &str) -> Config {
        match Config::parse(text, "oyez.toml", &Env::of([("TOKEN", "s3cret"), ("HOME", "/home/ida")])) {
            Ok(parsed) => parsed.config,
            Err(errors) => panic!("{errors}"),
        }
    }

    #[test]
    fn an_empty_file_has_the_defaults_of_the_design() {
        let config = config("");
        assert_eq!(config.service.state, Path::new("/home/ida/.local/state/oyez"));
        assert_eq!(config.service.socket, Path::new("/home/ida/.local/state/oyez/oyez.sock"));
        assert_eq!(config.hold.base.window, Duration::from_secs(86_400));
        assert_eq!(config.hold.base.at_most, Some(Rate { count: 3, period: Period::Day }));
        assert_eq!(config.hold.base.quiet_hours.len(), 1);
        assert_eq!(config.hold.base.stale, Some(Duration::from_secs(5 * 86_400)));
    }

    #[test]
    fn a_kind_lies_over_the_base_and_knows_what_it_said_itself() {
        let config = config(
            "[hold]\nspacing = \"3h\"\n[hold.security]\nwindow = \"30m\"\nspacing = \"0s\"\nat-most = \"none\"\nquiet-hours = \"none\"\nstale = \"none\"",
        );
        let security = &config.hold.kinds["security"];
        assert_eq!(security.merged.window, Duration::from_secs(1_800));
        assert_eq!(security.merged.grace, Duration::from_secs(3_600));
        assert_eq!(security.spacing, Some(Duration::ZERO));
        assert_eq!(security.at_most, Some(None));
        assert_eq!(security.quiet_hours, Some(Vec::new()));
        assert_eq!(security.merged.stale, None);
    }

    #[test]
    fn secrets_come_from_elsewhere_and_are_never_printed() {
        let config = config(
            "[[account]]\nname = \"m\"\nplatform = \"mastodon\"\nserver = \"https://social.example\"\ntoken = { env = \"TOKEN\" }",
        );
        assert!(!format!("{config:?}").contains("s3cret"));
        let told = errors(
            "[[account]]\nname = \"m\"\nplatform = \"mastodon\"\nserver = \"https://a.example\"\ntoken = \"hunter2\"",
        );
        assert!(told.contains("line 5") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_line_and_a_hint() {
        let text = r#"
[service]
listen = "everywhere"
time-zone = "Mars/Olympus"
colour = "red"
[hold]
windw = "24h"
settle = "2 dayz"
at-most = "many"
quiet-hours = { from = "late", to = "08:00" }
[team]
login = "oidc"
[[source]]
name = "Announcements!"
type = "discourse"
url = "ftp://forum.example"
[[source]]
name = "b"
type = "gopher"
url = "gopher://x"
[[account]]
name = "b"
platform = "bluesky"
handle = "x"
[[account]]
name = "b"
platform = "file"
path = "-"
server = "https://x.example"
[[policy]]
when = "tagz == 1"
then = "shout"
"#;
        insta::assert_snapshot!(errors(text));
    }

    #[test]
    fn quiet_hours_that_cover_the_week_are_refused() {
        let told = errors("[hold]\nquiet-hours = { from = \"00:00\", to = \"24:00\" }");
        assert!(told.contains("hold.quiet-hours"), "{told}");
    }

    #[test]
    fn a_broken_file_names_the_line() {
        let told = errors("[service\nlisten = 3");
        assert!(told.contains("line 1"), "{told}");
        assert!(!told.contains("listen"), "what follows it may be right: {told}");
    }

    #[test]
    fn an_errors_file_is_named() {
        let errors = Config::parse("x = 1", "/etc/oyez/oyez.toml", &Env::default()).unwrap_err();
        let ConfigErrors { file, .. } = &errors;
        assert_eq!(file, "/etc/oyez/oyez.toml");
        assert!(
            errors.to_string().starts_with("cannot read `x` in `/etc/oyez/oyez.toml` line 1: there is no such setting")
        );
    }
}
