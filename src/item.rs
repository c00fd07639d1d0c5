//! What an item is: one announced thing, where it was found, what will be posted for it, and how far each delivery got.
//!
//! Plain data. Moves between states are made by [`crate::life`], times are worked out by [`crate::hold`].
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::link::rewrite::Opened;

/// The short number people say ("veto 42"). Given once, never reused.
pub type Number = u64;

/// Who wrote a thing, as far as the source tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The name to show: the full name where there is one, else the user name.
    pub name: String,
    /// The user name on the source, without `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Discourse trust level, 0 to 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_level: Option<u8>,
    /// Moderator or admin on the source.
    #[serde(default)]
    pub staff: bool,
}

/// A picture that belongs to a thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Absolute http(s) address. Chosen by the poster, so fetched by the guarded client only.
    pub url: String,
    /// Real alt text only; a file name or the word "image" is `None`.
    #[serde(default)]
    pub alt: Option<String>,
}

/// Whether a thing may be seen by everybody, as its source says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    /// Anybody can read it where it was announced.
    #[default]
    Public,
    /// It cannot any more, and why ("unlisted", "hidden by flags", "moved to another category"…).
    Gone(String),
}

/// One thing as a source shows it at one moment. Every parser produces this shape, nothing downstream sees raw bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The identity at its source, stable over edits: `discourse:HOST/t/ID`, `youtube:VIDEO`, `media-ccc-de:GUID`,
    /// `peertube:HOST/UUID`, `feed:CONTACT#ID`.
    pub key: String,
    /// Other keys that mean the same thing, in the same alphabet plus `url:CANONICAL`. Used to join (promise 6).
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The canonical address people are sent to. Absolute http(s).
    pub url: String,
    /// Plain text, one line.
    pub title: String,
    /// Who wrote it.
    #[serde(default)]
    pub author: Option<Author>,
    /// When it was made public, if the source says.
    #[serde(default)]
    pub published: Option<Timestamp>,
    /// When the author last changed it, if the source says so reliably (not a view counter's touch).
    #[serde(default)]
    pub changed: Option<Timestamp>,
    /// The body as plain text: paragraphs separated by a blank line, made by [`crate::text`].
    #[serde(default)]
    pub text: String,
    /// Absolute links of the body, in order, without duplicates, not cleaned.
    #[serde(default)]
    pub links: Vec<String>,
    /// Images in order of usefulness: the first is the one to post.
    #[serde(default)]
    pub images: Vec<Image>,
    /// Tags as the source spells them.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Where on the source: a Discourse category id or slug, a conference, a channel.
    #[serde(default)]
    pub category: Option<String>,
    /// ISO 639-1 language, if the source says.
    #[serde(default)]
    pub language: Option<String>,
    /// Length of a recording, in seconds.
    #[serde(default)]
    pub duration_s: Option<u64>,
    /// Speakers of a talk.
    #[serde(default)]
    pub persons: Vec<String>,
    /// The name of the event a talk was given at, or of the channel that shows it.
    #[serde(default)]
    pub event: Option<String>,
    /// May everybody see it?
    #[serde(default)]
    pub visibility: Visibility,
}

/// One place an item came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the source in the configuration when it was seen.
    pub source: String,
    /// What the source *is* (promise 5), e.g. `discourse:discourse.nixos.org/c/8`.
    pub contact: String,
    /// When Oyez first saw it here.
    pub first_seen: Timestamp,
    /// The last public reading. Kept when the thing goes away: the journal and the team still need it.
    pub found: Found,
    /// Since when, and why, it is not public here any more.
    #[serde(default)]
    pub gone: Option<Gone>,
}

/// An origin that went away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// When it was noticed.
    pub at: Timestamp,
    /// "deleted", "unlisted", "moved to another category"…
    pub why: String,
}

/// What the policy said, see [`crate::policy`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictKind {
    /// Hold as usual. The order of the variants is the order of strictness.
    #[default]
    Hold,
    /// Never leaves without an approval.
    Ask,
    /// Not for the accounts.
    Ignore,
}

/// The policy's verdict on an item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What happens to it.
    pub verdict: VerdictKind,
    /// The rule that decided, as the operator wrote it; `None`: no rule matched.
    pub rule: Option<String>,
    /// The rule's reason.
    pub because: Option<String>,
}

/// An attachment of a post.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Where to fetch it: chosen by the poster, so through the guarded client only.
    pub url: String,
    /// Alt text to publish with it.
    pub alt: Option<String>,
}

