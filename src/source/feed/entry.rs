//! One entry of a feed as a [`Found`].
use std::collections::HashMap;

use feed_rs::model::{Entry, Feed as Model, Link};
use jiff::Timestamp;
use jiff::civil::DateTime;
use url::Url;

use super::outline::Extra;
use super::{ParsedEntry, ask};
use crate::item::{Author, Found, Image};
use crate::source::peertube;
use crate::text::{self, Body};

/// Bytes of one entry's body; what is beyond is not posted anyway, and HTML parsers are not linear.
const MAX_BODY: usize = 512 * 1024;
/// Tags, persons and images kept of one entry.
const MAX_LIST: usize = 50;

/// What all entries of a feed share.
pub(super) struct Shared<'a> {
    pub(super) base: &'a Url,
    pub(super) contact: &'a str,
    pub(super) home: Option<&'a Url>,
    pub(super) feed_title: &'a str,
    pub(super) language: Option<String>,
    pub(super) peertube: bool,
    /// `updated` is the author's word: in Atom and JSON Feed, but RSS copies `pubDate` into it.
    pub(super) says_changed: bool,
    /// How often each address is the link of an entry: one that several share names none of them.
    pub(super) links: HashMap<String, usize>,
    /// How often each guid occurs.
    pub(super) ids: HashMap<String, usize>,
}

/// The address of an entry: alternate first, never a comment page or the feed itself.
pub(super) fn address(entry: &Entry, extra: &Extra, base: &Url) -> Option<Url> {
    let http = |href: &str| {
        let url = base.join(href.trim()).ok()?;
        crate::link::is_for_readers(&url).then_some(url)
    };
    let is = |link: &&Link, rel: &str| link.rel.as_deref() == Some(rel);
    let pages = || entry.links.iter().filter(|l| l.target.is_none());
    let plain = || pages().filter(|l| l.rel.is_none() && l.media_type.is_none());
    let alternate = pages()
        .filter(|l| is(l, "alternate") && l.media_type.as_deref().is_none_or(|t| t.contains("html")))
        .chain(plain())
        .chain(pages().filter(|l| is(l, "alternate")))
        .find_map(|l| http(&l.href));
    alternate.or_else(|| {
        let permalink = extra.id.as_deref().filter(|id| !extra.not_permalink && is_web(id));
        permalink.and_then(http).or_else(|| {
            pages().filter(|l| ["related", "via", "enclosure"].iter().any(|rel| is(l, rel))).find_map(|l| http(&l.href))
        })
    })
}

