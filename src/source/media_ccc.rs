//! Conferences on media.ccc.de (voctoweb's JSON, sources.md 4.1).
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use globset::{Glob, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::feed::{ask, looks_like_html};
use super::{PollContext, Polled, Reread, Sighting, Source, SourceError, reason};
use crate::http::{Answer, Get, Http, Validators};
use crate::item::{Found, Image};
use crate::text;

/// Bytes of one answer: a large congress is 1 MB without its recordings.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Events of one conference; the largest has about 300.
const MAX_EVENTS: usize = 5_000;
/// Conferences asked in one poll, those that waited longest first: a glob of `*` does not ask for 400 at once.
const CONFERENCES_A_POLL: usize = 25;
/// A conference whose last release is older than this is asked once a day only: the list tells of new ones, by day.
const QUIET_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(3 * 24);
const QUIET_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// Seconds. Longer than any talk: a stream of a whole day (sources.md 7.2).
const DAY_LONG_S: u64 = 6 * 3600;

/// A conference, as the list and its own page show it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Conference {
    /// Its name in addresses; what globs match.
    pub acronym: String,
    /// For people.
    #[serde(default, deserialize_with = "nullable")]
    pub title: String,
    /// The day of the last release, as written: a hint whether anything is new.
    #[serde(default)]
    pub event_last_released_at: Option<String>,
}

/// A conference's page, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Events {
    /// The conference, where the document is one.
    pub conference: Option<Conference>,
    /// Talks, in order.
    pub found: Vec<Found>,
    /// One reason each for events that are not announced.
    pub skipped: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Event {
    guid: String,
    #[serde(default, deserialize_with = "nullable")]
    title: String,
    subtitle: Option<String>,
    slug: Option<String>,
    link: Option<String>,
    description: Option<String>,
    original_language: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    persons: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    tags: Vec<String>,
    date: Option<String>,
    release_date: Option<String>,
    length: Option<f64>,
    duration: Option<f64>,
    poster_url: Option<String>,
    thumb_url: Option<String>,
    frontend_link: Option<String>,
    conference_title: Option<String>,
    conference_url: Option<String>,
}

/// `null` where a list or a text should be, as voctoweb writes for what is empty.
fn nullable<'de, T: Default + Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// api.media.ccc.de and media.ccc.de are one application and one host.
fn canonical_host(host: &str) -> &str {
    match host {
        "api.media.ccc.de" | "www.media.ccc.de" => "media.ccc.de",
        _ => host,
    }
}

/// Is it the public installation?
pub fn is_voctoweb(host: &str) -> bool {
    canonical_host(host) == "media.ccc.de"
}

/// What a conference is.
pub fn contact(host: &str, acronym: &str) -> String {
    format!("media-ccc-de:{}/{}", canonical_host(host), acronym.to_ascii_lowercase())
}

/// ISO 639-1 of what voctoweb writes: ISO 639-2/3, or several for a mixed talk, which is none.
fn language(code: &str) -> Option<&'static str> {
    const CODES: [(&str, &str); 32] = [
        ("eng", "en"),
        ("deu", "de"),
        ("ger", "de"),
        ("gsw", "de"),
        ("fra", "fr"),
        ("fre", "fr"),
        ("spa", "es"),
        ("ita", "it"),
        ("por", "pt"),
        ("nld", "nl"),
        ("dut", "nl"),
        ("pol", "pl"),
        ("ces", "cs"),
        ("cze", "cs"),
        ("rus", "ru"),
        ("ukr", "uk"),
        ("jpn", "ja"),
        ("zho", "zh"),
        ("chi", "zh"),
        ("kor", "ko"),
        ("ara", "ar"),
        ("tur", "tr"),
        ("swe", "sv"),
        ("dan", "da"),
        ("nor", "no"),
        ("fin", "fi"),
        ("hun", "hu"),
        ("ell", "el"),
        ("gre", "el"),
        ("hrv", "hr"),
        ("slv", "sl"),
        ("sqi", "sq"),
    ];
    let code = code.trim().to_ascii_lowercase();
    CODES.iter().find(|(long, short)| *long == code || *short == code).map(|(_, short)| *short)
}

