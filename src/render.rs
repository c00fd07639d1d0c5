//! Words one post: a template, the parts of an item, and the limit of a platform.
//!
//! The template is rendered with whole parts and the result is measured; while it is too long, the parts shrink in a
//! fixed order ([`fit`]) and it is rendered again. So nothing is ever cut after the template, whatever an operator
//! writes into it, and what was measured is what leaves. Text from a source enters as values only, made [`harmless`].
mod fit;
pub mod harmless;
pub mod summary;
pub mod template;
#[cfg(test)]
mod tests;

use unicode_segmentation::UnicodeSegmentation;
use url::Url;

use crate::count::Unit;
use crate::item::{Found, Media, Post, Summary};
use crate::link;
use crate::platform::Limits;

pub use template::{Problem, Templates, Words};

/// In grapheme clusters, for names of people and events.
const MAX_NAME: usize = 80;
/// Speakers named in a post.
const MAX_PERSONS: usize = 4;

/// What a post is made of.
#[derive(Debug, Clone, Copy)]
pub struct Compose<'a> {
    /// The thing announced.
    pub found: &'a Found,
    /// The address its post leads to: what the link rewriter made of the thing's own.
    pub link: &'a str,
    /// `announcement`, `talk`, or a word of the operator's: chooses the template.
    pub kind: &'a str,
    /// Marks the source as the project's own or the community's, as the operator wrote it.
    pub mark: Option<&'a str>,
    /// The account's hashtags, with or without `#`.
    pub hashtags: &'a [String],
    /// The account's language, ISO 639-1; the source's own word on the item wins.
    pub language: Option<&'a str>,
    /// The platform's word: chooses the template.
    pub platform: &'a str,
    /// What it is fitted to.
    pub limits: &'a Limits,
}

/// Why there is no post.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The template cannot be rendered.
    #[error("cannot render template `{template}`{at}: {reason}", at = line.map(|l| format!(" line {l}")).unwrap_or_default())]
    Template {
        /// Its name.
        template: String,
        /// Line in it, from 1.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// Not even the shortest form fits.
    #[error("the shortest form of the post has length {length}, and {limit} is the limit")]
    TooLong {
        /// Of the shortest form, as the platform counts.
        length: usize,
        /// Of the platform.
        limit: usize,
    },
    /// The item's address is none that may stand in a post.
    #[error("`{link}` cannot be posted: {why}")]
    Link {
        /// The address.
        link: String,
        /// In words for the team.
        why: String,
    },
}

/// Words and fits one post.
pub fn compose(input: &Compose<'_>, templates: &Templates) -> Result<Post, ComposeError> {
    let found = input.found;
    let link = Url::parse(input.link).ok().filter(link::is_for_readers).ok_or_else(|| ComposeError::Link {
        link: input.link.chars().take(200).collect(),
        why: "it is not an address for readers".to_owned(),
    })?;
    let template = templates.choose(input.platform, input.kind);
    let unit = Unit::of(input.limits);
    let mut warnings = Vec::new();
    let parts = parts(input, link.as_str(), &mut warnings);
    let fitted = fit::fit(&parts, unit, input.limits.max_length, |words| templates.render(template, words))?;
    warnings.extend(fitted.warnings);
    let of = found.text.graphemes(true).count();
    let media = media(found, input.limits, &mut warnings);
    Ok(Post {
        length: unit.length(&fitted.text, ""),
        limit: input.limits.max_length,
        text: fitted.text,
        media,
        language: found.language.clone().or_else(|| input.language.map(str::to_owned)),
        warnings,
        summary: (of > 0).then_some(Summary { length: fitted.summary, of }),
        edited_by: None,
        outdated_edit: false,
    })
}

/// Length of a text as the platform with these limits counts it, and whether it fits: for a team member's edit, which
/// is never cut but refused.
pub fn measure(text: &str, limits: &Limits) -> (usize, bool) {
    let length = Unit::of(limits).length(text, "");
    (length, length <= limits.max_length)
}

/// Does a text mention an account? A team member may mean it; then they are told, nobody is stopped.
pub fn pings(text: &str) -> bool {
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '@' && !before.is_alphanumeric() && chars.peek().is_some_and(|next| next.is_alphanumeric()) {
            return true;
        }
        before = c;
    }
    false
}

