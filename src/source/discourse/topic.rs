//! One topic with its first post.
use serde_json::Value;
use url::Url;

use super::answer::{flag, is_set, json, number, string, time};
use super::list::ListedTopic;
use super::{topic_key, topic_url};
use crate::item::{Author, Found, Image, Visibility};
use crate::source::SourceError;
use crate::text::one_line;

/// A topic's own JSON: what a list would show of it, and the announcement itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Topic {
    pub listed: ListedTopic,
    pub found: Found,
}

/// Reads `/t/ID.json`: the announcement is the post with the number 1, wherever it stands. `base` is the forum.
/// The category is the id as text; whether that is the right one is for the source to say.
///
/// # Errors
/// When it is not a topic, or does not hold its first post.
pub fn parse_topic(bytes: &[u8], base: &Url) -> Result<Found, SourceError> {
    Ok(read(bytes, base)?.found)
}

pub(super) fn read(bytes: &[u8], base: &Url) -> Result<Topic, SourceError> {
    let topic = json(bytes)?;
    let posts = topic.get("post_stream").and_then(|s| s.get("posts")).and_then(Value::as_array);
    let Some(posts) = posts else { return Err(SourceError::Broken("this is not a topic: it has no posts".into())) };
    let listed = ListedTopic::read(&topic).map_err(SourceError::Broken)?;
    let mut found = Found {
        key: topic_key(base, listed.id),
        url: topic_url(base, &listed.slug, listed.id),
        title: listed.title.clone(),
        published: listed.created,
        tags: listed.tags.clone(),
        category: listed.category.map(|c| c.to_string()),
        ..Found::default()
    };
    if let Some(link) = listed.featured_link.as_deref().and_then(|l| Url::parse(l).ok()) {
        found.aliases = crate::link::identity_keys(&link);
    }
    // By number, not by position: a page that does not begin at the start has another post in front.
    let Some(post) = posts.iter().find(|p| number(p, "post_number") == Some(1)) else {
        let shown = posts.first().and_then(|p| number(p, "id"));
        let first =
            topic.get("post_stream").and_then(|s| s.get("stream")).and_then(|s| s.get(0)).and_then(Value::as_u64);
        if shown.is_some() && shown == first {
            // The answer starts where the topic starts, and what was announced is not there.
            found.visibility = Visibility::Gone("its first post was deleted".into());
            return Ok(Topic { listed, found });
        }
        return Err(SourceError::Broken("the first post of this topic is not in the answer".into()));
    };
    let cooked = string(post, "cooked").unwrap_or_default();
    let body = crate::text::from_html(cooked, base);
    found.published = found.published.or_else(|| time(post, "created_at"));
    // `updated_at` alone proves nothing: rebakes and link previews touch it. From the second version on it is at least
    // no earlier than the edit. An edit in the grace period after posting makes no version: the caller compares texts.
    let edited = number(post, "version").is_some_and(|v| v > 1);
    found.changed = if edited { time(post, "updated_at") } else { found.published };
    found.author = author(post);
    found.text = body.text;
    found.links = body.links;
    found.images = body.images;
    if let Some(image) = string(&topic, "image_url").and_then(|i| base.join(i).ok()) {
        lead_with(&image, &mut found.images);
    }
    found.visibility = visibility(&topic, post, &listed, &found.text);
    Ok(Topic { listed, found })
}

/// Why nobody may see it any more, if so. A staff member's key sees deleted and hidden posts; they are gone all the same.
fn visibility(topic: &Value, post: &Value, listed: &ListedTopic, text: &str) -> Visibility {
    let deleted = is_set(topic, "deleted_at")
        || is_set(post, "deleted_at")
        || flag(post, "user_deleted")
        || text.trim().trim_matches(['(', ')']) == "post deleted by author"
        || text.trim().trim_matches(['(', ')']) == "topic deleted by author";
    let why = if deleted {
        "deleted"
    } else if listed.archetype == "private_message" {
        "made private"
    } else if !listed.visible {
        "unlisted"
    } else if flag(post, "hidden") {
        "hidden"
    } else {
        return Visibility::Public;
    };
    Visibility::Gone(why.into())
}

fn author(post: &Value) -> Option<Author> {
    let username = string(post, "username").map(one_line);
    let name = string(post, "name").or_else(|| string(post, "display_username")).map(one_line);
    Some(Author {
        name: name.filter(|n| !n.is_empty()).or_else(|| username.clone())?,
        username,
        trust_level: number(post, "trust_level").and_then(|t| u8::try_from(t).ok()).filter(|t| *t <= 4),
        staff: flag(post, "staff") || flag(post, "admin") || flag(post, "moderator"),
    })
}

/// The topic's own picture goes first if it is one of the post's. A preview of some linked page is not.
fn lead_with(image: &Url, images: &mut [Image]) {
    let Some(wanted) = upload(image) else { return };
    let same = |i: &Image| Url::parse(&i.url).ok().and_then(|u| upload(&u)).is_some_and(|u| u == wanted);
    if let Some(place) = images.iter().position(same) {
        images[..=place].rotate_right(1);
    }
}

