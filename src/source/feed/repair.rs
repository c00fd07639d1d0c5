//! Bytes to text, and the malformations that can be mended without guessing (sources.md 8.1).
use std::collections::HashMap;

use encoding_rs::Encoding;

/// HTML entities looked up in one document; beyond it they stay as they were written.
const MAX_ENTITIES: usize = 300;

/// Text of a document whatever its encoding. A byte order mark wins, then what the bytes prove to be, then the
/// prolog, then HTTP: servers configured by somebody else are wrong more often than the program that wrote the prolog.
pub(super) fn decode(bytes: &[u8], content_type: Option<&str>) -> String {
    if let Some(text) = decode_utf32(bytes) {
        return text;
    }
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding.decode(bytes).0.into_owned();
    }
    match bytes {
        [0, b'<', 0, ..] | [0, b'{', 0, ..] => return encoding_rs::UTF_16BE.decode(bytes).0.into_owned(),
        [b'<', 0, _, 0, ..] | [b'{', 0, _, 0, ..] => return encoding_rs::UTF_16LE.decode(bytes).0.into_owned(),
        [..] => {}
    }
    let utf8 = std::str::from_utf8(bytes);
    if let Ok(text) = utf8
        && !text.is_ascii()
    {
        // Text in another encoding is practically never valid UTF-8 by accident, whatever the prolog says.
        return text.to_owned();
    }
    // UTF-16 cannot be: the prolog was just read as ASCII.
    let known = |label: &str| {
        Encoding::for_label(label.trim().as_bytes())
            .filter(|e| *e != encoding_rs::UTF_16LE && *e != encoding_rs::UTF_16BE && *e != encoding_rs::REPLACEMENT)
    };
    let encoding = prolog_encoding(bytes)
        .and_then(|label| known(&label))
        .or_else(|| content_type.and_then(charset).and_then(known));
    match (encoding, utf8) {
        (Some(encoding), _) if encoding != encoding_rs::UTF_8 => {
            encoding.decode_without_bom_handling(bytes).0.into_owned()
        }
        (_, Ok(text)) => text.to_owned(),
        // Declared as UTF-8, or as nothing, and not UTF-8: damage in one place must not turn all umlauts into mojibake.
        (Some(_), Err(_)) => String::from_utf8_lossy(bytes).into_owned(),
        (None, Err(_)) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// UTF-32 is not in the Encoding Standard, but feeds in it exist.
fn decode_utf32(bytes: &[u8]) -> Option<String> {
    let (big, skip) = match bytes {
        [0, 0, 0xFE, 0xFF, ..] => (true, 4),
        [0xFF, 0xFE, 0, 0, ..] => (false, 4),
        [0, 0, 0, b'<', ..] => (true, 0),
        [b'<', 0, 0, 0, ..] => (false, 0),
        [..] => return None,
    };
    let chars = bytes[skip..].chunks_exact(4).map(|four| {
        let four = [four[0], four[1], four[2], four[3]];
        let code = if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) };
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    });
    Some(chars.collect())
}

/// `encoding="…"` of an XML declaration near the beginning.
fn prolog_encoding(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned();
    let start = head.find("<?xml")?;
    let declaration = &head[start..start + head[start..].find("?>")?];
    let value = declaration[declaration.find("encoding")? + "encoding".len()..].trim_start().strip_prefix('=')?;
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    value[1..].split(quote).next().map(str::to_owned)
}

/// `charset` of a `Content-Type`.
fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    })
}

