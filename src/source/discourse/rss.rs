//! The RSS of a category, for a forum that refuses its JSON. It tells no tags, no edits, no trust level, no category id.
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use quick_xml::Reader;
use quick_xml::events::Event;
use url::Url;

use super::list::is_definition_title;
use super::{topic_key, topic_url};
use crate::item::{Author, Found};
use crate::source::SourceError;
use crate::text::one_line;

/// Discourse sends 25; more than this is cut.
const ITEMS_MAX: usize = 500;
/// Elements inside one another; Discourse needs four.
const DEPTH_MAX: usize = 64;

/// One topic of the feed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RssTopic {
    /// The number at the end of the guid.
    pub id: u64,
    /// The name of the category it is in (which may be a sub-category).
    pub category: Option<String>,
    /// It is pinned.
    pub pinned: bool,
    /// The thing itself. Its category is the name, its text may be shortened by the forum.
    pub found: Found,
}

impl RssTopic {
    /// A feed does not name the topic that describes its category, which need not be pinned: its title is the
    /// category's own, to the letter, unless somebody changed it.
    pub(super) fn is_furniture(&self, definition: bool) -> bool {
        let title = &self.found.title;
        let about_itself = self.category.as_ref().is_some_and(|c| *title == format!("About the {c} category"));
        definition || about_itself || (self.pinned && is_definition_title(title))
    }
}

/// A category's feed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rss {
    /// "Category - Site".
    pub title: String,
    /// The id at the end of the channel's link.
    pub category: Option<u64>,
    /// Newest first.
    pub topics: Vec<RssTopic>,
    /// What could not be read, one entry each.
    pub skipped: Vec<String>,
}

impl Rss {
    /// Is this topic in the category itself, and not in a sub-category, which the feed shows as well? `name` is the
    /// category's, where it is known; else the channel's title begins with it.
    pub(super) fn is_own(&self, topic: &RssTopic, name: Option<&str>) -> bool {
        match (&topic.category, name) {
            (None, _) => true,
            (Some(category), Some(name)) => category == name,
            (Some(category), None) => self.title == *category || self.title.starts_with(&format!("{category} - ")),
        }
    }
}

