//! Reading typed values out of a TOML document, going on after a mistake: each is told with its key, its line and a way out.
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use url::Url;

use super::error::ConfigError;
use super::parse::Env;
use super::settings::{LATER, SETTINGS};
use super::value::{duration, rate, time, weekday};
use super::{QuietHours, Rate, Secret};
use crate::hold::check_quiet;

pub(super) const DURATION_HINT: &str = "write a number and a unit, like `48h`, `2d` or `1d12h`";
pub(super) const SECRET_HINT: &str = "write { file = \"PATH\" }, { env = \"NAME\" } or { credential = \"NAME\" }";
const QUIET_HINT: &str = "write { from = \"22:00\", to = \"08:00\" }, a list of such, or \"none\"";

/// The text being read, and what was found wrong or odd in it so far.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) env: &'a Env,
    pub(super) errors: RefCell<Vec<ConfigError>>,
    pub(super) warnings: RefCell<Vec<String>>,
}

impl<'a> Parser<'a> {
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    pub(super) fn error(&self, key: String, at: usize, message: impl Display, hint: Option<String>) {
        self.errors.borrow_mut().push(ConfigError {
            key,
            line: Some(self.line(at)),
            message: message.to_string(),
            hint,
        });
    }

    pub(super) fn warn(&self, warning: impl Into<String>) {
        self.warnings.borrow_mut().push(warning.into());
    }

    pub(super) fn table<'p>(
        &'p self,
        shown: String,
        path: String,
        table: Option<&'p DeTable<'p>>,
        at: usize,
    ) -> Table<'p, 'a> {
        Table { parser: self, shown, path, table, at, taken: RefCell::default() }
    }
}

/// A table being read: what is not taken out of it is unknown.
pub(super) struct Table<'p, 'a> {
    parser: &'p Parser<'a>,
    /// For messages: `source[0]`.
    pub(super) shown: String,
    /// For the list of settings: `source`.
    path: String,
    pub(super) table: Option<&'p DeTable<'p>>,
    at: usize,
    pub(super) taken: RefCell<BTreeSet<String>>,
}

impl<'p, 'a> Table<'p, 'a> {
    pub(super) fn raw(&self, key: &str) -> Option<&'p Spanned<DeValue<'p>>> {
        self.taken.borrow_mut().insert(key.to_owned());
        self.table.and_then(|table| table.get(key))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    pub(super) fn shown(&self, key: &str) -> String {
        if self.shown.is_empty() { key.to_owned() } else { format!("{}.{key}", self.shown) }
    }

    /// A mistake in `key`: told where its value stands, or where the table begins when there is none.
    pub(super) fn error(&self, key: &str, message: impl Display, hint: impl Into<Option<&'static str>>) {
        self.error_at(self.place(key), key, message, hint);
    }

    /// The same for a part of the value, which stands at `at`.
    fn error_at(&self, at: usize, key: &str, message: impl Display, hint: impl Into<Option<&'static str>>) {
        self.parser.error(self.shown(key), at, message, hint.into().map(str::to_owned));
    }

    /// In bytes from the start of the text.
    pub(super) fn place(&self, key: &str) -> usize {
        self.table.and_then(|table| table.get(key)).map_or(self.at, |value| value.span().start)
    }

    /// A value read by `read`; `None` when absent or wrong (which is told).
    pub(super) fn with<T>(
        &self,
        key: &str,
        hint: &'static str,
        read: impl FnOnce(&'p DeValue<'p>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.raw(key)?;
        match read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(message) => {
                self.error(key, message, hint);
                None
            }
        }
    }

    pub(super) fn string(&self, key: &str) -> Option<String> {
        self.with(key, "write it in quotes", text).map(str::to_owned)
    }

    pub(super) fn required(&self, key: &str, hint: &'static str) -> String {
        if !self.has(key) {
            self.error(key, "it is missing", hint);
        }
        self.string(key).unwrap_or_default()
    }

    pub(super) fn bool(&self, key: &str, default: bool) -> bool {
        self.with(key, "write true or false", |v| v.as_bool().ok_or_else(|| not(v, "true or false"))).unwrap_or(default)
    }

    pub(super) fn integer(&self, key: &str) -> Option<i64> {
        self.with(key, "write a whole number, without quotes", whole)
    }

    pub(super) fn duration(&self, key: &str, default: Duration) -> Duration {
        self.with(key, DURATION_HINT, |v| duration(text(v)?)).unwrap_or(default)
    }

    /// A duration that can be switched off with "none".
    pub(super) fn optional_duration(&self, key: &str) -> Option<Option<Duration>> {
        self.with(key, DURATION_HINT, |v| match text(v)? {
            "none" => Ok(None),
            other => duration(other).map(|d| (!d.is_zero()).then_some(d)),
        })
    }

    pub(super) fn rate(&self, key: &str) -> Option<Option<Rate>> {
        self.with(key, "write a count and a period, like `3/1d` or `2/6h`, or \"none\"", |v| match text(v)? {
            "none" => Ok(None),
            other => rate(other).map(Some),
        })
    }

    pub(super) fn strings(&self, key: &str) -> Option<Vec<String>> {
        self.with(key, "write a list of texts, like [\"one\", \"two\"]", |v| {
            let list = v.as_array().ok_or_else(|| not(v, "a list"))?;
            list.iter().map(|entry| text(entry.get_ref()).map(str::to_owned)).collect()
        })
    }

    pub(super) fn nets(&self, key: &str) -> Vec<ipnet::IpNet> {
        self.with(key, "write a list of networks, like [\"127.0.0.0/8\"]", |v| {
            let list = v.as_array().ok_or_else(|| not(v, "a list"))?;
            list.iter()
                .map(|entry| {
                    let net = text(entry.get_ref())?;
                    net.parse().map_err(|_| format!("`{net}` is not a network"))
                })
                .collect()
        })
        .unwrap_or_default()
    }

    pub(super) fn url(&self, key: &str) -> Option<Url> {
        self.with(key, "write it as https://…, without user name and password", |v| {
            let address = text(v)?;
            // What stands before an `@` may be a password, whatever is wrong with the rest.
            let named = if address.contains('@') { "the text".to_owned() } else { format!("`{address}`") };
            let url: Url = address.parse().map_err(|error| format!("{named} is not an address: {error}"))?;
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                return Err(format!("{named} is not a web address"));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err("an address must not hold a user name or password".to_owned());
            }
            Ok(url)
        })
    }