impl Event {
    /// Streams of a whole day and relive entries are not one talk (sources.md 7.2).
    fn is_day_long(&self) -> bool {
        let seconds = self.seconds().unwrap_or(0);
        let words: Vec<String> =
            self.title.split(|c: char| !c.is_alphanumeric()).map(str::to_ascii_lowercase).collect();
        let names_a_day =
            words.windows(2).any(|w| matches!(w[0].as_str(), "day" | "tag") && w[1].parse::<u8>().is_ok());
        let relive = words.iter().any(|w| w == "relive" || w == "livestream");
        seconds >= DAY_LONG_S || seconds >= DAY_LONG_S / 2 && (names_a_day || relive)
    }

    fn seconds(&self) -> Option<u64> {
        self.duration.or(self.length).filter(|s| s.is_finite() && *s >= 1.0).map(|s| s as u64)
    }

    /// The talk's page at the event's own site; `https://c3voc.de` and front pages are none.
    fn talk_page(&self) -> Option<Url> {
        let url = Url::parse(self.link.as_deref()?.trim()).ok()?;
        let deep = url.path_segments().is_some_and(|s| s.filter(|s| !s.is_empty()).count() >= 2);
        (matches!(url.scheme(), "http" | "https") && deep).then_some(url)
    }

    fn found(self, base: &Url, conference: Option<&Conference>, shared_link: bool) -> Result<Found, String> {
        let title = text::one_line(&self.title);
        if self.guid.trim().is_empty() || self.guid.len() > 200 {
            return Err(format!("event `{title}` has no guid"));
        }
        if title.is_empty() {
            return Err(format!("event `{}` has no title", self.guid));
        }
        if self.is_day_long() {
            return Err(format!("`{title}` is a stream of a whole day, not a talk"));
        }
        let page = self.frontend_link.as_deref().and_then(|l| Url::parse(l).ok()).or_else(|| {
            let mut url = Url::parse(&format!("https://{}/v/", canonical_host(&ask::host_of(base)))).ok()?;
            url.path_segments_mut().ok()?.pop_if_empty().push(self.slug.as_deref()?);
            Some(url)
        });
        let page = page
            .filter(crate::link::is_for_readers)
            .ok_or_else(|| format!("`{title}` has no page that can be shown"))?;
        let mut aliases: Vec<String> = self.slug.iter().map(|slug| format!("media-ccc-de:slug/{slug}")).collect();
        aliases.extend(crate::link::identity_keys(&page));
        if let Some(talk) = self.talk_page().filter(|_| !shared_link) {
            aliases.extend(crate::link::identity_keys(&talk));
        }
        let mut seen = BTreeSet::new();
        aliases.retain(|a| seen.insert(a.clone()));

        let description = self.description.as_deref().unwrap_or_default();
        let described = if looks_like_html(description) {
            text::from_html(description, &page)
        } else {
            super::peertube::markdown(description)
        };
        let subtitle = text::one_line(self.subtitle.as_deref().unwrap_or_default());
        let body = [subtitle.as_str(), described.text.as_str()]
            .into_iter()
            .filter(|p| !p.is_empty())
            .collect::<Vec<_>>()
            .join("\n\n");
        let picture = self.poster_url.as_deref().or(self.thumb_url.as_deref()).and_then(|p| base.join(p).ok());
        let picture = picture.filter(crate::link::is_for_readers);
        let acronym =
            self.conference_url.as_deref().and_then(|u| u.trim_end_matches('/').rsplit('/').next()).map(str::to_owned);
        let time = |written: &Option<String>| written.as_deref().and_then(|t| t.parse::<Timestamp>().ok());
        let event = self.conference_title.clone().filter(|t| !t.trim().is_empty());
        Ok(Found {
            key: format!("media-ccc-de:{}", self.guid.trim()),
            aliases,
            url: page.into(),
            title,
            // A day, written as its midnight: kept as it was given. When the talk was held says nothing about news.
            published: time(&self.release_date).or_else(|| time(&self.date)),
            text: body,
            links: described.links,
            images: picture.map(|url| Image { url: url.into(), alt: None }).into_iter().collect(),
            tags: self.tags.iter().map(|t| text::one_line(t)).filter(|t| !t.is_empty()).take(50).collect(),
            category: conference.map(|c| c.acronym.clone()).or(acronym),
            language: self.original_language.as_deref().and_then(language).map(str::to_owned),
            duration_s: self.seconds(),
            persons: self.persons.iter().map(|p| text::one_line(p)).filter(|p| !p.is_empty()).take(50).collect(),
            event: event.or_else(|| conference.map(|c| c.title.clone())).map(|t| text::one_line(&t)),
            ..Found::default()
        })
    }
}

