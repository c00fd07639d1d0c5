//! Which addresses a stranger may make us talk to: the public internet, by name, on the two web ports.
//!
//! Everything here is pure; the part that asks the name service is in [`resolve`], and it is the one the connector
//! uses, so that the addresses judged are the addresses dialled.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

use crate::suffix;

pub mod resolve;

/// A longer address is refused, in bytes: nothing that a post may carry is longer.
pub const MAX_URL_BYTES: usize = 2_048;

/// Special-purpose blocks of IPv4: the IANA registry as of October 2025, and what clouds hide behind public numbers.
const CLOSED_V4: [(Ipv4Addr, u32); 19] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Azure's wire server: looks public, answers only inside.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// What of IPv6 is open at all: global unicast. Mapped, compatible and translated IPv4, NAT64, unique-local, link-local,
/// site-local, multicast, discard and SRv6 blocks lie outside it.
const OPEN_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Special-purpose blocks inside [`OPEN_V6`].
const CLOSED_V6: [(Ipv6Addr, u32); 5] = [
    // Teredo, benchmarking, AMT, AS112, ORCHID, DRIP.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4: an IPv4 address in disguise.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x004f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Names that mean something inside a network, or nothing at all (RFC 6761 and its followers): the last label or more.
const CLOSED_NAMES: [&str; 14] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "onion",
    "i2p",
    "alt",
    "in-addr.arpa",
];

/// Names that lead nowhere, by agreement: a link with one harms nobody, and there is nothing to fetch.
const EMPTY_NAMES: [&str; 3] = ["test", "invalid", "example"];

/// Is this an address of the public internet (links.md 4.3)? An IPv6 address that carries an IPv4 one (mapped,
/// compatible, translated, NAT64, 6to4, Teredo) never is, whatever it carries: no public site is reached that way.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !CLOSED_V4.iter().any(|&(net, bits)| within_v4(ip, net, bits)),
        IpAddr::V6(ip) => {
            within_v6(ip, OPEN_V6.0, OPEN_V6.1) && !CLOSED_V6.iter().any(|&(net, bits)| within_v6(ip, net, bits))
        }
    }
}

fn within_v4(ip: Ipv4Addr, net: Ipv4Addr, bits: u32) -> bool {
    (ip.to_bits() ^ net.to_bits()).leading_zeros() >= bits
}

fn within_v6(ip: Ipv6Addr, net: Ipv6Addr, bits: u32) -> bool {
    (ip.to_bits() ^ net.to_bits()).leading_zeros() >= bits
}

/// Why an address is not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not http and not https.
    #[error("`{0}:` is neither http nor https")]
    Scheme(String),
    /// A name or password before the `@`: it deceives the reader, and would be sent.
    #[error("there are credentials in the address")]
    Credentials,
    /// Only 80 and 443 are fetched.
    #[error("port {0} is never fetched, only 80 and 443")]
    Port(u16),
    /// No host, an empty label, or a public suffix alone.
    #[error("`{0}` is not the name of a site")]
    Name(String),
    /// A name that only means something inside a network.
    #[error("`{0}` is not a public name")]
    Inside(String),
    /// An address in numbers, or a name that leads to one that is not public.
    #[error("{0} is not a public address")]
    Address(IpAddr),
    /// Posts have no business naming sites by number.
    #[error("{0} is an address in numbers, not a name")]
    Number(IpAddr),
    /// The name leads nowhere.
    #[error("`{0}` has no address")]
    NoAddress(String),
    /// Over [`MAX_URL_BYTES`].
    #[error("the address is {0} bytes long")]
    TooLong(usize),
}

/// What the addresses behind a gated URL must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public, or named in `allow-private`.
    Public,
    /// Named in `allow-private`: the port or the name would be refused on the public internet.
    Listed,
}

/// The judgement with the operator's `allow-private`. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    listed: Arc<[IpNet]>,
}

impl Guard {
    /// `allow_private`: nets that are treated as if they were public, on every port. For tests only.
    pub fn new(allow_private: &[IpNet]) -> Self {
        Self { listed: allow_private.into() }
    }

