//! What the links of an item wait for: another place of its video, a copy at archive.org, an answer of a shortener.
use std::time::Duration;

use jiff::Timestamp;

use super::Deliverer;
use crate::config::MirrorKind;
use crate::http::Get;
use crate::item::{Asked, Item, Number, Phase, Progress};
use crate::life::Event;
use crate::link::{archive, youtube_id_of};
use crate::opened;
use crate::store::StoreError;

/// archive.org is asked again about a video after this.
const SEARCH_AGAIN: Duration = Duration::from_secs(6 * 3600);

/// Is a post of it still to leave? What is looked for here changes nothing any more once all are out.
fn waits(item: &Item) -> bool {
    matches!(item.phase, Phase::Settling | Phase::Held)
        && item.deliveries.values().any(|delivery| delivery.progress == Progress::Queued)
}

impl Deliverer {
    /// Notices that another place of an item's video is proven, or likely. `true`: something changed.
    pub(super) fn mirror(&self, item: &Item) -> Result<bool, StoreError> {
        if self.config.links.mirrors.is_empty() || !waits(item) {
            return Ok(false);
        }
        let mirror = self.wording.mirror(item);
        if mirror != item.mirror {
            self.happen(item.number, |item, _| {
                let (posts, _) = self.wording.word_all(&self.store, item)?;
                Ok(Some(Event::Mirrored { mirror: self.wording.mirror(item), posts }))
            })?;
            return Ok(true);
        }
        if mirror.is_some() || youtube_id_of(&item.found().url).is_none() {
            return Ok(false);
        }
        let Some((url, evidence)) = self.catalogue.offer(item, &self.store, &self.config)? else { return Ok(false) };
        self.happen(item.number, |_, _| Ok(Some(Event::Offered { url: url.clone(), evidence: evidence.clone() })))?;
        Ok(true)
    }

    /// The video that archive.org is to be asked about now: one that waits to be posted and is only on YouTube.
    pub(super) fn search_due(&self, item: &Item, now: Timestamp) -> Option<String> {
        let links = &self.config.links;
        let is_due = item.searched.is_none_or(|at| at + SEARCH_AGAIN <= now);
        if !links.mirrors.contains(&MirrorKind::ArchiveOrg) || !is_due || !waits(item) || item.mirror.is_some() {
            return None;
        }
        let id = youtube_id_of(&item.found().url)?;
        let page = archive::page(&links.archive, &id)?;
        // A person has it on the desk already, or has answered.
        (!item.mirrors.iter().any(|known| known.url == page.as_str())).then_some(id)
    }

    /// Asks archive.org. No answer is as good as none: it is asked again in some hours.
    pub(super) async fn search(&self, number: Number, id: &str) -> Result<(), StoreError> {
        let base = &self.config.links.archive;
        let Some(question) = archive::question(base, id) else { return Ok(()) };
        let get = Get { max_bytes: archive::MAX_ANSWER, ..Get::default() };
        let copy = match self.poller.http().get(&question, get, self.clock.now()).await {
            Ok(answer) if answer.status == 200 => archive::copy(&answer.body, base, id),
            Ok(answer) => {
                tracing::info!(item = number, "{base} answered {} when asked for a copy", answer.status);
                None
            }
            Err(error) => {
                tracing::info!(item = number, "{base} cannot be asked for a copy: {error}");
                None
            }
        };
        self.happen(number, |_, _| Ok(Some(Event::Searched { copy: copy.clone() })))
    }

    /// The shortener that stands between an item's link and its target, and when it is to be asked; `None`: there is none,
    /// or it is dead, or nothing waits for it.
    pub(super) fn short_due(&self, item: &Item) -> Option<(String, Timestamp)> {
        if !waits(item) || !self.wording.rulebook().linker.expands() {
            return None;
        }
        let short = self.wording.link(item).unopened?;
        let Some(asked) = item.opened.get(&short) else { return Some((short, Timestamp::MIN)) };
        let hours = asked.at.duration_since(asked.since).as_hours();
        let again = match hours {
            0 => Duration::from_secs(600),
            1..6 => Duration::from_secs(3600),
            6..24 => Duration::from_secs(6 * 3600),
            _ => return None,
        };
        Some((short, asked.at + again))
    }

    /// Asks the shorteners of an item's link that are due, one after the other, and words its posts with what they say.
    pub(super) async fn open_shorts(&self, number: Number) -> Result<(), StoreError> {
        for _ in 0..=crate::link::rewrite::MAX_HOPS {
            let Some(item) = self.store.item(number)? else { return Ok(()) };
            let due = self.short_due(&item).filter(|(_, at)| *at <= self.clock.now());
            let Some((short, _)) = due else { return Ok(()) };
            let Ok(url) = url::Url::parse(&short) else { return Ok(()) };
            let pages = self.wording.rulebook().linker.rules().may_answer_pages(&url);
            let again = item.opened.contains_key(&short);
            let answer = match opened::recall(&self.store, &short, again, self.clock.now())? {
                Some(answer) => answer,
                None => {
                    let answer = self.poller.http().open_short(&url, pages).await;
                    if let Err(error) = &answer {
                        tracing::info!(
                            item = number,
                            host = url.host_str(),
                            "a link shortener cannot be reached: {error}"
                        );
                    }
                    opened::remember(&self.store, &short, &answer, self.clock.now())?;
                    answer
                }
            };
            self.happen(number, |item, now| {
                // As it will be once this is recorded.
                let mut next = item.clone();
                if let Ok(answer) = &answer {
                    let asked = Asked { since: now, at: now, answer: Some(answer.clone()), error: None };
                    next.opened.insert(short.clone(), asked);
                }
                let (posts, _) = self.wording.word_all(&self.store, &next)?;
                Ok(Some(Event::Opened { short: short.clone(), answer: answer.clone(), posts }))
            })?;
            if answer.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