    pub(super) fn required_url(&self, key: &str) -> Url {
        if !self.has(key) {
            self.error(key, "it is missing", "write it as https://…");
        }
        // Whoever gets this stand-in never sees it used: the missing key is an error already.
        self.url(key).unwrap_or_else(|| Url::parse("https://missing.invalid").expect("a constant"))
    }

    pub(super) fn secret(&self, key: &str) -> Option<Secret> {
        let value = self.raw(key)?;
        let Some(table) = value.get_ref().as_table() else {
            // The text itself is not repeated: it may be the secret.
            self.error(key, "a secret never stands in the configuration itself", SECRET_HINT);
            return None;
        };
        let entries: Vec<_> = table.iter().collect();
        let [(kind, name)] = entries.as_slice() else {
            self.error(key, "it names more or less than one place", SECRET_HINT);
            return None;
        };
        let Some(name) = name.get_ref().as_str() else {
            self.error(key, "the place is not a text", SECRET_HINT);
            return None;
        };
        let read = match kind.get_ref().as_ref() {
            // What does not look like a place may be the secret itself, in the wrong one: it is not repeated.
            "file" => {
                let named = if is_path(name) { format!("`{name}`") } else { "the file named there".to_owned() };
                read_secret(Path::new(name)).map_err(|why| format!("{named}: {why}"))
            }
            "env" => {
                let why = || match is_variable(name) {
                    true => format!("the variable `{name}` is not set"),
                    false => "what stands there is not the name of a variable".to_owned(),
                };
                self.parser.env.var(name).map(str::to_owned).ok_or_else(why)
            }
            "credential" => match self.parser.env.var("CREDENTIALS_DIRECTORY") {
                Some(directory) => read_secret(&Path::new(directory).join(name))
                    .map_err(|why| format!("the credential named there, in `{directory}`: {why}")),
                None => Err("a credential: $CREDENTIALS_DIRECTORY is not set (systemd sets it)".to_owned()),
            },
            other => {
                self.error(key, format!("`{other}` is no place for a secret"), SECRET_HINT);
                return None;
            }
        };
        match read {
            Ok(secret) => Some(Secret(SecretString::from(secret))),
            Err(_) if self.parser.env.without_secrets => Some(Secret(SecretString::from(String::new()))),
            Err(message) => {
                let hint = match kind.get_ref().as_ref() {
                    "file" => "put it into the file, which the user that the service runs as must be able to read",
                    "env" => "set it where the service is started, or keep the secret in a file: { file = \"PATH\" }",
                    _ => "name it in the unit with LoadCredential=; a shell has no credentials",
                };
                self.error(key, message, hint);
                None
            }
        }
    }

    pub(super) fn required_secret(&self, key: &str) -> Secret {
        if !self.has(key) {
            self.error(key, "it is missing", SECRET_HINT);
        }
        self.secret(key).unwrap_or_else(|| Secret(SecretString::from(String::new())))
    }

    pub(super) fn quiet_hours(&self, key: &str, zone: &TimeZone) -> Option<Vec<QuietHours>> {
        let value = self.raw(key)?;
        let at = value.span().start;
        let quiet = match value.get_ref() {
            v if v.as_str() == Some("none") => Some(Vec::new()),
            v if v.is_table() => self.quiet_range(key, v, at).map(|range| vec![range]),
            v => match v.as_array() {
                Some(list) => {
                    list.iter().map(|entry| self.quiet_range(key, entry.get_ref(), entry.span().start)).collect()
                }
                None => {
                    self.error(key, "it is no range of hours", QUIET_HINT);
                    None
                }
            },
        }?;
        if let Err(always) = check_quiet(&quiet, zone) {
            self.error(key, always, "leave some hours in which posts may go out");
        }
        Some(quiet)
    }

