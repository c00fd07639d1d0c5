//! Length of a text as a platform counts it.
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::platform::Limits;
use crate::suffix;

/// What any address counts on Mastodon unless the server says otherwise (`characters_reserved_per_url`).
pub const MASTODON_URL_LENGTH: usize = 23;
/// Mastodon's limit unless the server says otherwise.
pub const MASTODON_LIMIT: usize = 500;
/// In characters: Mastodon does not reduce a longer address.
const MAX_URL_CHARS: usize = 4096;
/// Those Mastodon links, and therefore reduces.
const SCHEMES: [&str; 9] = ["https", "http", "dat", "dweb", "ipfs", "ipns", "ssb", "gopher", "gemini"];

/// How a platform counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Grapheme clusters after addresses and mentions were reduced (platforms.md 1.7).
    Mastodon {
        /// What one address counts.
        url_length: usize,
    },
    /// Code points, nothing reduced (GoToSocial, platforms.md 2.1).
    CodePoints,
    /// Extended grapheme clusters, nothing reduced.
    Graphemes,
}

impl Unit {
    /// The unit of a server with these limits.
    pub fn of(limits: &Limits) -> Unit {
        match (limits.counts_code_points, limits.url_length) {
            (true, _) => Unit::CodePoints,
            (false, Some(url_length)) => Unit::Mastodon { url_length },
            (false, None) => Unit::Graphemes,
        }
    }

    /// Unit and built-in limit of a platform by its word in the configuration; `None`: no such platform. The `file`
    /// platform has no limit of its own, so it answers with Mastodon's.
    pub fn by_name(platform: &str) -> Option<(Unit, usize)> {
        match platform {
            "mastodon" => Some((Unit::Mastodon { url_length: MASTODON_URL_LENGTH }, MASTODON_LIMIT)),
            "file" => Some((Unit::Graphemes, MASTODON_LIMIT)),
            _ => None,
        }
    }

    /// The length of `text` with the content warning `warning` (empty: none).
    pub fn length(self, text: &str, warning: &str) -> usize {
        match self {
            Unit::Mastodon { url_length } => mastodon(text, warning, url_length),
            Unit::CodePoints => code_points(text, warning),
            Unit::Graphemes => graphemes(warning) + graphemes(text),
        }
    }
}

/// As Mastodon counts: grapheme clusters of the warning and of the text, in which each address with a scheme counts
/// `url_length` and each `@user@host` counts `@user`.
pub fn mastodon(text: &str, warning: &str, url_length: usize) -> usize {
    let reduced = reduced(text, url_length);
    // The server joins the two before it counts, so a mark at the seam belongs to the letter before it.
    graphemes(&format!("{warning}{reduced}"))
}

/// As GoToSocial counts: code points of warning and text.
pub fn code_points(text: &str, warning: &str) -> usize {
    warning.chars().count() + text.chars().count()
}

fn graphemes(text: &str) -> usize {
    text.graphemes(true).count()
}

