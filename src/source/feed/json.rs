//! JSON Feed, made such that feed-rs accepts it: ids of numbers, fields of the wrong type, a missing title.
use serde_json::{Map, Value, json};

use super::outline::{Extra, Outline};
use super::{Model, Read, empty_model};

/// Bytes of what all items share; beyond it only the title is kept.
const MAX_HEAD: usize = 64 * 1024;
const TEXTS: [&str; 9] = [
    "url",
    "external_url",
    "title",
    "content_html",
    "content_text",
    "summary",
    "date_published",
    "date_modified",
    "id",
];

/// Reads a JSON Feed item by item, so that one bad item does not take the others with it.
pub(super) fn read(
    text: &str,
    max_entries: usize,
    with_feed_rs: impl Fn(&str) -> Result<Model, String>,
) -> Result<Read, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| format!("broken JSON in line {}: {e}", e.line()))?;
    let Value::Object(mut root) = value else { return Err("it is not a JSON object".into()) };
    let version = root.get("version").and_then(Value::as_str).unwrap_or_default();
    if !version.contains("jsonfeed.org/version/1") {
        return Err("JSON, but not a JSON Feed: `version` does not name jsonfeed.org/version/1".into());
    }
    let items = match root.remove("items") {
        Some(Value::Array(items)) => items,
        Some(_) | None => return Err("a JSON Feed without `items`".into()),
    };
    let head = head(&root);
    let mut skipped = Vec::new();
    if items.len() > max_entries {
        skipped.push(format!("{} entries beyond the first {max_entries} were not read", items.len() - max_entries));
    }
    let document = |items: Vec<Value>| {
        let mut document = head.clone();
        document.insert("items".into(), Value::Array(items));
        Value::Object(document).to_string()
    };
    let mut entries = Vec::new();
    for (at, item) in items.into_iter().take(max_entries).enumerate() {
        let Value::Object(item) = item else {
            skipped.push(format!("entry {} is not an object", at + 1));
            continue;
        };
        let language = item.get("language").and_then(Value::as_str).map(str::to_owned);
        let image = item.get("image").or_else(|| item.get("banner_image")).and_then(Value::as_str).map(str::to_owned);
        let item = mend(item, image);
        match with_feed_rs(&document(vec![Value::Object(item)])).map(|m| m.entries.into_iter().next()) {
            Ok(Some(mut entry)) => {
                entry.language = language.or(entry.language);
                for link in &mut entry.links {
                    // An attachment is an enclosure by another name.
                    if link.media_type.is_some() {
                        link.rel = Some("enclosure".into());
                    }
                }
                // An id is only an address where it is one: `id` is opaque, so there is no permalink to take from it.
                let extra = Extra { not_permalink: true, ..Extra::default() };
                entries.push((entry, extra));
            }
            Ok(None) => skipped.push(format!("entry {} could not be read", at + 1)),
            Err(reason) => skipped.push(format!("entry {} could not be read: {reason}", at + 1)),
        }
    }
    let mut model = with_feed_rs(&document(Vec::new())).unwrap_or_else(|_| empty_model());
    // `feed_url` is the feed itself, not its page.
    let own = root.get("feed_url").and_then(Value::as_str).unwrap_or_default();
    model.links.retain(|l| l.href != own);
    Ok(Read { model, entries, outline: Outline::default(), skipped })
}

/// What all items share.
fn head(root: &Map<String, Value>) -> Map<String, Value> {
    let title = root.get("title").and_then(Value::as_str).unwrap_or_default();
    let title: String = title.chars().take(1000).collect();
    let mut head = Map::new();
    head.insert("version".into(), json!("https://jsonfeed.org/version/1.1"));
    head.insert("title".into(), json!(title));
    let bare = head.clone();
    for key in ["home_page_url", "language"] {
        if let Some(text) = root.get(key).and_then(Value::as_str) {
            head.insert(key.into(), json!(text));
        }
    }
    let authors = people(root);
    if !authors.is_empty() {
        head.insert("authors".into(), Value::Array(authors));
    }
    if Value::Object(head.clone()).to_string().len() > MAX_HEAD { bare } else { head }
}

fn people(of: &Map<String, Value>) -> Vec<Value> {
    let list = of.get("authors").and_then(Value::as_array).into_iter().flatten();
    let named = |v: &Value| v.get("name").and_then(Value::as_str).map(|name| json!({ "name": name }));
    list.chain(of.get("author")).filter_map(named).take(20).collect()
}

fn mend(mut item: Map<String, Value>, image: Option<String>) -> Map<String, Value> {
    let mut out = Map::new();
    for key in TEXTS {
        match item.remove(key) {
            Some(Value::String(text)) => out.insert(key.into(), Value::String(text)),
            Some(Value::Number(number)) => out.insert(key.into(), Value::String(number.to_string())),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
        };
    }
    let authors = people(&item);
    if !authors.is_empty() {
        out.insert("authors".into(), Value::Array(authors));
    }
    if let Some(Value::Array(tags)) = item.remove("tags") {
        out.insert("tags".into(), Value::Array(tags.into_iter().filter(Value::is_string).collect()));
    }
    let mut attachments: Vec<Value> = match item.remove("attachments") {
        Some(Value::Array(list)) => list.iter().filter_map(attachment).take(50).collect(),
        Some(_) | None => Vec::new(),
    };
    if let Some(image) = image {
        attachments.insert(0, json!({ "url": image, "mime_type": "image/*" }));
    }
    out.insert("attachments".into(), Value::Array(attachments));
    out
}

fn attachment(of: &Value) -> Option<Value> {
    Some(json!({ "url": of.get("url")?.as_str()?, "mime_type": of.get("mime_type")?.as_str()? }))
}