/// Reads a conference with its events, or a list of events (recent, search), as an installation at `base` answered it.
///
/// # Errors
/// What it is instead.
pub fn parse_events(bytes: &[u8], base: &Url) -> Result<Events, String> {
    let value = json(bytes)?;
    let conference = Conference::deserialize(&value).ok();
    let Some(list) = value.get("events").and_then(Value::as_array) else {
        return Err("JSON, but no conference: there are no `events`".into());
    };
    let mut events = Events::default();
    let mut read = Vec::new();
    for (at, event) in list.iter().enumerate().take(MAX_EVENTS) {
        match Event::deserialize(event) {
            Ok(event) => read.push(event),
            Err(error) => events.skipped.push(format!("event {} could not be read: {}", at + 1, reason(error))),
        }
    }
    let mut pages: BTreeMap<String, usize> = BTreeMap::new();
    for page in read.iter().filter_map(Event::talk_page) {
        *pages.entry(page.into()).or_default() += 1;
    }
    let mut seen = BTreeSet::new();
    for event in read {
        // An address that several talks share (the conference's) names none of them.
        let shared = event.talk_page().is_some_and(|p| pages.get(p.as_str()).is_some_and(|n| *n > 1));
        match event.found(base, conference.as_ref(), shared) {
            Ok(found) => {
                if seen.insert(found.key.clone()) {
                    events.found.push(found);
                }
            }
            Err(why) => events.skipped.push(reason(why)),
        }
    }
    if events.found.is_empty() && events.skipped.len() == list.len() && !list.is_empty() && conference.is_none() {
        return Err(format!("JSON, but no events of media.ccc.de: {}", events.skipped[0]));
    }
    events.conference = conference;
    Ok(events)
}

/// Reads one event.
///
/// # Errors
/// What it is instead, or why it is not a talk.
pub fn parse_event(bytes: &[u8], base: &Url) -> Result<Found, String> {
    let value = json(bytes)?;
    let event = Event::deserialize(&value).map_err(|e| format!("JSON, but no event of media.ccc.de: {}", reason(e)))?;
    // Alone, nothing tells whether others share its link: only the page of one talk is trusted.
    let shared = !event.talk_page().is_some_and(|p| p.path().contains("/talk/"));
    event.found(base, None, shared).map_err(reason)
}

/// Reads the list of conferences.
///
/// # Errors
/// What it is instead.
pub fn parse_conferences(bytes: &[u8]) -> Result<Vec<Conference>, String> {
    let value = json(bytes)?;
    let Some(list) = value.get("conferences").and_then(Value::as_array) else {
        return Err("JSON, but no list of conferences: there are no `conferences`".into());
    };
    Ok(list.iter().filter_map(|c| Conference::deserialize(c).ok()).filter(|c| !c.acronym.is_empty()).collect())
}

fn json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("broken JSON in line {}: {e}", e.line()))
}