fn reduced(text: &str, url_length: usize) -> String {
    // Whatever a server says an address counts, no post needs more than this to be too long.
    let placeholder = "x".repeat(url_length.min(MAX_URL_CHARS));
    let urls = urls(text);
    let mentions = mentions(text);
    let mut entities: Vec<(Range<usize>, &str)> = urls.into_iter().map(|range| (range, placeholder.as_str())).collect();
    for (range, user) in mentions {
        // Where the two overlap, the address wins: `https://host/@user@other` is one link.
        if !entities.iter().any(|(url, _)| url.start < range.end && range.start < url.end) {
            entities.push((range, user));
        }
    }
    entities.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, replacement) in entities {
        out.push_str(&text[at..range.start]);
        out.push_str(replacement);
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

/// The addresses with a scheme that Mastodon links and reduces, in order.
pub fn urls(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let here = &text[at..];
        let before = text[..at].chars().next_back();
        let next = at + here.chars().next().map_or(1, char::len_utf8);
        // After these an address is part of a word, a mention or a tag.
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '@' | '＠' | '$' | '#' | '＃' | '\u{feff}'))
        {
            at = next;
            continue;
        }
        let scheme = SCHEMES
            .iter()
            .map(|scheme| scheme.len() + 3)
            .zip(SCHEMES)
            .find(|(len, scheme)| {
                here.get(..*len)
                    .is_some_and(|start| start.ends_with("://") && start[..scheme.len()].eq_ignore_ascii_case(scheme))
            })
            .map(|(len, _)| len);
        // An address without a scheme is linked nowhere, but what follows in it is not looked at again.
        match (scheme, address(&here[scheme.unwrap_or(0)..])) {
            (Some(scheme), Some(len)) => {
                let range = at..at + scheme + len;
                at = range.end;
                if text[range.clone()].chars().count() <= MAX_URL_CHARS {
                    found.push(range);
                }
            }
            (None, Some(len)) => at += len,
            (_, None) => at = next,
        }
    }
    found
}

/// Bytes of host, port, path and query at the start of `text`.
fn address(text: &str) -> Option<usize> {
    let mut end = domain(text)?;
    if let Some(port) = text[end..].strip_prefix(':') {
        let digits = port.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            end += 1 + digits;
        }
    }
    if text[end..].starts_with('/') {
        end += path(&text[end..]);
    }
    if text[end..].starts_with('?') {
        end += query(&text[end..]);
    }
    Some(end)
}

/// Bytes of the longest start that is labels, a dot, and a top-level domain that exists.
fn domain(text: &str) -> Option<usize> {
    let mut labels: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    loop {
        // A label has at most 63 characters; text without spaces would be read to its end from every place in it.
        let len: usize = text[start..]
            .chars()
            .take(256)
            .take_while(|c| is_host_char(*c) || matches!(c, '-' | '_'))
            .map(char::len_utf8)
            .sum();
        if len == 0 {
            break;
        }
        labels.push(start..start + len);
        // 253 bytes is all a host can have; the bound keeps a page of dots cheap.
        if start + len > 1024 || !text[start + len..].starts_with('.') {
            break;
        }
        start += len + 1;
    }
    (1..labels.len()).rev().find_map(|last| {
        let names = &labels[..last];
        let edges_hold = |label: &str| label.starts_with(is_host_char) && label.ends_with(is_host_char);
        let names_hold = names.iter().all(|name| edges_hold(&text[name.clone()]))
            && !names.last().is_some_and(|name| text[name.clone()].contains('_'));
        if !names_hold {
            return None;
        }
        let label = &labels[last];
        top_level(&text[label.start..], label.len()).map(|len| label.start + len)
    })
}

/// Bytes of a known top-level domain at the start of `text`, within its first label of `len` bytes.
fn top_level(text: &str, len: usize) -> Option<usize> {
    let label = &text[..len];
    if label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")) {
        let code = label[4..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        return (code > 0).then_some(4 + code);
    }
    // The name may end inside the label where a character follows that no Latin name continues with: `example.comです`.
    label.char_indices().map(|(at, c)| at + c.len_utf8()).rev().find(|&end| {
        let follows = text[end..].chars().next();
        let is_over = follows.is_none_or(|c| !c.is_ascii_alphanumeric() && !matches!(c, '@' | '+' | '-'));
        is_over && is_top_level(&label[..end])
    })
}

fn is_top_level(label: &str) -> bool {
    // No top-level domain is longer than this many bytes, in any script.
    label.len() <= 63 && label.chars().all(|c| is_host_char(c) || c == '-') && suffix::is_known(&label.to_lowercase())
}

/// Whatever is no ASCII punctuation, white space, control or direction character.
fn is_host_char(c: char) -> bool {
    !(c.is_ascii_punctuation()
        || c.is_whitespace()
        || c.is_ascii_control()
        || matches!(c, '\u{180e}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{fffe}' | '\u{feff}' | '\u{ffff}'))
}

