//! The configuration that `oyez init` writes: a forum category, a dry-run account, and comments for the next steps.
use url::Url;

/// The forum and the category in the address of a category page: `/c/SLUG/ID`, `/c/PARENT/SLUG/ID`, `/c/SLUG`.
pub fn category_of(url: &Url) -> Result<(Url, String), String> {
    let why = "it is not the address of a forum category: open the category in a browser and copy its address, \
               like `https://forum.example.org/c/announcements/8`";
    let segments: Vec<&str> = url.path_segments().into_iter().flatten().filter(|s| !s.is_empty()).collect();
    let at = segments.iter().position(|s| *s == "c").ok_or(why)?;
    let mut rest: Vec<&str> = segments[at + 1..].iter().copied().take_while(|s| *s != "l" && *s != "none").collect();
    if let Some(last) = rest.last_mut() {
        *last = last.trim_end_matches(".json").trim_end_matches(".rss");
    }
    let category = match rest.iter().rev().find(|s| s.bytes().all(|b| b.is_ascii_digit())) {
        Some(id) => (*id).to_owned(),
        None => rest.join("/"),
    };
    if category.is_empty() || !matches!(url.scheme(), "http" | "https") {
        return Err(why.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or password: give it without, as everybody sees it".to_owned());
    }
    let mut forum = url.clone();
    forum.set_query(None);
    forum.set_fragment(None);
    let prefix = segments[..at].join("/");
    forum.set_path(&prefix);
    Ok((forum, category))
}

/// The text of the file.
pub fn render(forum: &Url, category: &str, name: &str) -> String {
    let forum = forum.as_str().trim_end_matches('/');
    // `007`, and more digits than TOML counts, are numbers in an address but not in the file.
    let is_number = category.parse::<i64>().is_ok_and(|number| number.to_string() == category);
    let category = if is_number { category.to_owned() } else { format!("{category:?}") };
    format!(
        r##"# Oyez. Every setting is in the manual and in oyez.example.toml; durations are written 90s, 30m, 4h, 2d, 1d12h.
# `oyez check` reads this file and says everything that is wrong with it.

[service]
# state = "/var/lib/oyez"            # where everything is remembered; default: ~/.local/state/oyez
# socket = "/run/oyez/oyez.sock"     # for the command line; these two belong to the systemd unit in deploy/
# contact = "team@example.org"       # goes into the User-Agent, so that an admin of the forum can reach you
time-zone = "UTC"                    # quiet hours are counted here, e.g. "Europe/Berlin"

[[source]]
name = "{name}"
type = "discourse"
url = {forum:?}
category = {category}

[hold]
window = "24h"                       # how long the team can object after the author has stopped editing
quiet-hours = {{ from = "22:00", to = "08:00" }}
spacing = "2h"                       # between two posts of one account
at-most = "3/1d"

# A dry run: what would be posted is appended to this file, nothing goes to any network.
[[account]]
name = "dry-run"
platform = "file"
path = "posts.jsonl"
hashtags = []

# The real thing, when you like what you see:
# [[account]]
# name = "mastodon"
# platform = "mastodon"
# server = "https://social.example.org"
# token = {{ file = "/run/secrets/mastodon-token" }}   # a token with write:statuses write:media read:statuses read:accounts
# hashtags = ["MyProject"]

# [[policy]]
# when = '"no-social" in tags'       # an expression over the item's fields
# then = "ignore"                    # or ask, or hold
# because = "the author asked for it"
"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env, SourceSpec};

    #[track_caller]
    fn check(address: &str, want: Option<(&str, &str)>) {
        let got = category_of(&address.parse().unwrap()).ok().map(|(url, category)| (url.to_string(), category));
        assert_eq!(got, want.map(|(u, c)| (u.to_owned(), c.to_owned())), "{address}");
    }

    #[test]
    fn the_category_is_found_in_its_address() {
        check("https://discourse.nixos.org/c/announcements/8", Some(("https://discourse.nixos.org/", "8")));
        check(
            "https://discourse.nixos.org/c/announcements/security/56?x=1",
            Some(("https://discourse.nixos.org/", "56")),
        );
        check("https://f.example/forum/c/news/3/l/latest", Some(("https://f.example/forum", "3")));
        check("https://f.example/c/news/3/none", Some(("https://f.example/", "3")));
        check("https://f.example/c/announcements/8.rss", Some(("https://f.example/", "8")));
        check("https://f.example/c/news", Some(("https://f.example/", "news")));
        check("https://f.example/t/some-topic/3", None);
        check("https://f.example/c/", None);
        check("https://ida:secret@f.example/c/news/3", None);
    }

    /// Found by fuzzing.
    #[test]
    fn what_init_writes_can_be_read_whatever_the_address() {
        for address in [
            "https://f.example/c/news/007",
            "https://f.example/c/99999999999999999999",
            "https://f.example/c/a%22%5Cb",
            "https://f\".example/c/news",
        ] {
            let (forum, category) = category_of(&address.parse().unwrap()).unwrap();
            let parsed = Config::parse(&render(&forum, &category, "news"), "oyez.toml", &Env::default());
            assert!(parsed.is_ok(), "{address}: {parsed:?}");
        }
    }

    #[test]
    fn what_init_writes_is_a_configuration() {
        let text = render(&"https://f.example/".parse().unwrap(), "8", "announcements");
        let parsed = Config::parse(&text, "oyez.toml", &Env::default()).unwrap();
        assert_eq!(parsed.warnings, Vec::<String>::new());
        let SourceSpec::Discourse { url, category, .. } = &parsed.config.sources[0].spec else { panic!() };
        assert_eq!((url.as_str(), category.as_str()), ("https://f.example/", "8"));
        assert_eq!(parsed.config.accounts.len(), 1);
    }
}
