//! Links: finding them, and the keys by which two addresses are known to mean one thing. The rewriter comes here.
use url::Url;

/// The eleven characters of a YouTube video, from any of its address forms (links.md 5.1).
pub fn youtube_id(_url: &Url) -> Option<String> {
    None
}

/// Keys ([`crate::item::Found::aliases`]) an address stands for: `youtube:ID`, `media-ccc-de:slug/SLUG`, `url:…`.
pub fn identity_keys(_url: &Url) -> Vec<String> {
    Vec::new()
}