/// Bytes of a path, which begins with a slash: it ends neither in punctuation nor inside unbalanced parentheses.
fn path(text: &str) -> usize {
    let mut at = 1;
    let mut end = 1;
    while let Some(c) = text[at..].chars().next() {
        if c == '(' {
            let Some(len) = parentheses(&text[at..], 2) else { break };
            at += len;
            end = at;
        } else if is_path_char(c) {
            at += c.len_utf8();
            if !matches!(
                c,
                '!' | '*'
                    | '"'
                    | '\''
                    | '「'
                    | '」'
                    | ';'
                    | ':'
                    | '='
                    | ','
                    | '.'
                    | '$'
                    | '%'
                    | '['
                    | ']'
                    | '~'
                    | '&'
                    | '|'
                    | '@'
            ) {
                end = at;
            }
        } else {
            break;
        }
    }
    end
}

fn is_path_char(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '<' | '>' | '(' | ')' | '?')
}

/// Bytes of a balanced pair with something in it, nested at most `depth` levels.
fn parentheses(text: &str, depth: usize) -> Option<usize> {
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        match c {
            ')' => return (at > 1).then_some(at + 1),
            '(' if depth > 1 => at += parentheses(&text[at..], depth - 1)?,
            _ if is_path_char(c) => at += c.len_utf8(),
            _ => return None,
        }
    }
    None
}

/// Bytes of a query, which begins with a question mark; zero when nothing stands behind it.
fn query(text: &str) -> usize {
    let mut end = 0;
    for (at, c) in text.char_indices().skip(1) {
        let is_char = c.is_ascii_alphanumeric() || "!?*'();:&=+$/%#[]-_.,~|@^".contains(c) || is_iri_char(c);
        if !is_char {
            break;
        }
        if c.is_ascii_alphanumeric() || "_&=#/-".contains(c) || is_iri_char(c) {
            end = at + c.len_utf8();
        }
    }
    end
}

fn is_iri_char(c: char) -> bool {
    matches!(c, '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fdcf}' | '\u{fdf0}'..='\u{ffef}')
        || (u32::from(c) >= 0x10000 && u32::from(c) & 0xffff <= 0xfffd && !(0xe0000..0xe1000).contains(&u32::from(c)))
}

/// The mentions `@user@host` whose host can exist, each with its `@user`.
fn mentions(text: &str) -> Vec<(Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(sign) = text[at..].find('@').map(|found| at + found) {
        at = sign + 1;
        if text[..sign].chars().next_back().is_some_and(|c| is_word(c) || matches!(c, '=' | '/')) {
            continue;
        }
        let user = dotted(&text[at..], |c| c.is_ascii_alphanumeric() || c == '_');
        let Some(rest) = text[at + user..].strip_prefix('@').filter(|_| user > 0) else { continue };
        let host = dotted(rest, is_word);
        let end = at + user + 1 + host;
        let is_over = !text[end..].starts_with(['@', '＠']) && !text[end..].starts_with("://");
        if host > 0 && is_over && is_possible_host(&rest[..host]) {
            found.push((sign..end, &text[sign..at + user]));
            at = end;
        }
    }
    found
}

/// Bytes of words joined by dots and hyphens at the start of `text`.
fn dotted(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if is_part(c) {
            end = at + c.len_utf8();
        } else if at == 0 || !matches!(c, '.' | '-') {
            break;
        }
    }
    end
}

/// Letters, digits, marks and the underscore, as Ruby's `[[:word:]]` has it.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || unicode_normalization::char::is_combining_mark(c)
}

