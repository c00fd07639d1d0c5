//! Two sights of one thing become one item (promise 6).
use crate::item::{Item, Origin, Phase};

/// The item with one more origin. Text and kind come from the first origin in the order of the configuration (`order`),
/// links from all. Joining undoes no decision and makes nothing due again: states, times and deliveries stay, and posts
/// that the team has seen are not worded anew. While an item still settles, the first origin's kind is the item's.
pub fn join(item: &Item, origin: Origin, kind: &str, order: &dyn Fn(&str) -> usize) -> Item {
    let mut joined = item.clone();
    if joined.origins.iter().any(|known| known.found.key == origin.found.key) {
        return joined;
    }
    let rank = order(&origin.source);
    let at = joined.origins.iter().take_while(|known| order(&known.source) <= rank).count();
    if at == 0 && joined.phase == Phase::Settling {
        kind.clone_into(&mut joined.kind);
    }
    joined.origins.insert(at, origin);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Found;

    fn origin(source: &str, key: &str) -> Origin {
        Origin {
            source: source.to_owned(),
            contact: "c".to_owned(),
            first_seen: jiff::Timestamp::UNIX_EPOCH,
            found: Found { key: key.to_owned(), ..Found::default() },
            gone: None,
        }
    }

    fn order(name: &str) -> usize {
        ["ccc", "youtube"].iter().position(|n| *n == name).unwrap_or(usize::MAX)
    }

    #[test]
    fn the_first_source_of_the_configuration_gives_the_text() {
        let item = Item { phase: Phase::Settling, kind: "video".into(), origins: vec![origin("youtube", "y")], ..Item::default() };
        let joined = join(&item, origin("ccc", "c"), "talk", &order);
        assert_eq!(joined.found().key, "c");
        assert_eq!(joined.kind, "talk");
        let again = join(&joined, origin("ccc", "c"), "talk", &order);
        assert_eq!(again.origins.len(), 2);
    }

    #[test]
    fn promise_06_joining_undoes_no_decision() {
        for phase in [Phase::Known, Phase::Ignored, Phase::Vetoed { by: "x".into(), at: jiff::Timestamp::UNIX_EPOCH }] {
            let item = Item { phase: phase.clone(), origins: vec![origin("ccc", "c")], ..Item::default() };
            assert_eq!(join(&item, origin("youtube", "y"), "talk", &order).phase, phase);
        }
    }
}
