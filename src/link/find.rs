//! Finding addresses in plain text, with linkify and its faults mended (links.md 6).
use std::ops::Range;

use linkify::{LinkFinder, LinkKind};
use url::Url;

use super::is_for_readers;
use super::rewrite::has_web_scheme;

/// A longer word without a space is no address, and looking through it again and again would take long. In bytes.
const LONGEST_WORD: usize = 8 * 1024;

/// Where the http(s) addresses of a plain text are, in order, without what only stands behind them.
///
/// linkify needs the scheme here: without it, it takes `flake.nix` and `25.05.Foo` for hosts. Its faults are mended: an
/// address glued to a word is none (but `見てhttps://…` and `out.https://…` are ones, as networks see them), and it ends
/// before typographic quotes, CJK punctuation and CJK text (links.md 6).
pub fn find(text: &str) -> Vec<Range<usize>> {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]).url_must_have_scheme(true);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = next_scheme(text, from) {
        from = start + "http".len();
        if text[..start].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric()) {
            continue;
        }
        let Some(word) = word_at(text, start) else { continue };
        let Some(end) = address(&finder, word) else { continue };
        from = start + end;
        if Url::parse(&word[..end]).is_ok_and(|url| is_for_readers(&url)) {
            found.push(start..start + end);
        }
    }
    found
}

/// The next place where `http://` or `https://` stands.
fn next_scheme(text: &str, from: usize) -> Option<usize> {
    memchr::memchr2_iter(b'h', b'H', &text.as_bytes()[from..])
        .map(|at| from + at)
        .find(|at| has_web_scheme(&text[*at..]))
}

/// Up to the next space; `None`: that is too far.
fn word_at(text: &str, start: usize) -> Option<&str> {
    let rest = crate::text::cut(&text[start..], LONGEST_WORD);
    match rest.find(|c: char| c.is_whitespace() || c.is_control()) {
        Some(end) => Some(&rest[..end]),
        None => (start + rest.len() == text.len()).then_some(rest),
    }
}

/// Where the address ends that a word begins with; `None`: it begins with none.
fn address(finder: &LinkFinder, word: &str) -> Option<usize> {
    let mut end = word.len();
    loop {
        // Without what followed, linkify may end earlier still, at the hyphen of `https://a.example-…`, or find nothing, in
        // the `http://12` of `http://12…7.example`.
        let first = finder.links(&word[..end]).next().filter(|first| first.start() == 0)?;
        let shorter = mended(first.as_str());
        if shorter >= end {
            return Some(end);
        }
        end = shorter;
    }
}

/// The length of the address at the start of what linkify found.
fn mended(shown: &str) -> usize {
    let host_starts = shown.find("://").map_or(0, |at| at + 3);
    let path_starts = shown[host_starts..].find(['/', '?', '#']).map_or(shown.len(), |at| host_starts + at);
    // `https://a.example/x,https://b.example/` is two addresses to a reader, of which the second one leads elsewhere.
    let next =
        |at: usize, c: char| at > path_starts && matches!(c, ',' | ';' | '|' | '(') && has_web_scheme(&shown[at + 1..]);
    let mut end = shown
        .char_indices()
        .find(|&(at, c)| is_never_in_address(c) || (at > path_starts && is_cjk(c)) || next(at, c))
        .map_or(shown.len(), |(at, _)| at);
    loop {
        let part = &shown[..end];
        let Some(last) = part.chars().next_back() else { return end };
        let unpaired = |open: char| part.matches(last).count() > part.matches(open).count();
        let is_trailing = match last {
            '.' | ',' | ':' | ';' | '!' | '?' | '\'' | '"' | '*' | '|' | '`' => true,
            // What opens at the end encloses nothing of the address.
            '(' | '[' | '{' => true,
            ')' => unpaired('('),
            ']' => unpaired('['),
            _ => false,
        };
        if !is_trailing {
            return end;
        }
        end -= last.len_utf8();
    }
}

/// Quotes, ellipses, invisible characters and CJK punctuation: after an address, never of it.
fn is_never_in_address(c: char) -> bool {
    matches!(c, '\u{2018}'..='\u{201f}' | '«' | '»' | '‹' | '›' | '…' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
        | '\u{3000}'..='\u{303f}' | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{ff3b}'..='\u{ff3d}'
        | '\u{ff5b}'..='\u{ff65}')
}

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_found(text: &str, want: &[&str]) {
        let found: Vec<&str> = find(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, want, "{text}");
    }

    #[test]
    fn links_of_plain_text_end_where_a_reader_ends_them() {
        check_found("See https://nixos.org/blog.", &["https://nixos.org/blog"]);
        check_found(
            "(https://en.wikipedia.org/wiki/Nix_(package_manager)).",
            &["https://en.wikipedia.org/wiki/Nix_(package_manager)"],
        );
        check_found("<https://nixos.org> and **https://nix.dev**", &["https://nixos.org", "https://nix.dev"]);
        check_found("“https://nixos.org/a” ‘https://nixos.org/b’", &["https://nixos.org/a", "https://nixos.org/b"]);
        check_found("https://nixos.org/です", &["https://nixos.org/"]);
        check_found("「https://nixos.org/x」。", &["https://nixos.org/x"]);
        check_found("https://nixos.org/long…", &["https://nixos.org/long"]);
        // Found by fuzzing.
        check_found("https://a.example-…”", &["https://a.example"]);
        check_found("http://12…7.2yoyoutu.be/a", &[]);
        check_found("https://nixos.org/a\u{200b}b", &["https://nixos.org/a"]);
        check_found("https://nixos.org/ä", &["https://nixos.org/ä"]);
        check_found(
            "https://nixos.org/Nix_( and https://nixos.org/a[",
            &["https://nixos.org/Nix_", "https://nixos.org/a"],
        );
        check_found("xhttps://nixos.org 7https://nixos.org", &[]);
        check_found("見てhttps://nixos.org/a Жhttps://nixos.org/b", &["https://nixos.org/a", "https://nixos.org/b"]);
        check_found("It is out.https://nixos.org/a (x-https://nix.dev)", &["https://nixos.org/a", "https://nix.dev"]);
        check_found("https://nixos.org/a。「https://nix.dev/b」", &["https://nixos.org/a", "https://nix.dev/b"]);
        check_found("https://nixos.org/だhttps://nix.dev/b", &["https://nixos.org/", "https://nix.dev/b"]);
        check_found("https://nixos.org/x,https://nix.dev/b", &["https://nixos.org/x", "https://nix.dev/b"]);
        check_found("“https://nixos.org/x”“https://nix.dev/b”", &["https://nixos.org/x", "https://nix.dev/b"]);
        check_found(
            "https://web.archive.org/web/2020/https://nixos.org/",
            &["https://web.archive.org/web/2020/https://nixos.org/"],
        );
        check_found("flake.nix, node.js, 25.05.Foo, file.rs and nixos.org", &[]);
        check_found("ftp://a.example javascript:alert(1) upload://x.png", &[]);
        check_found("https://nixos.org@evil.example/", &[]);
    }
}