fn is_possible_host(host: &str) -> bool {
    url::Host::parse(host).is_ok_and(|host| match host {
        url::Host::Domain(name) => name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len())),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: usize) {
        assert_eq!(mastodon(text, "", 23), want, "{text:?}");
    }

    #[test]
    fn an_address_with_a_scheme_counts_23() {
        check("https://nixos.org", 23);
        check(&format!("https://nixos.org/{}", "a".repeat(300)), 23);
        check("See https://nixos.org/a. Bye", 4 + 23 + 5);
        check("gemini://nixos.org/x ipfs://nixos.org/x HTTP://NIXOS.ORG", 23 + 1 + 23 + 1 + 23);
        check("https://nixos.org:8080/a?b=c&d=%20#e", 23);
        check("https://例え.テスト.jp/ https://xn--r8jz45g.xn--zckzah/x", 23 + 1 + 23);
        check("https://nixos.org/?q=", 23);
        check("https://nixos.org?!", 23 + 2);
    }

    #[test]
    fn what_the_server_does_not_link_counts_in_full() {
        check("nixos.org/x", 11);
        check("xhttps://nixos.org", 18);
        check("#https://nixos.org", 18);
        check("ftp://nixos.org/", 16);
        check("http://localhost/a", 18);
        check("https://nixos.notatld/a", 23);
        check("https://flake.nixx/abcdefghijkl", 31);
        check("https://-nixos.org", 18);
        check("nixos.org/https://nix.dev/", 26);
        check(&format!("https://nixos.org/{}", "a".repeat(4079)), 4097);
        check(&format!("https://nixos.org/{}", "a".repeat(4078)), 23);
    }

    #[test]
    fn parentheses_and_punctuation_behind_an_address() {
        check("https://en.wikipedia.org/wiki/Nix_(package_manager)", 23);
        check("(https://en.wikipedia.org/wiki/Nix_(package_manager))", 25);
        check("https://nixos.org/a_(b_(c))d", 23);
        check("https://nixos.org/a_(b", 23 + 2);
        check("https://nixos.org/a,", 24);
        check("https://nixos.org/a'", 24);
        check("https://nixos.org!", 24);
        check("「https://nixos.org/a」", 25);
        check("https://nixos.org/日本", 23);
        check("https://nixos.orgです", 25);
        check("見てhttps://nixos.org/a", 25);
    }

    #[test]
    fn graphemes_not_code_points() {
        check("👩‍👩‍👧‍👦", 1);
        check("🇩🇪🇫🇷", 2);
        check("1️⃣👍🏽", 2);
        check("e\u{301}", 1);
        check("नमस्ते", "नमस्ते".graphemes(true).count());
        check("日本語", 3);
        check("\r\n", 1);
        assert_eq!(code_points("👩‍👩‍👧‍👦", "é"), 8);
        assert_eq!(code_points("https://nixos.org/long/address", ""), 30);
    }

    #[test]
    fn a_mention_counts_without_its_host() {
        check("@alice@example.org", 6);
        check("(@alice@example.org) hi", 11);
        check("@alice.b@sub.example.org.", 9);
        check("@alice", 6);
        check("mail alice@example.org", 22);
        check(&format!("@alice@{}.org", "b".repeat(64)), 7 + 64 + 4);
        check("x@alice@example.org", 19);
        check("https://example.org/@alice@other.org", 23);
    }

    #[test]
    fn the_servers_own_examples() {
        let long = format!("https://nixos.org/{}", "long/".repeat(40));
        check(&format!("{} {long}", "a".repeat(476)), 500);
        assert_eq!(mastodon(&"b".repeat(251), &"a".repeat(250), 23), 501);
        assert_eq!(mastodon("a", "https://nixos.org/never-reduced", 23), 32);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_never_exceeds_code_points_by_more_than_its_addresses(text in "\\PC{0,80}|(https?://|@|[a-z.()/?#é日\u{301}]){0,40}") {
            let length = mastodon(&text, "", 23);
            proptest::prop_assert!(length <= text.chars().count() + 23 * urls(&text).len());
        }
    }
}
