//! Categories: which one the configuration means, and what belongs to it.
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{json, number, string};
use crate::source::SourceError;
use crate::text::one_line;

/// A forum with more categories than this is cut; the largest known ones have a few hundred.
const CATEGORIES_MAX: usize = 5_000;

/// A category as the forum lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// Stable over renaming.
    pub id: u64,
    /// Its part of the address. May be empty where names are not Latin.
    pub slug: String,
    /// For people, and what RSS names.
    pub name: String,
    /// The category it is a sub-category of.
    pub parent: Option<u64>,
    /// The "About the … category" topic.
    pub definition: Option<u64>,
}

impl Category {
    fn read(value: &Value) -> Option<Self> {
        // `/t/about-the-x-category/12`; "Uncategorized" has `/t/` and nothing more.
        let from_url = |url: &str| url.trim_end_matches('/').rsplit('/').next()?.parse().ok();
        Some(Self {
            id: number(value, "id")?,
            slug: string(value, "slug").unwrap_or_default().to_owned(),
            name: one_line(string(value, "name").unwrap_or_default()),
            parent: number(value, "parent_category_id"),
            definition: string(value, "topic_url").and_then(from_url).or_else(|| number(value, "topic_id")),
        })
    }

    /// Its part of an address; Discourse itself writes `8-category` where there is no slug.
    pub(super) fn path_part(&self) -> String {
        let slug: String =
            self.slug.chars().filter(|c| !matches!(c, '/' | '\\' | '?' | '#') && !c.is_control()).collect();
        if slug.chars().all(|c| c == '.') { format!("{}-category", self.id) } else { slug }
    }
}

/// Reads one category (`/c/ID/show.json`) or all of them (`/site.json`, `/categories.json` with its nested sub-categories).
///
/// # Errors
/// When it is no JSON, or holds no list of categories.
pub fn parse_category(bytes: &[u8]) -> Result<Vec<Category>, SourceError> {
    let json = json(bytes)?;
    if let Some(one) = json.get("category") {
        return Category::read(one)
            .map(|c| vec![c])
            .ok_or_else(|| SourceError::Broken("a category without an id".into()));
    }
    let list = json
        .get("category_list")
        .and_then(|list| list.get("categories"))
        .or_else(|| json.get("categories"))
        .and_then(Value::as_array)
        .ok_or_else(|| SourceError::Broken("there are no categories in this answer".into()))?;
    // A queue instead of recursion: the nesting is the forum's to choose.
    let mut queue: std::collections::VecDeque<(&Value, Option<u64>)> = list.iter().map(|c| (c, None)).collect();
    let mut found: Vec<Category> = Vec::new();
    while let Some((value, parent)) = queue.pop_front() {
        if found.len() >= CATEGORIES_MAX {
            break;
        }
        let Some(mut category) = Category::read(value) else { continue };
        category.parent = category.parent.or(parent);
        if let Some(subs) = value.get("subcategory_list").and_then(Value::as_array) {
            queue.extend(subs.iter().map(|s| (s, Some(category.id))));
        }
        if found.iter().all(|c| c.id != category.id) {
            found.push(category);
        }
    }
    Ok(found)
}

/// The category as the configuration names it: `8`, `announcements`, `announcements/security`, or the tail of its
/// address (`c/announcements/8`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Id(u64),
    Slug { parent: Option<String>, slug: String },
}

impl Wanted {
    pub(super) fn read(written: &str) -> Self {
        let parts: Vec<&str> = written.split('/').map(str::trim).filter(|p| !p.is_empty()).collect();
        let parts = match parts.as_slice() {
            ["c", rest @ ..] if !rest.is_empty() => rest,
            all => all,
        };
        match parts {
            [.., last] if last.parse::<u64>().is_ok() => Wanted::Id(last.parse().expect("just parsed")),
            [.., parent, slug] => Wanted::Slug { parent: Some((*parent).to_lowercase()), slug: slug.to_lowercase() },
            [slug] => Wanted::Slug { parent: None, slug: slug.to_lowercase() },
            [] => Wanted::Slug { parent: None, slug: String::new() },
        }
    }
}

/// The configured category, found: everything a poll needs to know about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resolved {
    pub id: u64,
    /// `announcements` or `parent/child`, for the address.
    pub path: String,
    /// The category itself first, then, where they are wanted, all below it.
    pub family: Vec<Category>,
}

