//! What Discourse cooks, taken apart construct by construct.
//!
//! The tree is walked once. Prose is collected as flat blocks, which html2text then turns into text: it folds white
//! space and decodes as a browser would. It never sees lists, quotes or tables, since it answers `TooNarrow` on nested
//! ones and takes quadratic time in depth.
use scraper::{ElementRef, Html, Node};
use url::Url;

use super::{Body, Links, alt, clean, dates, emoji, paragraphs};
use crate::item::Image;
use crate::link;

/// Pictures kept from one body.
const MAX_IMAGES: usize = 50;
/// In pixels. Smaller ones are icons, badges and counting pixels.
const ICON_PIXELS: u32 = 64;
/// In columns: wider than any bounded body, so that html2text breaks lines only where the author did.
const WIDTH: usize = 1 << 24;

/// Takes bounded HTML apart. With the address of a feed item, the trailers of Discourse's feeds are left out.
pub(super) fn take_apart(html: &str, base: &Url, feed_item: Option<&Url>) -> Body {
    let html = Html::parse_fragment(html);
    let root = html.root_element();
    let mut walk = Walk::new(base);
    if let Some(item) = feed_item {
        walk.leave_out_trailers(root, item);
    }
    walk.children(root);
    walk.flush();
    walk.images.append(&mut walk.thumbnails);
    walk.images.truncate(MAX_IMAGES);
    Body { text: text_of(&walk.blocks), links: walk.links.list, images: walk.images }
}

/// The words of bounded HTML in one run, for titles.
pub(super) fn inline_text(html: &str) -> String {
    let html = Html::parse_fragment(html);
    let base = Url::parse("https://localhost/").expect("a constant address parses");
    let mut walk = Walk::new(&base);
    walk.children(html.root_element());
    walk.flush();
    text_of(&walk.blocks)
}

enum Block {
    Paragraph(String),
    Item(String),
    Quote(String),
}

fn text_of(blocks: &[Block]) -> String {
    let mut html = String::new();
    for block in blocks {
        match block {
            Block::Paragraph(inline) => html.extend(["<p>", inline, "</p>"]),
            Block::Item(inline) => html.extend(["<div>- ", inline, "</div>"]),
            Block::Quote(inline) => html.extend(["<p>&gt; ", &inline.replace("<br>", "<br>&gt; "), "</p>"]),
        }
    }
    // No decoration: no footnotes for links, no asterisks for emphasis; a post shows neither.
    let text = html2text::config::plain_no_decorate().string_from_read(html.as_bytes(), WIDTH).unwrap_or_default();
    paragraphs(clean(&text).lines())
}

struct Walk<'a> {
    base: &'a Url,
    blocks: Vec<Block>,
    /// The block being written: escaped text and `<br>` only.
    line: String,
    /// The next block begins an item of a list.
    item: bool,
    /// Inside plain block quotes.
    quotes: usize,
    /// Inside something whose words and pictures go but whose links stay.
    muted: usize,
    /// Inside inline code: an address there is an example.
    code: usize,
    /// The text node that follows an attachment begins with its size.
    after_attachment: bool,
    links: Links,
    images: Vec<Image>,
    thumbnails: Vec<Image>,
    left_out: Vec<ElementRef<'a>>,
    /// The block quote that very old feeds wrap around the body.
    wrapper: Option<ElementRef<'a>>,
}

impl<'a> Walk<'a> {
    fn new(base: &'a Url) -> Self {
        Walk {
            base,
            blocks: Vec::new(),
            line: String::new(),
            item: false,
            quotes: 0,
            muted: 0,
            code: 0,
            after_attachment: false,
            links: Links::default(),
            images: Vec::new(),
            thumbnails: Vec::new(),
            left_out: Vec::new(),
            wrapper: None,
        }
    }

    fn children(&mut self, element: ElementRef<'a>) {
        for child in element.children() {
            match child.value() {
                Node::Text(text) => self.text(text),
                Node::Element(_) => {
                    if let Some(child) = ElementRef::wrap(child) {
                        self.element(child);
                    }
                }
                Node::Document
                | Node::Fragment
                | Node::Doctype(_)
                | Node::Comment(_)
                | Node::ProcessingInstruction(_) => {}
            }
        }
    }

