//! Typed settings. `oyez.example.toml` shows them all; [`settings::SETTINGS`] is the list of their names.
pub mod error;
pub mod init;
mod parse;
pub mod settings;
mod table;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use secrecy::SecretString;
use url::Url;

pub use error::{ConfigError, ConfigErrors};
pub use parse::{Env, Parsed};
pub use value::{duration, rate};

/// Everything the operator said, with the defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[service]`.
    pub service: Service,
    /// `[network]`.
    pub network: Network,
    /// `[[source]]`, in the order of the file: text and kind of a joined item come from the first.
    pub sources: Vec<SourceConfig>,
    /// `[links]`.
    pub links: LinksConfig,
    /// `[hold]` and `[hold.KIND]`.
    pub hold: Hold,
    /// `[delivery]`.
    pub delivery: DeliveryConfig,
    /// `[[account]]`.
    pub accounts: Vec<AccountConfig>,
    /// `[templates] dir`.
    pub templates_dir: Option<PathBuf>,
    /// `[[policy]]`, first match decides.
    pub policy: Vec<PolicyRule>,
}

impl Config {
    /// Where the configuration is: as named, else `$OYEZ_CONFIG`, `./oyez.toml`, `/etc/oyez/oyez.toml`. `Err` lists where
    /// it was looked for.
    pub fn locate(explicit: Option<&Path>, env: &Env) -> Result<PathBuf, Vec<PathBuf>> {
        if let Some(path) = explicit {
            return Ok(path.to_owned());
        }
        if let Some(path) = env.var("OYEZ_CONFIG") {
            return Ok(path.into());
        }
        let places = vec![PathBuf::from("oyez.toml"), PathBuf::from("/etc/oyez/oyez.toml")];
        match places.iter().find(|path| path.exists()) {
            Some(path) => Ok(path.clone()),
            None => Err(places),
        }
    }

    /// Reads a file, or says everything that is wrong with it.
    pub fn load(path: &Path, env: &Env) -> Result<Parsed, ConfigErrors> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file, env),
            Err(error) => Err(ConfigErrors {
                file,
                errors: vec![ConfigError {
                    key: String::new(),
                    line: None,
                    message: error.to_string(),
                    hint: Some("`oyez init CATEGORY-URL` writes one".into()),
                }],
            }),
        }
    }

    /// The service's own settings in a file with mistakes, as far as they can be read, defaults for the rest: where to find
    /// the service that runs, and nothing to start one with. `None`: there is no such file.
    pub fn service_of_broken(path: &Path, env: &Env) -> Option<Service> {
        Some(parse::service_of_broken(&std::fs::read_to_string(path).ok()?, env))
    }

    /// Reads a text; `file` is its name in messages.
    pub fn parse(text: &str, file: &str, env: &Env) -> Result<Parsed, ConfigErrors> {
        parse::parse(text, env).map_err(|errors| ConfigErrors { file: file.to_owned(), errors })
    }

    /// The enabled accounts that take items of this kind.
    pub fn accounts_for<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a AccountConfig> {
        self.accounts.iter().filter(move |account| account.takes(kind))
    }

    /// A source by name.
    pub fn source(&self, name: &str) -> Option<&SourceConfig> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// An account by name.
    pub fn account(&self, name: &str) -> Option<&AccountConfig> {
        self.accounts.iter().find(|account| account.name == name)
    }
}

/// `[service]`.
#[derive(Debug, Clone)]
pub struct Service {
    /// The store's directory.
    pub state: PathBuf,
    /// Where webhooks (and later the desk) are served.
    pub listen: SocketAddr,
    /// The Unix socket for the command line.
    pub socket: PathBuf,
    /// How people reach the desk; webhooks are at `{base_url}/hooks/{source}`.
    pub base_url: Option<Url>,
    /// Goes into the User-Agent.
    pub contact: Option<String>,
    /// Quiet hours and calendar days are counted here.
    pub time_zone: TimeZone,
}

/// `[network]`.
#[derive(Debug, Clone)]
pub struct Network {
    /// Nets that addresses chosen by posters may resolve to. For tests only.
    pub allow_private: Vec<ipnet::IpNet>,
    /// For one whole request.
    pub timeout: Duration,
}

/// One `[[source]]`.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// What people call it.
    pub name: String,
    /// Its former name.
    pub was: Option<String>,
    /// What its items are.
    pub kind: String,
    /// The shortest time between two polls.
    pub every: Duration,
    /// On first contact, items younger than this are held.
    pub backfill: Duration,
    /// Off: not polled, its items stay.
    pub enabled: bool,
    /// Marks items as the project's own or the community's: rendered by templates as `mark`.
    pub mark: Option<String>,
    /// Where it reads.
    pub spec: SourceSpec,
}

