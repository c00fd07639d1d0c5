//! Links: finding them, the keys by which two addresses are known to mean one thing, and what becomes of them.
pub mod archive;
mod clearurls;
mod find;
pub mod gate;
mod keys;
pub mod mirror;
pub mod rewrite;
pub mod rules;
#[cfg(test)]
mod tests;
pub mod youtube;

use url::Url;

pub use find::find;
pub use keys::{canonical, discourse_key, host, identity_keys, youtube_id, youtube_id_of};

/// May this address stand in a post: http or https, a host, no user name in it, not absurdly long?
pub fn is_for_readers(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.as_str().len() <= gate::MAX_URL_BYTES
}