fn is_web(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Turns an entry into what the rest of the program sees.
///
/// # Errors
/// Why it cannot be announced, as a sentence that names it.
pub(super) fn convert(entry: &Entry, extra: &Extra, shared: &Shared<'_>) -> Result<ParsedEntry, String> {
    let title = entry.title.as_ref().map(|t| text::title_from_html(&t.content)).unwrap_or_default();
    let title = text::one_line(&title);
    let named =
        if title.is_empty() { extra.id.clone().unwrap_or_else(|| "without a title".into()) } else { title.clone() };
    let named: String = named.chars().take(80).collect();
    // Known by its guid, it may stand on the feed's page without one of its own.
    let link =
        address(entry, extra, shared.base).or_else(|| extra.id.is_some().then(|| shared.home.cloned()).flatten());
    let link = link.filter(crate::link::is_for_readers);
    let Some(link) = link else {
        return Err(if extra.id.is_none() {
            format!("entry `{named}` has neither a guid nor a link")
        } else {
            format!("entry `{named}` has no address to send people to")
        });
    };

    let mut found = Found {
        url: link.to_string(),
        title,
        published: published(entry, extra),
        language: entry.language.as_deref().and_then(language).or_else(|| shared.language.clone()),
        author: author(entry),
        tags: tags(entry),
        duration_s: duration(entry, extra),
        ..Found::default()
    };
    let body = body(entry, &link, shared.base);
    identify(&mut found, &link, entry, extra, shared);
    // YouTube's moves with the view counter (sources.md 3.1).
    if shared.says_changed && !found.key.starts_with("youtube:") {
        let updated = entry.updated.and_then(|t| Timestamp::from_second(t.timestamp()).ok());
        found.changed = updated.filter(|u| found.published.is_some_and(|p| p < *u));
    }
    fill(&mut found, body, entry, shared.base);
    if found.key.starts_with("youtube:") {
        let named = recordings_named(&found);
        found.aliases.extend(named);
    }
    if found.title.is_empty() {
        // RSS allows entries that are only a description.
        let line = text::one_line(found.text.lines().next().unwrap_or_default());
        found.title = text::one_line(&line.chars().take(120).collect::<String>());
    }
    if found.title.is_empty() {
        return Err(format!("entry `{named}` has neither a title nor a text"));
    }
    let views = entry.media.iter().find_map(|m| m.community.as_ref().and_then(|c| c.stats_views));
    Ok(ParsedEntry { found, pinned: extra.pinned, views })
}

/// What the description of a video says of the talk that it shows: exact keys 1 and 3 of sources.md 7.2.
fn recordings_named(found: &Found) -> Vec<String> {
    // Its publisher writes the talk's page at media.ccc.de as the first line; further down it is somebody else's talk.
    let first = found.text.lines().next().unwrap_or_default().trim();
    let media = Url::parse(first).ok().map(|url| crate::link::identity_keys(&url)).unwrap_or_default();
    let mut keys: Vec<String> = media.into_iter().filter(|key| key.starts_with("media-ccc-de:")).collect();
    // The page of the talk on the event's own schedule; with two of them nobody can say which one it shows.
    let is_talk = |url: &Url| {
        let mut segments = url.path_segments().into_iter().flatten().filter(|s| !s.is_empty());
        let code = segments.next_back().unwrap_or_default();
        segments.next_back() == Some("talk")
            && code.len() == 6
            && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    let talks: Vec<Url> = found.links.iter().filter_map(|link| Url::parse(link).ok()).filter(is_talk).collect();
    if let [talk] = talks.as_slice() {
        keys.extend(crate::link::identity_keys(talk));
    }
    keys
}

/// Key, aliases, and what only a kind of feed knows.
fn identify(found: &mut Found, link: &Url, entry: &Entry, extra: &Extra, shared: &Shared<'_>) {
    let host = ask::host_of(link);
    let mut aliases = Vec::new();
    if let Some(video) = extra.video.as_deref().filter(|v| is_video_id(v) && is_youtube(&host)) {
        found.key = format!("youtube:{video}");
        if link.path().starts_with("/shorts/") {
            found.tags.push("shorts".into());
        }
        found.url = format!("https://www.youtube.com/watch?v={video}");
        found.event = found.author.as_ref().map(|a| a.name.clone());
    } else if let Some(guid) = extra.identifier.as_deref().filter(|_| link.path().starts_with("/v/")) {
        // The guid of a podcast feed is a file, and changes with it; dc:identifier is the event's (sources.md 4.3).
        found.key = format!("media-ccc-de:{guid}");
        aliases.extend(link.path().strip_prefix("/v/").map(|slug| format!("media-ccc-de:slug/{slug}")));
        found.author = None;
        found.persons = extra.persons.as_deref().map(split_persons).unwrap_or_default();
    } else if let Some(id) = shared.peertube.then(|| peertube::id_of_path(link.path())).flatten() {
        found.key = format!("peertube:{host}/{id}");
        found.event = Some(shared.feed_title.to_owned()).filter(|t| !t.is_empty());
    } else if let Some(topic) = discourse_topic(extra.id.as_deref(), link) {
        found.key = format!("discourse:{host}/t/{topic}");
        found.category = found.tags.first().cloned();
        found.tags.clear();
    } else {
        let guid = extra.id.as_deref().map(without_scheme);
        let unique = guid.filter(|g| shared.ids.get(*g).copied().unwrap_or(0) <= 1);
        // A guid that several entries share names none of them; the address does.
        let id = unique.unwrap_or_else(|| without_scheme(link.as_str()));
        found.key = format!("{}#{id}", shared.contact);
    }
    // An address that several entries share, or that is the site's front page, is the name of none.
    let telling = |url: &Url| {
        shared.links.get(url.as_str()).copied().unwrap_or(0) <= 1
            && url.path().trim_matches('/').len() + url.query().map_or(0, str::len) > 0
            && shared.home.is_none_or(|home| without_scheme(home.as_str()) != without_scheme(url.as_str()))
    };
    if telling(link) {
        aliases.extend(crate::link::identity_keys(link));
    }
    let permalink =
        extra.id.as_deref().filter(|id| !extra.not_permalink && is_web(id)).and_then(|id| Url::parse(id).ok());
    if let Some(permalink) = permalink.filter(|p| p != link && telling(p) && !found.key.starts_with("media-ccc-de:")) {
        aliases.extend(crate::link::identity_keys(&permalink));
    }
    for enclosed in entry.links.iter().filter(|l| l.rel.as_deref() == Some("via")) {
        aliases.extend(
            Url::parse(&enclosed.href)
                .ok()
                .filter(|u| telling(u))
                .map(|u| crate::link::identity_keys(&u))
                .unwrap_or_default(),
        );
    }
    aliases.retain(|alias| *alias != found.key);
    let mut seen = std::collections::HashSet::new();
    aliases.retain(|alias| seen.insert(alias.clone()));
    found.aliases = aliases;
}

fn fill(found: &mut Found, body: Body, entry: &Entry, base: &Url) {
    let mut images: Vec<Image> = Vec::new();
    let thumbnails = entry.media.iter().flat_map(|m| m.thumbnails.iter()).map(|t| t.image.uri.as_str());
    let pictures = entry
        .media
        .iter()
        .flat_map(|m| m.content.iter())
        .filter(|c| c.content_type.as_ref().is_some_and(|t| t.ty().as_str() == "image"))
        .filter_map(|c| c.url.as_ref().map(Url::as_str));
    let enclosures = entry
        .links
        .iter()
        .filter(|l| {
            l.rel.as_deref() == Some("enclosure") && l.media_type.as_deref().is_some_and(|t| t.starts_with("image/"))
        })
        .map(|l| l.href.as_str());
    for address in thumbnails.chain(pictures).chain(enclosures) {
        if let Ok(url) = base.join(address.trim())
            && crate::link::is_for_readers(&url)
            && images.iter().all(|i| i.url != url.as_str())
        {
            images.push(Image { url: url.into(), alt: None });
        }
    }
    for image in body.images {
        if images.iter().all(|i| i.url != image.url) {
            images.push(image);
        }
    }
    images.truncate(MAX_LIST);
    found.images = images;
    found.text = body.text;
    found.links = body.links;
    if found.key.starts_with("media-ccc-de:") {
        // The generator's own line, not the author's.
        let kept: Vec<&str> = found.text.lines().filter(|l| !l.trim_start().starts_with("about this event:")).collect();
        found.text = kept.join("\n").trim().to_owned();
    }
}

/// The body: the whole one where there is one, else the summary, else a video's description.
fn body(entry: &Entry, link: &Url, base: &Url) -> Body {
    // Every HTML body: what ends like Discourse's own trailers is no prose of anybody else's either.
    let html = |html: &str| text::from_discourse_rss(text::cut(html, MAX_BODY), link, link);
    let content = entry.content.as_ref().and_then(|c| {
        let body = c.body.as_deref().filter(|b| !b.trim().is_empty())?;
        let kind = c.content_type.essence().to_string();
        match kind.as_str() {
            "text/plain" => Some(text::from_plain(text::cut(body, MAX_BODY))),
            "text/html" | "application/xhtml+xml" => Some(html(body)),
            _ => None,
        }
    });
    let summary = || {
        let summary = entry.summary.as_ref().filter(|s| !s.content.trim().is_empty())?;
        Some(if summary.content_type.subty().as_str() == "plain" && !looks_like_html(&summary.content) {
            text::from_plain(text::cut(&summary.content, MAX_BODY))
        } else {
            html(&summary.content)
        })
    };
    let described = || {
        let described = entry.media.iter().find_map(|m| m.description.as_ref())?;
        Some(if looks_like_html(&described.content) {
            text::from_html(text::cut(&described.content, MAX_BODY), base)
        } else {
            text::from_plain(text::cut(&described.content, MAX_BODY))
        })
    };
    content.or_else(summary).or_else(described).unwrap_or_default()
}

/// Markup in what is said to be plain: a closing tag or a line break element, not only a `<`.
pub(crate) fn looks_like_html(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["</p>", "</a>", "<br>", "<br/>", "<br />", "</li>", "</div>", "<p>"].iter().any(|tag| lower.contains(tag))
}

fn published(entry: &Entry, extra: &Extra) -> Option<Timestamp> {
    let given = entry.published.map(|t| (t.timestamp(), t.timestamp_subsec_nanos()));
    let of =
        |(seconds, nanos): (i64, u32)| Timestamp::new(seconds, i32::try_from(nanos).unwrap_or(0).min(999_999_999)).ok();
    given
        .and_then(of)
        .or_else(|| extra.dates.get("published").and_then(|text| lenient_date(text)))
        .or_else(|| entry.updated.map(|t| (t.timestamp(), t.timestamp_subsec_nanos())).and_then(of))
        .or_else(|| extra.dates.get("updated").and_then(|text| lenient_date(text)))
}

/// Dates that no standard allows and feeds are full of: without zone (read as UTC), month first, as a bare date.
pub(super) fn lenient_date(text: &str) -> Option<Timestamp> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let utc = |civil: DateTime| jiff::tz::TimeZone::UTC.to_timestamp(civil).ok();
    if let Some(time) = text.replace('/', "-").parse::<DateTime>().ok().and_then(utc) {
        return Some(time);
    }
    let text = text
        .split_once(", ")
        .filter(|(day, _)| day.chars().all(char::is_alphabetic))
        .map_or(text.clone(), |(_, rest)| rest.to_owned());
    let text = [" GMT", " UTC", " Z", " UT"].iter().fold(text, |text, zone| text.trim_end_matches(zone).to_owned());
    const WITH_ZONE: [&str; 4] =
        ["%d %b %Y %H:%M:%S %z", "%d %b %Y %H:%M %z", "%d %B %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %z %Y"];
    const WITHOUT: [&str; 8] = [
        "%d %b %Y %H:%M:%S",
        "%d %b %Y %H:%M",
        "%d %B %Y %H:%M:%S",
        "%d %B %Y %H:%M",
        "%a %b %d %H:%M:%S %Y",
        "%b %d, %Y %H:%M:%S",
        "%B %d, %Y %H:%M:%S",
        "%d %b %y %H:%M:%S",
    ];
    const DAYS: [&str; 5] = ["%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y%m%d"];
    WITH_ZONE
        .iter()
        .find_map(|format| Timestamp::strptime(format, &text).ok())
        .or_else(|| WITHOUT.iter().find_map(|format| DateTime::strptime(format, &text).ok().and_then(utc)))
        .or_else(|| {
            let day = DAYS.iter().find_map(|format| jiff::civil::Date::strptime(format, &text).ok())?;
            utc(day.at(0, 0, 0, 0))
        })
}

fn author(entry: &Entry) -> Option<Author> {
    entry.authors.iter().chain(&entry.contributors).find_map(|person| {
        let name = text::one_line(&text::title_from_html(person.name.as_deref()?));
        // An address is not a name, and not for publishing.
        if name.is_empty() || (name.contains('@') && !name.starts_with('@') && !name.contains(' ')) {
            return None;
        }
        let Some(rest) = name.strip_prefix('@') else { return Some(Author { name, ..Author::default() }) };
        // Old Discourse: `@name Full Name`.
        let (username, full) = rest.split_once(' ').unwrap_or((rest, rest));
        Some(Author { name: full.trim().to_owned(), username: Some(username.to_owned()), ..Author::default() })
    })
}

fn tags(entry: &Entry) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for category in &entry.categories {
        let tag = text::one_line(category.label.as_deref().unwrap_or(&category.term));
        if !tag.is_empty() && tag.len() <= 100 && tags.len() < MAX_LIST && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

fn duration(entry: &Entry, extra: &Extra) -> Option<u64> {
    let of_content = entry.media.iter().flat_map(|m| m.content.iter()).find_map(|c| c.duration);
    let told = entry.media.iter().find_map(|m| m.duration).or(of_content).map(|d| d.as_secs());
    told.or_else(|| extra.duration.as_deref().and_then(clock_time)).filter(|s| *s > 0)
}

/// Seconds of `HH:MM:SS`, `MM:SS` or a bare number of seconds.
fn clock_time(text: &str) -> Option<u64> {
    text.split(':').try_fold(0_u64, |sum, part| sum.checked_mul(60)?.checked_add(part.trim().parse().ok()?))
}

fn split_persons(names: &str) -> Vec<String> {
    names.split(", ").map(crate::text::one_line).filter(|name| !name.is_empty()).take(MAX_LIST).collect()
}

/// The primary subtag of a language tag, where it is ISO 639-1.
pub(super) fn language(tag: &str) -> Option<String> {
    let primary = tag.trim().split(['-', '_']).next()?.to_ascii_lowercase();
    (primary.len() == 2 && primary.bytes().all(|b| b.is_ascii_lowercase())).then_some(primary)
}

/// `http` and `https` flips are no other entry.
pub(super) fn without_scheme(id: &str) -> &str {
    id.strip_prefix("https:").or_else(|| id.strip_prefix("http:")).filter(|rest| rest.starts_with("//")).unwrap_or(id)
}

/// The topic of an entry of a Discourse feed: the guid's number must be the link's too.
fn discourse_topic(guid: Option<&str>, link: &Url) -> Option<u64> {
    let (_, number) = guid?.rsplit_once("-topic-")?;
    let number: u64 = number.parse().ok()?;
    let mut segments = link.path_segments()?.skip_while(|s| *s != "t").skip(1);
    segments.any(|s| s.parse() == Ok(number)).then_some(number)
}

/// `[A-Za-z0-9_-]{11}`.
pub(super) fn is_video_id(id: &str) -> bool {
    id.len() == 11 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

pub(super) fn is_youtube(host: &str) -> bool {
    host == "youtu.be" || host == "youtube.com" || host.ends_with(".youtube.com")
}

/// The feed's own page, where it names one.
pub(super) fn home(model: &Model, base: &Url) -> Option<Url> {
    let link = model
        .links
        .iter()
        .filter(|l| l.rel.as_deref().is_none_or(|rel| rel == "alternate"))
        .find_map(|l| base.join(l.href.trim()).ok());
    link.filter(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dates_that_no_standard_allows() {
        #[track_caller]
        fn check(input: &str, want: Option<&str>) {
            assert_eq!(lenient_date(input).map(|t| t.to_string()).as_deref(), want, "{input}");
        }
        check("2026-01-22T15:01:42+00:00", Some("2026-01-22T15:01:42Z"));
        check("2026-01-22 15:01:42", Some("2026-01-22T15:01:42Z"));
        check("2026-01-22", Some("2026-01-22T00:00:00Z"));
        check("Thu, 22 Jan 2026 15:01:42", Some("2026-01-22T15:01:42Z"));
        check("Monday, 22 January 2026 15:01 UTC", Some("2026-01-22T15:01:00Z"));
        check("Thu Jan 22 15:01:42 2026", Some("2026-01-22T15:01:42Z"));
        check("22 Jan 2026", Some("2026-01-22T00:00:00Z"));
        check("January 22, 2026", Some("2026-01-22T00:00:00Z"));
        check("yesterday", None);
        check("", None);
    }
}