/// The type-dependent part of a source.
#[derive(Debug, Clone)]
pub enum SourceSpec {
    /// `type = "discourse"`.
    Discourse {
        /// The forum.
        url: Url,
        /// Slug or id, as written.
        category: String,
        /// Are topics of sub-categories announced too?
        subcategories: bool,
        /// Secret of the webhook, if one is set up.
        webhook_secret: Option<Secret>,
        /// For reading as a user (and later replies).
        api_key: Option<Secret>,
        /// Goes with the key.
        api_user: Option<String>,
    },
    /// `type = "feed"`.
    Feed {
        /// The document.
        url: Url,
    },
    /// `type = "media-ccc-de"`.
    MediaCcc {
        /// API base, e.g. `https://api.media.ccc.de`.
        url: Url,
        /// Globs over conference acronyms.
        conferences: Vec<String>,
    },
    /// `type = "peertube"`.
    PeerTube {
        /// The instance.
        url: Url,
        /// Channel handle, `name` or `name@host`.
        channel: String,
    },
}

impl SourceSpec {
    /// The kind of mirror its recordings are, if they are.
    pub fn mirror(&self) -> Option<MirrorKind> {
        match self {
            SourceSpec::MediaCcc { .. } => Some(MirrorKind::MediaCcc),
            SourceSpec::PeerTube { .. } => Some(MirrorKind::PeerTube),
            SourceSpec::Discourse { .. } | SourceSpec::Feed { .. } => None,
        }
    }

    /// The address that the operator named: of the forum, the feed, the API, the instance.
    pub fn url(&self) -> &Url {
        match self {
            SourceSpec::Discourse { url, .. }
            | SourceSpec::Feed { url }
            | SourceSpec::MediaCcc { url, .. }
            | SourceSpec::PeerTube { url, .. } => url,
        }
    }
}

/// A secret, read from a file, the environment or systemd's credentials; never printed.
#[derive(Debug, Clone)]
pub struct Secret(pub SecretString);

/// `[hold]` with every `[hold.KIND]` merged over it.
#[derive(Debug, Clone)]
pub struct Hold {
    /// `[hold]`.
    pub base: HoldSettings,
    /// `[hold.KIND]`: the base with the kind's own keys on top.
    pub kinds: BTreeMap<String, KindHold>,
}

/// One `[hold.KIND]`.
#[derive(Debug, Clone)]
pub struct KindHold {
    /// The base with this kind's keys on top.
    pub merged: HoldSettings,
    /// `spacing` as the kind itself says. `None`: only the base limit holds. `Some(0)`: no spacing at all for this kind.
    pub spacing: Option<Duration>,
    /// `at-most` as the kind itself says. `None`: only the base limit. `Some(None)`: no limit at all for this kind.
    pub at_most: Option<Option<Rate>>,
    /// `quiet-hours` as the kind itself says; an account's own do not replace these.
    pub quiet_hours: Option<Vec<QuietHours>>,
}

/// The keys of `[hold]`.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldSettings {
    /// The veto window.
    pub window: Duration,
    /// No edit by the author for this long before the window starts.
    pub settle: Duration,
    /// Settling ends this long after first sight whatever the author does.
    pub settle_at_most: Duration,
    /// After a late change, a reinstatement or an outage: at least this long, outside quiet hours.
    pub grace: Duration,
    /// Nothing leaves then. Empty: none.
    pub quiet_hours: Vec<QuietHours>,
    /// Between two posts of one account. Zero: none.
    pub spacing: Duration,
    /// Posts of one account in a period.
    pub at_most: Option<Rate>,
    /// Higher goes first when several are ready.
    pub priority: i64,
    /// An ask nobody answered ends this long after its window.
    pub ask_expires: Duration,
    /// Later than this after its first window: ask instead. `None`: never.
    pub stale: Option<Duration>,
}

impl Default for HoldSettings {
    /// `[hold]` as the example shows it.
    fn default() -> Self {
        let hours = |h: u64| Duration::from_secs(h * 3_600);
        Self {
            window: hours(24),
            settle: Duration::from_secs(30 * 60),
            settle_at_most: hours(3),
            grace: hours(1),
            quiet_hours: vec![QuietHours {
                from: Time::constant(22, 0, 0, 0),
                to: Time::constant(8, 0, 0, 0),
                days: Vec::new(),
                zone: None,
            }],
            spacing: hours(2),
            at_most: Some(Rate { count: 3, period: Period::Day }),
            priority: 1,
            ask_expires: hours(7 * 24),
            stale: Some(hours(5 * 24)),
        }
    }
}

