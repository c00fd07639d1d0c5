//! Text from a source, so that it cannot do anything in a post but be read: no ping, no hashtag, no markup, no trick of
//! direction. Addresses stay as they are, except those of the forum's inside.
use crate::count;
use crate::text::one_line;

/// One harmless line.
pub fn line(text: &str) -> String {
    // Taking something out can put its neighbours together (`@upload://x@y`), so the outcome is looked at again. Each
    // round takes a sign away or ends, and what is not done after a few rounds was never meant to be read.
    let mut text = one_line(text);
    for _ in 0..8 {
        let next = one_line(&without_signs(&without_markup(&without_uploads(&text))));
        if next == text {
            return text;
        }
        text = next;
    }
    one_line(&text.replace(['@', '＠', '﹫', '#', '＃', '﹟', '<', '>'], " ").replace("upload:", ""))
}

/// `upload://…` is an address that only the forum itself understands.
fn without_uploads(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find_ignoring_case(rest, "upload://") {
        out.push_str(&rest[..at]);
        let after = &rest[at..];
        rest = &after[after.find(char::is_whitespace).unwrap_or(after.len())..];
    }
    out.push_str(rest);
    out
}

fn find_ignoring_case(text: &str, needle: &str) -> Option<usize> {
    text.as_bytes().windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

/// What looks like a tag gets quotation marks of another shape: `Vec<String>` stays readable, `<b>` is no markup. An
/// address in angle brackets loses them.
fn without_markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let is_tag = rest.starts_with(|c: char| c.is_alphabetic() || matches!(c, '/' | '!' | '?'));
        match rest.find('>').filter(|_| is_tag) {
            Some(end) => {
                let inside = &rest[..end];
                if inside.contains("://") || (inside.contains('@') && !inside.contains(' ')) {
                    out.push_str(inside);
                } else {
                    out.extend(["‹", inside, "›"]);
                }
                rest = &rest[end + 1..];
            }
            None if is_tag => out.push('‹'),
            None => out.push('<'),
        }
    }
    out.push_str(rest);
    out
}

/// Mentions become names, hashtags words.
fn without_signs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    // Inside what every platform links as one address, neither sign does anything. Platforms disagree about the part
    // after the first letter that is not ASCII, so that part is looked at like any other text.
    for url in count::urls(text) {
        let ascii = text[url.clone()].find(|c: char| !c.is_ascii()).unwrap_or(url.len());
        let url = url.start..url.start + ascii;
        push_without_signs(&mut out, &text[at..url.start]);
        out.push_str(&text[url.clone()]);
        at = url.end;
    }
    push_without_signs(&mut out, &text[at..]);
    out
}

fn push_without_signs(out: &mut String, text: &str) {
    let mut rest = text;
    // Where the sign of a mention went: the name behind it is no local part of an e-mail address.
    let mut unpinged = None;
    while let Some(at) = rest.find(['@', '＠', '﹫', '#', '＃', '﹟']) {
        out.push_str(&rest[..at]);
        let sign = rest[at..].chars().next().expect("a sign was found here");
        rest = &rest[at + sign.len_utf8()..];
        let before = out.chars().next_back();
        if matches!(sign, '#' | '＃' | '﹟') {
            // `C#` and `#123` stay: behind the first comes no word, and a tag needs a letter.
            let word: String = rest.chars().take_while(|c| is_tag_char(*c)).collect();
            if word.is_empty() && !rest.starts_with(['#', '＃', '﹟'])
                || word.chars().all(|c| c.is_ascii_digit()) && !word.is_empty()
            {
                out.push(sign);
            }
            continue;
        }
        let starts_name = rest.starts_with(|c: char| is_tag_char(c) || matches!(c, '@' | '＠' | '﹫' | '.' | '-'));
        if !starts_name {
            out.push(sign);
        } else if sign == '@' && is_mail(out, rest) && !is_one_word(out, unpinged) {
            out.push('@');
        } else if before.is_some_and(is_tag_char) {
            // `user@host` after a mention's own sign went, and whatever else is glued to a word.
            out.push_str(" at ");
        } else {
            unpinged = Some(out.len());
        }
    }
    out.push_str(rest);
}

/// Is what was written since the sign of a mention went still the same word?
fn is_one_word(out: &str, since: Option<usize>) -> bool {
    since.is_some_and(|since| !out[since..].contains(char::is_whitespace))
}

/// Is the sign between these two inside an e-mail address? No platform takes a sign behind an ASCII letter or digit for
/// a mention. The local part must begin a word: `@ida@host` and `@a.b@host` are mentions that lost their first sign.
fn is_mail(before: &str, after: &str) -> bool {
    let local =
        before.rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '<' | '[' | ',' | ';' | ':' | '"')).next();
    let local_holds = local.is_some_and(|local| {
        local.ends_with(|c: char| c.is_ascii_alphanumeric())
            && local.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_'))
    });
    let host: &str =
        after.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))).next().unwrap_or_default();
    let follows = after[host.len()..].chars().next();
    let host = host.trim_end_matches(['.', '-']);
    local_holds
        && host.contains('.')
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && follows.is_none_or(|c| !is_tag_char(c) && !matches!(c, '@' | '＠' | '﹫'))
}

/// What can continue a name or a hashtag on any platform.
fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric()
        || unicode_normalization::char::is_combining_mark(c)
        || matches!(
            c,
            '_' | '\u{200c}'
                | '\u{200d}'
                | '·'
                | '・'
                | '\u{5f3}'
                | '\u{5f4}'
                | '\u{5be}'
                | '〜'
                | '～'
                | '゛'
                | '゜'
                | '゠'
                | '〃'
        )
}
