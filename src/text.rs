//! HTML of strangers to plain text, links and images.
use url::Url;

use crate::item::Image;

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
pub fn from_html(_html: &str, _base: &Url) -> Body {
    Body::default()
}

/// A title: entities and tags of an HTML title become one line of plain text.
pub fn title_from_html(html: &str) -> String {
    html.to_owned()
}

/// One line: white space folded, control characters and bidi tricks removed.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Plain text of a feed or a video description: bounded, control characters removed, links found with linkify.
pub fn from_plain(_text: &str) -> Body {
    Body::default()
}
