//! Limits size and depth of HTML before a parser sees it.
//!
//! html5ever and html2text take quadratic time in the depth of the tree, html5ever also in the number of attributes of
//! one tag, and unclosed formatting elements are copied into every following paragraph. So the bytes pass through this
//! small tokeniser first: it writes every tag out again under a name from a short list of ordinary elements, closes what
//! the author left open, and drops what no post can show. What html5ever then parses is flat and well nested.

/// In bytes. Discourse's own limit for a post is 32,000 characters by default; feeds carry whole articles.
pub(super) const MAX_BYTES: usize = 512 * 1024;
/// Elements inside each other. Real posts stay under twenty.
const MAX_DEPTH: usize = 64;
/// In bytes. A tag that is longer is dropped, its content stays.
const MAX_TAG_BYTES: usize = 8 * 1024;

/// The start of `text` that has at most `max` bytes and ends at a character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

/// What becomes of a tag.
enum Becomes {
    /// A block under this name.
    Block(&'static str),
    /// Something inside a line under this name.
    Inline(&'static str),
    /// A tag without content, written with its end.
    Empty(&'static str),
    /// The same, and everything up to its own end tag goes.
    EmptyWithoutContent(&'static str),
    /// The tag goes with its content.
    NothingWithContent,
    /// The tag goes, its content stays.
    Nothing,
}

/// The short list. Names with `x-` are ordinary elements to a parser, unlike `table`, `small`, `iframe` and their like.
fn becomes(name: &str) -> Becomes {
    use Becomes::*;
    match name {
        "p" => Block("p"),
        "li" => Block("li"),
        "ul" | "menu" | "dir" => Block("ul"),
        "ol" => Block("ol"),
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => Block("h2"),
        "aside" => Block("aside"),
        "blockquote" => Block("blockquote"),
        "details" => Block("details"),
        "summary" => Block("summary"),
        "pre" | "listing" => Block("x-pre"),
        "table" => Block("x-table"),
        "div" | "section" | "article" | "header" | "footer" | "main" | "nav" | "figure" | "figcaption" | "dl"
        | "dt" | "dd" | "address" | "center" | "fieldset" | "form" | "tr" | "caption" => Block("div"),
        "a" => Inline("a"),
        "small" => Inline("x-small"),
        "code" | "tt" | "samp" => Inline("x-code"),
        "del" | "s" | "strike" => Inline("del"),
        "video" | "audio" => Inline("x-media"),
        "br" => Empty("br"),
        "hr" => Empty("hr"),
        "img" | "image" => Empty("img"),
        "source" => Empty("x-source"),
        "iframe" => EmptyWithoutContent("x-iframe"),
        "script" | "style" | "template" | "svg" | "math" | "noscript" | "textarea" | "title" | "xmp" | "noembed"
        | "noframes" | "select" | "object" | "applet" | "canvas" | "button" | "plaintext" => NothingWithContent,
        "html" | "head" | "body" | "meta" | "link" | "base" | "col" | "colgroup" | "thead" | "tbody" | "tfoot"
        | "input" | "wbr" | "area" | "map" | "param" | "track" | "embed" | "frame" | "frameset" => Nothing,
        _ => Inline("span"),
    }
}

/// Rewrites `html` as the module says. Linear in its length.
pub(super) fn bounded(html: &str) -> String {
    let mut writer = Writer { out: String::with_capacity(html.len().min(MAX_BYTES)), open: Vec::new(), dropped: 0 };
    let mut rest = cut(html, MAX_BYTES);
    while let Some(at) = rest.find('<') {
        writer.out.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut after = rest[1..].chars();
        match after.next() {
            Some('!') if rest.starts_with("<!--") => {
                // `<!-->` and `<!--->` are complete comments, hence the search from the first hyphen.
                rest = rest[2..].find("-->").map_or("", |end| &rest[2 + end + 3..]);
            }
            Some('!' | '?') => rest = rest.find('>').map_or("", |end| &rest[end + 1..]),
            Some('/') if after.next().is_some_and(|c| c.is_ascii_alphabetic()) => {
                writer.close(&tag_name(&rest[2..]));
                rest = rest.find('>').map_or("", |end| &rest[end + 1..]);
            }
            Some(c) if c.is_ascii_alphabetic() => {
                let Some(end) = tag_end(rest) else {
                    rest = "";
                    break;
                };
                let name = tag_name(&rest[1..]);
                let attributes = &rest[1 + name.len()..end - 1];
                rest = &rest[end..];
                rest = writer.open(&name, attributes, rest);
            }
            _ => {
                writer.out.push_str("&lt;");
                rest = &rest[1..];
            }
        }
    }
    writer.out.push_str(rest);
    writer.out
}

fn tag_name(text: &str) -> String {
    text.chars()
        .take_while(|c| !c.is_ascii_whitespace() && *c != '/' && *c != '>')
        .collect::<String>()
        .to_ascii_lowercase()
}

/// One past the `>` that ends the tag at the start of `tag`. A quote counts only at the start of an attribute's value.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    let mut value_starts = false;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') if value_starts => quote = Some(byte),
            (None, b'=') => value_starts = true,
            (None, _) if byte.is_ascii_whitespace() => {}
            (None, _) => value_starts = false,
        }
    }
    None
}

struct Writer {
    out: String,
    /// Names of what is open, and whether it is a block.
    open: Vec<(&'static str, bool)>,
    /// Opened beyond the depth and not written: that many end tags are not written either.
    dropped: usize,
}

impl Writer {
    /// Writes a start tag, and returns what is left to read of `rest`.
    fn open<'h>(&mut self, name: &str, attributes: &str, rest: &'h str) -> &'h str {
        let attributes = if attributes.len() > MAX_TAG_BYTES { "" } else { attributes.trim_end_matches('/') };
        match becomes(name) {
            Becomes::Block(name) => {
                // A paragraph holds no block, and an item ends where the next one of its list begins.
                if let Some(at) = self.open.iter().rposition(|(open, _)| *open == "p") {
                    self.truncate(at);
                }
                let list = self.open.iter().rposition(|(open, _)| matches!(*open, "ul" | "ol"));
                let item = self.open.iter().rposition(|(open, _)| *open == "li");
                if name == "li"
                    && let Some(item) = item
                    && list.is_none_or(|list| list < item)
                {
                    self.truncate(item);
                }
                self.push(name, true, attributes);
                rest
            }
            Becomes::Inline(name) => {
                if name == "a"
                    && let Some(at) = self.inline("a")
                {
                    self.truncate(at);
                }
                self.push(name, false, attributes);
                rest
            }
            Becomes::Empty(name) => {
                self.empty(name, attributes);
                rest
            }
            Becomes::EmptyWithoutContent(new) => {
                self.empty(new, attributes);
                after_end_tag(name, rest)
            }
            Becomes::NothingWithContent => after_end_tag(name, rest),
            Becomes::Nothing => rest,
        }
    }