    pub(super) fn quiet_range(&self, key: &str, value: &'p DeValue<'p>, at: usize) -> Option<QuietHours> {
        let Some(table) = value.as_table() else {
            self.error_at(at, key, "it is no range of hours", QUIET_HINT);
            return None;
        };
        let inner = self.parser.table(self.shown(key), format!("{}.{key}", self.path), Some(table), at);
        let hour = |name: &str| {
            if !inner.has(name) {
                inner.error(name, "it is missing", QUIET_HINT);
            }
            inner.with(name, "write it like 22:00", |v| time(text(v)?))
        };
        let (from, to) = (hour("from"), hour("to"));
        let days = inner
            .with("days", "write them like [\"sat\", \"sun\"]", |v| {
                let list = v.as_array().ok_or_else(|| not(v, "a list"))?;
                list.iter().map(|entry| weekday(text(entry.get_ref())?)).collect()
            })
            .unwrap_or_default();
        let zone = inner.zone("zone");
        inner.finish();
        Some(QuietHours { from: from?, to: to?, days, zone })
    }

    pub(super) fn zone(&self, key: &str) -> Option<TimeZone> {
        self.with(key, "write a name of the IANA list, like \"Europe/Berlin\"", |v| {
            let name = text(v)?;
            TimeZone::get(name).map_err(|_| format!("`{name}` is not a time zone"))
        })
    }

    /// A table inside this one; an absent one reads as empty.
    pub(super) fn table(&self, key: &str) -> Table<'p, 'a> {
        let value = self.raw(key);
        let table = value.and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.error(key, "it is not a section", None);
            }
            table
        });
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        self.parser.table(self.shown(key), path, table, value.map_or(self.at, |v| v.span().start))
    }

    /// The tables of `[[key]]`.
    pub(super) fn tables(&self, key: &str) -> Vec<Table<'p, 'a>> {
        let Some(value) = self.raw(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            let message = format!("it is not a list: write [[{key}]]");
            self.error(key, message, None);
            return Vec::new();
        };
        list.iter()
            .enumerate()
            .filter_map(|(i, entry)| {
                let shown = format!("{}[{i}]", self.shown(key));
                match entry.get_ref().as_table() {
                    Some(table) => {
                        let name = table.get("name").and_then(|n| n.get_ref().as_str());
                        let shown = name.map_or(shown, |name| format!("{key} {name}"));
                        Some(self.parser.table(shown, key.to_owned(), Some(table), entry.span().start))
                    }
                    None => {
                        self.error_at(entry.span().start, key, format!("write [[{key}]]"), None);
                        None
                    }
                }
            })
            .collect()
    }

    /// Every key nobody asked for is unknown.
    pub(super) fn finish(&self) {
        let Some(table) = self.table else { return };
        let taken = self.taken.borrow();
        for (key, _) in table.iter() {
            let name = key.get_ref().as_ref();
            if taken.contains(name) {
                continue;
            }
            let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
            let hint = if LATER.contains(&path.as_str()) {
                Some("a later version of oyez reads this: leave it out for now".to_owned())
            } else {
                let prefix = if self.path.is_empty() { String::new() } else { format!("{}.", self.path) };
                let elsewhere = SETTINGS.iter().any(|s| s.path == path);
                let near = SETTINGS
                    .iter()
                    .filter_map(|s| s.path.strip_prefix(&prefix))
                    .map(|rest| rest.split('.').next().unwrap_or(rest))
                    .map(|candidate| (distance(candidate, name), candidate))
                    .min();
                match near {
                    _ if elsewhere => Some("it does not belong to this type".to_owned()),
                    Some((d, candidate)) if d <= 2.max(name.len() / 3) => Some(format!("did you mean `{candidate}`?")),
                    _ => None,
                }
            };
            self.parser.error(self.shown(name), key.span().start, "there is no such setting", hint);
        }
    }
}

pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| not(value, "a text"))
}

pub(super) fn whole(value: &DeValue<'_>) -> Result<i64, String> {
    let integer = value.as_integer().ok_or_else(|| not(value, "a whole number"))?;
    i64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| "it is too large".to_owned())
}

pub(super) fn not(value: &DeValue<'_>, wanted: &str) -> String {
    let is = value.type_str();
    let article = if is.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("it is {article} {is}, not {wanted}")
}

/// Capital letters, digits and underscores, as variables are named by everybody: tokens are not.
fn is_variable(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Written as most write the place of a file. Tokens may have slashes in them, but hardly begin so.
fn is_path(name: &str) -> bool {
    ["/", "./", "../"].iter().any(|start| name.starts_with(start))
}

fn read_secret(path: &Path) -> Result<String, String> {
    let secret = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let secret = secret.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err("it is empty".to_owned());
    }
    if secret.contains(char::is_control) {
        // Of a token: no server would take it, and it could not even be sent.
        return Err("it holds more than one line, or characters that nobody types".to_owned());
    }
    Ok(secret.to_owned())
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let next = (diagonal + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}