    fn element(&mut self, element: ElementRef<'a>) {
        if self.left_out.contains(&element) || element.attr("hidden").is_some() || is_display_none(element) {
            return;
        }
        let has = |class: &str| has_class(element, class);
        match element.value().name() {
            "br" => self.push("<br>"),
            "img" => self.image(element, None),
            "a" => self.anchor(element),
            // What was struck out is no longer said; without its line it would say the opposite.
            "del" | "x-pre" | "hr" => self.line_break_for(element),
            "x-iframe" => self.frame(element),
            "x-media" | "x-source" => {
                self.link(element.attr("src"));
                self.muted(element);
            }
            "x-code" => {
                self.code += 1;
                self.children(element);
                self.code -= 1;
            }
            "x-table" => self.muted_block(element),
            "li" => {
                self.flush();
                self.item = true;
                self.children(element);
                self.flush();
                self.item = false;
            }
            "ul" | "ol" if has("footnotes-list") => self.muted_block(element),
            "aside" if has("quote") => self.flush(),
            "aside" if has("onebox") => self.onebox(element),
            "details" => self.details(element),
            "blockquote" if self.wrapper != Some(element) => {
                self.flush();
                self.quotes += 1;
                self.children(element);
                self.flush();
                self.quotes -= 1;
            }
            "div" if has("lazy-video-container") => self.video(element),
            "div" if has("poll") => self.note("(poll)"),
            "div" if has("discourse-post-event") => self.event(element),
            "div" if has("md-table") || has("footnotes") => self.muted_block(element),
            "div" if has("spoiler") || has("spoiled") || has("math") || has("meta") => self.flush(),
            "div" if has("video-placeholder-container") => {
                self.flush();
                self.link(element.attr("data-video-src"));
            }
            "p" => {
                self.flush();
                if !self.lone_link(element) {
                    self.children(element);
                }
                self.flush();
            }
            "div" | "ul" | "ol" | "h2" | "aside" | "blockquote" | "summary" => {
                self.flush();
                self.children(element);
                self.flush();
            }
            "span" if has("spoiler") || has("spoiled") || has("footnote-ref") || has("clicks") => {}
            "span" if has("discourse-local-date") => self.local_date(element),
            "span" if has("chcklst-box") => {
                let done = element.value().classes().any(|c| c.contains("square-check") || c == "checked");
                self.text(if done { "☑ " } else { "☐ " });
            }
            "span" if has("mention") || has("mention-group") => self.name(element),
            "span" if has("hashtag") || has("hashtag-raw") => self.name(element),
            _ => self.children(element),
        }
    }

    /// An inline thing that goes leaves nothing, a block ends the paragraph.
    fn line_break_for(&mut self, element: ElementRef<'a>) {
        if element.value().name() != "del" {
            self.flush();
        }
    }

    fn text(&mut self, text: &str) {
        let mut text = text;
        if std::mem::take(&mut self.after_attachment) {
            text = after_size(text);
        }
        if self.muted > 0 {
            return;
        }
        for c in text.chars() {
            match c {
                '&' => self.line.push_str("&amp;"),
                '<' => self.line.push_str("&lt;"),
                '>' => self.line.push_str("&gt;"),
                _ => self.line.push(c),
            }
        }
    }

    fn push(&mut self, html: &str) {
        if self.muted == 0 {
            self.line.push_str(html);
        }
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.trim().is_empty() || line.replace("<br>", "").trim().is_empty() {
            return;
        }
        let block = if self.quotes > 0 {
            Block::Quote(line)
        } else if std::mem::take(&mut self.item) {
            Block::Item(line)
        } else {
            Block::Paragraph(line)
        };
        self.blocks.push(block);
    }

    fn note(&mut self, words: &str) {
        self.flush();
        self.text(words);
        self.flush();
    }

    fn muted(&mut self, element: ElementRef<'a>) {
        self.muted += 1;
        self.children(element);
        self.muted -= 1;
    }

    fn muted_block(&mut self, element: ElementRef<'a>) {
        self.flush();
        self.muted(element);
        self.line.clear();
    }

    fn details(&mut self, element: ElementRef<'a>) {
        self.flush();
        for child in element.child_elements() {
            if child.value().name() == "summary" {
                self.element(child);
            } else {
                self.muted_block(child);
            }
        }
        // Bare text between the elements of the body is body too: it was never collected.
        self.line.clear();
    }

    /// The name alone of a mention or a hashtag: it must neither ping a stranger nor become somebody else's tag.
    fn name(&mut self, element: ElementRef<'a>) {
        let name: String = element.text().collect();
        self.text(name.trim().trim_start_matches(['@', '＠', '#', '＃']));
    }