    /// Is this a test bench: does `allow-private` name anything?
    pub fn lists_any(&self) -> bool {
        !self.listed.is_empty()
    }

    /// Is the address inside `allow-private`?
    pub fn is_listed(&self, ip: IpAddr) -> bool {
        // A mapped address reaches the IPv4 one it carries, so that is the one the operator has named.
        let ip = ip.to_canonical();
        self.listed.iter().any(|net| net.contains(&ip))
    }

    /// May an address be talked to?
    pub fn allows(&self, ip: IpAddr, reach: Reach) -> bool {
        match reach {
            Reach::Public => is_public(ip) || self.is_listed(ip),
            Reach::Listed => self.is_listed(ip),
        }
    }

    /// Judges all addresses of one name: any closed one refuses the name, because a mixed answer is an attack.
    pub fn judge(&self, name: &str, addresses: &[IpAddr], reach: Reach) -> Result<(), Refused> {
        if addresses.is_empty() {
            return Err(Refused::NoAddress(name.to_owned()));
        }
        match addresses.iter().find(|&&ip| !self.allows(ip, reach)) {
            Some(&ip) => Err(Refused::Address(ip)),
            None => Ok(()),
        }
    }

    /// Everything that can be said about an address before its name is looked up (links.md 3.1 and 4.2). To be asked
    /// for each hop anew. What it lets pass must still have the addresses that the [`Reach`] says.
    pub fn gate(&self, url: &Url) -> Result<Reach, Refused> {
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(Refused::TooLong(url.as_str().len()));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let name = match url.host() {
            Some(Host::Ipv4(ip)) => return self.gate_number(ip.into()),
            Some(Host::Ipv6(ip)) => return self.gate_number(ip.into()),
            Some(Host::Domain(name)) => name,
            None => return Err(Refused::Name(String::new())),
        };
        let port = url.port_or_known_default().unwrap_or(0);
        let refused = if !matches!(port, 80 | 443) { Some(Refused::Port(port)) } else { gate_name(name).err() };
        match refused {
            None => Ok(Reach::Public),
            Some(Refused::Port(0)) => Err(Refused::Port(0)),
            // Names and ports of a test bench are fine where every address behind them is listed; the resolver sees to it.
            Some(_) if !self.listed.is_empty() => Ok(Reach::Listed),
            Some(refused) => Err(refused),
        }
    }

