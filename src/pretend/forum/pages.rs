//! What the pretend forum answers: JSON and RSS in the shape of a Discourse of 2026.
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::{Value, json};

use super::{Category, Fault, Topic, World};

/// Topics on one page of a list.
const PER_PAGE: usize = 30;
/// Topics in a feed.
const PER_FEED: usize = 25;
const CHALLENGE: &str =
    "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>";

/// One answer.
pub(super) struct Page {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
    pub retry_after_s: Option<u64>,
    pub location: Option<String>,
}

impl Page {
    fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type: content_type.to_owned(), body: body.into(), retry_after_s: None, location: None }
    }

    fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    fn html(status: u16, body: &str) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    fn not_found() -> Self {
        let errors = ["The requested URL or resource could not be found."];
        Self::json(404, &json!({ "errors": errors, "error_type": "not_found" }))
    }

    fn forbidden(kind: &str, why: &str) -> Self {
        Self::json(403, &json!({ "errors": [why], "error_type": kind }))
    }

    fn fault(fault: &Fault) -> Self {
        match fault {
            Fault::SlowDownText { retry_after_s } => {
                let body = format!(
                    "Slow down, you're making too many requests.\nPlease retry again in {retry_after_s} seconds.\nError code: ip_60_secs_limit"
                );
                Self { retry_after_s: Some(*retry_after_s), ..Self::new(429, "text/plain", body) }
            }
            Fault::SlowDownJson { retry_after_s } => {
                let body = json!({
                    "errors": ["You've performed this action too many times."], "error_type": "rate_limit",
                    "extras": { "wait_seconds": retry_after_s, "time_left": format!("{retry_after_s} seconds") },
                });
                Self { retry_after_s: Some(*retry_after_s), ..Self::json(429, &body) }
            }
            Fault::Challenge | Fault::JsonRefused => Self::html(403, CHALLENGE),
            Fault::Page => Self::html(200, CHALLENGE),
            Fault::MembersOnly => Self::forbidden("not_logged_in", "You need to be logged in to do that."),
            Fault::Down => Self::html(503, "<html><body>The site is being upgraded</body></html>"),
        }
    }
}