    fn anchor(&mut self, element: ElementRef<'a>) {
        let has = |class: &str| has_class(element, class);
        let href = element.attr("href");
        if has("anchor") || has("footnote-backref") {
            return;
        }
        if has("mention") || has("mention-group") || has("hashtag") || has("hashtag-cooked") {
            return self.name(element);
        }
        if has("lightbox") {
            if let Some(image) = element.descendent_elements().find(|e| e.value().name() == "img") {
                self.image(image, href);
            }
            return;
        }
        self.link(href);
        if has("onebox") {
            return;
        }
        self.after_attachment = false;
        let words: String = element.text().collect();
        match href.and_then(|href| self.resolve(href)) {
            // The forum shortens an address for the eye, and an address shown may not be the one behind it.
            Some(url) if is_address(&words) && link::is_for_readers(&url) => self.text(url.as_str()),
            Some(_) | None => self.children(element),
        }
        self.after_attachment = has("attachment");
    }

    /// A paragraph that is only one address or one page's title is a link, not prose.
    fn lone_link(&mut self, paragraph: ElementRef<'a>) -> bool {
        let mut anchors = paragraph.child_elements();
        let (Some(anchor), None) = (anchors.next(), anchors.next()) else { return false };
        let words: String = anchor.text().collect();
        let alone = paragraph.text().collect::<String>().trim() == words.trim();
        let is_link = anchor.value().name() == "a"
            && (has_class(anchor, "inline-onebox") || has_class(anchor, "inline-onebox-loading") || is_address(&words));
        if alone && is_link {
            self.link(anchor.attr("href"));
        }
        alone && is_link
    }

    fn resolve(&self, address: &str) -> Option<Url> {
        let address = address.trim();
        // A link into the page itself leads nowhere from elsewhere.
        if address.is_empty() || address.starts_with('#') {
            return None;
        }
        self.base.join(address).ok()
    }

    fn link(&mut self, address: Option<&str>) {
        if self.code == 0
            && let Some(url) = address.and_then(|address| self.resolve(address))
        {
            self.links.push(url.as_str());
        }
    }

    fn onebox(&mut self, element: ElementRef<'a>) {
        self.flush();
        let source = element
            .attr("data-onebox-src")
            .or_else(|| element.descendent_elements().find(|e| e.value().name() == "a").and_then(|a| a.attr("href")));
        self.link(source);
    }

