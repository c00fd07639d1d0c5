//! The list of a category's topics.
use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::answer::{flag, json, number, string, tags, time, title};
use crate::item::Found;
use crate::source::SourceError;

/// Discourse sends 30 a page; more than this in one answer is cut.
const TOPICS_MAX: usize = 1_000;

/// One topic as a list shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListedTopic {
    /// Stable over everything but a merge.
    pub id: u64,
    /// Plain text.
    pub title: String,
    /// Its part of the address; changes with the title.
    pub slug: String,
    /// When it was posted, or what staff made of that.
    pub created: Option<Timestamp>,
    /// Where it is now; very old forums do not say.
    pub category: Option<u64>,
    /// As the forum spells them.
    pub tags: Vec<String>,
    /// Here or everywhere.
    pub pinned: bool,
    /// Nobody can answer any more.
    pub closed: bool,
    /// `false`: unlisted.
    pub visible: bool,
    /// `regular`, `banner`, `private_message`.
    pub archetype: String,
    /// With the first one.
    pub posts_count: u64,
    /// The address a link topic is about.
    pub featured_link: Option<String>,
}

impl ListedTopic {
    /// What the list alone tells of it: no text, no author.
    pub fn found(self, base: &Url) -> Found {
        Found {
            key: super::topic_key(base, self.id),
            url: super::topic_url(base, &self.slug, self.id),
            title: self.title,
            published: self.created,
            tags: self.tags,
            category: self.category.map(|id| id.to_string()),
            ..Found::default()
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    /// In the order of the forum.
    pub topics: Vec<ListedTopic>,
    /// There is another page.
    pub more: bool,
    /// What could not be read of it, one entry each.
    pub skipped: Vec<String>,
}

/// Reads `/c/…/l/latest.json` and its like.
///
/// # Errors
/// When it is not the JSON of a topic list. A page of HTML is an error, never "no topics".
pub fn parse_list(bytes: &[u8]) -> Result<List, SourceError> {
    let json = json(bytes)?;
    let Some(list) = json.get("topic_list") else {
        return Err(SourceError::Broken("there is no topic list in this answer".into()));
    };
    let Some(entries) = list.get("topics").and_then(Value::as_array) else {
        return Err(SourceError::Broken("there are no topics in this topic list".into()));
    };
    let mut topics = Vec::new();
    let mut skipped = Vec::new();
    let mut seen = HashSet::new();
    for entry in entries.iter().take(TOPICS_MAX) {
        match ListedTopic::read(entry) {
            // One that stands in it twice is one topic.
            Ok(topic) if !seen.insert(topic.id) => {}
            Ok(topic) => topics.push(topic),
            Err(reason) => skipped.push(reason),
        }
    }
    Ok(List { topics, more: string(list, "more_topics_url").is_some() && !entries.is_empty(), skipped })
}

impl ListedTopic {
    /// The fields that a list and a topic's own JSON share.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let id = number(value, "id").filter(|id| *id > 0).ok_or("a topic without an id")?;
        Ok(Self {
            id,
            title: title(value).ok_or_else(|| format!("topic {id} has no title"))?,
            slug: string(value, "slug").unwrap_or_default().to_owned(),
            created: time(value, "created_at"),
            category: number(value, "category_id"),
            tags: tags(value),
            pinned: flag(value, "pinned") || flag(value, "pinned_globally"),
            closed: flag(value, "closed"),
            visible: value.get("visible").and_then(Value::as_bool).unwrap_or(true),
            archetype: string(value, "archetype").unwrap_or("regular").to_owned(),
            posts_count: number(value, "posts_count").unwrap_or(1),
            featured_link: string(value, "featured_link").map(str::to_owned),
        })
    }

    /// Digest of what an author or the staff can change and a list shows. Counters and replies do not touch it.
    pub(super) fn fingerprint(&self) -> String {
        let category = self.category.map(|c| c.to_string()).unwrap_or_default();
        let visible = if self.visible { "visible" } else { "unlisted" };
        let link = self.featured_link.as_deref().unwrap_or_default();
        let tags = self.tags.join("\u{1f}");
        digest(&[&self.title, &self.slug, &tags, &category, visible, &self.archetype, link])
    }

    /// Is it furniture rather than news? `definition`: it is the topic its category names as its own.
    ///
    /// The title counts only together with the pin, since somebody may well write "About the new category".
    /// Closed at birth, never answered and pinned: the rules of the category.
    pub(in crate::source) fn is_furniture(&self, definition: bool) -> bool {
        definition
            || (self.pinned && is_definition_title(&self.title))
            || (self.pinned && self.closed && self.posts_count <= 1)
            || !self.visible
            || self.archetype != "regular"
    }
}

/// "About the … category", as an English forum names it.
pub(super) fn is_definition_title(title: &str) -> bool {
    title
        .strip_prefix("About the ")
        .and_then(|rest| rest.strip_suffix("category"))
        .is_some_and(|m| m.ends_with(' ') || m.is_empty())
}

/// Sixteen hexadecimal digits over the parts: enough to notice a change, nothing depends on its secrecy.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = include_bytes!("../../../tests/fixtures/discourse/list.json");

