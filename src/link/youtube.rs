//! The forms of YouTube's addresses and the one to show (links.md 5.1 and 5.2).
use url::Url;

/// `https://www.youtube.com/watch?v=ID[&list=L[&index=N]][&lc=COMMENT][&t=SECONDS]`, shorts as shorts; `None` where it is no video's.
pub(super) fn canonical(url: &Url) -> Option<Url> {
    let host = url.host_str()?;
    // A preview picture is no address of its video.
    if host.ends_with("ytimg.com") || host == "img.youtube.com" || url.path().starts_with("/oembed") {
        return None;
    }
    let id = super::youtube_id(url)?;
    if url.path_segments()?.next() == Some("shorts") {
        return Url::parse(&format!("https://www.youtube.com/shorts/{id}")).ok();
    }
    // `/attribution_link?u=/watch%3Fv%3D…`, `/#/watch?v=…` and `/v/ID%26hl%3Den` carry no more than the video.
    let query = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let mut address = format!("https://www.youtube.com/watch?v={id}");
    let is_plain = |text: &String| {
        !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if let Some(list) = query("list").filter(is_plain) {
        address.push_str("&list=");
        address.push_str(&list);
        if let Some(index) = query("index").filter(|index| index.parse::<u16>().is_ok()) {
            address.push_str("&index=");
            address.push_str(&index);
        }
    }
    if let Some(comment) = query("lc").filter(is_plain) {
        address.push_str("&lc=");
        address.push_str(&comment);
    }
    if let Some(seconds) = offset(url) {
        address.push_str(&format!("&t={seconds}"));
    }
    Url::parse(&address).ok()
}

/// Where in a video an address points, in seconds; `None` at its beginning.
pub fn offset(url: &Url) -> Option<u64> {
    let query = ["t", "start", "time_continue"]
        .iter()
        .find_map(|name| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()));
    let fragment = || url.fragment().and_then(|fragment| fragment.strip_prefix("t=")).map(str::to_owned);
    seconds(&query.or_else(fragment)?).filter(|seconds| *seconds > 0)
}

/// `90`, `90s`, `1m30s`, `1h2m3s`, `1:02:03`. At most a week.
fn seconds(text: &str) -> Option<u64> {
    const MOST: u64 = 7 * 86_400;
    let total = if text.contains(':') {
        text.split(':').try_fold(0_u64, |total, part| total.checked_mul(60)?.checked_add(part.parse().ok()?))?
    } else {
        let mut total = 0_u64;
        let mut number = String::new();
        for c in text.chars() {
            if c.is_ascii_digit() {
                number.push(c);
                continue;
            }
            let unit = match c {
                'h' => 3600,
                'm' => 60,
                's' => 1,
                _ => return None,
            };
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
            number.clear();
        }
        if number.is_empty() { total } else { total.checked_add(number.parse().ok()?)? }
    };
    (total <= MOST).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<u64>) {
        assert_eq!(seconds(text), want, "{text}");
    }

    #[test]
    fn the_forms_of_an_offset() {
        check("90", Some(90));
        check("90s", Some(90));
        check("1m30s", Some(90));
        check("1h2m3s", Some(3723));
        check("1:02:03", Some(3723));
        check("1h", Some(3600));
        check("1x", None);
        check("", Some(0));
        check("99999999999999999999", None);
        check("99999999", None);
    }

    #[track_caller]
    fn form(input: &str, want: &str) {
        assert_eq!(canonical(&Url::parse(input).unwrap()).unwrap().as_str(), want, "{input}");
    }

    #[test]
    fn a_video_has_one_address() {
        form("https://youtu.be/dQw4w9WgXcQ?t=9s", "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=9");
        form("https://www.youtube.com/embed/dQw4w9WgXcQ?start=90", "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=90");
        form("https://www.youtube.com/watch?v=dQw4w9WgXcQ#t=1m30s", "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=90");
        form(
            "https://m.youtube.com/watch?list=PLa&v=dQw4w9WgXcQ&index=3&t=0",
            "https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=PLa&index=3",
        );
        form("http://youtube.com/shorts/dQw4w9WgXcQ?feature=share", "https://www.youtube.com/shorts/dQw4w9WgXcQ");
        form(
            "https://www.youtube.com/watch?v=dQw4w9WgXcQ&lc=Ugx-a_b&pp=x",
            "https://www.youtube.com/watch?v=dQw4w9WgXcQ&lc=Ugx-a_b",
        );
        assert!(canonical(&Url::parse("https://i.ytimg.com/vi/dQw4w9WgXcQ/a.jpg").unwrap()).is_none());
        assert!(canonical(&Url::parse("https://www.youtube.com/@NixCon").unwrap()).is_none());
    }
}
