//! HTML and plain text of strangers to plain text, links and images.
//!
//! Every body takes the same way: [`bound`] limits size and depth before a parser sees a byte, [`cooked`] takes the tree
//! apart by the table of what Discourse cooks, html2text turns what is left into lines, and [`clean()`] removes what a
//! reader cannot see. Nothing here fails: what cannot be read is left out.
mod alt;
mod bound;
mod clean;
mod cooked;
mod dates;
mod emoji;
mod markdown;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use url::Url;

use crate::item::Image;
use crate::link;

pub(crate) use bound::cut;
pub(crate) use clean::is_emoji;
pub use clean::{clean, one_line};

/// In bytes. A body's plain text ends here; a post never needs a hundredth of it, the rest is kept for the policy.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// In bytes. No title of a forum or a video site is longer (Discourse: 255 characters).
const MAX_TITLE_BYTES: usize = 4 * 1024;
/// Links kept from one body.
const MAX_LINKS: usize = 200;

/// What a body says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// Plain text: paragraphs separated by one blank line.
    pub text: String,
    /// Absolute http(s) links in order, without duplicates.
    pub links: Vec<String>,
    /// Images in order of usefulness.
    pub images: Vec<Image>,
}

/// Takes cooked HTML apart. `base` resolves relative addresses. Never fails: what cannot be read is left out.
pub fn from_html(html: &str, base: &Url) -> Body {
    guarded(|| cooked::take_apart(&bound::bounded(html), base, None))
}

/// Takes the `description` of a Discourse feed apart: the body as [`from_html`] does, without the two trailers (number of
/// posts, "Read full topic") and without the wrapper of very old sites. The trailers are localised, so they are
/// known by their shape and by `item_link`, the item's own address.
pub fn from_discourse_rss(html: &str, base: &Url, item_link: &Url) -> Body {
    guarded(|| cooked::take_apart(&bound::bounded(html), base, Some(item_link)))
}

/// A title: entities and tags of an HTML title become one line of plain text.
pub fn title_from_html(html: &str) -> String {
    let html = bound::cut(html, MAX_TITLE_BYTES);
    if !html.contains(['<', '&']) {
        return one_line(html);
    }
    let mut title = String::new();
    let text = catch_unwind(AssertUnwindSafe(|| cooked::inline_text(&bound::bounded(html)))).unwrap_or_default();
    title.push_str(&text);
    one_line(&title)
}

/// Plain text of a feed or a video description: bounded, control characters removed, links found with linkify,
/// the commonest signs of Markdown taken out.
pub fn from_plain(text: &str) -> Body {
    let text = clean(bound::cut(text, bound::MAX_BYTES));
    let mut links = Links::default();
    for range in link::find(&text) {
        links.push(&text[range]);
    }
    let lines = text.lines().map(|line| {
        let line = line.trim();
        if is_rule(line) {
            return String::new();
        }
        match line.strip_prefix(['*', '-', '•', '‣', '–', '·', '◦']) {
            Some(rest) if rest.starts_with(char::is_whitespace) => {
                format!("- {}", markdown::plain_line(rest.trim()))
            }
            Some(_) | None => markdown::plain_line(line),
        }
    });
    Body { text: paragraphs(lines), links: links.list, images: Vec::new() }
}

/// `---`, `*****`: a line drawn between two parts.
fn is_rule(line: &str) -> bool {
    let first = line.chars().next().filter(|c| matches!(c, '-' | '*' | '_' | '=' | '~' | '–' | '—'));
    first.is_some_and(|first| line.chars().count() >= 3 && line.chars().all(|c| c == first))
}

/// A panic in a parser of foreign bytes costs this one body, not the service.
fn guarded(take_apart: impl FnOnce() -> Body) -> Body {
    catch_unwind(AssertUnwindSafe(take_apart)).unwrap_or_default()
}

/// Lines to paragraphs separated by one blank line, each line folded, the whole bounded.
fn paragraphs<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> String {
    let mut out = String::new();
    let mut blank = false;
    for line in lines {
        let line = one_line(line.as_ref());
        if line.is_empty() || line == "-" {
            blank = true;
            continue;
        }
        if out.len() + line.len() > MAX_TEXT_BYTES {
            break;
        }
        if !out.is_empty() {
            out.push_str(if blank { "\n\n" } else { "\n" });
        }
        out.push_str(&line);
        blank = false;
    }
    out
}

/// Links in order, without duplicates, only what may be published.
#[derive(Default)]
struct Links {
    list: Vec<String>,
}

impl Links {
    /// Takes an absolute address as it is written, if it is one for readers.
    fn push(&mut self, address: &str) {
        if self.list.len() < MAX_LINKS
            && let Ok(url) = Url::parse(address)
            && link::is_for_readers(&url)
            && !self.list.iter().any(|known| known == url.as_str())
        {
            self.list.push(url.into());
        }
    }
}
