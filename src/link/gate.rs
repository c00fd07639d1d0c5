//! Where a post may lead: what is refused before anything else, and what a person should look at (links.md 3.1 and 3.8).
use unicode_security::restriction_level::{RestrictionLevel, RestrictionLevelDetection as _};
use url::{Host, Url};

pub use crate::guard::MAX_URL_BYTES;
use crate::guard::{Guard, is_inside};
use crate::suffix;

/// Ports that browsers do not open (the Fetch standard's list): a link with one is of no use to a reader, and may be meant
/// for another service of theirs.
const BAD_PORTS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

/// Sites that are worth imitating to our readers.
const IMITATED: [&str; 24] = [
    "nixos.org",
    "nix.dev",
    "nixcon.org",
    "github.com",
    "gitlab.com",
    "codeberg.org",
    "youtube.com",
    "media.ccc.de",
    "wikipedia.org",
    "matrix.org",
    "mozilla.org",
    "debian.org",
    "archive.org",
    "discourse.org",
    "google.com",
    "apple.com",
    "microsoft.com",
    "amazon.com",
    "paypal.com",
    "facebook.com",
    "linkedin.com",
    "twitter.com",
    "opencollective.com",
    "example.com",
];

/// Schemes that are no pages, and are passed on as they are: nothing is fetched and nothing rewritten.
pub(super) fn passes_through(scheme: &str) -> bool {
    matches!(scheme, "mailto" | "ftp" | "ftps" | "matrix" | "xmpp" | "magnet" | "tel" | "geo" | "irc" | "ircs")
}

/// Who may be linked to.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    guard: Guard,
    own: Vec<String>,
}

impl Gate {
    /// `own`: hosts (with their port, where it is not the scheme's) that the operator named in the configuration. They are
    /// trusted, and may be private (design.md section 5).
    pub fn new(guard: Guard, own: Vec<String>) -> Self {
        Self { guard, own }
    }

    /// The site of this address counts as one that the operator named.
    pub fn trust(&mut self, url: &Url) {
        self.own.extend(super::host(url));
    }

    /// Is it on a site that the operator named?
    pub fn is_own(&self, url: &Url) -> bool {
        super::host(url).is_some_and(|host| self.own.contains(&host))
    }

