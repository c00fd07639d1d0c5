//! The public suffix list: under which names anybody may register one. The list is code, which would be copied into
//! every part of the program that asks it: so it is asked here alone.

/// Is this name itself a suffix that stands in the list, as `org` or `github.io`? In lower case, without a root dot.
#[inline(never)]
pub fn is_known(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == name.as_bytes())
}

/// Is this name a suffix under which a registry sells names, and not one that a company gives to its customers, as
/// `github.io`?
#[inline(never)]
pub fn is_registry(name: &str) -> bool {
    psl::suffix(name.as_bytes())
        .is_some_and(|suffix| suffix.typ() == Some(psl::Type::Icann) && suffix.as_bytes() == name.as_bytes())
}

/// The part of a host's name that somebody registered: `example.org` of `www.example.org`. In lower case; where it ends
/// in no suffix of the list, its last label counts as one. `None`: it is a suffix itself, or no name.
#[inline(never)]
pub fn site(host: &str) -> Option<&str> {
    let site = psl::domain(host.as_bytes())?;
    // A domain is an end of the host, cut at a dot.
    host.get(host.len() - site.as_bytes().len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_nobodys_site() {
        assert!(is_known("org") && is_known("co.uk") && is_known("github.io"));
        assert!(is_registry("co.uk") && !is_registry("github.io") && !is_registry("example.org"));
        assert!(!is_known("example.org") && !is_known("nix") && !is_known(""));
        assert_eq!(site("www.example.co.uk"), Some("example.co.uk"));
        assert_eq!(site("example.org"), Some("example.org"));
        assert_eq!(site("a.b.unheard-of"), Some("b.unheard-of"));
        assert_eq!(site("co.uk"), None);
        assert_eq!(site(""), None);
        assert_eq!(site("www.example.org."), Some("example.org."));
    }
}