/// The text, media and language one account will publish for one item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Exactly what leaves.
    pub text: String,
    /// Length of `text` as the platform counts it.
    pub length: usize,
    /// The limit it was fitted to.
    pub limit: usize,
    /// What is attached.
    #[serde(default)]
    pub media: Vec<Media>,
    /// ISO 639-1.
    #[serde(default)]
    pub language: Option<String>,
    /// What the team should know: what was cut, what could not be attached.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How much of the item's text the post says; `None` where a person worded it, and for items without a text.
    #[serde(default)]
    pub summary: Option<Summary>,
    /// Who replaced the template's text, if anybody.
    #[serde(default)]
    pub edited_by: Option<String>,
    /// The author changed the item after the team's edit: this post asks and does not leave until somebody chose.
    #[serde(default)]
    pub outdated_edit: bool,
}

/// How much of an item's text its post says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// In grapheme clusters: of the sentences taken.
    pub length: usize,
    /// In grapheme clusters: of the whole text.
    pub of: usize,
}

/// How far the delivery of one post through one account got. `lifecycle.md` section 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Progress {
    /// Waits for its time, also between retries.
    #[default]
    Queued,
    /// Claimed: the request may be on its way.
    Sending {
        /// When it was claimed.
        since: Timestamp,
    },
    /// A person must do it (hand-over).
    Waiting {
        /// Since when.
        since: Timestamp,
    },
    /// It is out.
    Sent {
        /// When the platform took it.
        at: Timestamp,
        /// The platform's id.
        id: Option<String>,
        /// Where it can be read.
        url: Option<String>,
    },
    /// Nobody knows whether it is out. No end: asks a person.
    Unsure {
        /// When the claim was made.
        since: Timestamp,
    },
    /// Refused, or given up.
    Failed {
        /// When.
        at: Timestamp,
    },
    /// Stopped before it left.
    Cancelled,
    /// Is being deleted from the platform.
    Retracting {
        /// Since when.
        since: Timestamp,
        /// When it had been sent.
        sent_at: Timestamp,
        /// The platform's id.
        id: Option<String>,
        /// Where it could be read.
        url: Option<String>,
    },
    /// Deleted from the platform.
    Retracted {
        /// When.
        at: Timestamp,
    },
}

impl Progress {
    /// All that [`Progress::name`] can say.
    pub const NAMES: [&'static str; 9] =
        ["queued", "sending", "waiting", "sent", "unsure", "failed", "cancelled", "retracting", "retracted"];

    /// The word for it in JSON and for people.
    pub fn name(&self) -> &'static str {
        match self {
            Progress::Queued => "queued",
            Progress::Sending { .. } => "sending",
            Progress::Waiting { .. } => "waiting",
            Progress::Sent { .. } => "sent",
            Progress::Unsure { .. } => "unsure",
            Progress::Failed { .. } => "failed",
            Progress::Cancelled => "cancelled",
            Progress::Retracting { .. } => "retracting",
            Progress::Retracted { .. } => "retracted",
        }
    }

    /// Sent, failed, cancelled and retracted are ends; `unsure` is none.
    pub fn is_end(&self) -> bool {
        match self {
            Progress::Sent { .. } | Progress::Failed { .. } | Progress::Cancelled | Progress::Retracted { .. } => true,
            Progress::Queued
            | Progress::Sending { .. }
            | Progress::Waiting { .. }
            | Progress::Unsure { .. }
            | Progress::Retracting { .. } => false,
        }
    }

    /// Was a claim ever made that is not undone? Such a delivery makes its item `publishing`.
    pub fn was_claimed(&self) -> bool {
        match self {
            Progress::Queued | Progress::Cancelled => false,
            Progress::Sending { .. }
            | Progress::Waiting { .. }
            | Progress::Sent { .. }
            | Progress::Unsure { .. }
            | Progress::Failed { .. }
            | Progress::Retracting { .. }
            | Progress::Retracted { .. } => true,
        }
    }
}

/// Publishing one post through one account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Where it is.
    #[serde(flatten)]
    pub progress: Progress,
    /// Requests begun so far.
    #[serde(default)]
    pub attempts: u32,
    /// The last real error, as the platform worded it (bounded).
    #[serde(default)]
    pub error: Option<String>,
    /// Not before this: a retry's back-off, a snooze, a grace.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// A named person approved it for now: window, settle and pacing do not apply.
    #[serde(default)]
    pub now: bool,
    /// The idempotency key of the claim, fixed until the post changes.
    #[serde(default)]
    pub key: Option<String>,
    /// When the first claim under `key` was made: platforms keep a key for a limited time.
    #[serde(default)]
    pub key_since: Option<Timestamp>,
    /// The text that was sent, for reading back and for amending.
    #[serde(default)]
    pub sent_text: Option<String>,
    /// An amendment was asked for and waits for the service.
    #[serde(default)]
    pub amend: bool,
    /// When the first attempt was made; retries end `give-up` after it.
    #[serde(default)]
    pub first_attempt: Option<Timestamp>,
    /// When the earliest request was claimed whose answer was lost and which nobody has accounted for yet. While it is
    /// set the post may be out: only a repeat under the same key, a reading of the account's posts or a person ends it.
    #[serde(default)]
    pub lost: Option<Timestamp>,
    /// The repeat of the lost request was not answered either (some servers answer 500 to the repeat of what they
    /// took): from now on the readings decide.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// When the account's posts were first read completely without finding the lost one; a second such reading counts.
    #[serde(default)]
    pub absent: Option<Timestamp>,
}