/// The item as harmless parts, before any fitting. What is cut of names is said in `warnings`.
fn parts(input: &Compose<'_>, link: &str, warnings: &mut Vec<String>) -> fit::Parts {
    let found = input.found;
    let mut short = |what: &str, text: &str| {
        let line = harmless::line(text);
        match fit::cut(&line, MAX_NAME, Unit::Graphemes) {
            Some(cut) => {
                warnings.push(format!("{what} was cut to {MAX_NAME} characters"));
                cut
            }
            None => line,
        }
    };
    // One more than the whole post may have: enough for the fitting to see that it must be cut, and to say so.
    let title = harmless::line(&found.title).graphemes(true).take(input.limits.max_length.saturating_add(1)).collect();
    let mut event = found.event.as_deref().map(|event| short("the event's name", event)).unwrap_or_default();
    let persons: Vec<String> =
        found.persons.iter().map(|name| short("a speaker's name", name)).filter(|name| !name.is_empty()).collect();
    let author =
        found.author.as_ref().map(|author| plain_name(&short("the author's name", &author.name))).unwrap_or_default();
    if persons.len() > MAX_PERSONS {
        warnings.push(format!("{} of {} speakers are named", MAX_PERSONS - 1, persons.len()));
    }
    // A name that is an address would be a second link, and not one that anybody announced.
    let author = if author.contains("://") { String::new() } else { author };
    // Where nobody is named, what shows a video is no place that its uploader spoke at: a channel is named alone, under
    // the name of its owner where its own only adds to that ("Ida's channel").
    let credit = match (persons.is_empty(), event.is_empty()) {
        (false, _) => joined(&persons),
        (true, true) => author,
        (true, false) => {
            if !author.is_empty() && event.to_lowercase().contains(&author.to_lowercase()) {
                event = author;
            }
            String::new()
        }
    };
    let sentences = summary::sentences(&found.text, &found.title, &[&found.url, link]);
    fit::Parts {
        words: Words {
            title,
            summary: String::new(),
            credit,
            event: if event_is_named(&event, &found.title) { String::new() } else { event },
            link: link.to_owned(),
            hashtags: String::new(),
            mark: input.mark.unwrap_or_default().trim().to_owned(),
            kind: input.kind.to_owned(),
            platform: input.platform.to_owned(),
        },
        sentences,
        hashtags: hashtags(input.hashtags),
    }
}

/// A name as people say it; empty where it names nobody. Feeds carry the names of their programs' accounts.
fn plain_name(name: &str) -> String {
    let bare = name.strip_prefix('(').and_then(|name| name.strip_suffix(')')).unwrap_or(name).trim();
    let bare = bare.strip_prefix("/u/").unwrap_or(bare);
    let is_nobody = matches!(
        bare.to_lowercase().as_str(),
        "admin"
            | "administrator"
            | "system"
            | "webmaster"
            | "editor"
            | "root"
            | "user"
            | "anonymous"
            | "unknown"
            | "noreply"
    );
    if is_nobody { String::new() } else { bare.to_owned() }
}

/// "NixCon 2025 - Opening" needs no "at NixCon 2025" below it.
fn event_is_named(event: &str, title: &str) -> bool {
    !event.is_empty() && title.to_lowercase().contains(&event.to_lowercase())
}

/// `A`, `A and B`, `A, B and C`, `A, B, C and others`.
fn joined(names: &[String]) -> String {
    let (shown, others) = if names.len() > MAX_PERSONS { (&names[..MAX_PERSONS - 1], true) } else { (names, false) };
    match (shown, others) {
        ([], _) => String::new(),
        ([one], false) => one.clone(),
        (many, true) => format!("{} and others", many.join(", ")),
        ([rest @ .., last], false) => format!("{} and {last}", rest.join(", ")),
    }
}

/// The account's hashtags as `#Words`, CamelCase as written, each once whatever its case. A tag needs a letter, and ends
/// at whatever a platform would end it at, so other characters go.
fn hashtags(list: &[String]) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for word in list {
        let word: String = word.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
        let is_known = tags.iter().any(|tag| tag[1..].to_lowercase() == word.to_lowercase());
        if word.chars().any(char::is_alphabetic) && !is_known {
            tags.push(format!("#{word}"));
        }
    }
    tags
}

/// The lead image, where the platform takes one.
fn media(found: &Found, limits: &Limits, warnings: &mut Vec<String>) -> Vec<Media> {
    let Some(image) = found.images.first().filter(|_| limits.max_media > 0) else { return Vec::new() };
    let alt = image.alt.as_deref().map(crate::text::one_line).filter(|alt| !alt.is_empty());
    let alt = match alt {
        Some(alt) => {
            let cut = fit::cut(&alt, limits.max_alt, Unit::CodePoints);
            if cut.is_some() {
                warnings.push("the picture's alt text was shortened".to_owned());
            }
            Some(cut.unwrap_or(alt)).filter(|alt| alt.chars().count() <= limits.max_alt)
        }
        None => {
            warnings.push("the picture has no alt text".to_owned());
            None
        }
    };
    vec![Media { url: image.url.clone(), alt }]
}