    /// May a link name this site by its number? Only one that is listed; `Ok` as well where it names none.
    pub fn judge_number(&self, url: &Url) -> Result<(), Refused> {
        match url.host() {
            Some(Host::Ipv4(ip)) => self.gate_number(ip.into()).map(drop),
            Some(Host::Ipv6(ip)) => self.gate_number(ip.into()).map(drop),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    fn gate_number(&self, ip: IpAddr) -> Result<Reach, Refused> {
        if self.is_listed(ip) {
            Ok(Reach::Listed)
        } else if is_public(ip) {
            Err(Refused::Number(ip))
        } else {
            Err(Refused::Address(ip))
        }
    }
}

/// Does a name (without its root dot) only mean something inside a network?
pub fn is_inside(name: &str) -> bool {
    // `instance-data` is a cloud's metadata service, under whatever suffix that cloud gives it.
    ends_in_one(name, &CLOSED_NAMES) || name.starts_with("instance-data.")
}

fn ends_in_one(name: &str, suffixes: &[&str]) -> bool {
    let ends_in = |suffix: &str| name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    suffixes.iter().any(|suffix| ends_in(suffix))
}

/// Must have a registrable domain by the public suffix list, and no special-use suffix.
fn gate_name(name: &str) -> Result<(), Refused> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(Refused::Name(name.to_owned()));
    }
    if is_inside(name) || ends_in_one(name, &EMPTY_NAMES) || !name.contains('.') {
        return Err(Refused::Inside(name.to_owned()));
    }
    match suffix::site(name) {
        Some(_) => Ok(()),
        None => Err(Refused::Name(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(ip: &str, want: bool) {
        assert_eq!(is_public(ip.parse().unwrap()), want, "{ip}");
    }

    /// First and last address of a closed block, and its neighbours, which are open unless `shut` names them.
    #[track_caller]
    fn edges(before: &str, first: &str, last: &str, after: &str) {
        for (ip, want) in [(before, true), (first, false), (last, false), (after, true)] {
            if !ip.is_empty() {
                check(ip, want);
            }
        }
    }

    #[test]
    fn every_edge_of_the_ipv4_table() {
        edges("", "0.0.0.0", "0.255.255.255", "1.0.0.0");
        edges("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0");
        edges("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0");
        edges("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0");
        edges("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17");
        edges("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0");
        edges("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0");
        edges("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0");
        edges("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0");
        edges("192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0");
        edges("192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0");
        edges("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0");
        edges("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0");
        edges("192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0");
        edges("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0");
        edges("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0");
        edges("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0");
        edges("223.255.255.255", "224.0.0.0", "239.255.255.255", "");
        edges("", "240.0.0.0", "255.255.255.255", "");
    }

    #[test]
    fn every_edge_of_the_ipv6_table() {
        edges("", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::");
        edges(
            "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001::",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:200::",
        );
        edges(
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
        );
        edges("2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::");
        edges(
            "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
            "2620:4f:8000::",
            "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
            "2620:4f:8001::",
        );
        edges(
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff::",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
        );
        edges("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "");
        for closed in [
            "::1",
            "::ffff:1.1.1.1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::1.1.1.1",
            "64:ff9b:1::a00:1",
            "100::1",
            "100:0:0:1::1",
            "2001:0:53aa:64c:0:0:80ff:fffe",
            "2001:2::1",
            "2001:20::1",
            "2002:7f00:1::",
            "5f00::1",
            "fc00::",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            check(closed, false);
        }
        check("2606:4700:4700::1111", true);
        check("2a00::1", true);
    }

    #[test]
    fn metadata_addresses_are_closed() {
        for ip in
            ["169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192", "168.63.129.16"]
        {
            check(ip, false);
        }
    }

    #[track_caller]
    fn gate(url: &str, want: Result<Reach, Refused>) {
        assert_eq!(Guard::default().gate(&Url::parse(url).unwrap()), want, "{url}");
    }

    #[test]
    fn what_may_be_fetched() {
        let name = |n: &str| Err(Refused::Name(n.to_owned()));
        let inside = |n: &str| Err(Refused::Inside(n.to_owned()));
        let address = |a: &str| Err(Refused::Address(a.parse().unwrap()));
        gate("https://nixos.org/blog", Ok(Reach::Public));
        gate("http://nixos.org:443/", Ok(Reach::Public));
        gate("https://nixos.org./", Ok(Reach::Public));
        gate("https://nixos.org:8080/", Err(Refused::Port(8080)));
        gate("https://nixos.org:0/", Err(Refused::Port(0)));
        gate("ftp://nixos.org/", Err(Refused::Scheme("ftp".into())));
        gate("file:///etc/passwd", Err(Refused::Scheme("file".into())));
        gate("https://u@nixos.org/", Err(Refused::Credentials));
        gate("https://:p@nixos.org/", Err(Refused::Credentials));
        gate("https://1.1.1.1/", Err(Refused::Number("1.1.1.1".parse().unwrap())));
        gate("http://0x7f.1/", address("127.0.0.1"));
        gate("http://[::ffff:127.0.0.1]/", address("::ffff:127.0.0.1"));
        gate("http://localhost/", inside("localhost"));
        gate("http://a.localhost./", inside("a.localhost"));
        gate("http://intranet/", inside("intranet"));
        gate("http://router.lan/", inside("router.lan"));
        gate("http://metadata.google.internal/", inside("metadata.google.internal"));
        gate("http://instance-data.ec2.example.org/", inside("instance-data.ec2.example.org"));
        gate("http://notlocalhost.org/", Ok(Reach::Public));
        gate("http://github.io/", name("github.io"));
        gate("http://x.github.io/", Ok(Reach::Public));
        gate("http://a..org/", name("a..org"));
        let long = format!("https://nixos.org/{}", "a".repeat(MAX_URL_BYTES));
        gate(&long, Err(Refused::TooLong(long.len())));
    }

    #[test]
    fn a_test_bench_must_be_listed() {
        let guard = Guard::new(&["127.0.0.1/32".parse().unwrap()]);
        let gate = |url: &str| guard.gate(&Url::parse(url).unwrap());
        assert_eq!(gate("http://127.0.0.1:8080/"), Ok(Reach::Listed));
        assert_eq!(gate("http://[::ffff:127.0.0.1]:8080/"), Ok(Reach::Listed));
        assert_eq!(gate("http://127.0.0.2:8080/"), Err(Refused::Address("127.0.0.2".parse().unwrap())));
        assert_eq!(gate("http://pretend.test:8080/"), Ok(Reach::Listed));
        assert_eq!(gate("http://nixos.org:8080/"), Ok(Reach::Listed));
        assert_eq!(gate("http://nixos.org/"), Ok(Reach::Public));
        assert_eq!(gate("http://nixos.org:0/"), Err(Refused::Port(0)));
        let judge = |ips: &[&str], reach| {
            guard.judge("n", &ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>(), reach).is_ok()
        };
        assert!(judge(&["1.1.1.1", "127.0.0.1"], Reach::Public));
        assert!(!judge(&["1.1.1.1", "127.0.0.1"], Reach::Listed), "an odd port on a public address");
        assert!(!judge(&["1.1.1.1", "10.0.0.1"], Reach::Public), "a mixed answer");
        assert!(!judge(&[], Reach::Public));
    }

    /// The shared list of hostile addresses. Where OYEZ_CORPUS is not set, it is skipped.
    #[test]
    fn hostile_corpus() {
        #[derive(serde::Deserialize)]
        struct Case {
            input: String,
            verdict: String,
        }
        let Some(corpus) = std::env::var_os("OYEZ_CORPUS") else { return };
        let bytes = std::fs::read(std::path::Path::new(&corpus).join("links/hostile.json")).unwrap();
        for case in serde_json::from_slice::<Vec<Case>>(&bytes).unwrap() {
            let gated = Url::parse(&case.input).map(|url| (Guard::default().gate(&url), url));
            match case.verdict.as_str() {
                "deny" | "deny-fetch" => assert!(!matches!(gated, Ok((Ok(_), _))), "{}", case.input),
                // Judged by the address alone they are fine; by number they are still not fetched.
                "address-ok" => {
                    assert!(matches!(gated, Ok((Err(Refused::Number(ip)), _)) if is_public(ip)), "{}", case.input);
                }
                // Whether a reader is deceived is for the links to say; here it only must be judged as a name.
                "flag" => {
                    let fine = matches!(gated, Ok((Ok(Reach::Public) | Err(Refused::Inside(_)), _)));
                    assert!(fine, "{}", case.input);
                }
                other => panic!("a verdict this test does not know: {other}"),
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_lets_numbers_pass(host in "\\PC{0,40}", path in "\\PC{0,20}") {
            if let Ok(url) = Url::parse(&format!("http://{host}/{path}")) && Guard::default().gate(&url).is_ok() {
                prop_assert!(matches!(url.host(), Some(Host::Domain(_))));
            }
        }

        #[test]
        fn no_ipv6_address_carries_a_private_ipv4_one(low in any::<u32>()) {
            for prefix in [0u128, 0xffff << 32, 0xffff << 48, 0x64_ff9b << 96, 0x64_ff9b_0001 << 80] {
                prop_assert!(!is_public(Ipv6Addr::from_bits(prefix | u128::from(low)).into()));
            }
            prop_assert!(!is_public(Ipv6Addr::from_bits((0x2002 << 112) | (u128::from(low) << 80)).into()));
            prop_assert!(!is_public(Ipv6Addr::from_bits((0x2001 << 112) | u128::from(!low)).into()));
        }
    }
}
