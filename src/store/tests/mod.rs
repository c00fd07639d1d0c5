use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

mod damage;
mod measure;
mod moving;

use super::*;
use crate::item::{Alarm, Asked, Author, Delivery, Found, Mirror, MirrorWord, Origin, Phase, Post, Progress};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn found(key: &str) -> Found {
    Found {
        key: key.into(),
        aliases: vec![format!("url:https://example.org/{key}")],
        url: format!("https://example.org/{key}"),
        title: format!("Mitwisserin {key}"),
        author: Some(Author { name: "Eve Example".into(), username: Some("eve".into()), ..Author::default() }),
        text: "A body with Mitwisserin in it. ".repeat(20),
        ..Found::default()
    }
}

fn item(key: &str) -> Item {
    let origin = Origin {
        source: "forum".into(),
        contact: "discourse:example.org/c/8".into(),
        first_seen: at(0),
        found: found(key),
        gone: None,
    };
    let post = Post { text: format!("Mitwisserin {key}"), ..Post::default() };
    Item {
        kind: "announcement".into(),
        phase: Phase::Held,
        origins: vec![origin],
        posts: BTreeMap::from([("mastodon".into(), post)]),
        deliveries: BTreeMap::from([("mastodon".into(), Delivery::default())]),
        ..Item::default()
    }
}

fn note(what: &'static str, item: Option<Which>) -> Note {
    Note {
        at: at(1),
        item,
        actor: "forum:eve".into(),
        what,
        reason: Some("Mitwisserin knows".into()),
        text: Some("Mitwisserin".into()),
        detail: json!({"account": "mastodon", "title": "Mitwisserin"}),
    }
}

/// Stores a new item with a note, durably.
fn add(store: &Store, key: &str) -> Item {
    let change = Change {
        items: vec![item(key)],
        notes: vec![note("seen", Some(Which::New(0)))],
        durable: true,
        ..Change::default()
    };
    store.commit(change).unwrap().items.remove(0)
}

fn change(item: Item) -> Change {
    let notes = vec![note("veto", Some(item.number.into()))];
    Change { items: vec![item], notes, durable: true, ..Change::default() }
}

fn sending(mut item: Item, second: i64) -> Item {
    let delivery = item.deliveries.get_mut("mastodon").unwrap();
    delivery.progress = Progress::Sending { since: at(second) };
    delivery.key = Some("key-1".into());
    delivery.attempts += 1;
    item
}

fn open() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

fn reopen(dir: &TempDir, store: Store) -> Store {
    drop(store);
    Store::open(&dir.path().join("store")).unwrap()
}

