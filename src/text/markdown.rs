//! Descriptions of talks and videos are written in Markdown as often as not, and nothing says which. The few signs that a
//! reader of plain text stumbles over go; what is no Markdown stays as it is.

/// One line without link and image syntax, strong and emphasis signs at word edges, and heading signs.
pub(super) fn plain_line(line: &str) -> String {
    let heading = line.trim_start_matches('#');
    let line = if heading.len() < line.len() && heading.starts_with(' ') { heading } else { line };
    // Twice, since a picture may itself be the words of a link.
    without_stars(&without_links(&without_links(line)))
}

/// `[words](address)` is its words, `![words](address)` is nothing.
fn without_links(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(middle) = rest.find("](") {
        let (before, after) = (&rest[..middle], &rest[middle + 2..]);
        let start = opening(before);
        let end = after.find(')');
        let is_address = |address: &str| !address.is_empty() && !address.contains(char::is_whitespace);
        match (start, end) {
            (Some(start), Some(end)) if is_address(&after[..end]) => {
                let words = &before[start + 1..];
                match before[..start].strip_suffix('!') {
                    Some(kept) => out.push_str(kept),
                    None => out.extend([&before[..start], words]),
                }
                rest = &after[end + 1..];
            }
            _ => {
                out.push_str(&rest[..middle + 2]);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Where the bracket that the end of `text` closes was opened.
fn opening(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices().rev() {
        match c {
            ']' => depth += 1,
            '[' if depth == 0 => return Some(at),
            '[' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// `**strong**` and `*emphasis*` around whole words; `a * b`, `2**8` and a lone star stay.
fn without_stars(line: &str) -> String {
    let mut out = line.to_owned();
    for sign in ["**", "*"] {
        let mut from = 0;
        while let Some(open) = out[from..].find(sign).map(|at| from + at) {
            let inner = open + sign.len();
            let opens = !out[..open].chars().next_back().is_some_and(char::is_alphanumeric)
                && out[inner..].chars().next().is_some_and(|c| !c.is_whitespace() && c != '*');
            let close = out[inner..].find(sign).map(|at| inner + at).filter(|&close| {
                !out[..close].ends_with(char::is_whitespace)
                    && !out[close + sign.len()..].chars().next().is_some_and(char::is_alphanumeric)
            });
            match close.filter(|_| opens) {
                Some(close) => {
                    out.replace_range(close..close + sign.len(), "");
                    out.replace_range(open..inner, "");
                    from = close - sign.len();
                }
                None => from = inner,
            }
        }
    }
    out
}
