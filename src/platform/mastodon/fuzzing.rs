//! Doors for the fuzz targets alone (`fuzz/`): what a server answers reaches these readers only through the network.
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::answer::{Answer, Deed};
use super::instance::Instance;
use super::media;
use super::readback::Wanted;
use crate::platform::{Limits, Published, SendError};

/// What an answer that is no success means for a request that publishes, or one that can be made again.
pub fn refusal(status: u16, headers: &HeaderMap, body: &[u8], publishes: bool, token: &str) -> SendError {
    let deed = if publishes { Deed::Publish } else { Deed::Again };
    Answer::new(status, headers, body.to_vec()).into_error(deed, &token.into())
}

/// The limits a server announces, and what of them is nonsense.
pub fn limits(json: &Value) -> Result<(Limits, Vec<String>), String> {
    Instance::read(json).map(|(instance, nonsense)| (instance.limits, nonsense))
}

/// The published post that a server's status is.
pub fn published(status: &Value) -> Option<Published> {
    super::published(status, Vec::new())
}

/// Is a status this post? `None`: it was not looked at.
pub fn likeness(text: &str, item_url: &str, html: &str) -> Option<bool> {
    let wanted = Wanted::new(text, item_url);
    wanted.in_content(html).map(|likeness| likeness == super::readback::Likeness::Same)
}

/// Is it a picture that a server can be expected to take?
pub fn picture(bytes: &[u8]) -> bool {
    media::look_at(bytes.to_vec(), &Instance::default()).is_ok()
}