    fn video(&mut self, element: ElementRef<'a>) {
        self.flush();
        let href = element.descendent_elements().find(|e| e.value().name() == "a").and_then(|a| a.attr("href"));
        let id = element.attr("data-video-id").filter(|id| {
            !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
        match (element.attr("data-provider-name"), id) {
            (Some("youtube"), Some(id)) => self.link(Some(&format!("https://www.youtube.com/watch?v={id}"))),
            (Some("vimeo"), Some(id)) => self.link(Some(&format!("https://vimeo.com/{id}"))),
            (Some(_) | None, _) => self.link(href),
        }
        let thumbnail = element.descendent_elements().find(|e| e.value().name() == "img");
        if self.muted == 0
            && let Some(url) = thumbnail.and_then(|i| i.attr("src")).and_then(|src| self.resolve(src))
            && link::is_for_readers(&url)
        {
            self.thumbnails.push(Image { url: url.into(), alt: element.attr("data-video-title").and_then(alt::real) });
        }
    }

    fn frame(&mut self, element: ElementRef<'a>) {
        self.flush();
        let Some(url) = element.attr("src").and_then(|src| self.resolve(src)) else { return };
        match link::youtube_id(&url) {
            Some(id) => self.link(Some(&format!("https://www.youtube.com/watch?v={id}"))),
            None => self.link(Some(url.as_str())),
        }
    }

    fn image(&mut self, element: ElementRef<'a>, full: Option<&str>) {
        let has = |class: &str| has_class(element, class);
        if has("emoji") {
            let code = element.attr("alt").or_else(|| element.attr("title")).unwrap_or_default();
            if !has("emoji-custom")
                && let Some(emoji) = emoji::from_code(code)
            {
                self.text(emoji);
            }
            return;
        }
        let pixels = |side: &str| element.attr(side).and_then(|value| value.parse::<u32>().ok());
        let is_icon =
            matches!((pixels("width"), pixels("height")), (Some(w), Some(h)) if w <= ICON_PIXELS && h <= ICON_PIXELS);
        if self.muted > 0 || has("avatar") || has("site-icon") || has("d-icon") || is_icon {
            return;
        }
        let address = [full, element.attr("src")].into_iter().flatten().find_map(|address| {
            let url = self.resolve(address)?;
            (link::is_for_readers(&url) && !url.path().ends_with("/images/transparent.png")).then_some(url)
        });
        let Some(url) = address else { return };
        if self.images.len() < MAX_IMAGES && !self.images.iter().any(|image| image.url == url.as_str()) {
            self.images.push(Image { url: url.into(), alt: element.attr("alt").and_then(alt::real) });
        }
    }

    fn local_date(&mut self, element: ElementRef<'a>) {
        let words = element
            .attr("data-date")
            .and_then(|date| dates::words(date, element.attr("data-time"), element.attr("data-timezone")));
        match words {
            Some(words) => self.text(&words),
            None => self.children(element),
        }
    }

    fn event(&mut self, element: ElementRef<'a>) {
        let zone = element.attr("data-timezone");
        let when = |name: &str| element.attr(name).and_then(|value| dates::event_words(value, zone));
        let when = match (when("data-start"), when("data-end")) {
            (Some(start), Some(end)) => format!("{start} – {end}"),
            (Some(start), None) => start,
            (None, _) => return self.flush(),
        };
        match element.attr("data-name").map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => self.note(&format!("{name}: {when}")),
            None => self.note(&when),
        }
    }

    /// The last paragraph whose only link is the item itself, and before it the last paragraph in small print without
    /// links. Both are localised, so only their shape is known. Very old sites wrap the body in a quote after "X wrote:".
    fn leave_out_trailers(&mut self, root: ElementRef<'a>, item: &Url) {
        let mut top: Vec<_> = root.child_elements().filter(|e| e.value().name() != "hr").collect();
        let item_key = link::identity_keys(item);
        if let Some(last) = top.last().copied()
            && let Some(anchor) = only_child(last)
            && anchor.value().name() == "a"
            && anchor
                .attr("href")
                .and_then(|href| self.resolve(href))
                .is_some_and(|url| link::identity_keys(&url) == item_key)
        {
            self.left_out.push(last);
            top.pop();
        }
        if let Some(last) = top.last().copied()
            && let Some(small) = only_child(last)
            && small.value().name() == "x-small"
            && !small.descendent_elements().any(|e| e.value().name() == "a")
        {
            self.left_out.push(last);
            top.pop();
        }
        let [wrote @ .., wrapper] = top.as_slice() else { return };
        if wrapper.value().name() == "blockquote"
            && let [wrote] = wrote
            && wrote.value().name() == "p"
            && wrote.text().collect::<String>().trim_end().ends_with(':')
        {
            self.left_out.push(*wrote);
            self.wrapper = Some(*wrapper);
        }
    }
}

/// The only child of a paragraph, if it has nothing else.
fn only_child(element: ElementRef<'_>) -> Option<ElementRef<'_>> {
    let mut children = element.child_elements();
    let (Some(child), None) = (children.next(), children.next()) else { return None };
    let same = element.text().collect::<String>().trim() == child.text().collect::<String>().trim();
    (element.value().name() == "p" && same).then_some(child)
}

fn has_class(element: ElementRef<'_>, class: &str) -> bool {
    element.value().classes().any(|c| c == class)
}

fn is_display_none(element: ElementRef<'_>) -> bool {
    element.attr("style").is_some_and(|style| style.replace(' ', "").to_ascii_lowercase().contains("display:none"))
}

/// Is this what a reader takes for an address, perhaps shortened with an ellipsis?
fn is_address(words: &str) -> bool {
    let words = words.trim();
    !words.contains(char::is_whitespace)
        && (words.starts_with("http://")
            || words.starts_with("https://")
            || words.starts_with("www.")
            || (words.ends_with('…') && words.contains('.') && words.contains('/')))
}

/// What follows the size that Discourse writes behind an attachment: ` (123 KB)`.
fn after_size(text: &str) -> &str {
    let trimmed = text.trim_start();
    match trimmed.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((size, rest))
            if size.starts_with(|c: char| c.is_ascii_digit()) && size.len() < 16 && size.ends_with(['B', 's']) =>
        {
            rest
        }
        Some(_) | None => text,
    }
}