/// The same document without what no XML parser accepts and nobody means: text before the first tag, the declaration
/// (the text is UTF-8 now), the DTD (no parser here expands entities from it), control characters, entities that XML
/// does not define, a bare `&`, a `<` that opens nothing. Line breaks stay where they were, so that an error can name
/// the line.
pub(super) fn repair(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut entities = HashMap::new();
    let start = text.find('<').unwrap_or(text.len());
    out.extend(text[..start].chars().filter(|c| *c == '\n'));
    let mut rest = &text[start..];
    let mut quote: Option<char> = None;
    let mut in_tag = false;
    while let Some(c) = rest.chars().next() {
        if !in_tag && c == '<' {
            if let Some(len) = opaque(rest) {
                let (piece, after) = rest.split_at(len);
                let dropped =
                    piece.starts_with("<?") || piece.starts_with("<!DOCTYPE") || piece.starts_with("<!doctype");
                if dropped {
                    out.extend(piece.chars().filter(|c| *c == '\n'));
                } else {
                    out.extend(piece.chars().filter(|c| allowed(*c)));
                }
                rest = after;
                continue;
            }
            if ["<!--", "<![CDATA[", "<?", "<!DOCTYPE"].iter().any(|open| rest.starts_with(open)) {
                // Never closed: the parser says so. Looking on for the ends of further ones would be quadratic.
                out.extend(rest.chars().filter(|c| allowed(*c)));
                break;
            }
            let next = rest[1..].chars().next();
            if next.is_some_and(|n| n.is_alphabetic() || n == '/' || n == '_' || n == '!') {
                in_tag = true;
                quote = None;
                out.push('<');
            } else {
                out.push_str("&lt;");
            }
        } else if c == '&' {
            let (replacement, len) = reference(rest, &mut entities);
            out.push_str(&replacement);
            rest = &rest[len..];
            continue;
        } else if in_tag {
            match quote {
                Some(q) if q == c => quote = None,
                None if c == '"' || c == '\'' => quote = Some(c),
                None if c == '>' => in_tag = false,
                Some(_) | None => {}
            }
            if quote.is_some() && c == '<' {
                out.push_str("&lt;");
            } else if allowed(c) {
                out.push(c);
            }
        } else if allowed(c) {
            out.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Length of a comment, CDATA section, processing instruction or DTD at the beginning of `rest`. One that is never
/// closed is left for the parser to complain about.
fn opaque(rest: &str) -> Option<usize> {
    let until = |open: &str, close: &str| {
        rest.strip_prefix(open).and_then(|inner| inner.find(close)).map(|at| open.len() + at + close.len())
    };
    if rest.starts_with("<!DOCTYPE") || rest.starts_with("<!doctype") {
        let mut depth = 0_i32;
        for (at, c) in rest.char_indices() {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                '>' if depth <= 0 => return Some(at + 1),
                _ => {}
            }
        }
        return None;
    }
    until("<!--", "-->").or_else(|| until("<![CDATA[", "]]>")).or_else(|| until("<?", "?>"))
}

/// What a reference at the beginning of `rest` becomes, and how many bytes it takes.
fn reference(rest: &str, entities: &mut HashMap<String, Option<String>>) -> (String, usize) {
    let bare = || ("&amp;".to_owned(), 1);
    let Some(end) = rest.bytes().take(34).position(|b| b == b';') else { return bare() };
    let name = &rest[1..end];
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return match code.map(char::from_u32) {
            Ok(Some(c)) if allowed(c) => (rest[..=end].to_owned(), end + 1),
            Ok(_) => (String::new(), end + 1),
            Err(_) => bare(),
        };
    }
    if matches!(name, "amp" | "lt" | "gt" | "quot" | "apos") {
        return (rest[..=end].to_owned(), end + 1);
    }
    if name.len() < 2 || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return bare();
    }
    if entities.len() >= MAX_ENTITIES && !entities.contains_key(name) {
        return bare();
    }
    match entities.entry(name.to_owned()).or_insert_with(|| html_entity(name)) {
        Some(text) => (text.clone(), end + 1),
        None => bare(),
    }
}

/// The characters of an HTML entity, as the HTML parser knows it.
fn html_entity(name: &str) -> Option<String> {
    let fragment = scraper::Html::parse_fragment(&format!("&{name};"));
    let text: String = fragment.root_element().text().collect();
    (!text.contains(['&', ';', '<']) && !text.is_empty()).then_some(text)
}

/// Characters of XML 1.0, without the C1 controls that are windows-1252 leftovers.
fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{7E}' | '\u{85}' | '\u{A0}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: &str) {
        assert_eq!(repair(input), want);
    }

    #[test]
    fn mends_what_no_parser_accepts() {
        check("\u{FEFF}\n\n<?xml version=\"1.0\"?>\n<a/>", "\n\n\n<a/>");
        check(
            "<a>AT&T &nbsp;&eacute; &amp; &#8230; &bogus; &#1; a &</a>",
            "<a>AT&amp;T \u{a0}é &amp; &#8230; &amp;bogus;  a &amp;</a>",
        );
        check("<a b='1&2'>x\u{8}y\u{0}z</a>", "<a b='1&amp;2'>xyz</a>");
        check("<a>1 < 2</a>", "<a>1 &lt; 2</a>");
        check(
            "<!DOCTYPE x [<!ENTITY a \"b>\">]><a><![CDATA[x & <b>]]><!-- & --></a>",
            "<a><![CDATA[x & <b>]]><!-- & --></a>",
        );
        check("<a href=\"x>y<z\"/>", "<a href=\"x>y&lt;z\"/>");
    }

    #[test]
    fn finds_the_encoding() {
        #[track_caller]
        fn check(bytes: &[u8], content_type: Option<&str>, want: &str) {
            assert_eq!(decode(bytes, content_type), want);
        }
        check(b"<a>\xe4</a>", None, "<a>ä</a>");
        check(
            b"<?xml version='1.0' encoding='koi8-r'?><a>\xc1</a>",
            None,
            "<?xml version='1.0' encoding='koi8-r'?><a>а</a>",
        );
        check(b"<a>\xc1</a>", Some("text/xml; charset=\"koi8-r\""), "<a>а</a>");
        check("<?xml encoding=\"iso-8859-1\"?><a>ä</a>".as_bytes(), None, "<?xml encoding=\"iso-8859-1\"?><a>ä</a>");
        check(b"<?xml encoding='utf-16'?><a/>", None, "<?xml encoding='utf-16'?><a/>");
        check(&[0xFF, 0xFE, b'<', 0, b'a', 0], None, "<a");
        check(&[b'<', 0, 0, 0, b'a', 0, 0, 0], None, "<a");
        check(b"\xEF\xBB\xBF<a/>", None, "<a/>");
    }
}