/// What is stored of an item's state. `publishing` and `done` are derived from the deliveries, see [`Item::state`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub enum Phase {
    /// There before first contact.
    #[default]
    Known,
    /// New; the author may still be editing.
    Settling,
    /// Stands on the desk, is leaving, or has left.
    Held,
    /// A person's no.
    Vetoed {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// The policy's no.
    Ignored,
    /// An `ask` that nobody answered.
    Expired,
    /// Gone at every place it came from.
    Withdrawn {
        /// When.
        at: Timestamp,
    },
    /// The same as a lower number.
    Duplicate {
        /// That number.
        of: Number,
    },
}

/// The states people and JSON see: `lifecycle.md` section 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum State {
    Known,
    Settling,
    Held,
    Publishing,
    Done,
    Vetoed,
    Ignored,
    Expired,
    Withdrawn,
    Duplicate,
}

impl State {
    /// The word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            State::Known => "known",
            State::Settling => "settling",
            State::Held => "held",
            State::Publishing => "publishing",
            State::Done => "done",
            State::Vetoed => "vetoed",
            State::Ignored => "ignored",
            State::Expired => "expired",
            State::Withdrawn => "withdrawn",
            State::Duplicate => "duplicate",
        }
    }
}

/// Something a person should know about an item. It stays until what it asks for is done, or a person has seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenAlarm")]
pub struct Alarm {
    /// The account on which something must be done, if it is about one: done there, it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// In words, with the command that helps.
    pub text: String,
}

/// The first stores had only the words.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenAlarm {
    Words(String),
    Alarm {
        #[serde(default)]
        account: Option<String>,
        text: String,
    },
}

impl From<WrittenAlarm> for Alarm {
    fn from(written: WrittenAlarm) -> Self {
        match written {
            WrittenAlarm::Words(text) => Self { account: None, text },
            WrittenAlarm::Alarm { account, text } => Self { account, text },
        }
    }
}

/// An approval of the text that was shown; it lapses when the item changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who approved.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// One announced thing on its way. The unit of storage: every change of it is one compare-and-set on `rev`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The number people say.
    pub number: Number,
    /// Grows with every stored change; the store refuses a change based on an older one.
    pub rev: u64,
    /// `announcement`, `talk`, or a word of the operator's.
    pub kind: String,
    /// What is stored of the state.
    #[serde(flatten)]
    pub phase: Phase,
    /// Where it came from; text and kind come from the first. Never empty.
    #[serde(deserialize_with = "at_least_one")]
    pub origins: Vec<Origin>,
    /// When Oyez first saw it.
    pub first_seen: Timestamp,
    /// The author's last change: what the source says, else when it was noticed.
    pub last_change: Timestamp,
    /// What the policy said.
    #[serde(default)]
    pub verdict: Verdict,
    /// Approved as it stands.
    #[serde(default)]
    pub approval: Option<Approval>,
    /// Why it needs an approval beyond the policy's `ask` (stale, old); `None`: it does not.
    #[serde(default)]
    pub ask: Option<String>,
    /// It asks because that item, from another place, has the same title: one who joins the two has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<Number>,
    /// When it settled, or will as things stand.
    #[serde(default)]
    pub settled: Option<Timestamp>,
    /// The promise: nothing leaves before this unless a named person approves it for now. Never moves to an earlier time.
    #[serde(default)]
    pub window_end: Option<Timestamp>,
    /// The window's end as first set; `stale` counts from here.
    #[serde(default)]
    pub first_window_end: Option<Timestamp>,
    /// A snooze: nothing leaves before this.
    #[serde(default)]
    pub snoozed: Option<Timestamp>,
    /// One post per account.
    #[serde(default)]
    pub posts: BTreeMap<String, Post>,
    /// One delivery per account.
    #[serde(default)]
    pub deliveries: BTreeMap<String, Delivery>,
    /// Who looked at it.
    #[serde(default)]
    pub seen_by: Vec<String>,
    /// Things a person should know about this item (something published changed or vanished at the source…).
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// Links that a person wants as their author wrote them, whatever the rules make of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// What shorteners answered, by the short link as it was asked. Kept for as long as the item: where a short link leads
    /// may change, and what was announced is what it led to then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub opened: BTreeMap<String, Asked>,
    /// Other places of the same video that somebody named, or that are likely ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Mirror>,
    /// Where its posts lead instead of to its own address, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// When archive.org was last asked for a copy of its video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched: Option<Timestamp>,
    /// When its origin was last read successfully.
    #[serde(default)]
    pub checked: Option<Timestamp>,
    /// Since when its origin has been out of reach, if it is.
    #[serde(default)]
    pub unreachable_since: Option<Timestamp>,
    /// Its words were erased by `oyez forget`.
    #[serde(default)]
    pub forgotten: bool,
}