/// What names an upload in all its sizes: `…/optimized/2X/a/ab12_2_690x388.png` and `…/original/2X/a/ab12.png` are one,
/// also when one of them is on a CDN.
fn upload(url: &Url) -> Option<String> {
    let file = url.path_segments()?.next_back()?;
    let stem = file.split('.').next().unwrap_or(file);
    let hash = stem.split('_').next().unwrap_or(stem);
    let is_hash = hash.len() >= 32 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    Some(if is_hash { hash.to_owned() } else { url.as_str().to_owned() }).filter(|_| !file.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = include_str!("../../../tests/fixtures/discourse/topic.json");

    fn base() -> Url {
        "https://forum.example/".parse().unwrap()
    }

    #[track_caller]
    fn edited(change: impl Fn(&mut Value)) -> Found {
        let mut json: Value = serde_json::from_str(TOPIC).unwrap();
        change(&mut json);
        parse_topic(json.to_string().as_bytes(), &base()).unwrap()
    }

    #[test]
    fn the_first_post_is_the_announcement() {
        let found = edited(|_| {});
        assert_eq!(found.key, "discourse:forum.example/t/301");
        assert_eq!(found.url, "https://forum.example/t/nixos-26-11-released/301");
        assert_eq!(found.title, "NixOS 26.11 released");
        assert_eq!(found.category.as_deref(), Some("8"));
        assert_eq!(found.tags, ["release"]);
        assert_eq!(found.published, Some("2026-11-20T10:00:00.123Z".parse().unwrap()));
        assert_eq!(found.visibility, Visibility::Public);
        let author = found.author.unwrap();
        assert_eq!((author.name.as_str(), author.username.as_deref()), ("Ada Example", Some("ada")));
        assert_eq!((author.trust_level, author.staff), (Some(3), true));
    }

    #[test]
    fn by_number_and_not_by_position() {
        let found = edited(|t| t["post_stream"]["posts"].as_array_mut().unwrap().reverse());
        assert_eq!(found.author.unwrap().username.as_deref(), Some("ada"));
    }

    #[test]
    fn an_edit_counts_from_the_second_version_on() {
        let posted = edited(|_| {});
        assert_eq!(posted.changed, posted.published, "until then the author's last change is the posting");
        let found = edited(|t| t["post_stream"]["posts"][0]["version"] = 2.into());
        assert_eq!(found.changed, Some("2026-11-20T12:00:00Z".parse().unwrap()));
    }

    #[test]
    fn promise_10_what_is_not_public_says_so() {
        #[track_caller]
        fn check(path: &str, value: Value, want: &str) {
            let found = edited(|t| *t.pointer_mut(path).unwrap() = value.clone());
            assert_eq!(found.visibility, Visibility::Gone(want.into()), "{path}");
        }
        check("/visible", false.into(), "unlisted");
        check("/deleted_at", "2026-11-20T10:00:00Z".into(), "deleted");
        check("/archetype", "private_message".into(), "made private");
        check("/post_stream/posts/0/hidden", true.into(), "hidden");
        check("/post_stream/posts/0/deleted_at", "2026-11-20T10:00:00Z".into(), "deleted");
        check("/post_stream/posts/0/user_deleted", true.into(), "deleted");
        // Somebody else's hidden reply is no reason.
        assert_eq!(edited(|t| t["post_stream"]["posts"][1]["hidden"] = true.into()).visibility, Visibility::Public);
        assert_eq!(edited(|t| t["archetype"] = "banner".into()).visibility, Visibility::Public);
    }

    #[test]
    fn a_topic_without_its_first_post() {
        let found = edited(|t| {
            t["post_stream"]["posts"].as_array_mut().unwrap().remove(0);
            t["post_stream"]["stream"].as_array_mut().unwrap().remove(0);
        });
        assert_eq!(found.visibility, Visibility::Gone("its first post was deleted".into()));
        let mut later_page: Value = serde_json::from_str(TOPIC).unwrap();
        later_page["post_stream"]["posts"].as_array_mut().unwrap().remove(0);
        assert!(parse_topic(later_page.to_string().as_bytes(), &base()).is_err());
    }

    #[test]
    fn nulls_and_oddities_are_tolerated() {
        let found = edited(|t| {
            for key in
                ["slug", "tags", "created_at", "category_id", "image_url", "visible", "archetype", "featured_link"]
            {
                t[key] = Value::Null;
            }
            let post = &mut t["post_stream"]["posts"][0];
            for key in ["name", "display_username", "cooked", "trust_level", "staff", "version", "hidden"] {
                post[key] = Value::Null;
            }
        });
        assert_eq!(found.url, "https://forum.example/t/-/301");
        assert_eq!(found.author.unwrap().name, "ada");
        assert!(parse_topic(b"<html>", &base()).is_err());
        assert!(parse_topic(b"{}", &base()).is_err());
        assert!(parse_topic(br#"{"post_stream":{"posts":[]}}"#, &base()).is_err());
    }

    #[test]
    fn the_topic_s_picture_leads_if_it_is_the_post_s() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let image = |url: &str| Image { url: url.into(), alt: None };
        let mut images = vec![
            image("https://elsewhere.example/a.png"),
            image(&format!("https://cdn.example/uploads/original/2X/0/{hash}.png")),
        ];
        let lead: Url = format!("https://forum.example/uploads/optimized/2X/0/{hash}_2_690x388.png").parse().unwrap();
        lead_with(&lead, &mut images);
        assert!(images[0].url.contains(hash));
        let before = images.clone();
        lead_with(&"https://github.com/preview.png".parse().unwrap(), &mut images);
        assert_eq!(images, before);
    }
}
