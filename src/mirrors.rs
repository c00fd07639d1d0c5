//! The catalogues of recordings that were heard, for finding the likely mirror of a video without asking anybody.
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
    recordings: Vec<Recording>,
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
            let is_mirror = |source: &str| {
                config
                    .source(source)
                    .and_then(|s| s.spec.mirror())
                    .is_some_and(|kind| config.links.mirrors.contains(&kind))
            };
            let shown = item.origins.iter().filter(|origin| origin.gone.is_none() && is_mirror(&origin.source));
            inner.recordings.extend(shown.map(|origin| Recording::of(&origin.found)));
        }
        inner.last = newest;
        Ok(())
    }

    /// The recording that is likely the same as an item's video and that nobody has said anything about yet, with what
    /// speaks for it.
    pub fn offer(&self, item: &Item, store: &Store, config: &Config) -> Result<Option<(String, String)>, StoreError> {
        self.refresh(store, config)?;
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = likely(&Recording::of(item.found()), &inner.recordings) else { return Ok(None) };
        let url = inner.recordings[found.index].url.clone();
        let is_new = !item.mirrors.iter().any(|known| known.url == url);
        Ok(is_new.then_some((url, found.evidence)))
    }
}