/// Conferences that are followed.
#[derive(Debug, Clone)]
pub struct MediaCcc {
    base: Url,
    host: String,
    globs: GlobSet,
    /// The globs as written.
    patterns: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Memory {
    /// Of the list of conferences.
    #[serde(default)]
    validators: Validators,
    /// Every conference there was at first contact with the host, or when the globs changed: none of these is ever new as
    /// a whole.
    #[serde(default)]
    first: Option<BTreeSet<String>>,
    /// The globs of the last poll.
    #[serde(default)]
    globs: Vec<String>,
    /// The list as of the last 200: acronym and day of the last release.
    #[serde(default)]
    listed: BTreeMap<String, Option<String>>,
    /// What was asked of each followed conference.
    #[serde(default)]
    followed: BTreeMap<String, Followed>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Followed {
    #[serde(default)]
    validators: Validators,
    /// The day of the last release when it was asked.
    #[serde(default)]
    released: Option<String>,
    /// When it was asked.
    #[serde(default)]
    asked: Option<Timestamp>,
}

impl Memory {
    /// Must it be asked? Yes when the list says something new, while releases are fresh (the list knows only their
    /// day), and once a day.
    fn is_due(&self, acronym: &str, now: Timestamp) -> bool {
        let Some(followed) = self.followed.get(acronym) else { return true };
        let Some(asked) = followed.asked else { return true };
        let released = self.listed.get(acronym).cloned().flatten();
        let fresh = released
            .as_deref()
            .and_then(|r| r.parse::<Timestamp>().ok())
            .is_none_or(|r| now.duration_since(r) < QUIET_AFTER);
        // A clock that was set back must not silence it.
        let rested = now.duration_since(asked) >= QUIET_EVERY || asked > now;
        fresh || rested || released != followed.released
    }
}

impl MediaCcc {
    /// Conferences of the API at `url` whose acronyms match one of `globs`.
    ///
    /// # Errors
    /// The glob that is none.
    pub fn new(url: Url, globs: &[String]) -> Result<Self, SourceError> {
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            let glob = Glob::new(&glob.to_ascii_lowercase()).map_err(|e| {
                SourceError::Misconfigured(format!("`{glob}` is not a glob over conference acronyms: {e}"))
            })?;
            set.add(glob);
        }
        let patterns = globs.to_vec();
        let globs = set.build().map_err(|e| SourceError::Misconfigured(format!("`conferences`: {e}")))?;
        Ok(Self { host: ask::host_of(&url), base: url, globs, patterns })
    }

    fn address(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.set_query(None);
        let public = url.path().trim_end_matches('/').ends_with("/public");
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            if !public {
                path.push("public");
            }
            path.extend(segments);
        }
        url
    }

    async fn get(&self, http: &Http, url: &Url, validators: Validators, now: Timestamp) -> Result<Answer, SourceError> {
        let get = Get { accept: Some("application/json"), validators, max_bytes: MAX_BYTES, ..Get::default() };
        let answer = http.get(url, get, now).await.map_err(ask::no_answer)?;
        match answer.status {
            304 => Ok(answer),
            200 if ask::is_html(&answer.body, answer.content_type.as_deref()) => {
                Err(SourceError::Broken(format!("{} answered with an HTML page instead of JSON", self.host)))
            }
            200 => Ok(answer),
            _ => Err(ask::refused(&answer)),
        }
    }

    fn contact(&self, acronym: &str) -> String {
        contact(&self.host, acronym)
    }

    fn sighting(&self, found: Found, contact: &str, now: Timestamp) -> Sighting {
        let persons = found.persons.iter().map(String::as_str);
        let parts = [found.title.as_str(), found.text.as_str(), found.url.as_str()];
        let published = ask::bounded(found.published, now);
        Sighting {
            key: found.key.clone(),
            contact: contact.to_owned(),
            url: found.url.clone(),
            title: found.title.clone(),
            published,
            fingerprint: ask::fingerprint(parts.into_iter().chain(persons)),
            pinned: false,
            full: Some(Found { published, ..found }),
        }
    }

    /// Refreshes the list of conferences in `memory`. Says whether it changed.
    async fn list(
        &self,
        context: &PollContext<'_>,
        memory: &mut Memory,
        polled: &mut Polled,
    ) -> Result<bool, SourceError> {
        let answer =
            self.get(context.http, &self.address(&["conferences"]), memory.validators.clone(), context.now).await?;
        polled.at_least = answer.fresh_for;
        if answer.status == 304 {
            memory.validators = ask::renewed(memory.validators.clone(), &answer.validators);
            return Ok(false);
        }
        let conferences = parse_conferences(&answer.body).map_err(SourceError::Broken)?;
        if conferences.is_empty() {
            // Believing it at first contact would make every conference new as a whole later.
            return Err(SourceError::Broken(format!("{} lists no conferences", self.host)));
        }
        memory.listed = conferences.into_iter().map(|c| (c.acronym, c.event_last_released_at)).collect();
        memory.first.get_or_insert_with(|| memory.listed.keys().cloned().collect());
        memory.validators = answer.validators;
        Ok(true)
    }
}