impl World {
    /// Answers a GET of `path`, which has its query with it.
    pub(super) fn answer(&self, path: &str, headers: &[(String, String)]) -> Page {
        let (bare, query) = path.split_once('?').unwrap_or((path, ""));
        match &self.fault {
            Some(Fault::JsonRefused) if bare.ends_with(".rss") => {}
            Some(fault) => return Page::fault(fault),
            None => {}
        }
        if let Some((_, fault)) = self.faults.iter().find(|(at, _)| at == bare) {
            return Page::fault(fault);
        }
        if let Some(key) = &self.api_key {
            match headers.iter().find(|(name, _)| name == "api-key") {
                Some((_, given)) if given == key => {}
                Some(_) => return Page::forbidden("invalid_access", "The API username or key is invalid."),
                None => return Page::fault(&Fault::MembersOnly),
            }
        }
        let raw = self.raw.iter().find(|r| r.path == path).or_else(|| self.raw.iter().find(|r| r.path == bare));
        if let Some(raw) = raw {
            return Page::new(200, &raw.content_type, raw.body.clone());
        }
        let parameter = |name: &str| {
            url::form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
        };
        let parts: Vec<&str> = bare.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["site.json"] => {
                Page::json(200, &json!({ "categories": self.public().map(|c| self.category(c)).collect::<Vec<_>>() }))
            }
            ["categories.json"] => self.category_tree(),
            ["c", id, "show.json"] => match self.public().find(|c| c.id.to_string() == *id) {
                Some(category) => Page::json(200, &json!({ "category": self.category(category) })),
                None => Page::not_found(),
            },
            ["c", path @ .., "l", "latest.json"] => {
                let (path, none) = match path {
                    [rest @ .., "none"] => (rest, true),
                    all => (all, false),
                };
                let Some(category) = self.by_path(path) else { return Page::not_found() };
                let wanted = self.path_of(category);
                if path.join("/") != wanted {
                    let none = if none { "/none" } else { "" };
                    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
                    let location = format!("{}c/{wanted}{none}/l/latest.json{query}", self.base);
                    return Page { location: Some(location), ..Page::html(301, "") };
                }
                let page = parameter("page").and_then(|p| p.parse().ok()).unwrap_or(0);
                self.list(category, none, parameter("order").as_deref() == Some("created"), page)
            }
            ["c", path @ .., last] if last.ends_with(".rss") => {
                let last = last.trim_end_matches(".rss");
                let path: Vec<&str> = path.iter().copied().chain([last]).collect();
                match self.by_path(&path) {
                    Some(category) => Page::new(200, "application/rss+xml; charset=utf-8", self.rss(category)),
                    None => Page::not_found(),
                }
            }
            ["t", file] | ["t", _, file] => {
                let id = file.trim_end_matches(".json");
                match self.topics.iter().find(|t| t.id.to_string() == id && self.may_be_seen(t)) {
                    Some(topic) if file.ends_with(".json") => Page::json(200, &self.topic(topic)),
                    Some(topic) => Page::html(200, &format!("<h1>{}</h1>{}", escape(&topic.title), topic.cooked)),
                    None => Page::not_found(),
                }
            }
            _ => Page::not_found(),
        }
    }

    fn public(&self) -> impl Iterator<Item = &Category> {
        self.categories.iter().filter(|c| !c.private)
    }

    fn may_be_seen(&self, topic: &Topic) -> bool {
        let is_private = self.categories.iter().any(|c| c.id == topic.category && c.private);
        !topic.deleted && !is_private && topic.archetype != "private_message"
    }

    /// By the id at the end, as the real one does; by the slug where there is none.
    fn by_path(&self, path: &[&str]) -> Option<&Category> {
        let last = path.last()?;
        match last.parse::<u64>() {
            Ok(id) => self.public().find(|c| c.id == id),
            Err(_) => self.public().find(|c| c.slug == *last),
        }
    }

    fn path_of(&self, category: &Category) -> String {
        let parent = category.parent.and_then(|p| self.categories.iter().find(|c| c.id == p));
        match parent {
            Some(parent) => format!("{}/{}/{}", parent.slug, category.slug, category.id),
            None => format!("{}/{}", category.slug, category.id),
        }
    }

    fn category(&self, category: &Category) -> Value {
        let about = slug(&format!("About the {} category", category.name));
        json!({
            "id": category.id, "name": category.name, "color": "0088CC", "text_color": "FFFFFF", "slug": category.slug,
            "topic_count": self.topics.iter().filter(|t| t.category == category.id).count(), "position": category.id,
            "description": null, "description_text": null, "topic_url": format!("/t/{about}/{}", category.definition),
            "read_restricted": category.private, "permission": null, "parent_category_id": category.parent,
            "has_children": self.categories.iter().any(|c| c.parent == Some(category.id)),
        })
    }

    fn category_tree(&self) -> Page {
        let top = self.public().filter(|c| c.parent.is_none()).map(|category| {
            let mut value = self.category(category);
            let subs = self.public().filter(|c| c.parent == Some(category.id)).map(|c| self.category(c)).collect();
            value["subcategory_list"] = Value::Array(subs);
            value
        });
        let categories: Vec<Value> = top.collect();
        Page::json(200, &json!({ "category_list": { "can_create_category": false, "categories": categories } }))
    }

    /// Topics of a category's lists and feed, newest first.
    fn listed(&self, category: &Category, none: bool) -> Vec<&Topic> {
        let here = |t: &&Topic| {
            t.category == category.id
                || (!none && self.categories.iter().any(|c| c.id == t.category && c.parent == Some(category.id)))
        };
        let mut topics: Vec<&Topic> =
            self.topics.iter().filter(here).filter(|t| self.may_be_seen(t) && !t.unlisted).collect();
        topics.sort_by_key(|t| std::cmp::Reverse((t.created, t.id)));
        topics
    }

    fn list(&self, category: &Category, none: bool, by_creation: bool, page: usize) -> Page {
        let mut topics = self.listed(category, none);
        if !by_creation {
            topics.sort_by_key(|t| std::cmp::Reverse((t.pinned, t.bumped, t.id)));
        }
        let start = page.saturating_mul(PER_PAGE);
        let more = topics.len() > start.saturating_add(PER_PAGE);
        let shown: Vec<Value> = topics.iter().skip(start).take(PER_PAGE).map(|t| self.listed_topic(t)).collect();
        let mut list = json!({ "can_create_topic": false, "per_page": PER_PAGE, "top_tags": [], "topics": shown });
        if more {
            let order = if by_creation { "order=created&" } else { "" };
            let none = if none { "/none" } else { "" };
            let url = format!("/c/{}{none}/l/latest?{order}page={}", self.path_of(category), page + 1);
            list["more_topics_url"] = url.into();
        }
        Page::json(200, &json!({ "users": [], "primary_groups": [], "flair_groups": [], "topic_list": list }))
    }

    fn listed_topic(&self, topic: &Topic) -> Value {
        json!({
            "id": topic.id, "title": topic.title, "fancy_title": escape(&topic.title), "slug": slug(&topic.title),
            "posts_count": topic.replies + 1, "reply_count": topic.replies, "highest_post_number": topic.replies + 1,
            "image_url": topic.image_url, "created_at": iso(topic.created), "last_posted_at": iso(topic.bumped),
            "bumped": true, "bumped_at": iso(topic.bumped), "archetype": topic.archetype, "unseen": false,
            "pinned": topic.pinned, "unpinned": null, "pinned_globally": false, "visible": !topic.unlisted,
            "closed": topic.closed, "archived": false, "bookmarked": null, "liked": null, "tags": tags(topic),
            "tags_descriptions": {}, "views": 10 + topic.replies * 7, "like_count": topic.replies, "has_summary": false,
            "last_poster_username": topic.writer.username, "category_id": topic.category,
            "featured_link": topic.featured_link,
            "posters": [{ "extras": "latest single", "description": "Original Poster", "user_id": 5, "primary_group_id": null }],
        })
    }

    fn post(&self, topic: &Topic) -> Value {
        let writer = &topic.writer;
        let cooked = if topic.hidden {
            "<p>This post was flagged by the community and is temporarily hidden.</p>"
        } else {
            &topic.cooked
        };
        json!({
            "id": topic.id * 10, "name": writer.name, "username": writer.username,
            "avatar_template": "/letter_avatar_proxy/v4/letter/a/{size}.png", "created_at": iso(topic.created),
            "cooked": cooked, "post_number": 1, "post_type": 1, "updated_at": iso(topic.updated), "reply_count": 0,
            "topic_id": topic.id, "topic_slug": slug(&topic.title), "display_username": writer.name,
            "primary_group_name": null, "version": topic.version, "link_counts": [], "actions_summary": [],
            "moderator": writer.staff, "admin": false, "staff": writer.staff, "user_id": 5, "hidden": topic.hidden,
            "trust_level": writer.trust_level, "deleted_at": null, "user_deleted": false, "edit_reason": null,
            "wiki": false, "post_url": format!("/t/{}/{}/1", slug(&topic.title), topic.id),
        })
    }

    fn topic(&self, topic: &Topic) -> Value {
        let mut value = self.listed_topic(topic);
        let first = self.post(topic);
        let stream: Vec<u64> = (0..=topic.replies).map(|n| topic.id * 10 + n).collect();
        value["post_stream"] = json!({ "posts": [first], "stream": stream });
        for (key, field) in [
            ("word_count", json!(topic.cooked.split_whitespace().count())),
            ("deleted_at", Value::Null),
            ("deleted_by", Value::Null),
            ("user_id", json!(5)),
            ("pinned_at", if topic.pinned { json!(iso(topic.created)) } else { Value::Null }),
            ("pinned_until", Value::Null),
            ("topic_timer", Value::Null),
            ("chunk_size", json!(20)),
            ("suggested_topics", json!([])),
            ("details", json!({ "created_by": { "id": 5, "username": topic.writer.username } })),
        ] {
            value[key] = field;
        }
        value
    }

    /// Body of a webhook. Topics come without their posts; tags are plain strings there.
    pub(super) fn event_body(&self, kind: &str, topic: &Topic) -> Value {
        let mut value = if kind == "post" { self.post(topic) } else { self.listed_topic(topic) };
        if kind == "post" {
            value["topic_title"] = topic.title.clone().into();
            value["category_id"] = topic.category.into();
        } else {
            value["tags"] = json!(topic.tags);
        }
        json!({ kind: value })
    }

    fn rss(&self, category: &Category) -> String {
        let base = &self.base;
        let host = base.host_str().unwrap_or_default();
        let yes_no = |yes: bool| if yes { "Yes" } else { "No" };
        let mut items = String::new();
        for topic in self.listed(category, false).into_iter().take(PER_FEED) {
            let link = format!("{base}t/{}/{}", slug(&topic.title), topic.id);
            let named = self.categories.iter().find(|c| c.id == topic.category).map_or("", |c| c.name.as_str());
            items.push_str(&format!(
                "<item><title>{title}</title><dc:creator><![CDATA[{creator}]]></dc:creator><category>{named}</category>\
                 <description><![CDATA[\n{cooked}\n<p><small>{posts} posts - 1 participant</small></p>\n\
                 <p><a href=\"{link}\">Read full topic</a></p>\n]]></description><link>{link}</link><pubDate>{date}</pubDate>\
                 <discourse:topicPinned>{pinned}</discourse:topicPinned><discourse:topicClosed>{closed}</discourse:topicClosed>\
                 <discourse:topicArchived>No</discourse:topicArchived><guid isPermaLink=\"false\">{host}-topic-{id}</guid>\
                 <source url=\"{link}.rss\">{title}</source></item>\n",
                title = escape(&topic.title),
                creator = topic.writer.username,
                named = escape(named),
                cooked = topic.cooked.replace("]]>", "]]]]><![CDATA[>"),
                posts = topic.replies + 1,
                date = rfc2822(topic.created),
                pinned = yes_no(topic.pinned),
                closed = yes_no(topic.closed),
                id = topic.id,
            ));
        }
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<rss version=\"2.0\" xmlns:discourse=\"http://www.discourse.org/\" \
             xmlns:atom=\"http://www.w3.org/2005/Atom\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><channel>\
             <title>{name} - A forum</title><link>{base}c/{path}</link><description>Topics in the category</description>\n\
             {items}</channel></rss>\n",
            name = escape(&category.name),
            path = self.path_of(category),
        )
    }
}

/// As Discourse makes it of an English title.
pub(super) fn slug(title: &str) -> String {
    let words: Vec<String> = title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    if words.is_empty() { "topic".into() } else { words.join("-") }
}

fn tags(topic: &Topic) -> Vec<Value> {
    topic.tags.iter().zip(1..).map(|(name, id)| json!({ "id": id, "name": name, "slug": slug(name) })).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// With milliseconds and `Z`.
fn iso(time: Option<Timestamp>) -> Option<String> {
    time.map(|t| format!("{t:.3}"))
}

fn rfc2822(time: Option<Timestamp>) -> String {
    rfc2822::DateTimePrinter::new().timestamp_to_string(&time.unwrap_or_default()).unwrap_or_default()
}

/// For the header `Date`; years before 0 are beyond it, and beyond any forum.
pub(super) fn http_date(time: Timestamp) -> String {
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}
