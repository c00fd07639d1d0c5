//! The catalogues of recordings that were heard, for finding the likely mirror of a video without asking anybody.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::config::Config;
use crate::item::{Item, Number};
use crate::link::mirror::{Recording, likely};
use crate::store::{Store, StoreError};

/// What the sources that are mirrors have shown. Read from the store when it is first needed, and what is new afterwards.
#[derive(Debug, Default)]
pub struct Catalogue {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The newest item that was looked at.
    last: Number,
    /// With the item that shows each.
    recordings: Vec<(Number, Recording)>,
    /// Items that were compared with all there is, by the revision they had: the answer is the same until one of them changes.
    compared: HashMap<Number, u64>,
}

/// Is what this source shows another place of videos?
fn is_mirror(config: &Config, source: &str) -> bool {
    let kind = config.source(source).and_then(|source| source.spec.mirror());
    kind.is_some_and(|kind| config.links.mirrors.contains(&kind))
}

impl Catalogue {
    /// Reads what is new in the store.
    fn refresh(&self, store: &Store, config: &Config) -> Result<(), StoreError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = store.last_number();
        if inner.last >= newest {
            return Ok(());
        }
        let from = inner.last + 1;
        for item in store.items(from..=newest) {
            let item = item?;
            let shown = item.origins.iter().filter(|o| o.gone.is_none() && is_mirror(config, &o.source));
            let more: Vec<_> = shown.map(|origin| (item.number, Recording::of(&origin.found))).collect();
            if !more.is_empty() {
                inner.compared.clear();
                inner.recordings.extend(more);
            }
        }
        inner.last = newest;
        Ok(())
    }

    /// The recording that is likely the same as an item's video and that nobody has said anything about yet, with what
    /// speaks for it.
    pub fn offer(&self, item: &Item, store: &Store, config: &Config) -> Result<Option<(String, String)>, StoreError> {
        self.refresh(store, config)?;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.compared.get(&item.number) == Some(&item.rev) {
            return Ok(None);
        }
        let wanted = Recording::of(item.found());
        while let Some(found) = likely(&wanted, inner.recordings.iter().map(|(_, recording)| recording)) {
            let (number, recording) = &inner.recordings[found.index];
            // What it showed may be gone since, or its words forgotten; or it moved.
            let (number, before) = (*number, recording.clone());
            let shown = store.item(number)?.map(|item| item.origins).unwrap_or_default();
            let shown = shown.into_iter().filter(|o| o.gone.is_none() && is_mirror(config, &o.source));
            let now: Vec<Recording> = shown.map(|origin| Recording::of(&origin.found)).collect();
            if !now.contains(&before) {
                inner.recordings.retain(|(of, _)| *of != number);
                inner.recordings.extend(now.into_iter().map(|recording| (number, recording)));
                continue;
            }
            let url = before.url;
            if item.mirrors.iter().any(|known| known.url == url) {
                break;
            }
            return Ok(Some((url, found.evidence)));
        }
        inner.compared.insert(item.number, item.rev);
        Ok(None)
    }
}