impl Resolved {
    /// Picks what is wanted out of what the forum has.
    ///
    /// `Ok(None)`: it is not among them.
    pub(super) fn pick(wanted: &Wanted, subcategories: bool, all: &[Category]) -> Result<Option<Self>, SourceError> {
        let category = match wanted {
            Wanted::Id(id) => all.iter().find(|c| c.id == *id),
            Wanted::Slug { parent, slug } => {
                let parent_slug = |c: &Category| {
                    let parent = c.parent?;
                    all.iter().find(|p| p.id == parent).map(|p| p.slug.to_lowercase())
                };
                let matching: Vec<&Category> = all
                    .iter()
                    .filter(|c| c.slug.to_lowercase() == *slug)
                    .filter(|c| parent.is_none() || parent_slug(c) == *parent)
                    .collect();
                // The same slug may be used again under another parent; the top-level one is what people mean.
                match (matching.iter().find(|c| c.parent.is_none()), matching.as_slice()) {
                    (Some(top), _) => Some(*top),
                    (None, [only]) => Some(*only),
                    (None, []) => None,
                    (None, [_, _, ..]) => {
                        let ids: Vec<String> = matching.iter().map(|c| c.id.to_string()).collect();
                        return Err(SourceError::Misconfigured(format!(
                            "several categories are called `{slug}` (ids {}): name the id, or write `parent/{slug}`",
                            ids.join(", ")
                        )));
                    }
                }
            }
        };
        let Some(category) = category else { return Ok(None) };
        let mut family = vec![category.clone()];
        if subcategories {
            // Discourse nests three levels at most; each round adds one.
            for _ in 0..5 {
                let more: Vec<Category> = all
                    .iter()
                    .filter(|c| c.parent.is_some_and(|p| family.iter().any(|f| f.id == p)))
                    .filter(|c| family.iter().all(|f| f.id != c.id))
                    .cloned()
                    .collect();
                if more.is_empty() {
                    break;
                }
                family.extend(more);
            }
        }
        let mut path = vec![category.path_part()];
        let mut above = category.parent;
        while let (Some(id), true) = (above, path.len() < 5) {
            let Some(parent) = all.iter().find(|c| c.id == id) else { break };
            path.insert(0, parent.path_part());
            above = parent.parent;
        }
        Ok(Some(Self { id: category.id, path: path.join("/"), family }))
    }

    pub(super) fn itself(&self) -> Option<&Category> {
        self.family.iter().find(|c| c.id == self.id)
    }

    pub(super) fn has(&self, category: u64) -> bool {
        category == self.id || self.family.iter().any(|c| c.id == category)
    }

    pub(super) fn is_definition(&self, topic: u64) -> bool {
        self.family.iter().any(|c| c.definition == Some(topic))
    }

    /// The slug of a category of the family, else its id: what policy rules compare.
    pub(super) fn word(&self, category: u64) -> String {
        match self.family.iter().find(|c| c.id == category) {
            Some(c) if !c.slug.is_empty() => c.slug.clone(),
            Some(_) | None => category.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_may_name_a_category_in_many_ways() {
        #[track_caller]
        fn check(written: &str, want: Wanted) {
            assert_eq!(Wanted::read(written), want, "{written}");
        }
        let slug =
            |parent: Option<&str>, slug: &str| Wanted::Slug { parent: parent.map(Into::into), slug: slug.into() };
        check("8", Wanted::Id(8));
        check("announcements", slug(None, "announcements"));
        check("Announcements", slug(None, "announcements"));
        check("announcements/security", slug(Some("announcements"), "security"));
        check("/c/announcements/8", Wanted::Id(8));
        check("c/announcements/security/56", Wanted::Id(56));
        check("c", slug(None, "c"));
    }

    const SITE: &str = r#"{"categories":[
        {"id":8,"slug":"announcements","name":"Announcements","topic_url":"/t/about-the-announcements-category/9"},
        {"id":56,"slug":"security","name":"Security","parent_category_id":8,"topic_url":"/t/about-security/60"},
        {"id":57,"slug":"security","name":"Security","parent_category_id":11,"topic_url":null},
        {"id":11,"slug":"dev","name":"Development","topic_url":"/t/"},
        {"id":12,"slug":"x","parent_category_id":11},{"id":13,"slug":"x","parent_category_id":8},
        {"slug":"no-id"},{"id":"14","slug":null,"name":"ニックス"}]}"#;

    #[track_caller]
    fn resolve(written: &str, subcategories: bool) -> Option<(u64, String, Vec<u64>)> {
        let all = parse_category(SITE.as_bytes()).unwrap();
        let found = Resolved::pick(&Wanted::read(written), subcategories, &all).unwrap()?;
        Some((found.id, found.path.clone(), found.family.iter().map(|c| c.id).collect()))
    }

    #[test]
    fn a_category_is_found_by_slug_path_or_id() {
        assert_eq!(resolve("announcements", false), Some((8, "announcements".into(), vec![8])));
        assert_eq!(resolve("announcements", true), Some((8, "announcements".into(), vec![8, 56, 13])));
        assert_eq!(resolve("announcements/security", false), Some((56, "announcements/security".into(), vec![56])));
        assert_eq!(resolve("dev/security", false), Some((57, "dev/security".into(), vec![57])));
        assert_eq!(resolve("56", false), Some((56, "announcements/security".into(), vec![56])));
        assert_eq!(resolve("14", false), Some((14, "14-category".into(), vec![14])));
        assert_eq!(resolve("nowhere", false), None);
        let all = parse_category(SITE.as_bytes()).unwrap();
        let error = Resolved::pick(&Wanted::read("x"), false, &all).unwrap_err();
        assert!(error.to_string().contains("12, 13"), "{error}");
    }

    #[test]
    fn all_three_answers_hold_categories() {
        let show = br#"{"category":{"id":56,"slug":"security","parent_category_id":8,"topic_url":"/t/about/60"}}"#;
        let one = parse_category(show).unwrap();
        assert_eq!((one[0].id, one[0].parent, one[0].definition), (56, Some(8), Some(60)));
        let nested =
            br#"{"category_list":{"categories":[{"id":8,"slug":"a","subcategory_list":[{"id":56,"slug":"s"}]}]}}"#;
        let two = parse_category(nested).unwrap();
        assert_eq!((two[1].id, two[1].parent), (56, Some(8)));
        assert!(parse_category(b"<html>").is_err());
        assert!(parse_category(b"{}").is_err());
    }
}
