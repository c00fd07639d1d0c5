//! How fast one account may speak: its quiet hours, and its limits for all its posts and for those of one kind.
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::later;
use super::quiet::{Repeated, moment, next_waking};
use crate::config::{AccountConfig, Hold, HoldSettings, KindHold, Period, QuietHours, Rate};
use crate::item::{Item, Progress};

/// A post that counts against its account's limits: one that is being sent, was sent, or may have been (`unsure`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// When it was sent, or claimed.
    pub at: Timestamp,
    /// Its item's kind.
    pub kind: String,
    /// Its item's author, by [`author_of`].
    pub author: Option<String>,
}

impl Counted {
    /// What `item` counts for on `account`: something where it is being sent, was sent, or nobody knows (`lifecycle.md`
    /// 3.5). What failed or was retracted makes room for another.
    pub fn of(item: &Item, account: &str) -> Option<Counted> {
        let at = match &item.deliveries.get(account)?.progress {
            Progress::Sending { since } | Progress::Unsure { since } => *since,
            Progress::Sent { at, .. } => *at,
            Progress::Queued
            | Progress::Waiting { .. }
            | Progress::Failed { .. }
            | Progress::Cancelled
            | Progress::Retracting { .. }
            | Progress::Retracted { .. } => return None,
        };
        Some(Counted { at, kind: item.kind.clone(), author: author_of(item).map(str::to_owned) })
    }
}

/// The name by which authors are told apart when they take turns: the user name on the source, else the name shown.
pub fn author_of(item: &Item) -> Option<&str> {
    let author = item.origins.first()?.found.author.as_ref()?;
    Some(author.username.as_deref().unwrap_or(&author.name)).filter(|name| !name.is_empty())
}

/// One pair of limits over one set of posts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Least distance to the post before. Zero: none.
    pub spacing: Duration,
    /// Most posts in a period. `None`: any number.
    pub at_most: Option<Rate>,
}

/// What paces the posts of one kind on one account.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pacing<'a> {
    /// Nothing leaves then.
    pub quiet: &'a [QuietHours],
    /// Counts all posts of the account.
    pub all: Limit,
    /// Counts the account's posts of this kind only, in addition.
    pub kind: Limit,
}

/// The settings for a kind: those of `[hold.KIND]`, else those of `[hold.announcement]`, else `[hold]`.
pub fn for_kind<'a>(hold: &'a Hold, kind: &str) -> &'a HoldSettings {
    section(hold, kind).map_or(&hold.base, |section| &section.merged)
}

/// `[hold.KIND]`; a kind without a section of its own is held like an announcement.
fn section<'a>(hold: &'a Hold, kind: &str) -> Option<&'a KindHold> {
    hold.kinds.get(kind).or_else(|| hold.kinds.get("announcement"))
}

/// What paces items of `kind` on `account` (`lifecycle.md` 3.5).
///
/// The account's own `hold` replaces `[hold]`'s limits for all its posts; those of `[hold.KIND]` hold in addition and
/// count that kind only. A kind that switches a limit off (`spacing = "0s"`, `at-most = "none"`) is free of the limit
/// over all posts as well; its posts still count when something else wants to follow them. A kind's own quiet hours win
/// over the account's.
pub fn pacing<'a>(hold: &'a Hold, kind: &str, account: &'a AccountConfig) -> Pacing<'a> {
    let section = section(hold, kind);
    let own_spacing = section.and_then(|section| section.spacing);
    let own_at_most = section.and_then(|section| section.at_most);
    let own_quiet = section.and_then(|section| section.quiet_hours.as_deref());
    let quiet = own_quiet.or(account.quiet_hours.as_deref()).unwrap_or(&hold.base.quiet_hours);
    let spacing = match own_spacing {
        Some(Duration::ZERO) => Duration::ZERO,
        Some(_) | None => account.spacing.unwrap_or(hold.base.spacing),
    };
    let at_most = match own_at_most {
        Some(None) => None,
        Some(Some(_)) | None => account.at_most.unwrap_or(hold.base.at_most),
    };
    Pacing {
        quiet,
        all: Limit { spacing, at_most },
        kind: Limit { spacing: own_spacing.unwrap_or_default(), at_most: own_at_most.flatten() },
    }
}

impl Pacing<'_> {
    /// Does no post keep another of this kind waiting? Then neither what went before nor what else waits moves its slot.
    pub fn is_free(&self) -> bool {
        self.all.is_none() && self.kind.is_none()
    }

    /// The first moment not before `ready` at which a post of the kind may leave: outside quiet hours, and with every
    /// limit kept (`lifecycle.md` 3.5). `None`: never, since it is quiet all the time or the limit is no post at all.
    ///
    /// `all` is when the account has published so far, `kind` when it has something of the kind, each oldest first; the
    /// slot comes after all of it. What is older than the longest period and spacing may be left out.
    ///
    /// `ready` in the past gives a slot in the past, if it was free: ask with `ready.max(now)`.
    pub(super) fn next(
        &self,
        ready: Timestamp,
        all: &[Timestamp],
        kind: &[Timestamp],
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        let free = ready.max(self.all.free_from(all, zone)?).max(self.kind.free_from(kind, zone)?);
        next_waking(free, self.quiet, zone)
    }
}

impl Limit {
    fn is_none(&self) -> bool {
        self.spacing.is_zero() && self.at_most.is_none()
    }

    /// From when on one more post keeps this limit, after the posts at `taken`, oldest first. `None`: never.
    ///
    /// Since a post always follows all that went before, each limit is one bound: `spacing` after the last post, and for
    /// "at most N in a period" the end of the period of the Nth last.
    fn free_from(&self, taken: &[Timestamp], zone: &TimeZone) -> Option<Timestamp> {
        let spaced = match taken.last() {
            Some(last) if !self.spacing.is_zero() => later(*last, self.spacing),
            Some(_) | None => Timestamp::MIN,
        };
        let Some(rate) = self.at_most else { return Some(spaced) };
        if rate.count == 0 {
            return None;
        }
        let count = usize::try_from(rate.count).unwrap_or(usize::MAX);
        let Some(nth_last) = taken.len().checked_sub(count).map(|index| taken[index]) else { return Some(spaced) };
        let counted = match rate.period {
            Period::Rolling(period) => later(nth_last, period),
            Period::Day => {
                let tomorrow = zone.to_datetime(nth_last).date().tomorrow().ok()?;
                moment(tomorrow.to_datetime(Time::midnight()), zone, Repeated::First)?
            }
        };
        Some(spaced.max(counted))
    }
}
