//! The keys by which two addresses are known to mean one thing.
use url::Url;

/// The eleven characters of a YouTube video, from any of its address forms (links.md 5.1).
pub fn youtube_id(url: &Url) -> Option<String> {
    if url.scheme() == "vnd.youtube" {
        return id(url.path().trim_start_matches('/'));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    let segments: Vec<&str> = url.path_segments()?.filter(|s| !s.is_empty()).collect();
    match host.as_str() {
        "youtu.be" | "www.youtu.be" | "yt.be" | "y2u.be" => id(segments.first()?),
        "i.ytimg.com" | "i1.ytimg.com" | "i2.ytimg.com" | "i3.ytimg.com" | "i4.ytimg.com" | "img.youtube.com" => {
            match segments.as_slice() {
                ["vi" | "vi_webp", video, ..] => id(video),
                _ => None,
            }
        }
        "youtube.com"
        | "www.youtube.com"
        | "m.youtube.com"
        | "music.youtube.com"
        | "gaming.youtube.com"
        | "youtube-nocookie.com"
        | "www.youtube-nocookie.com"
        | "youtube.googleapis.com"
        | "youtubekids.com"
        | "www.youtubekids.com" => on_youtube(url, &segments),
        _ => None,
    }
}

/// The video that a text is the address of.
pub fn youtube_id_of(address: &str) -> Option<String> {
    youtube_id(&Url::parse(address).ok()?)
}

fn on_youtube(url: &Url, segments: &[&str]) -> Option<String> {
    let query = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let nested = |address: &str| {
        let inner = url.join(address).ok()?;
        // One step only: an address inside an address inside an address is nobody's honest link.
        let holds_another = matches!(inner.path(), "/attribution_link" | "/oembed");
        (!holds_another).then(|| youtube_id(&inner)).flatten()
    };
    match segments {
        ["watch" | "watch_popup"] => id(&query("v")?),
        ["watch" | "v" | "w" | "e" | "embed" | "video" | "shorts" | "live", video, ..] => match *video {
            // A list, and a channel's live stream: eleven characters, and no video's.
            "videoseries" | "live_stream" => None,
            video => id(video),
        },
        ["attribution_link"] => nested(&query("u")?),
        ["oembed"] => nested(&query("url")?),
        [] => {
            let fragment = percent_decoded(url.fragment()?);
            let inner = fragment.trim_start_matches('!');
            inner.starts_with("/watch").then(|| nested(inner)).flatten()
        }
        _ => None,
    }
}

/// Exactly eleven valid characters, whatever stands behind them; with twelve it is malformed and nobody's guess helps.
fn id(text: &str) -> Option<String> {
    let valid: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').collect();
    (valid.len() == 11).then_some(valid)
}

fn percent_decoded(text: &str) -> String {
    // The form decoder of the url crate is the percent decoder at hand; a plus stays one.
    let text = text.replace('+', "%2B").replace('&', "%26");
    url::form_urlencoded::parse(format!("x={}", text.replace('=', "%3D")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// `discourse:HOST/t/ID` for anything that looks like a Discourse topic: `/t/slug/id`, `/t/id`, `/t/-/id`, each also with
/// a post number, the nested view `/n/slug/id`, and `.json` or `.rss` behind the id.
pub fn discourse_key(url: &Url) -> Option<String> {
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let segments: Vec<&str> = url.path_segments()?.filter(|s| !s.is_empty()).collect();
    let number = |text: &str| {
        let text = text.strip_suffix(".json").or_else(|| text.strip_suffix(".rss")).unwrap_or(text);
        (!text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
    };
    let topic = match segments.as_slice() {
        ["t", topic] => number(topic)?,
        // A slug is never a bare number, so this is a topic and a post.
        ["t", topic, post] if number(topic).is_some() && number(post).is_some() => number(topic)?,
        ["t" | "n", _slug, topic] => number(topic)?,
        ["t" | "n", _slug, topic, post] if number(post).is_some() => number(topic)?,
        _ => return None,
    };
    Some(format!("discourse:{}/t/{topic}", host(url)?))
}

/// The address for comparing, never for showing: https, no fragment, no user, no root dot. The query stays: it is often
/// the whole identity.
pub fn canonical(url: &Url) -> Option<String> {
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let query = url.query().filter(|query| !query.is_empty());
    Some(format!("https://{}{}{}", host(url)?, url.path(), query.map(|q| format!("?{q}")).unwrap_or_default()))
}

/// Host and, where it is not the scheme's own, port; without the root dot.
pub fn host(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let host = host.strip_suffix('.').unwrap_or(host);
    // `7.20..` is no name, and without its dots it would be read as an address in numbers.
    if host.is_empty() || host.ends_with('.') {
        return None;
    }
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// Keys ([`crate::item::Found::aliases`]) an address stands for: `youtube:ID`, `media-ccc-de:slug/SLUG`,
/// `discourse:HOST/t/ID`, else `url:` and the [`canonical`] address. Empty for what is not http(s).
pub fn identity_keys(url: &Url) -> Vec<String> {
    if let Some(id) = youtube_id(url) {
        return vec![format!("youtube:{id}")];
    }
    if let Some(key) = media_ccc_key(url).or_else(|| discourse_key(url)) {
        return vec![key];
    }
    canonical(url).map(|address| format!("url:{address}")).into_iter().collect()
}

fn media_ccc_key(url: &Url) -> Option<String> {
    if !matches!(url.scheme(), "http" | "https") || !matches!(url.host_str()?, "media.ccc.de" | "www.media.ccc.de") {
        return None;
    }
    let mut segments = url.path_segments()?.filter(|s| !s.is_empty());
    let slug = (segments.next()? == "v").then(|| segments.next())??;
    Some(format!("media-ccc-de:slug/{slug}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[track_caller]
    fn check_id(address: &str, want: Option<&str>) {
        assert_eq!(youtube_id(&url(address)).as_deref(), want, "{address}");
    }

    #[test]
    fn every_form_of_a_youtube_address_has_its_video() {
        let id = Some("dQw4w9WgXcQ");
        check_id("https://www.youtube.com/watch?v=dQw4w9WgXcQ", id);
        check_id("http://YOUTUBE.com/watch?list=PL1&v=dQw4w9WgXcQ&t=9", id);
        check_id("https://m.youtube.com/watch/dQw4w9WgXcQ", id);
        check_id("https://youtube.com/watch_popup?v=dQw4w9WgXcQ", id);
        check_id("https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ?rel=0", id);
        check_id("https://youtube.googleapis.com/v/dQw4w9WgXcQ", id);
        check_id("https://youtube.com/e/dQw4w9WgXcQ/", id);
        check_id("https://youtube.com/shorts/dQw4w9WgXcQ", id);
        check_id("https://youtube.com/live/dQw4w9WgXcQ?feature=share", id);
        check_id("https://youtu.be/dQw4w9WgXcQ?si=x", id);
        check_id("https://youtu.be/dQw4w9WgXcQ)", id);
        check_id("https://youtu.be/dQw4w9WgXcQ%5D", id);
        check_id("https://www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3DdQw4w9WgXcQ%26feature%3Dshare", id);
        check_id("https://www.youtube.com/oembed?url=https%3A%2F%2Fyoutu.be%2FdQw4w9WgXcQ", id);
        check_id("https://www.youtube.com/#/watch?v=dQw4w9WgXcQ", id);
        check_id("https://www.youtube.com/?x=1#%2Fwatch%3Fv%3DdQw4w9WgXcQ", id);
        check_id("https://i.ytimg.com/vi/dQw4w9WgXcQ/hqdefault.jpg", id);
        check_id("vnd.youtube:dQw4w9WgXcQ", id);
    }

    #[test]
    fn what_is_no_video_has_no_id() {
        check_id("https://www.youtube.com/watch?v=short", None);
        check_id("https://www.youtube.com/watch?v=dQw4w9WgXcQQ", None);
        check_id("https://www.youtube.com/playlist?list=PL1", None);
        check_id("https://www.youtube.com/embed/videoseries?list=PL1", None);
        check_id("https://www.youtube.com/embed/live_stream?channel=UCa", None);
        check_id("https://www.youtube.com/@NixCon", None);
        check_id("https://www.youtube.com/clip/UgkxdQw4w9WgXcQ", None);
        check_id("https://www.youtube.com/redirect?q=https://youtu.be/dQw4w9WgXcQ", None);
        check_id("https://youtube.com.evil.example/watch?v=dQw4w9WgXcQ", None);
        check_id("ftp://youtu.be/dQw4w9WgXcQ", None);
    }

    #[track_caller]
    fn check_key(address: &str, want: &str) {
        assert_eq!(identity_keys(&url(address)), [want], "{address}");
    }

    #[test]
    fn one_thing_has_one_key() {
        check_key("https://youtu.be/dQw4w9WgXcQ", "youtube:dQw4w9WgXcQ");
        check_key("https://media.ccc.de/v/nixcon2025-1-opening#t=90", "media-ccc-de:slug/nixcon2025-1-opening");
        check_key("https://forum.example/t/a-slug/42", "discourse:forum.example/t/42");
        check_key("https://forum.example/t/42", "discourse:forum.example/t/42");
        check_key("http://forum.example/t/-/42/", "discourse:forum.example/t/42");
        check_key("https://forum.example/t/a-slug/42/7?u=somebody", "discourse:forum.example/t/42");
        check_key("https://forum.example/t/42/7", "discourse:forum.example/t/42");
        check_key("https://forum.example/t/42.json", "discourse:forum.example/t/42");
        check_key("http://127.0.0.1:8080/t/a/42", "discourse:127.0.0.1:8080/t/42");
        check_key("http://Blog.example.:80/a?p=1#top", "url:https://blog.example/a?p=1");
        check_key("https://blog.example:443/a?p=1", "url:https://blog.example/a?p=1");
        check_key("https://blog.example/a?", "url:https://blog.example/a");
        check_key("https://blog.example/t/slug", "url:https://blog.example/t/slug");
        assert!(identity_keys(&url("mailto:a@example.org")).is_empty());
        assert!(identity_keys(&url("http://7.20../")).is_empty());
    }
}
