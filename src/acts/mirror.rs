//! `oyez mirror`: a person's word on another place of an item's video.
use serde_json::json;
use url::Url;

use super::{CONFLICT_TRIES, Desk, Done, Failure, Sink, busy};
use crate::item::{Mirror, MirrorWord, State};
use crate::life::{self, Event};
use crate::link::rewrite::nothing_opened;
use crate::store::{Change, CommitError, Note};

impl Desk {
    /// From now on the item's posts lead to `url`, or never: what was not sent yet is worded with it at once.
    pub(super) fn mirror(
        &self,
        actor: &str,
        item: &str,
        url: &str,
        accept: bool,
        reason: Option<&str>,
        sink: Sink<'_>,
    ) -> Result<(), Failure> {
        let number = self.one(item)?;
        let url = self.mirror_address(number, url, accept)?;
        for _ in 0..CONFLICT_TRIES {
            let mut item = self.must(number)?;
            life::has_words(&item)?;
            let by = actor.to_owned();
            let word = if accept { MirrorWord::Accepted { by } } else { MirrorWord::Rejected { by } };
            let is_same = |known: &Mirror| {
                known.url == url
                    && matches!(known.word, MirrorWord::Accepted { .. }) == accept
                    && !matches!(known.word, MirrorWord::Offered { .. })
            };
            let changed = !item.mirrors.iter().any(is_same);
            if changed {
                item.mirrors.retain(|known| known.url != url);
                item.mirrors.push(Mirror { url: url.clone(), word });
                // What was offered is answered.
                item.alarms.retain(|alarm| !alarm.text.contains(&format!("accept {url}`")));
                let now = self.clock.now();
                let what = if accept { "mirror-accepted" } else { "mirror-rejected" };
                let mut notes = vec![Note {
                    reason: reason.map(str::to_owned),
                    text: Some(url.clone()),
                    ..Note::new(now, Some(number), actor, what)
                }];
                let mirror = self.wording.mirror(&item);
                let (posts, _) = self.wording.word_all(&self.store, &item)?;
                let applied = life::happen(&item, Event::Mirrored { mirror, posts }, &self.rules(&item, now))?;
                notes.extend(crate::deliver::notes(&applied, now, number));
                let change = Change { items: vec![applied.item], notes, durable: true, ..Change::default() };
                match self.store.commit(change) {
                    Ok(_) => {}
                    Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => continue,
                    Err(CommitError::Store(error)) => return Err(error.into()),
                }
                if let Some(wake) = &self.wake {
                    wake.notify_one();
                }
            }
            let done = Done { number, changed, hints: Vec::new(), more: Some(("mirror", json!(url))) };
            return self.tell(vec![done], sink);
        }
        Err(busy(number))
    }

    /// The address in the form that is posted, if it may be a mirror of this item.
    fn mirror_address(&self, number: crate::item::Number, url: &str, accept: bool) -> Result<String, Failure> {
        let rewrite = self.wording.rulebook().linker.rewrite(url, false, &nothing_opened);
        let refused =
            |why: &str, hint: Option<String>| Failure::failed(format!("`{url}` cannot be a mirror: {why}"), hint);
        let is_ready = rewrite.is_ready();
        let Some(clean) = rewrite.output.filter(|_| is_ready) else {
            return Err(refused(rewrite.refused.as_deref().unwrap_or("it is a link shortener's"), None));
        };
        let Some(parsed) = Url::parse(&clean).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
            return Err(refused("it is no page", None));
        };
        if crate::link::youtube_id(&parsed).is_some() {
            return Err(refused("it is on YouTube itself", None));
        }
        if accept {
            // Two items for one talk would be two posts.
            for key in crate::link::identity_keys(&parsed) {
                let other = self.store.by_key(&key)?.filter(|other| *other != number);
                let Some(other) = other.map(|other| self.must(other)).transpose()? else { continue };
                let has_posts =
                    matches!(other.state(), State::Settling | State::Held | State::Publishing | State::Done);
                if has_posts {
                    let hint = format!("`oyez join {number} {}` makes them one", other.number);
                    return Err(refused(
                        &format!("it is item {}, which has posts of its own", other.number),
                        Some(hint),
                    ));
                }
            }
        }
        Ok(clean)
    }
}
