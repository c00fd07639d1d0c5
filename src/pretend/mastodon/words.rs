//! How a Mastodon counts a text and turns it into HTML.
use linkify::{LinkFinder, LinkKind};
use unicode_segmentation::UnicodeSegmentation;
use url::Url;

/// Length by the double's own simple count: grapheme clusters, an address with a scheme being `url_length`.
pub(super) fn length(text: &str, url_length: usize) -> usize {
    finder().spans(text).map(|s| if s.kind().is_some() { url_length } else { s.as_str().graphemes(true).count() }).sum()
}

/// The status's `content`: paragraphs, line breaks, links whose ends are hidden, hashtags, mentions.
pub(crate) fn html(text: &str, base: &Url) -> String {
    let text = text.replace("\r\n", "\n");
    let paragraphs: Vec<String> = text
        .trim()
        .split("\n\n")
        .map(|p| p.trim_matches('\n'))
        .filter(|p| !p.is_empty())
        .map(|p| {
            format!("<p>{}</p>", p.split('\n').map(|line| line_html(line, base)).collect::<Vec<_>>().join("<br />"))
        })
        .collect();
    paragraphs.concat()
}

fn finder() -> LinkFinder {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    finder
}

fn line_html(line: &str, base: &Url) -> String {
    let mut out = String::new();
    for span in finder().spans(line) {
        if span.kind().is_some() { link(&mut out, span.as_str()) } else { tagged(&mut out, span.as_str(), base) }
    }
    out
}

fn link(out: &mut String, url: &str) {
    let scheme = url.find("://").map_or(0, |at| at + 3);
    let (prefix, rest) = url.split_at(scheme);
    let cut = rest.char_indices().nth(30).map_or(rest.len(), |(at, _)| at);
    let (shown, hidden) = rest.split_at(cut);
    let class = if hidden.is_empty() { "" } else { "ellipsis" };
    out.push_str(&format!(
        "<a href=\"{}\" target=\"_blank\" rel=\"nofollow noopener\" translate=\"no\"><span class=\"invisible\">{}</span>\
         <span class=\"{class}\">{}</span><span class=\"invisible\">{}</span></a>",
        escape(url),
        escape(prefix),
        escape(shown),
        escape(hidden)
    ));
}

fn tagged(out: &mut String, text: &str, base: &Url) {
    let mut before = ' ';
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = &rest[c.len_utf8()..];
        let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
        if matches!(c, '#' | '@') && end > 0 && !before.is_alphanumeric() {
            let name = &word[..end];
            let base = base.as_str().trim_end_matches('/');
            out.push_str(&if c == '#' {
                let tag = name.to_lowercase();
                format!("<a href=\"{base}/tags/{tag}\" class=\"mention hashtag\" rel=\"tag\">#<span>{name}</span></a>")
            } else {
                format!("<span class=\"h-card\" translate=\"no\"><a href=\"{base}/@{name}\" class=\"u-url mention\">@<span>{name}</span></a></span>")
            });
            before = 'x';
            rest = &word[end..];
        } else {
            out.push_str(&escape(c.encode_utf8(&mut [0; 4])));
            before = c;
            rest = word;
        }
    }
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_count_alike() {
        assert_eq!(length("", 23), 0);
        assert_eq!(length("see https://a.example/x.", 23), 4 + 23 + 1);
        assert_eq!(length("🏳️‍🌈 a.example", 23), 11);
    }

    #[test]
    fn html_is_written_as_mastodon_writes_it() {
        let base = Url::parse("https://m.example").unwrap();
        assert_eq!(
            html("a <b>\nc\n\n#NixOS", &base),
            "<p>a &lt;b&gt;<br />c</p><p><a href=\"https://m.example/tags/nixos\" class=\"mention hashtag\" rel=\"tag\">#<span>NixOS</span></a></p>"
        );
        assert!(html("https://x.example/?a=1&b=2", &base).contains("href=\"https://x.example/?a=1&amp;b=2\""));
    }
}