/// One range of quiet hours.
#[derive(Debug, Clone, PartialEq)]
pub struct QuietHours {
    /// First quiet moment of the day.
    pub from: Time,
    /// First moment that is not quiet any more; not after `from`: on the next day. `24:00` is written as `from = 00:00, to = 00:00`.
    pub to: Time,
    /// The days on which `from` counts. Empty: every day.
    pub days: Vec<Weekday>,
    /// Zone of the two; else the service's.
    pub zone: Option<TimeZone>,
}

/// `"3/1d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub period: Period,
}

/// The period of a [`Rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// `1d`: a calendar day in the zone.
    Day,
    /// Anything else rolls.
    Rolling(Duration),
}

/// `[links]`.
#[derive(Debug, Clone)]
pub struct LinksConfig {
    /// Ask known shorteners where they lead.
    pub expand: bool,
    /// Files of rules, read after the built-in ones.
    pub rules: Vec<PathBuf>,
    /// Where another place of a YouTube video is looked for, in this order.
    pub mirrors: Vec<MirrorKind>,
    /// The server that is asked as archive.org.
    pub archive: Url,
    /// How long a video that is only on YouTube waits for another place to appear. `None`: it does not.
    pub wait_for_mirror: Option<Duration>,
    /// Hosts whose links are never touched, in lower case; a host counts for all below it.
    pub keep: Vec<String>,
}

/// A kind of place where recordings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorKind {
    /// The configured conferences of media.ccc.de.
    MediaCcc,
    /// The configured PeerTube channels.
    PeerTube,
    /// archive.org, which is asked about each video.
    ArchiveOrg,
}

impl MirrorKind {
    /// The word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            MirrorKind::MediaCcc => "media-ccc-de",
            MirrorKind::PeerTube => "peertube",
            MirrorKind::ArchiveOrg => "archive-org",
        }
    }
}

/// `[delivery]`.
#[derive(Debug, Clone)]
pub struct DeliveryConfig {
    /// Retries end here: failed, and a person is asked.
    pub give_up: Duration,
    /// "Nothing went out on X for nine days while others did."
    pub quiet_after: Duration,
}

/// One `[[account]]`.
#[derive(Debug, Clone)]
pub struct AccountConfig {
    /// What people and scripts call it.
    pub name: String,
    /// Its former name.
    pub was: Option<String>,
    /// Kinds it takes. Empty: all.
    pub kinds: Vec<String>,
    /// Added to each post, without `#`.
    pub hashtags: Vec<String>,
    /// ISO 639-1.
    pub language: Option<String>,
    /// Off: gets nothing new, and nothing leaves.
    pub enabled: bool,
    /// `hold = { spacing, at-most, quiet-hours }` instead of `[hold]`'s.
    pub spacing: Option<Duration>,
    /// See `spacing`.
    pub at_most: Option<Option<Rate>>,
    /// See `spacing`.
    pub quiet_hours: Option<Vec<QuietHours>>,
    /// The network and how to reach it.
    pub spec: AccountSpec,
}

impl AccountConfig {
    /// The platform's word in the configuration, in JSON and in template names.
    pub fn platform(&self) -> &'static str {
        match &self.spec {
            AccountSpec::Mastodon { .. } => "mastodon",
            AccountSpec::File { .. } => "file",
        }
    }

    /// Does it take items of this kind?
    pub fn takes(&self, kind: &str) -> bool {
        self.enabled && (self.kinds.is_empty() || self.kinds.iter().any(|k| k == kind))
    }
}

/// The platform-dependent part of an account.
#[derive(Debug, Clone)]
pub enum AccountSpec {
    /// `platform = "mastodon"`: Mastodon and what speaks its API.
    Mastodon {
        /// The instance.
        server: Url,
        /// The access token.
        token: Secret,
        /// `public`, `unlisted`, `private`, `direct`.
        visibility: String,
    },
    /// `platform = "file"`: appends each post as one JSON object a line; `-` is stdout.
    File {
        /// Where.
        path: PathBuf,
        /// Limit to fit to, in graphemes.
        limit: usize,
    },
}

/// One `[[policy]]`.
#[derive(Debug, Clone)]
pub struct PolicyRule {
    /// A Jinja expression over the item's fields.
    pub when: String,
    /// What happens then.
    pub then: crate::item::VerdictKind,
    /// Why.
    pub because: Option<String>,
}
