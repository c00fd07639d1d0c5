//! What shorteners answered, kept in the store for other items with the same link (links.md 0: 30 days, six hours where
//! there was no answer). An item keeps its own answers for good: where its links led when it was announced.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::item::Asked;
use crate::link::rewrite::Opened;
use crate::store::{Store, StoreError};

/// An answer is believed for this long.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// That there was none, for this long.
const FAILURE_KEPT: Duration = Duration::from_secs(6 * 3600);
/// Answers that are kept; then the oldest go.
const MOST: usize = 500;
const NAME: &str = "shorteners";

type Answers = BTreeMap<String, Asked>;

/// What this short link answered lately. `again`: whoever asks was told already that there is no answer, and tries once
/// more.
pub(crate) fn recall(
    store: &Store,
    short: &str,
    again: bool,
    now: Timestamp,
) -> Result<Option<Result<Opened, String>>, StoreError> {
    let asked = read(store, now)?.remove(short);
    Ok(asked.and_then(|asked| match asked.answer {
        Some(answer) => Some(Ok(answer)),
        None if again => None,
        None => Some(Err(asked.error.unwrap_or_else(|| "it did not answer".to_owned()))),
    }))
}

/// Keeps an answer. Not synced: what is lost is asked again.
pub(crate) fn remember(
    store: &Store,
    short: &str,
    answer: &Result<Opened, String>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut answers = read(store, now)?;
    let (error, answer) = (answer.as_ref().err().cloned(), answer.as_ref().ok().cloned());
    answers.insert(short.to_owned(), Asked { since: now, at: now, answer, error });
    while answers.len() > MOST {
        let oldest = answers.iter().min_by_key(|(_, asked)| asked.at).map(|(short, _)| short.clone());
        answers.remove(&oldest.expect("there are some"));
    }
    store.set_meta(NAME, &serde_json::to_value(answers).unwrap_or_default())
}

/// Forgets all of them: somebody asked that words be erased, and one may stand in an address.
pub(crate) fn clear(store: &Store) -> Result<(), StoreError> {
    store.set_meta(NAME, &serde_json::Value::Null)
}

/// Those that still count.
fn read(store: &Store, now: Timestamp) -> Result<Answers, StoreError> {
    let kept = store.meta(NAME)?.and_then(|value| serde_json::from_value::<Answers>(value).ok()).unwrap_or_default();
    let counts = |asked: &Asked| {
        let age = now.duration_since(asked.at);
        let kept = if asked.answer.is_some() { KEPT } else { FAILURE_KEPT };
        !age.is_negative() && age.unsigned_abs() < kept
    };
    Ok(kept.into_iter().filter(|(_, asked)| counts(asked)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_lasts_a_month_and_a_failure_six_hours() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let at = |hours: i64| Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap();
        let recall = |short, again, hours| recall(&store, short, again, at(hours)).unwrap();
        assert_eq!(recall("https://bit.example/a", false, 0), None);
        let to = || Ok(Opened::To("https://example.org/a".to_owned()));
        remember(&store, "https://bit.example/a", &to(), at(0)).unwrap();
        remember(&store, "https://bit.example/b", &Err("refused".to_owned()), at(0)).unwrap();
        assert_eq!(recall("https://bit.example/a", false, 29 * 24), Some(to()));
        assert_eq!(recall("https://bit.example/a", false, 30 * 24), None);
        assert_eq!(recall("https://bit.example/b", false, 5), Some(Err("refused".to_owned())));
        assert_eq!(recall("https://bit.example/b", true, 5), None, "whoever tries again asks");
        assert_eq!(recall("https://bit.example/b", false, 6), None);
        assert_eq!(recall("https://bit.example/a", false, -1), None, "a clock that went back proves nothing");
        for n in 0..MOST + 5 {
            let at = at(1) + Duration::from_secs(n as u64);
            remember(&store, &format!("https://bit.example/{n}"), &to(), at).unwrap();
        }
        assert_eq!(recall("https://bit.example/0", false, 2), None, "the oldest went");
        assert_eq!(recall("https://bit.example/5", false, 2), Some(to()));
        clear(&store).unwrap();
        assert_eq!(recall("https://bit.example/5", false, 2), None);
    }
}
