//! Is one of the account's posts the one we meant? Servers turn text into HTML, each in its own way.
use scraper::{Html, Node};
use unicode_normalization::UnicodeNormalization;
use url::Url;

/// Elements one status may have: the HTML parser takes quadratic time where they are nested.
const MAX_TAGS: usize = 2000;
/// Bytes of one status.
const MAX_BYTES: usize = 256 * 1024;

/// How much a status is like the post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// The same words and links.
    Same,
    /// It links to the item, in other words.
    SameLink,
    /// Something else.
    Other,
}

/// The post that is looked for, prepared once.
#[derive(Debug)]
pub(super) struct Wanted {
    text: String,
    url: String,
}

impl Wanted {
    pub(super) fn new(text: &str, item_url: &str) -> Self {
        Self { text: squeezed(text), url: canonical(item_url) }
    }

    /// Compares with a status's HTML. `None`: it is too large or too nested to be looked at.
    pub(super) fn in_content(&self, html: &str) -> Option<Likeness> {
        if html.len() > MAX_BYTES || html.bytes().filter(|b| *b == b'<').count() > MAX_TAGS {
            return None;
        }
        let seen = Seen::read(html);
        // Mastodon shows an address in three spans, two of them invisible, which together are the whole of it; others
        // show a shortened one. So what is shown is compared, and again with each address in place of its link.
        Some(if squeezed(&seen.shown) == self.text || squeezed(&seen.with_hrefs) == self.text {
            Likeness::Same
        } else if !self.url.is_empty() && seen.hrefs.contains(&self.url) {
            Likeness::SameLink
        } else {
            Likeness::Other
        })
    }

    /// Compares with a status's own source text.
    pub(super) fn is_source(&self, text: &str) -> bool {
        squeezed(text) == self.text
    }
}

#[derive(Debug, Default)]
struct Seen {
    shown: String,
    with_hrefs: String,
    hrefs: Vec<String>,
}

impl Seen {
    fn read(html: &str) -> Self {
        let document = Html::parse_fragment(html);
        let mut seen = Self::default();
        for node in document.tree.root().descendants() {
            match node.value() {
                Node::Text(text) => {
                    seen.shown.push_str(text);
                    if !node.ancestors().any(|a| a.value().as_element().is_some_and(|e| link_of(e).is_some())) {
                        seen.with_hrefs.push_str(text);
                    }
                }
                Node::Element(element) => {
                    if let Some(href) = link_of(element) {
                        seen.with_hrefs.push_str(href);
                        seen.hrefs.push(canonical(href));
                    } else if matches!(element.name(), "p" | "br" | "li" | "div" | "blockquote") {
                        // Only so that a mention at the end of a line ends there.
                        seen.shown.push('\n');
                        seen.with_hrefs.push('\n');
                    }
                }
                Node::Document
                | Node::Fragment
                | Node::Doctype(_)
                | Node::Comment(_)
                | Node::ProcessingInstruction(_) => {}
            }
        }
        seen
    }
}

/// The address of a link that is neither a mention nor a hashtag.
fn link_of(element: &scraper::node::Element) -> Option<&str> {
    let special = element.classes().any(|class| matches!(class, "mention" | "hashtag"));
    if element.name() == "a" && !special { element.attr("href") } else { None }
}

/// An address as the standard spells it, so that two spellings of one are equal.
fn canonical(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |u| u.to_string())
}

/// What servers leave alone: the characters without white space and invisible ones, in one normal form, addresses in
/// the standard's spelling, mentions without their host (which a server shows or not).
fn squeezed(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    let mut finder = linkify::LinkFinder::new();
    finder.kinds(&[linkify::LinkKind::Url]);
    for span in finder.spans(text) {
        if span.kind().is_some() {
            spelled.push_str(&canonical(span.as_str()));
        } else {
            spelled.push_str(&without_hosts(span.as_str()));
        }
    }
    spelled.nfc().filter(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(*c)).collect()
}