    #[test]
    fn one_bad_topic_never_loses_the_others() {
        let list = parse_list(LIST).unwrap();
        assert_eq!(list.topics.iter().map(|t| t.id).collect::<Vec<_>>(), [9, 301, 302, 303, 304]);
        assert_eq!(list.skipped, ["a topic without an id", "topic 305 has no title", "a topic without an id"]);
        assert!(list.more);
    }

    #[test]
    fn both_shapes_of_tags_and_old_times_are_read() {
        let list = parse_list(LIST).unwrap();
        assert_eq!(list.topics[1].tags, ["release", "nixos"]);
        assert_eq!(list.topics[2].tags, ["survey"]);
        assert_eq!(list.topics[3].created, Some("2013-02-01T04:56:34Z".parse().unwrap()));
        assert_eq!(list.topics[1].title, "NixOS 26.11 released 🎉");
    }

    #[test]
    fn furniture_is_no_news() {
        let list = parse_list(LIST).unwrap();
        let furniture: Vec<bool> = list.topics.iter().map(|t| t.is_furniture(false)).collect();
        assert_eq!(furniture, [true, false, false, false, true]);
        assert!(list.topics[1].is_furniture(true));
        let about = |title: &str, pinned| ListedTopic {
            title: title.into(),
            pinned,
            visible: true,
            archetype: "regular".into(),
            posts_count: 4,
            ..Default::default()
        };
        assert!(about("About the Announcements category", true).is_furniture(false));
        assert!(about("About the category", true).is_furniture(false));
        assert!(!about("About the Announcements category", false).is_furniture(false));
        assert!(!about("About the subcategory", true).is_furniture(false));
        let rules = ListedTopic { closed: true, posts_count: 1, ..about("Read this first", true) };
        assert!(rules.is_furniture(false));
    }

    #[test]
    fn the_fingerprint_is_blind_to_counters_and_sees_every_edit() {
        let before = ListedTopic { id: 1, title: "A".into(), posts_count: 1, visible: true, ..Default::default() };
        assert_eq!(
            before.fingerprint(),
            ListedTopic { posts_count: 9, closed: true, pinned: true, ..before.clone() }.fingerprint()
        );
        for after in [
            ListedTopic { title: "B".into(), ..before.clone() },
            ListedTopic { tags: vec!["no-social".into()], ..before.clone() },
            ListedTopic { category: Some(3), ..before.clone() },
            ListedTopic { visible: false, ..before.clone() },
        ] {
            assert_ne!(before.fingerprint(), after.fingerprint(), "{after:?}");
        }
    }

    #[test]
    fn a_page_is_never_an_empty_list() {
        assert!(parse_list(b"<!DOCTYPE html><html>Just a moment...</html>").is_err());
        assert!(parse_list(b"").is_err());
        assert!(parse_list(b"{\"topic_list\":{}}").is_err());
        assert!(parse_list(b"{\"topic_list\":{\"topics\":[").is_err());
        assert!(parse_list(&b"[".repeat(100_000)).is_err());
        assert_eq!(parse_list(b"{\"topic_list\":{\"topics\":[]}}").unwrap(), List::default());
    }
}