/// Copies the files as they are now: what a process that is killed at this moment leaves behind.
fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_files(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Every file below, by its path from there, with its bytes. Nothing where there is no such directory.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    if !dir.exists() {
        return found;
    }
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = PathBuf::from(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(contents(&entry.path()).into_iter().map(|(path, bytes)| (name.join(path), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn exported(store: &Store) -> Vec<u8> {
    let mut out = Vec::new();
    store.export(&mut out).unwrap();
    out
}

#[test]
fn what_was_stored_is_there_after_opening_again() {
    let (dir, store) = open();
    let first = add(&store, "a");
    let second = add(&store, "b");
    assert_eq!((first.number, first.rev, second.number), (1, 1, 2));
    let store = reopen(&dir, store);
    assert_eq!(store.item(1).unwrap(), Some(first.clone()));
    assert_eq!(store.item(3).unwrap(), None);
    assert_eq!(store.last_number(), 2);
    assert_eq!(store.active().unwrap(), [first, second.clone()]);
    assert_eq!(store.items(2..).collect::<Result<Vec<_>, _>>().unwrap(), [second]);
    assert_eq!(store.by_key("b").unwrap(), Some(2));
    assert_eq!(store.by_key("url:https://example.org/b").unwrap(), Some(2));
    assert_eq!(store.by_key("c").unwrap(), None);
    assert_eq!(store.last_entry_at(), Some(at(1)));
    assert_eq!(store.verify().unwrap().entries, 2);
}

#[test]
fn promise_04_numbers_are_never_given_twice() {
    let (dir, store) = open();
    add(&store, "a");
    let refused = store.commit(Change { items: vec![item("b"), item("a")], ..Change::default() });
    assert!(matches!(refused, Err(CommitError::Taken { number: 1, .. })), "{refused:?}");
    assert_eq!(add(&store, "b").number, 2);
    let store = reopen(&dir, store);
    assert_eq!(add(&store, "c").number, 3);
}

#[test]
fn promise_02_a_change_based_on_an_old_revision_is_refused_whole() {
    let (_dir, store) = open();
    let old = add(&store, "a");
    let new = store.commit(change(Item { kind: "talk".into(), ..old.clone() })).unwrap().items.remove(0);
    assert_eq!(new.rev, 2);
    let before = exported(&store);
    let stale = Change {
        items: vec![item("b"), Item { kind: "late".into(), ..old }],
        accounts: vec![AccountRecord { name: "mastodon".into(), ..AccountRecord::default() }],
        contacts: vec![("contact".into(), at(0))],
        fingerprints: vec![("a".into(), "f".into())],
        notes: vec![note("late", None)],
        ..Change::default()
    };
    let refused = store.commit(stale);
    assert!(matches!(refused, Err(CommitError::Conflict(Stale::Item(1)))), "{refused:?}");
    assert_eq!(exported(&store), before, "a refused change must leave no trace");
    let account = AccountRecord { name: "mastodon".into(), ..AccountRecord::default() };
    let twice = |account: &AccountRecord| Change { accounts: vec![account.clone()], ..Change::default() };
    assert_eq!(store.commit(twice(&account)).unwrap().accounts[0].rev, 1);
    assert!(matches!(store.commit(twice(&account)), Err(CommitError::Conflict(Stale::Account(_)))));
    let source = SourceRecord { name: "forum".into(), ..SourceRecord::default() };
    let twice = |source: &SourceRecord| Change { sources: vec![source.clone()], ..Change::default() };
    assert_eq!(store.commit(twice(&source)).unwrap().sources[0].rev, 1);
    assert!(matches!(store.commit(twice(&source)), Err(CommitError::Conflict(Stale::Source(_)))));
    assert!(matches!(store.commit(change(Item { number: 9, rev: 1, ..item("z") })), Err(CommitError::Conflict(_))));
}

#[test]
fn promise_02_no_claim_follows_a_veto() {
    let (_dir, store) = open();
    let base = add(&store, "a");
    let account = store.account("mastodon").unwrap();
    let veto = Item { phase: Phase::Vetoed { by: "web:alice".into(), at: at(2) }, ..base.clone() };
    store.commit(change(veto)).unwrap();
    let claim = store.claim(&base, sending(base.clone(), 3), &account, at(3), vec![]);
    assert!(matches!(claim, Err(ClaimError::Conflict(Stale::Item(1)))), "{claim:?}");
    let vetoed = store.item(1).unwrap().unwrap();
    let claim = store.claim(&vetoed, sending(vetoed.clone(), 3), &account, at(3), vec![]);
    assert!(matches!(claim, Err(ClaimError::Refused { .. })), "{claim:?}");
    assert!(store.counted("mastodon", at(0)).unwrap().is_empty());
}

#[test]
fn promise_03_a_claim_is_on_disk_and_two_never_share_a_slot() {
    let (dir, store) = open();
    let (a, b) = (add(&store, "a"), add(&store, "b"));
    let account = store.account("mastodon").unwrap();
    let claim = store.claim(&a, sending(a.clone(), 3), &account, at(3), vec![]).unwrap();
    assert_eq!((claim.item(), claim.account(), claim.key(), claim.is_repeat()), (1, "mastodon", "key-1", false));
    assert_eq!((claim.url(), claim.first_use()), ("https://example.org/a", at(3)));
    let other = store.claim(&b, sending(b.clone(), 3), &account, at(3), vec![]);
    assert!(matches!(other, Err(ClaimError::Conflict(Stale::Account(_)))), "{other:?}");
    let again = store.claim(&a, sending(a.clone(), 3), &store.account("mastodon").unwrap(), at(3), vec![]);
    assert!(matches!(again, Err(ClaimError::Conflict(Stale::Item(1)))), "{again:?}");
    // Killed at this moment, without a chance to flush.
    copy_files(&dir.path().join("store"), &dir.path().join("killed"));
    let killed = Store::open(&dir.path().join("killed")).unwrap();
    let left = killed.item(1).unwrap().unwrap();
    assert_eq!(left.deliveries["mastodon"].progress, Progress::Sending { since: at(3) });
    let repeat = killed.claim(&left, sending(left.clone(), 9), &killed.account("mastodon").unwrap(), at(9), vec![]);
    assert!(repeat.unwrap().is_repeat());
    assert!(killed.journal_of(1).unwrap().iter().any(|r| r.entry.what == "sending" && r.entry.rev == Some(2)));
}

#[test]
fn the_index_of_what_counts_follows_the_deliveries() {
    let (_dir, store) = open();
    let (a, b) = (add(&store, "a"), add(&store, "b"));
    let step = |item: &Item, progress: Progress| {
        let mut item = item.clone();
        item.deliveries.get_mut("mastodon").unwrap().progress = progress;
        store.commit(change(item)).unwrap().items.remove(0)
    };
    let counted = |since| store.counted("mastodon", at(since)).unwrap().iter().map(|c| c.item).collect::<Vec<_>>();
    let a = step(&a, Progress::Sending { since: at(20) });
    let b = step(&b, Progress::Unsure { since: at(10) });
    assert_eq!(counted(0), [2, 1]);
    assert_eq!(counted(10), [2, 1]);
    assert_eq!(counted(11), [1]);
    let a = step(&a, Progress::Sent { at: at(5), id: None, url: None });
    assert_eq!(counted(0), [1, 2]);
    assert_eq!(store.items_with_attention().unwrap(), std::slice::from_ref(&b));
    step(&b, Progress::Queued);
    step(&a, Progress::Retracted { at: at(30) });
    assert!(counted(0).is_empty());
    assert!(store.items_with_attention().unwrap().is_empty());
    assert_eq!(store.active().unwrap().len(), 1);
    assert!(store.counted("masto", at(0)).unwrap().is_empty());
    assert!(store.verify().is_ok());
}

#[test]
fn promise_06_keys_of_a_joined_item_lead_to_the_one_that_stays() {
    let (_dir, store) = open();
    let (mut a, mut b) = (add(&store, "a"), add(&store, "b"));
    a.origins.extend(b.origins.clone());
    let taken = store.commit(change(a.clone()));
    assert!(matches!(taken, Err(CommitError::Taken { number: 2, .. })), "{taken:?}");
    b.phase = Phase::Duplicate { of: 1 };
    let joined = store.commit(Change { items: vec![b, a], ..Change::default() }).unwrap().items;
    assert_eq!((store.by_key("b").unwrap(), store.by_key("url:https://example.org/b").unwrap()), (Some(1), Some(1)));
    // And back again.
    let [mut b, mut a]: [Item; 2] = joined.try_into().unwrap();
    a.origins.truncate(1);
    b.phase = Phase::Held;
    store.commit(Change { items: vec![a, b], ..Change::default() }).unwrap();
    assert_eq!((store.by_key("a").unwrap(), store.by_key("b").unwrap()), (Some(1), Some(2)));
    assert!(store.verify().is_ok());
}

#[test]
fn promise_06_a_new_item_with_a_known_alias_is_refused() {
    let (_dir, store) = open();
    let mut a = add(&store, "a");
    let mut other = item("other");
    other.origins[0].found.aliases = a.origins[0].found.aliases.clone();
    let refused = store.commit(Change { items: vec![other.clone()], ..Change::default() });
    assert!(matches!(refused, Err(CommitError::Taken { number: 1, .. })), "{refused:?}");
    // An alias that an old item gains does not stop it from being stored: the first that had it keeps it.
    let b = add(&store, "b");
    a.origins[0].found.aliases.extend(b.origins[0].found.aliases.clone());
    store.commit(change(a)).unwrap();
    assert_eq!(store.by_key("url:https://example.org/b").unwrap(), Some(2));
}

#[test]
fn contacts_fingerprints_values_and_names_are_kept() {
    let (dir, store) = open();
    let change = |at| Change {
        contacts: vec![("c".into(), at)],
        fingerprints: vec![("k".into(), "f".into())],
        ..Change::default()
    };
    store.commit(change(at(1))).unwrap();
    store.commit(change(at(2))).unwrap();
    store.set_alive(at(3)).unwrap();
    store.set_meta("policy", &json!({"digest": 1})).unwrap();
    let memory = json!("x".repeat(9000));
    let source = SourceRecord { name: "old".into(), memory: memory.clone(), ..SourceRecord::default() };
    let account = AccountRecord { name: "mastodon".into(), last_sent: Some(at(9)), ..AccountRecord::default() };
    store.commit(Change { sources: vec![source], accounts: vec![account], ..Change::default() }).unwrap();
    add(&store, "a");
    assert!(store.rename_source("old", "new").unwrap());
    assert!(!store.rename_source("old", "new").unwrap());
    assert!(store.rename_account("mastodon", "masto").unwrap());
    let store = reopen(&dir, store);
    assert_eq!(store.contacted("c").unwrap(), Some(at(1)), "the first contact stays");
    assert_eq!(store.contacts().unwrap(), [("c".into(), at(1))]);
    assert_eq!(store.fingerprint("k").unwrap().as_deref(), Some("f"));
    assert_eq!((store.alive().unwrap(), store.meta("policy").unwrap()), (Some(at(3)), Some(json!({"digest": 1}))));
    let names: Vec<_> = store.sources().unwrap().into_iter().map(|s| (s.name, s.rev, s.memory)).collect();
    assert_eq!(names, [("new".to_owned(), 2, memory)]);
    assert_eq!(store.account("masto").unwrap().last_sent, Some(at(9)));
    assert_eq!(store.accounts().unwrap().len(), 1);
    let item = store.item(1).unwrap().unwrap();
    assert!(item.posts.contains_key("masto") && item.deliveries.contains_key("masto"));
    assert!(matches!(store.set_meta("format", &json!(2)), Err(StoreError::Name(_))));
    let nul = AccountRecord { name: "a\0b".into(), ..AccountRecord::default() };
    assert!(store.commit(Change { accounts: vec![nul], ..Change::default() }).is_err());
}

#[test]
fn large_records_are_cut_and_no_file_escapes_the_sync() {
    let (dir, store) = open();
    let mut numbers = Vec::new();
    for n in 0..40 {
        let mut item = item(&format!("k{n}"));
        item.origins[0].found.text = "é".repeat(30_000);
        numbers.push(store.commit(change_new(item)).unwrap().items.remove(0));
    }
    let mut small = numbers[7].clone();
    small.origins[0].found.text = "short".into();
    store.commit(change(small)).unwrap();
    let store = reopen(&dir, store);
    assert_eq!(store.item(7).unwrap().as_ref(), Some(&numbers[6]));
    assert_eq!(store.item(8).unwrap().unwrap().origins[0].found.text, "short");
    assert_eq!(store.items(..).count(), 40);
    assert_eq!(fs::read_dir(dir.path().join("store/sled/blobs")).unwrap().count(), 0, "sled never syncs these");
    let mut huge = item("huge");
    huge.origins[0].found.text = "x".repeat(17 << 20);
    assert!(matches!(store.commit(change_new(huge)), Err(CommitError::Store(StoreError::TooLarge { .. }))));
    assert_eq!(add(&store, "next").number, 41);
}

fn change_new(item: Item) -> Change {
    Change { items: vec![item], ..Change::default() }
}

#[test]
fn a_second_process_is_told() {
    let (dir, store) = open();
    assert!(matches!(Store::open(&dir.path().join("store")), Err(OpenError::InUse)));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(store.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    reopen(&dir, store);
}

#[track_caller]
fn on_disk(dir: &Path, word: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return on_disk(&path, word);
        }
        fs::read(path).unwrap().windows(word.len()).any(|bytes| bytes == word.as_bytes())
    })
}

#[test]
fn durable_changes_of_many_threads_share_a_sync() {
    let (dir, store) = open();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = store.clone();
            scope.spawn(move || (0..10).for_each(|n| drop(add(&store, &format!("{thread}-{n}")))));
        }
    });
    let store = reopen(&dir, store);
    assert_eq!((store.last_number(), store.verify().unwrap().entries), (80, 80));
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8),
    Progress(u8, u8),
    Stale(u8),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..12u8).prop_map(Step::Add),
        6 => (0..12u8, 0..7u8).prop_map(|(item, progress)| Step::Progress(item, progress)),
        1 => (0..12u8).prop_map(Step::Stale),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Random changes leave what a plain list would hold, in the records and in every index.
    #[test]
    fn random_changes_match_a_plain_model(steps in steps()) {
        let (dir, mut store) = open();
        let mut model: Vec<Item> = Vec::new();
        let mut entries = 0;
        for (second, step) in (10..).zip(steps) {
            match step {
                Step::Add(key) => {
                    let key = format!("k{key}");
                    let known = model.iter().any(|item| item.found().key == key);
                    match store.commit(Change { notes: vec![note("seen", Some(Which::New(0)))], ..change_new(item(&key)) }) {
                        Ok(mut committed) => {
                            prop_assert!(!known);
                            model.push(committed.items.remove(0));
                            entries += 1;
                        }
                        Err(CommitError::Taken { number, .. }) => {
                            prop_assert_eq!(&model[number as usize - 1].found().key, &key);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                Step::Progress(at_item, progress) => {
                    let Some(old) = model.get_mut(at_item as usize) else { continue };
                    let mut new = old.clone();
                    new.deliveries.get_mut("mastodon").unwrap().progress = match progress {
                        0 => Progress::Queued,
                        1 => Progress::Sending { since: at(second) },
                        2 => Progress::Sent { at: at(second), id: None, url: None },
                        3 => Progress::Unsure { since: at(second) },
                        4 => Progress::Failed { at: at(second) },
                        5 => Progress::Cancelled,
                        _ => Progress::Waiting { since: at(second) },
                    };
                    *old = store.commit(change(new)).unwrap().items.remove(0);
                    entries += 1;
                }
                Step::Stale(at_item) => {
                    let Some(old) = model.get(at_item as usize) else { continue };
                    let stale = Item { rev: old.rev + 1, ..old.clone() };
                    prop_assert!(matches!(store.commit(change(stale)), Err(CommitError::Conflict(_))));
                }
                Step::Reopen => store = reopen(&dir, store),
            }
        }
        let all: Vec<_> = store.items(..).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&all, &model);
        let active: Vec<_> = model.iter().filter(|item| item.is_active()).cloned().collect();
        prop_assert_eq!(store.active().unwrap(), active);
        let attention: Vec<_> = model.iter().filter(|item| item.attention()).cloned().collect();
        prop_assert_eq!(store.items_with_attention().unwrap(), attention);
        let mut counted: Vec<_> = model.iter().flat_map(Counted::of).map(|(_, counted)| counted).collect();
        counted.sort_by_key(|counted| (counted.at, counted.item));
        prop_assert_eq!(store.counted("mastodon", at(0)).unwrap(), counted);
        for item in &model {
            prop_assert_eq!(store.by_key(&item.found().key).unwrap(), Some(item.number));
        }
        prop_assert_eq!(store.verify().unwrap().entries, entries);
    }
}