#[async_trait]
impl Source for MediaCcc {
    fn host(&self) -> &str {
        &self.host
    }

    async fn poll(&self, context: &PollContext<'_>) -> Result<Polled, SourceError> {
        let host = canonical_host(&self.host);
        let mut memory: Memory = ask::recall(context.memory, host);
        let mut polled = Polled::default();
        if memory.globs != self.patterns {
            // What another glob matches was there before; only what appears from now on is new.
            let listed: Vec<String> = memory.listed.keys().cloned().collect();
            if let Some(first) = &mut memory.first {
                first.extend(listed);
            }
            memory.globs.clone_from(&self.patterns);
        }
        self.list(context, &mut memory, &mut polled).await?;
        let followed: Vec<String> =
            memory.listed.keys().filter(|a| self.globs.is_match(a.to_ascii_lowercase())).cloned().collect();
        let mut due: Vec<&String> = followed.iter().filter(|a| memory.is_due(a, context.now)).collect();
        due.sort_by_key(|a| memory.followed.get(*a).and_then(|f| f.asked));
        let due: Vec<String> = due.into_iter().take(CONFERENCES_A_POLL).cloned().collect();
        polled.unchanged = true;
        for acronym in due {
            let contact = self.contact(&acronym);
            let old = memory.followed.get(&acronym).cloned().unwrap_or_default();
            let url = self.address(&["conferences", &acronym]);
            let answer = match self.get(context.http, &url, old.validators.clone(), context.now).await {
                Ok(answer) => answer,
                Err(error) => {
                    // What was read stays read. The rest of the round is left, so that a server in trouble is not
                    // asked on and on; those conferences are due again next time.
                    let wait = if let SourceError::Later { after, .. } = &error { *after } else { None };
                    if polled.contacts.is_empty() {
                        return Err(error);
                    }
                    polled.skipped.push(format!("conference `{acronym}`: {error}"));
                    polled.at_least = ask::longer(polled.at_least, wait);
                    memory.followed.insert(acronym, Followed { asked: None, ..old });
                    break;
                }
            };
            let released = memory.listed.get(&acronym).cloned().flatten();
            let mut now_followed = Followed { asked: Some(context.now), released, validators: Validators::default() };
            if answer.status == 304 {
                now_followed.validators = ask::renewed(old.validators, &answer.validators);
            } else {
                match parse_events(&answer.body, &self.base) {
                    Ok(events) => {
                        let later = memory.first.as_ref().is_some_and(|first| !first.contains(&acronym));
                        if later && !(context.contacted)(&contact) {
                            polled.new_as_a_whole.push(contact.clone());
                        }
                        polled.unchanged = false;
                        polled.skipped.extend(events.skipped.into_iter().take(100));
                        polled
                            .sightings
                            .extend(events.found.into_iter().map(|f| self.sighting(f, &contact, context.now)));
                        now_followed.validators = answer.validators;
                    }
                    Err(reason) => {
                        polled.skipped.push(format!("conference `{acronym}`: {reason}"));
                        memory.followed.insert(acronym, Followed { asked: Some(context.now), ..Followed::default() });
                        continue;
                    }
                }
            }
            polled.contacts.push(contact);
            memory.followed.insert(acronym, now_followed);
        }
        memory.followed.retain(|acronym, _| followed.contains(acronym));
        polled.at_least = ask::longer(polled.at_least, None::<Duration>);
        polled.memory = ask::remember(&memory, host);
        Ok(polled)
    }