/// Reads `/c/…/ID.rss`. Discourse always writes UTF-8. `base` is the forum.
///
/// # Errors
/// When it is no RSS, or the XML itself is broken.
pub fn parse_rss(bytes: &[u8], base: &Url) -> Result<Rss, SourceError> {
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let broken = |what: &str| SourceError::Broken(format!("broken RSS: {}", crate::source::reason(what)));
    let mut reader = Reader::from_str(text.trim_start());
    let mut rss = Rss::default();
    let mut path: Vec<String> = Vec::new();
    let mut item: Option<RawItem> = None;
    let mut words = String::new();
    let mut seen_root = false;
    loop {
        match reader.read_event().map_err(|e| broken(&e.to_string()))? {
            Event::Start(start) => {
                let name: String = start.name().as_ref().to_owned();
                if !seen_root && name != "rss" {
                    return Err(broken("it does not begin with `rss`"));
                }
                seen_root = true;
                if path.len() >= DEPTH_MAX {
                    return Err(broken("it is nested too deeply"));
                }
                if name == "item" && path.len() == 2 {
                    item = Some(RawItem::default());
                }
                path.push(name);
                words.clear();
            }
            Event::End(_) => {
                let Some(name) = path.pop() else { continue };
                let value = std::mem::take(&mut words);
                match (&mut item, path.len()) {
                    (Some(raw), 3) => raw.set(&name, value),
                    (None, 2) if name == "title" => rss.title = one_line(&value),
                    (None, 2) if name == "link" => {
                        rss.category =
                            value.trim().trim_end_matches('/').rsplit('/').next().and_then(|id| id.parse().ok());
                    }
                    (Some(_), 2) if name == "item" => {
                        let raw = item.take().expect("the arm says so");
                        if rss.topics.len() < ITEMS_MAX {
                            match raw.read(base) {
                                Ok(topic) => rss.topics.push(topic),
                                Err(reason) => rss.skipped.push(reason),
                            }
                        }
                    }
                    (Some(_) | None, _) => {}
                }
            }
            Event::Text(piece) => words.push_str(&piece.xml10_content()),
            Event::CData(piece) => words.push_str(&piece.xml10_content()),
            Event::GeneralRef(entity) => match entity.resolve_char_ref() {
                Ok(Some(c)) => words.push(c),
                Ok(None) | Err(_) => {
                    let name = entity.xml10_content();
                    match quick_xml::escape::resolve_predefined_entity(&name) {
                        Some(known) => words.push_str(known),
                        // Left as it stands: the text is HTML anyway, and is read as such.
                        None => words.push_str(&format!("&{name};")),
                    }
                }
            },
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if !seen_root || !path.is_empty() {
        return Err(broken("it ends before its end"));
    }
    Ok(rss)
}

#[derive(Debug, Default)]
struct RawItem {
    title: String,
    creator: String,
    category: String,
    description: String,
    link: String,
    published: String,
    pinned: String,
    guid: String,
}

impl RawItem {
    fn set(&mut self, element: &str, value: String) {
        let field = match element {
            "title" => &mut self.title,
            "dc:creator" => &mut self.creator,
            "category" => &mut self.category,
            "description" => &mut self.description,
            "link" => &mut self.link,
            "pubDate" => &mut self.published,
            "discourse:topicPinned" => &mut self.pinned,
            "guid" => &mut self.guid,
            _ => return,
        };
        *field = value;
    }

    fn read(self, base: &Url) -> Result<RssTopic, String> {
        let title = one_line(&self.title);
        let guid = self.guid.trim();
        let id = guid.rsplit_once("-topic-").and_then(|(_, id)| id.parse::<u64>().ok()).filter(|id| *id > 0);
        let Some(id) = id else {
            let guid: String = one_line(guid).chars().take(100).collect();
            return Err(format!("`{guid}` does not name a topic"));
        };
        if title.is_empty() {
            return Err(format!("topic {id} has no title"));
        }
        let link = self.link.trim();
        // `…/t/SLUG/ID`; the host is ours, whatever the link says.
        let slug =
            link.trim_end_matches(&format!("/{id}")).rsplit_once("/t/").map(|(_, slug)| slug).unwrap_or_default();
        let body = match Url::parse(link) {
            Ok(link) => crate::text::from_discourse_rss(&self.description, base, &link),
            Err(_) => crate::text::from_html(&self.description, base),
        };
        let category = Some(one_line(&self.category)).filter(|c| !c.is_empty());
        Ok(RssTopic {
            id,
            category: category.clone(),
            pinned: self.pinned.trim().eq_ignore_ascii_case("yes"),
            found: Found {
                key: topic_key(base, id),
                url: topic_url(base, slug, id),
                title: title.chars().take(500).collect(),
                author: author(&self.creator),
                published: time(&self.published),
                text: body.text,
                links: body.links,
                images: body.images,
                category,
                ..Found::default()
            },
        })
    }
}

/// `ada`, or on older forums `@ada Ada Example`.
fn author(creator: &str) -> Option<Author> {
    let creator = one_line(creator);
    let (username, name) = match creator.strip_prefix('@') {
        Some(both) => both.split_once(' ').unwrap_or((both, "")),
        None => (creator.as_str(), ""),
    };
    let name = if name.trim().is_empty() { username } else { name.trim() };
    (!username.is_empty()).then(|| Author {
        name: name.to_owned(),
        username: Some(username.to_owned()),
        trust_level: None,
        staff: false,
    })
}

fn time(written: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(written.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSS: &str = include_str!("../../../tests/fixtures/discourse/category.rss");

    fn base() -> Url {
        "https://forum.example/".parse().unwrap()
    }

    #[test]
    fn a_category_s_feed_gives_topics() {
        let rss = parse_rss(RSS.as_bytes(), &base()).unwrap();
        assert_eq!((rss.title.as_str(), rss.category), ("Announcements - Forum Example", Some(8)));
        assert_eq!(rss.topics.iter().map(|t| t.id).collect::<Vec<_>>(), [302, 301, 9]);
        assert_eq!(rss.skipped, ["`forum.example-post-301-2` does not name a topic"]);
        let topic = &rss.topics[1];
        assert_eq!(topic.found.title, "NixOS 26.11 released & ready");
        assert_eq!(topic.found.key, "discourse:forum.example/t/301");
        assert_eq!(topic.found.url, "https://forum.example/t/nixos-26-11-released/301");
        assert_eq!(topic.found.published, Some("2026-11-20T10:00:00Z".parse().unwrap()));
        assert_eq!(topic.found.author.as_ref().unwrap().name, "ada");
        assert_eq!(rss.topics[0].found.author.as_ref().unwrap().name, "Bob Example");
    }

    #[test]
    fn sub_categories_and_furniture_are_told_apart() {
        let rss = parse_rss(RSS.as_bytes(), &base()).unwrap();
        let own: Vec<bool> = rss.topics.iter().map(|t| rss.is_own(t, None)).collect();
        assert_eq!(own, [false, true, true]);
        assert_eq!(own, rss.topics.iter().map(|t| rss.is_own(t, Some("Announcements"))).collect::<Vec<_>>());
        assert_eq!(rss.topics.iter().map(|t| t.is_furniture(false)).collect::<Vec<_>>(), [false, false, true]);
        assert!(RssTopic { pinned: false, ..rss.topics[2].clone() }.is_furniture(false));
        let news = RssTopic { category: Some("Other".into()), pinned: false, ..rss.topics[2].clone() };
        assert!(!news.is_furniture(false));
    }

    #[test]
    fn broken_xml_is_an_error_and_no_panic() {
        assert!(parse_rss(b"<html><body>Just a moment</body></html>", &base()).is_err());
        assert!(parse_rss(b"", &base()).is_err());
        assert!(parse_rss(&RSS.as_bytes()[..RSS.len() / 2], &base()).is_err());
        assert!(parse_rss("<rss>".repeat(10_000).as_bytes(), &base()).is_err());
        assert!(parse_rss(&[0xff; 100], &base()).is_err());
    }
}
