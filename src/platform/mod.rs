//! Networks that posts go to. One file each; none knows the store, a source, or another platform.
pub mod file;
pub mod mastodon;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::item::Post;

/// The proof that a delivery was claimed: its intent is on disk. Only [`crate::store::Store::claim`] makes one.
#[derive(Debug)]
pub struct Claim {
    pub(crate) item: crate::item::Number,
    pub(crate) account: String,
    pub(crate) post: Post,
    pub(crate) key: String,
    pub(crate) first_use: Timestamp,
    pub(crate) repeat: bool,
    pub(crate) url: String,
}

impl Claim {
    /// The item.
    pub fn item(&self) -> crate::item::Number {
        self.item
    }
    /// The account.
    pub fn account(&self) -> &str {
        &self.account
    }
    /// What to publish.
    pub fn post(&self) -> &Post {
        &self.post
    }
    /// The stable idempotency key.
    pub fn key(&self) -> &str {
        &self.key
    }
    /// When the key was first used; platforms keep it for a limited time.
    pub fn first_use(&self) -> Timestamp {
        self.first_use
    }
    /// Is this a repeat whose first attempt may have been applied?
    pub fn is_repeat(&self) -> bool {
        self.repeat
    }
    /// The item's address (reading back looks for it).
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Asks whether a claimed post may still go out. A veto, a withdrawal or a retract since the claim says no.
pub type StillWanted<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The platform's id.
    pub id: Option<String>,
    /// Where it can be read.
    pub url: Option<String>,
    /// What did not work on the way and did not matter enough to stop it (an image that could not be fetched).
    pub warnings: Vec<String>,
}

/// Why a post did not go out. The variants say what to do next, not where it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nothing was posted; not before `after`.
    #[error("{reason}")]
    Retry {
        /// What they said; `None` leaves it to the back-off.
        after: Option<Duration>,
        /// For people.
        reason: String,
    },
    /// They read it and said no; repeating is pointless.
    #[error("{reason}")]
    Refused {
        /// Their words.
        reason: String,
    },
    /// Credentials: stop the account, not just this post.
    #[error("{reason}")]
    Locked {
        /// Their words.
        reason: String,
    },
    /// The line died after we began talking.
    #[error("{reason}")]
    Unsure {
        /// What happened.
        reason: String,
    },
}

impl SendError {
    /// A person was faster than the post: nothing was published.
    pub fn stopped_in_time() -> Self {
        SendError::Retry { after: None, reason: "it was stopped before it was posted".into() }
    }
}

/// What reading the account's own posts told about a delivery whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadBack {
    /// It is out.
    Found(Published),
    /// The account's posts since the attempt were read completely, and it is not among them.
    Absent,
    /// It cannot be told.
    Undecided(String),
}

/// What the platform allows right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// In the platform's own unit.
    pub max_length: usize,
    /// What one http(s) address counts; `None`: its real length.
    pub url_length: Option<usize>,
    /// Attachments of one post.
    pub max_media: usize,
    /// Bytes of one image.
    pub max_image_bytes: u64,
    /// Pixels of one image.
    pub max_image_pixels: u64,
    /// Characters of an alt text.
    pub max_alt: usize,
    /// Does the server keep idempotency keys? (GoToSocial and Takahē do not.)
    pub keeps_keys: bool,
    /// Code points instead of grapheme clusters (GoToSocial).
    pub counts_code_points: bool,
}

impl Limits {
    /// What a Mastodon allows that nobody changed (platforms.md 1.2), for as long as the server was not asked.
    pub fn mastodon() -> Self {
        Limits {
            max_length: 500,
            url_length: Some(23),
            max_media: 4,
            max_image_bytes: 16_777_216,
            max_image_pixels: 33_177_600,
            max_alt: 1500,
            keeps_keys: false,
            counts_code_points: false,
        }
    }
}

/// The platform's id of a post in the address a person gives, where the address tells it.
pub fn id_in_url(platform: &str, url: &url::Url) -> Option<String> {
    if platform != "mastodon" {
        return None;
    }
    // `/@name/ID`, `/users/name/statuses/ID`, `/@name/statuses/ULID`, `/notice/ID`.
    let last = url.path_segments()?.rfind(|segment| !segment.is_empty())?;
    let plausible = last.len() >= 10 && last.bytes().all(|b| b.is_ascii_alphanumeric());
    plausible.then(|| last.to_owned())
}

/// A network, spoken to as one account.
#[async_trait]
pub trait Platform: Send + Sync {
    /// The limits in force; asked from the server at most once a day, the built-in ones when it cannot be asked.
    async fn limits(&self, now: Timestamp) -> Limits;
    /// Who we are there, asked from the server: `oyez check --online`.
    async fn identity(&self) -> Result<String, SendError>;
    /// Publishes it. Repeats with the same key are made only where [`Platform::may_repeat`] says so. What comes before the
    /// post itself may take minutes (images); right before it `wanted` is asked, and where it says no nothing is posted
    /// and the answer is [`SendError::Retry`].
    async fn send(&self, claim: &Claim, now: Timestamp, wanted: StillWanted<'_>) -> Result<Published, SendError>;
    /// May a leftover claim be repeated with its key (the platform removes the double)?
    async fn may_repeat(&self, first_use: Timestamp, now: Timestamp) -> bool;
    /// Looks among the account's own posts for one that was begun at `since`.
    async fn read_back(&self, post: &Post, item_url: &str, since: Timestamp) -> ReadBack;
    /// Replaces the text of a published post.
    async fn amend(&self, id: &str, post: &Post) -> Result<Published, SendError>;
    /// Deletes a published post; one that is gone already is a success.
    async fn retract(&self, id: &str) -> Result<(), SendError>;
}
