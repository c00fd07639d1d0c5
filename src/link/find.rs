//! Finding addresses in plain text, with linkify and its faults mended (links.md 6).
use std::ops::Range;

use linkify::{LinkFinder, LinkKind};
use url::Url;

use super::is_for_readers;

/// Where the http(s) addresses of a plain text are, in order, without what only stands behind them.
///
/// linkify needs the scheme here: without it, it takes `flake.nix` and `25.05.Foo` for hosts. Its faults are mended: an
/// address glued to a word is none, and it ends before typographic quotes, CJK punctuation and CJK text (links.md 6).
pub fn find(text: &str) -> Vec<Range<usize>> {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]).url_must_have_scheme(true);
    let mut found = Vec::new();
    for link in finder.links(text) {
        let shown = link.as_str();
        // `xhttps://nixos.org` is one link to linkify, under a scheme that nobody has.
        let is_http =
            ["http://", "https://"].iter().any(|s| shown.get(..s.len()).is_some_and(|p| p.eq_ignore_ascii_case(s)));
        let is_glued = text[..link.start()].chars().next_back().is_some_and(char::is_alphanumeric);
        if !is_http || is_glued {
            continue;
        }
        let mut end = link.start() + mended(shown);
        // Without what followed, linkify may end earlier still, at the hyphen of `https://a.example-…`, or find nothing, in
        // the `http://12` of `http://12…7.example`.
        let is_address = loop {
            let Some(first) = finder.links(&text[link.start()..end]).next().filter(|first| first.start() == 0) else {
                break false;
            };
            let shorter = link.start() + mended(first.as_str());
            if shorter >= end {
                break true;
            }
            end = shorter;
        };
        if is_address && Url::parse(&text[link.start()..end]).is_ok_and(|url| is_for_readers(&url)) {
            found.push(link.start()..end);
        }
    }
    found
}

/// The length of the address at the start of what linkify found.
fn mended(shown: &str) -> usize {
    let host_starts = shown.find("://").map_or(0, |at| at + 3);
    let path_starts = shown[host_starts..].find(['/', '?', '#']).map_or(shown.len(), |at| host_starts + at);
    let mut end = shown
        .char_indices()
        .find(|&(at, c)| is_never_in_address(c) || (at > path_starts && is_cjk(c)))
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
        check_found("flake.nix, node.js, 25.05.Foo, file.rs and nixos.org", &[]);
        check_found("ftp://a.example javascript:alert(1) upload://x.png", &[]);
        check_found("https://nixos.org@evil.example/", &[]);
    }
}