    /// May a post lead there?
    ///
    /// # Errors
    /// Why not, in words for the team.
    pub fn judge(&self, url: &Url) -> Result<(), String> {
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(format!("it is longer than {MAX_URL_BYTES} bytes"));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` addresses are not posted", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or password".to_owned());
        }
        if self.is_own(url) {
            return Ok(());
        }
        if let Some(port) = url.port().filter(|port| BAD_PORTS.contains(port)) {
            return Err(format!("browsers do not open port {port}"));
        }
        match url.host() {
            None => Err("it has no host".to_owned()),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => self.guard.judge_number(url).map_err(|refused| refused.to_string()),
            Some(Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                if name.is_empty() || name.len() > 253 || name.split('.').any(|l| l.is_empty() || l.len() > 63) {
                    return Err(format!("`{name}` is not the name of a site"));
                }
                // Where such names lead is judged when they are asked (`Guard::gate`).
                let is_closed = is_inside(name) || !name.contains('.') && !suffix::is_known(name);
                if is_closed && !self.guard.lists_any() {
                    return Err(format!("`{name}` is not a public name"));
                }
                Ok(())
            }
        }
    }
}

/// What the writing of an address hides from its reader: `raw` is as it was written, `url` as browsers read it.
pub(super) fn disguise(raw: &str, url: &Url) -> Vec<String> {
    let mut flags = Vec::new();
    let Some(host) = url.host_str() else { return flags };
    let written = raw.split_once(':').map_or(raw, |(_, rest)| rest).trim_start_matches(['/', '\\']);
    let authority = written.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '@');
    let hides =
        authority.chars().any(|c| if c.is_ascii() { !is_plain(c) } else { !c.is_alphanumeric() || is_other_ascii(c) });
    if hides {
        flags.push(format!("its host is written so that it hides: browsers open `{host}`"));
    }
    flags.extend(odd_host(url));
    flags
}

/// Full-width and circled forms, which the parser turns into ASCII.
fn is_other_ascii(c: char) -> bool {
    use unicode_normalization::UnicodeNormalization as _;
    std::iter::once(c).nfkc().all(|c| c.is_ascii())
}

/// Is an international name one that readers take for another?
pub(super) fn odd_host(url: &Url) -> Option<String> {
    let Some(Host::Domain(host)) = url.host() else { return None };
    if !host.split('.').any(|label| label.starts_with("xn--")) {
        return None;
    }
    let (shown, _) = idna::domain_to_unicode(host);
    let skeleton: String = unicode_security::skeleton(&shown).collect();
    let imitates = |known: &&&str| {
        let known: String = unicode_security::skeleton(known).collect();
        skeleton == known || skeleton.strip_suffix(known.as_str()).is_some_and(|rest| rest.ends_with('.'))
    };
    if let Some(known) = IMITATED.iter().find(imitates) {
        return Some(format!("`{host}` is shown as `{shown}`, which looks like {known}"));
    }
    let mixes = shown
        .split('.')
        .any(|label| !label.is_ascii() && label.detect_restriction_level() > RestrictionLevel::HighlyRestrictive);
    mixes.then(|| format!("`{host}` is shown as `{shown}`, which mixes scripts"))
}

/// The host as somebody reads it who knows nothing of addresses (links.md 1.6).
pub(super) fn naive_host(text: &str) -> Option<String> {
    let rest = text.split_once("://")?.1;
    let end = rest.find([':', '/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].trim_end_matches('.');
    (!host.is_empty()).then(|| host.to_lowercase())
}

/// Is the host that a reader sees the one that is opened, up to the writing of international names?
pub(super) fn is_same_host(naive: &str, host: &str) -> bool {
    naive == host || !naive.is_ascii() && idna::domain_to_ascii(naive).is_ok_and(|ascii| ascii == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(address: &str, want: &str) {
        let url = Url::parse(address).unwrap();
        let why = Gate::default().judge(&url).unwrap_err();
        assert!(why.contains(want), "{address}: {why}");
    }

    #[track_caller]
    fn allowed(address: &str) {
        assert_eq!(Gate::default().judge(&Url::parse(address).unwrap()), Ok(()), "{address}");
    }

    #[test]
    fn where_a_post_may_not_lead() {
        refused("http://127.0.0.1/", "not a public address");
        refused("http://1.1.1.1/", "in numbers");
        refused("http://[::1]/", "not a public address");
        refused("http://localhost/", "not a public name");
        refused("http://intranet/", "not a public name");
        refused("http://a.internal/", "not a public name");
        refused("https://a:b@example.org/", "user name");
        refused("https://example.org:22/", "port 22");
        refused("https://example.org:0/", "port 0");
        refused("file:///etc/passwd", "`file`");
        allowed("https://example.org:8080/");
        allowed("https://com/");
        allowed("https://example.org./");
    }

    #[test]
    fn the_operators_own_sites_may_be_private() {
        let gate = Gate::new(Guard::default(), vec!["127.0.0.1:8080".to_owned(), "forum".to_owned()]);
        let judge = |address: &str| gate.judge(&Url::parse(address).unwrap());
        assert_eq!(judge("http://127.0.0.1:8080/t/1"), Ok(()));
        assert_eq!(judge("http://forum/t/1"), Ok(()));
        assert!(judge("http://127.0.0.1:8081/").is_err());
        assert!(judge("http://u@forum/").is_err());
    }

    #[track_caller]
    fn flagged(raw: &str, want: Option<&str>) {
        let flags = disguise(raw, &Url::parse(raw).unwrap());
        match want {
            Some(want) => assert!(flags.iter().any(|flag| flag.contains(want)), "{raw}: {flags:?}"),
            None => assert!(flags.is_empty(), "{raw}: {flags:?}"),
        }
    }

    #[test]
    fn what_a_person_should_look_at() {
        flagged("https://example.org\\@evil.example/", Some("hides"));
        flagged("https://example.org%2eevil.example/", Some("hides"));
        flagged("https://exam\u{ad}ple.org/", Some("hides"));
        flagged("https://ex\tample.org/", Some("hides"));
        flagged("https://ｅxample.org/", Some("hides"));
        flagged("https://\u{435}xample.org/", Some("mixes scripts"));
        flagged("https://\u{435}xample.com/", Some("looks like example.com"));
        flagged("https://xn--80ak6aa92e.com/", Some("looks like apple.com"));
        flagged("https://münchen.example/", None);
        flagged("https://例え.jp/", None);
        flagged("https://nixos.org/a\\b?c=%2e#d", None);
        flagged("https://a_b.example.org:8080/", None);
    }
}