/// `@user@host` becomes `@user`.
fn without_hosts(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut mention = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '@' && mention {
            while chars.next_if(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | ':')).is_some() {}
            mention = false;
            continue;
        }
        mention = c == '@' || (mention && (c.is_alphanumeric() || matches!(c, '_' | '.' | '-')));
        out.push(c);
    }
    out
}

fn is_invisible(c: char) -> bool {
    // Zero-width space, word joiner, byte order mark, soft hyphen and variation selectors: servers drop or add them.
    matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}' | '\u{fe0e}' | '\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "NixOS 26.11 <released> & ready\n\nRead on: https://discourse.example/t/nixos-26-11/1234?x=1&y=2\n\n#NixOS";
    const URL: &str = "https://discourse.example/t/nixos-26-11/1234?x=1&y=2";

    #[track_caller]
    fn check(html: &str, want: Likeness) {
        assert_eq!(Wanted::new(TEXT, URL).in_content(html), Some(want), "{html}");
    }

    #[test]
    fn a_post_is_known_again() {
        // As Mastodon writes it.
        check(
            r##"<p>NixOS 26.11 &lt;released&gt; &amp; ready</p><p>Read on: <a href="https://discourse.example/t/nixos-26-11/1234?x=1&amp;y=2" target="_blank" rel="nofollow noopener" translate="no"><span class="invisible">https://</span><span class="ellipsis">discourse.example/t/nixos-26-1</span><span class="invisible">1/1234?x=1&amp;y=2</span></a></p><p><a href="https://m.example/tags/NixOS" class="mention hashtag" rel="tag">#<span>NixOS</span></a></p>"##,
            Likeness::Same,
        );
        // As a server that shortens what is shown.
        check(
            r##"NixOS 26.11 &lt;released&gt; &amp; ready<br><br>Read on: <a href="https://discourse.example/t/nixos-26-11/1234?x=1&amp;y=2">discourse.example/t/nixos…</a><br><br><a class="hashtag" href="/tag/nixos">#NixOS</a>"##,
            Likeness::Same,
        );
        // The item in other words.
        check(
            r#"<p>Have a look: <a href="https://discourse.example/t/nixos-26-11/1234?x=1&amp;y=2">here</a></p>"#,
            Likeness::SameLink,
        );
        check("<p>NixOS 26.05 is out</p>", Likeness::Other);
        check("", Likeness::Other);
    }

    #[test]
    fn a_mention_may_lose_its_host() {
        let wanted = Wanted::new("Thanks to @alice@social.example, mail a@b.example", "");
        let html = r#"<p>Thanks to <span class="h-card"><a href="https://social.example/@alice" class="u-url mention">@<span>alice</span></a></span>, mail a@b.example</p>"#;
        assert_eq!(wanted.in_content(html), Some(Likeness::Same));
        assert!(!Wanted::new("thanks to @alice", "").is_source("thanks to @bob"));
    }

    proptest::proptest! {
        /// What a Mastodon makes of any text is known again, and not taken for another text.
        #[test]
        fn promise_03_any_post_is_known_again(
            text in "(\\PC|\n|#[A-Za-z]{1,9}|https?://[a-z]{1,9}\\.example/[a-zé%&?=._~/-]{0,60}[ \n]){1,60}",
            more in "[a-z]{1,5}",
        ) {
            let base = Url::parse("https://m.example").unwrap();
            let html = crate::pretend::mastodon::words::html(&text, &base);
            proptest::prop_assert_eq!(Wanted::new(&text, "").in_content(&html), Some(Likeness::Same));
            let other = Wanted::new(&format!("{more} {text}"), "");
            proptest::prop_assert_eq!(other.in_content(&html), Some(Likeness::Other));
        }
    }

    #[test]
    fn a_status_made_to_stall_is_not_looked_at() {
        assert_eq!(Wanted::new(TEXT, URL).in_content(&"<div>".repeat(100_000)), None);
    }
}