/// A record without an origin is none: [`Item::found`] relies on the first.
fn at_least_one<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Origin>, D::Error> {
    let origins = Vec::deserialize(from)?;
    if origins.is_empty() { Err(serde::de::Error::custom("an item without an origin")) } else { Ok(origins) }
}

impl Item {
    /// The state people see. `publishing` and `done` are questions asked of the deliveries.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Known => State::Known,
            Phase::Settling => State::Settling,
            Phase::Held => {
                let all_ended = self.deliveries.values().all(|d| d.progress.is_end());
                let any_claimed = self.deliveries.values().any(|d| d.progress.was_claimed());
                if all_ended {
                    State::Done
                } else if any_claimed {
                    State::Publishing
                } else {
                    State::Held
                }
            }
            Phase::Vetoed { .. } => State::Vetoed,
            Phase::Ignored => State::Ignored,
            Phase::Expired => State::Expired,
            Phase::Withdrawn { .. } => State::Withdrawn,
            Phase::Duplicate { .. } => State::Duplicate,
        }
    }

    /// The reading that gives the item its text and kind: the first origin's.
    pub fn found(&self) -> &Found {
        &self.origins[0].found
    }

    /// Does it still need a person's approval before it may leave in its ordinary time?
    pub fn needs_approval(&self) -> bool {
        (self.verdict.verdict == VerdictKind::Ask || self.ask.is_some()) && self.approval.is_none()
    }

    /// Must a person look at it: something failed, nobody knows whether it is out, or an alarm was raised.
    pub fn attention(&self) -> bool {
        let outdated = |(account, delivery): (&String, &Delivery)| {
            delivery.progress == Progress::Queued && self.posts.get(account).is_some_and(|post| post.outdated_edit)
        };
        !self.alarms.is_empty()
            || (self.phase == Phase::Held && self.deliveries.iter().any(outdated))
            || self.deliveries.values().any(|d| {
                matches!(d.progress, Progress::Failed { .. } | Progress::Unsure { .. } | Progress::Waiting { .. })
            })
    }

    /// Is there still something for the service to do or watch?
    pub fn is_active(&self) -> bool {
        match &self.phase {
            Phase::Settling => true,
            Phase::Held | Phase::Vetoed { .. } | Phase::Withdrawn { .. } => {
                self.deliveries.values().any(|d| !d.progress.is_end() || d.amend)
            }
            Phase::Known | Phase::Ignored | Phase::Expired | Phase::Duplicate { .. } => {
                self.deliveries.values().any(|d| {
                    matches!(
                        d.progress,
                        Progress::Sending { .. } | Progress::Unsure { .. } | Progress::Retracting { .. }
                    )
                })
            }
        }
    }
}

/// Another place of the same video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Where.
    pub url: String,
    /// What was said of it.
    #[serde(flatten)]
    pub word: MirrorWord,
}

/// What was said of another place of a video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum MirrorWord {
    /// It is likely the same: a person decides.
    Offered {
        /// What speaks for it.
        evidence: String,
    },
    /// A person says that it is the same.
    Accepted {
        /// Who.
        by: String,
    },
    /// A person says that it is another, for good.
    Rejected {
        /// Who.
        by: String,
    },
}

/// A shortener that was asked where a link leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// When it was first asked.
    pub since: Timestamp,
    /// When it was last asked.
    pub at: Timestamp,
    /// What it said; `None`: it could not be reached yet.
    pub answer: Option<Opened>,
    /// Why it could not be reached, in words for the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a veto or a retraction came too late for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooLate {
    /// The account.
    pub account: String,
    /// `sending`, `unsure` or `sent`.
    pub state: String,
    /// Where it can be read, if known.
    pub url: Option<String>,
}
