//! What must hold for everything that comes out of a parser of foreign bytes, and how the targets cut up their input.
//!
//! A panic anywhere ends the run, also one that the program itself would catch: libfuzzer's hook aborts first.
use std::collections::BTreeSet;

use oyez::count;
use oyez::item::{Found, Visibility};
use oyez::platform::Limits;
use oyez::render::{Compose, ComposeError, Templates, compose, measure};
use oyez::text::{Body, one_line};
use url::Url;

/// Stands between the parts of an input: a byte that is in no UTF-8 text.
pub const SEPARATOR: u8 = 0xfe;

/// The parts of an input as texts; missing ones are empty.
pub fn parts<const N: usize>(data: &[u8]) -> [String; N] {
    let mut parts = data.split(|byte| *byte == SEPARATOR).map(|part| String::from_utf8_lossy(part).into_owned());
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// What changes the direction of writing: a reader sees something else than what is there.
fn is_trick(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// One line of plain text, or nothing.
pub fn check_line(what: &str, text: &str) {
    assert_eq!(one_line(text), text, "{what} is no clean line");
}

/// Plain text in paragraphs.
pub fn check_text(text: &str) {
    let bad = text.chars().find(|&c| c != '\n' && c.is_control() || is_trick(c));
    assert_eq!(bad, None, "in {text:?}");
    assert!(!text.contains("\n\n\n"), "more than one blank line: {text:?}");
    assert_eq!(text.trim(), text, "white space around the text");
    assert!(text.len() <= 64 * 1024, "a text of {} bytes", text.len());
}

/// An address that a post may show.
pub fn check_address(what: &str, address: &str) {
    let url = Url::parse(address).unwrap_or_else(|error| panic!("{what} {address:?}: {error}"));
    assert!(oyez::link::is_for_readers(&url), "{what} is not for readers: {address:?}");
}

/// The body of a post.
pub fn check_body(body: &Body) {
    check_text(&body.text);
    check_links(&body.links);
    for image in &body.images {
        check_address("an image", &image.url);
    }
}

fn check_links(links: &[String]) {
    assert!(links.len() <= 200, "{} links", links.len());
    assert_eq!(links.iter().collect::<BTreeSet<_>>().len(), links.len(), "a link twice: {links:?}");
    for link in links {
        check_address("a link", link);
    }
}

/// No sign in it means anything to a platform: no mention, no hashtag. Inside an address they are nothing.
pub fn check_signs(text: &str) {
    let urls = count::urls(text);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for (at, sign) in text.char_indices().filter(|(_, c)| "@＠﹫#＃﹟".contains(*c)) {
        let before = text[..at].chars().next_back();
        let after = text[at + sign.len_utf8()..].chars().next();
        if urls.iter().any(|url| url.contains(&at)) || before.is_some_and(|c| is_word(c) || matches!(c, '/' | '=')) {
            continue;
        }
        let means = match sign {
            '@' | '＠' | '﹫' => after.is_some_and(is_word),
            _ => after.is_some_and(char::is_alphabetic),
        };
        assert!(!means, "`{sign}` at {at} of {text:?}");
    }
}

/// What is said about something that could not be read: for people, so it ends somewhere.
pub fn check_reason(reason: &str) {
    assert!(!reason.is_empty());
    assert!(reason.len() <= 2_000, "a reason of {} bytes: {reason}", reason.len());
}

/// One announced thing, from whatever source.
pub fn check_found(found: &Found) {
    assert!(!found.key.is_empty());
    assert!(found.key.contains(':'), "a key without its kind: {:?}", found.key);
    check_address("its address", &found.url);
    check_line("the title", &found.title);
    check_text(&found.text);
    check_links(&found.links);
    for image in &found.images {
        check_address("an image", &image.url);
        if let Some(alt) = &image.alt {
            check_line("an alt text", alt);
        }
    }
    if let Some(author) = &found.author {
        check_line("the author's name", &author.name);
        assert!(author.trust_level.is_none_or(|level| level <= 4), "trust level {:?}", author.trust_level);
    }
    for (what, list) in [("a tag", &found.tags), ("a speaker", &found.persons)] {
        list.iter().for_each(|text| check_line(what, text));
    }
    if let Some(event) = &found.event {
        check_line("the event", event);
    }
    if let Some(language) = &found.language {
        assert!(language.len() == 2 && language.bytes().all(|b| b.is_ascii_lowercase()), "language {language:?}");
    }
    if let Visibility::Gone(why) = &found.visibility {
        check_reason(why);
    }
    // It goes into the store as JSON.
    let json = serde_json::to_string(found).expect("a record");
    let back: Found = serde_json::from_str(&json).expect("its own JSON");
    assert_eq!(&back, found);
    check_post(found, &Limits::mastodon(), &Templates::default());
}

/// Composes the post of each kind, and looks at what would leave.
pub fn check_post(found: &Found, limits: &Limits, templates: &Templates) {
    let hashtags = ["Example".to_owned()];
    for kind in ["announcement", "talk", "security"] {
        let input = Compose {
            found,
            link: &found.url,
            kind,
            mark: None,
            hashtags: &hashtags,
            language: None,
            platform: "mastodon",
            limits,
        };
        let post = match compose(&input, templates) {
            Ok(post) => post,
            Err(ComposeError::TooLong { length, limit }) => {
                assert!(length > limit, "{length} fits into {limit}");
                continue;
            }
            Err(error) => {
                // The built-in templates can show everything; an address that is none is told.
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        let (length, fits) = measure(&post.text, limits);
        assert!(fits, "{length} of {}: {:?}", limits.max_length, post.text);
        assert_eq!(length, post.length);
        check_post_text(&post.text, found);
        for medium in &post.media {
            let alt = medium.alt.as_deref().unwrap_or_default();
            assert!(alt.chars().count() <= limits.max_alt, "an alt text of {} characters", alt.chars().count());
        }
    }
}

/// Nothing of a stranger does anything in a post but be read.
fn check_post_text(text: &str, found: &Found) {
    let link = Url::parse(&found.url).expect("it was composed").to_string();
    assert!(text.contains(&link), "no link in {text:?}");
    let around = text.replacen(&link, " ", 1);
    check_signs(&around.replacen("#Example", " ", 1));
    assert!(!around.to_lowercase().contains("upload://"), "an address of the forum's inside in {text:?}");
    let bad = around.chars().find(|&c| c != '\n' && c.is_control() || is_trick(c));
    assert_eq!(bad, None, "in {text:?}");
    // Tags with a letter behind the sign are markup to some servers.
    let markup = around.match_indices('<').find(|(at, _)| {
        let inside = &around[at + 1..];
        inside.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!')) && inside.contains('>')
    });
    assert_eq!(markup, None, "markup in {text:?}");
}
