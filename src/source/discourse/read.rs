//! Reading one topic again.
use jiff::Timestamp;

use super::Discourse;
use super::answer::Fault;
use super::topic::Topic;
use crate::http::Http;
use crate::item::{Found, Visibility};
use crate::source::Reread;

impl Discourse {
    /// Says whether a topic is where it was announced, and puts the category's word into it.
    pub(super) async fn check_place(&self, http: &Http, topic: Topic, now: Timestamp) -> Result<Found, Fault> {
        let mut found = topic.found;
        let Some(id) = topic.listed.category else { return Ok(found) };
        let mut category = match self.shared().category {
            Some(category) => category,
            None => {
                let category = self.resolve(http, now).await?;
                self.share(&category);
                category
            }
        };
        if self.subcategories && !category.has(id) {
            // It may be a sub-category made since.
            category = self.resolve(http, now).await?;
            self.share(&category);
        }
        found.category = Some(category.word(id));
        if found.visibility == Visibility::Public && !category.has(id) {
            found.visibility = Visibility::Gone("moved to another category".into());
        }
        Ok(found)
    }

    pub(super) async fn read_rss(&self, http: &Http, id: u64, before: &Found, now: Timestamp) -> Result<Reread, Fault> {
        let category = self.shared().category;
        let rss = self.rss(http, category.as_ref(), now).await?;
        let Some(topic) = rss.topics.into_iter().find(|t| t.id == id) else { return Ok(Reread::Unknown) };
        Ok(Reread::Present(Box::new(with_what_rss_lacks(topic.found, before))))
    }
}

/// A feed tells less than the topic did before: what it cannot tell is no change.
pub(super) fn with_what_rss_lacks(now: Found, before: &Found) -> Found {
    // A forum may shorten its feeds. Only a visible ellipsis is taken for that; any other missing end is an edit.
    let shortened = now.text.trim_end().strip_suffix('…').or_else(|| now.text.trim_end().strip_suffix("..."));
    let is_shortened =
        shortened.is_some_and(|start| before.text.len() > now.text.len() && before.text.starts_with(start.trim_end()));
    let (text, links, images) = if is_shortened {
        (before.text.clone(), before.links.clone(), before.images.clone())
    } else {
        (now.text, now.links, now.images)
    };
    let same_author = match (&now.author, &before.author) {
        (Some(now), Some(before)) => now.username == before.username,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    Found {
        text,
        links,
        images,
        aliases: before.aliases.clone(),
        author: if same_author { before.author.clone() } else { now.author },
        published: before.published.or(now.published),
        changed: before.changed,
        tags: before.tags.clone(),
        category: before.category.clone().or(now.category),
        ..Found { key: now.key, url: now.url, title: now.title, ..Found::default() }
    }
}

/// What a forum says of a topic it does not show; it does not tell a deletion from a move into private.
pub(super) fn gone(why: &str) -> String {
    if why.starts_with("it was merged") { why.to_owned() } else { "deleted or made private".into() }
}