    async fn read(&self, http: &Http, found: &Found, now: Timestamp) -> Result<Reread, SourceError> {
        let Some(guid) = found.key.strip_prefix("media-ccc-de:") else { return Ok(Reread::Unknown) };
        let url = self.address(&["events", guid]);
        let get = Get { accept: Some("application/json"), max_bytes: MAX_BYTES, ..Get::default() };
        let answer = http.get(&url, get, now).await.map_err(ask::no_answer)?;
        let from_voctoweb = serde_json::from_slice::<Value>(&answer.body).is_ok_and(|v| v.is_object());
        match answer.status {
            200 => {}
            404 if from_voctoweb => return Ok(Reread::Gone("deleted".into())),
            _ => return Err(ask::within_the_hour(ask::refused(&answer))),
        }
        parse_event(&answer.body, &self.base).map(|f| Reread::Present(Box::new(f))).map_err(SourceError::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFERENCE: &[u8] = include_bytes!("../../tests/fixtures/media_ccc/conference.json");

    fn base() -> Url {
        Url::parse("https://api.media.ccc.de").unwrap()
    }

    #[test]
    fn reads_a_conference() {
        let events = parse_events(CONFERENCE, &base()).unwrap();
        assert_eq!(events.found.len(), 2);
        let talk = &events.found[0];
        assert_eq!(talk.key, "media-ccc-de:11111111-2222-5333-8444-555555555555");
        assert_eq!(talk.url, "https://media.ccc.de/v/nixcon2025-1-flakes");
        assert_eq!(talk.language.as_deref(), Some("en"));
        assert_eq!(talk.event.as_deref(), Some("NixCon 2025"));
        assert_eq!(talk.category.as_deref(), Some("nixcon2025"));
        assert_eq!(talk.persons, ["Ada Example", "Bob Example"]);
        assert_eq!(talk.duration_s, Some(1933));
        assert_eq!(talk.published.map(|t| t.to_string()).as_deref(), Some("2025-09-07T22:00:00Z"));
        assert!(talk.aliases.contains(&"media-ccc-de:slug/nixcon2025-1-flakes".to_owned()));
        assert!(talk.images[0].url.ends_with("_preview.jpg"));
        assert_eq!(events.found[1].language, None);
        // The stream of a whole day and the event without a guid.
        assert_eq!(events.skipped.len(), 2, "{:?}", events.skipped);
    }

    #[test]
    fn a_conference_is_the_same_at_both_hosts() {
        assert_eq!(contact("api.media.ccc.de", "NixCon2025"), "media-ccc-de:media.ccc.de/nixcon2025");
        assert_eq!(contact("media.ccc.de", "nixcon2025"), contact("api.media.ccc.de", "nixcon2025"));
        assert_eq!(contact("127.0.0.1:8000", "x"), "media-ccc-de:127.0.0.1:8000/x");
    }

    #[test]
    fn promise_11_an_unchanged_conference_costs_nothing() {
        #[track_caller]
        fn check(released: Option<&str>, then: Option<&str>, hours_ago: i64, want: bool) {
            let now: Timestamp = "2026-01-10T12:00:00Z".parse().unwrap();
            let followed = Followed {
                released: then.map(str::to_owned),
                asked: Some(now - jiff::SignedDuration::from_hours(hours_ago)),
                ..Followed::default()
            };
            let memory = Memory {
                listed: [("x".to_owned(), released.map(str::to_owned))].into(),
                followed: [("x".to_owned(), followed)].into(),
                ..Memory::default()
            };
            assert_eq!(memory.is_due("x", now), want);
        }
        let (old, new) = (Some("2025-12-01T00:00:00.000+01:00"), Some("2026-01-10T00:00:00.000+01:00"));
        check(old, old, 1, false);
        check(old, old, 25, true);
        check(new, old, 1, true);
        check(new, new, 1, true);
        check(None, None, 1, true);
    }

    #[test]
    fn addresses_keep_the_path_of_the_base() {
        #[track_caller]
        fn check(base: &str, want: &str) {
            let source = MediaCcc::new(Url::parse(base).unwrap(), &["nixcon*".into()]).unwrap();
            assert_eq!(source.address(&["conferences", "a b"]).as_str(), want);
        }
        check("https://api.media.ccc.de", "https://api.media.ccc.de/public/conferences/a%20b");
        check("https://media.ccc.de/public/", "https://media.ccc.de/public/conferences/a%20b");
    }
}