    fn close(&mut self, name: &str) {
        let at = match becomes(name) {
            Becomes::Block(name) => self.open.iter().rposition(|(open, _)| *open == name),
            Becomes::Inline(name) => self.inline(name),
            Becomes::Empty(_) | Becomes::EmptyWithoutContent(_) | Becomes::NothingWithContent | Becomes::Nothing => {
                return;
            }
        };
        if self.dropped > 0 {
            self.dropped -= 1;
        } else if let Some(at) = at {
            self.truncate(at);
        }
    }

    /// Where an inline element of this name is open in the innermost block.
    fn inline(&self, name: &str) -> Option<usize> {
        let at = self.open.iter().rposition(|(open, block)| *block || *open == name)?;
        (!self.open[at].1).then_some(at)
    }

    fn push(&mut self, name: &'static str, block: bool, attributes: &str) {
        if self.open.len() >= MAX_DEPTH {
            self.dropped += 1;
            // Words of two blocks do not run together because their tags went.
            self.out.push(' ');
            return;
        }
        self.open.push((name, block));
        self.tag(name, attributes);
    }

    fn empty(&mut self, name: &'static str, attributes: &str) {
        self.tag(name, attributes);
        if name.starts_with("x-") {
            self.out.push_str("</");
            self.out.push_str(name);
            self.out.push('>');
        }
    }

    fn tag(&mut self, name: &str, attributes: &str) {
        self.out.push('<');
        self.out.push_str(name);
        if !attributes.is_empty() && !attributes.starts_with(|c: char| c.is_ascii_whitespace() || c == '/') {
            self.out.push(' ');
        }
        self.out.push_str(attributes);
        self.out.push('>');
    }

    fn truncate(&mut self, at: usize) {
        while self.open.len() > at {
            let Some((name, _)) = self.open.pop() else { break };
            self.out.push_str("</");
            self.out.push_str(name);
            self.out.push('>');
        }
    }
}

/// What follows the end tag of `name`; nothing when it is never closed, as a browser would have it for a script.
fn after_end_tag<'h>(name: &str, rest: &'h str) -> &'h str {
    let bytes = rest.as_bytes();
    let mut at = 0;
    while let Some(found) = rest[at..].find("</") {
        let start = at + found + 2;
        let end = start + name.len();
        if bytes.get(start..end).is_some_and(|tag| tag.eq_ignore_ascii_case(name.as_bytes())) {
            return rest[end..].find('>').map_or("", |close| &rest[end + close + 1..]);
        }
        at = start;
    }
    ""
}
