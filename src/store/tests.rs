use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::item::{Author, Delivery, Found, Origin, Phase, Post, Progress};

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

#[test]
fn a_kill_loses_no_durable_change() {
    let (dir, store) = open();
    for n in 0..30 {
        let item = add(&store, &format!("k{n}"));
        store.commit(change_new(super::tests::item(&format!("lost{n}")))).unwrap();
        if n % 5 != 0 {
            continue;
        }
        let to = dir.path().join(format!("killed{n}"));
        copy_files(&dir.path().join("store"), &to);
        let killed = Store::open(&to).unwrap();
        assert_eq!(killed.item(item.number).unwrap(), Some(item));
        assert_eq!(killed.verify().unwrap().entries, n + 1);
    }
}

/// The process that the next test kills: stores items for ever and says so after each.
#[test]
#[ignore = "run by the next test, in a process of its own"]
fn stores_until_killed() {
    use std::io::Write;
    let Some(dir) = std::env::var_os("OYEZ_KILLED_STORE") else { return };
    let store = Store::open(Path::new(&dir)).unwrap();
    loop {
        let number = store.last_number() + 1;
        let item = add(&store, &format!("k{number}"));
        store.claim(&item, sending(item.clone(), 3), &store.account("mastodon").unwrap(), at(3), vec![]).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "stored {number}").and_then(|()| out.flush()).unwrap();
    }
}

#[test]
fn promise_03_kill_9_loses_no_claim() {
    use std::io::BufRead;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for round in 1..=6 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "store::tests::stores_until_killed"])
            .env("OYEZ_KILLED_STORE", &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.filter_map(|line| line.unwrap().rsplit_once("stored ")?.1.parse::<Number>().ok());
        let last = said.take(round * 7).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(&path).unwrap();
        assert!(store.last_number() >= last);
        for number in 1..=last {
            let item = store.item(number).unwrap().unwrap();
            assert_eq!(item.deliveries["mastodon"].progress.name(), "sending", "item {number}");
        }
        store.verify().unwrap();
    }
}

#[track_caller]
fn check_damage(what: &str, damage: impl FnOnce(&Path)) {
    let (dir, store) = open();
    for n in 0..20 {
        add(&store, &format!("k{n}"));
    }
    drop(store);
    let path = dir.path().join("store");
    damage(&path);
    match Store::open(&path) {
        Err(OpenError::Damaged(_)) => {}
        Err(error) => panic!("{what}: {error:?}"),
        Ok(_) => panic!("{what} was not noticed"),
    }
}

fn flip(path: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn snapshot(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir.join("sled")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).max().unwrap()
}

#[test]
fn promise_04_damage_is_noticed_and_never_a_silent_reset() {
    check_damage("a lost database", |dir| fs::remove_dir_all(dir.join("sled")).unwrap());
    check_damage("a lost database file", |dir| fs::remove_file(dir.join("sled/db")).unwrap());
    check_damage("an emptied database file", |dir| drop(fs::File::create(dir.join("sled/db")).unwrap()));
    check_damage("a cut database file", |dir| {
        fs::File::options().write(true).open(dir.join("sled/db")).unwrap().set_len(30_000).unwrap();
    });
    check_damage("a lost head", |dir| fs::remove_file(dir.join("head")).unwrap());
    check_damage("an empty head", |dir| drop(fs::File::create(dir.join("head")).unwrap()));
    check_damage("a flipped snapshot", |dir| flip(&snapshot(dir), |length| length / 2));
    check_damage("a flipped configuration", |dir| flip(&dir.join("sled/conf"), |_| 3));
}

/// Whatever byte of the database is flipped: an error, or all is there.
#[test]
fn promise_04_a_flipped_byte_is_an_error_or_harmless() {
    let (dir, store) = open();
    for n in 0..12 {
        add(&store, &format!("k{n}"));
    }
    let whole = exported(&store);
    drop(store);
    let used = fs::read(dir.path().join("store/sled/db")).unwrap();
    let used = used.iter().rposition(|byte| *byte != 0).unwrap();
    let mut noticed = 0;
    for round in 0..24 {
        let path = dir.path().join(format!("flipped{round}"));
        copy_files(&dir.path().join("store"), &path);
        flip(&path.join("sled/db"), |_| used * round / 24);
        match Store::open(&path) {
            Err(OpenError::Damaged(_)) => noticed += 1,
            Err(error) => panic!("byte {round}/24: {error:?}"),
            Ok(store) => match store.verify() {
                Err(_) => noticed += 1,
                Ok(_) => assert_eq!(exported(&store), whole, "byte {round}/24 changed what is stored, unnoticed"),
            },
        }
    }
    assert!(noticed > 0);
}

#[test]
fn a_head_of_the_future_is_newer() {
    let (dir, store) = open();
    let head = store.head();
    drop(store);
    head::HeadFile::create(&dir.path().join("store/head"), 2, &head).unwrap();
    let newer = Store::open(&dir.path().join("store"));
    assert!(matches!(newer, Err(OpenError::Newer { found: 2, known: 1 })), "{newer:?}");
}

#[test]
fn a_half_made_store_or_snapshot_is_no_damage() {
    let (dir, store) = open();
    add(&store, "a");
    drop(store);
    let path = dir.path().join("store");
    fs::write(path.join("sled/snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    fs::create_dir(path.join("sled.new")).unwrap();
    assert_eq!(Store::open(&path).unwrap().last_number(), 1);
    // Cut off while the database was being replaced: the old one is taken back.
    fs::rename(path.join("sled"), path.join("sled.old")).unwrap();
    assert_eq!(Store::open(&path).unwrap().last_number(), 1);
    let half = dir.path().join("half");
    fs::create_dir_all(half.join("sled.new/blobs")).unwrap();
    fs::write(half.join("sled.new/conf"), b"segm").unwrap();
    assert_eq!(Store::open(&half).unwrap().last_number(), 0);
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
fn promise_09_forgotten_words_are_gone_and_the_journal_verifies() {
    let (dir, store) = open();
    let held = add(&store, "a");
    assert!(matches!(store.forget(1, "web:alice", None, at(5)), Err(ForgetError::OnItsWay { .. })));
    assert!(matches!(store.forget(7, "web:alice", None, at(5)), Err(ForgetError::Unknown(7))));
    let mut vetoed = Item { phase: Phase::Vetoed { by: "forum:eve".into(), at: at(2) }, ..held };
    vetoed.deliveries.get_mut("mastodon").unwrap().progress =
        Progress::Sent { at: at(2), id: Some("7".into()), url: None };
    vetoed.alarms.push("Mitwisserin changed".into());
    store.commit(change(vetoed)).unwrap();
    let forgotten = store.forget(1, "web:alice", Some("the author asked"), at(5)).unwrap();
    assert!(forgotten.forgotten);
    assert!(!store.forget(1, "web:alice", Some("and again"), at(6)).unwrap().deliveries.is_empty());
    assert!(on_disk(store.dir(), "Mitwisserin"), "sled keeps old pages: else this test shows nothing");
    assert!(store.compact().unwrap());
    assert!(!store.compact().unwrap());
    for word in ["Mitwisserin", "Eve Example", "forum:eve", "url:https"] {
        assert!(!on_disk(store.dir(), word), "`{word}` is still on disk");
    }
    let journal = store.journal_of(1).unwrap();
    assert_eq!(
        journal.iter().map(|r| r.actor()).collect::<Vec<_>>(),
        ["forgotten", "forgotten", "web:alice", "web:alice"]
    );
    assert_eq!(store.by_key("a").unwrap(), Some(1), "it must never be announced anew");
    assert_eq!(store.by_key("url:https://example.org/a").unwrap(), Some(1));
    assert_eq!(store.counted("mastodon", at(0)).unwrap()[0].author, None);
    assert_eq!(store.verify().unwrap().entries, 4);
    add(&store, "b");
    let store = reopen(&dir, store);
    assert_eq!((store.last_number(), store.verify().unwrap().entries), (2, 5));
}

#[test]
fn promise_09_opening_completes_what_forgetting_left() {
    let (dir, store) = open();
    let item = add(&store, "a");
    store.commit(change(Item { phase: Phase::Ignored, ..item })).unwrap();
    store.forget(1, "cli:root", None, at(5)).unwrap();
    let store = reopen(&dir, store);
    assert!(!on_disk(store.dir(), "Mitwisserin"));
    assert!(store.verify().is_ok());
}

#[test]
fn promise_09_an_entry_altered_in_the_database_is_noticed() {
    let (dir, store) = open();
    for n in 0..3 {
        add(&store, &format!("k{n}"));
    }
    {
        let disk = store.read();
        let key = disk::numbered(kind::WORDS, 2);
        let mut words: Value = disk::read(&disk.db, &key).unwrap().unwrap();
        words["actor"]["word"] = json!("web:mallory");
        let mut batch = sled::Batch::default();
        disk::put(&disk.db, &mut batch, &key, &words).unwrap();
        disk.db.apply_batch(batch).unwrap();
    }
    assert_eq!(store.verify().unwrap_err().seq, 2);
    drop(store);
    assert!(matches!(Store::open(&dir.path().join("store")), Err(OpenError::Damaged(_))));
}

/// A store with something of everything in it.
fn varied() -> (TempDir, Store) {
    let (dir, store) = open();
    for n in 0..5 {
        add(&store, &format!("k{n}"));
    }
    let item = store.item(1).unwrap().unwrap();
    store.claim(&item, sending(item.clone(), 4), &store.account("mastodon").unwrap(), at(4), vec![]).unwrap();
    let item = store.item(2).unwrap().unwrap();
    store.commit(change(Item { phase: Phase::Duplicate { of: 1 }, ..item })).unwrap();
    let item = store.item(3).unwrap().unwrap();
    store.commit(change(Item { phase: Phase::Ignored, ..item })).unwrap();
    store.forget(3, "web:alice", Some("asked to"), at(6)).unwrap();
    store
        .commit(Change {
            sources: vec![SourceRecord {
                name: "forum".into(),
                memory: json!({"etag": "W/\"1\""}),
                ..Default::default()
            }],
            contacts: vec![("discourse:example.org/c/8".into(), at(0))],
            fingerprints: vec![("k1".into(), "abc".into())],
            ..Change::default()
        })
        .unwrap();
    store.set_alive(at(7)).unwrap();
    (dir, store)
}

#[test]
fn an_export_imports_exactly() {
    let (dir, store) = varied();
    let export = exported(&store);
    let target = dir.path().join("imported");
    let imported = Store::import(&target, export.as_slice()).unwrap();
    assert_eq!(exported(&imported), export);
    assert_eq!(imported.head(), store.head());
    assert_eq!(imported.active().unwrap(), store.active().unwrap());
    assert_eq!(imported.items_with_attention().unwrap(), store.items_with_attention().unwrap());
    assert_eq!(imported.counted("mastodon", at(0)).unwrap(), store.counted("mastodon", at(0)).unwrap());
    assert_eq!(imported.journal_of(3).unwrap(), store.journal_of(3).unwrap());
    assert_eq!(add(&imported, "next").number, 6);
    drop(imported);
    assert!(matches!(Store::import(&target, export.as_slice()), Err(ImportError::NotEmpty(_))));
    assert_eq!(Store::open(&target).unwrap().last_number(), 6);
}

#[track_caller]
fn check_refused_import(dir: &TempDir, export: &[u8]) {
    let target = dir.path().join("refused");
    assert!(Store::import(&target, export).is_err());
    assert!(!target.exists(), "nothing is left of a refused import");
}

#[test]
fn a_cut_or_altered_export_is_refused() {
    let (dir, store) = varied();
    let export = exported(&store);
    let text = String::from_utf8(export.clone()).unwrap();
    check_refused_import(&dir, &export[..export.len() - 1]);
    check_refused_import(&dir, &export[..export.len() / 2]);
    check_refused_import(&dir, b"");
    let lines: Vec<_> = text.lines().collect();
    check_refused_import(&dir, format!("{}\n", lines[..lines.len() - 1].join("\n")).as_bytes());
    check_refused_import(&dir, format!("{}\n", lines[1..].join("\n")).as_bytes());
    check_refused_import(&dir, text.replacen("announcement", "announcemenT", 1).as_bytes());
    check_refused_import(&dir, text.replacen("\"format\":1", "\"format\":2", 1).as_bytes());
    check_refused_import(&dir, format!("{text}{{}}\n").as_bytes());
}

#[test]
fn a_backup_opens_and_has_everything() {
    let (dir, store) = varied();
    let target = dir.path().join("backup");
    store.backup(&target).unwrap();
    assert!(matches!(store.backup(&target), Err(ExportError::Exists(_))));
    add(&store, "later");
    let backup = Store::open(&target).unwrap();
    assert_eq!(backup.last_number(), 5);
    assert!(backup.verify().is_ok());
    assert!(!on_disk(&target, "Mitwisserin k2"), "forgotten words are in no backup made later");
}

/// The saved store of format 1 was made by `OYEZ_SAVE_FIXTURE=1 cargo test --lib saves_a_store` of version 0.1.0.
const SAVED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/store/v1");

#[test]
fn saves_a_store() {
    if std::env::var_os("OYEZ_SAVE_FIXTURE").is_none() {
        return;
    }
    let (dir, store) = varied();
    fs::create_dir_all(SAVED).unwrap();
    fs::write(Path::new(SAVED).join("export.jsonl"), exported(&store)).unwrap();
    drop(store);
    let saved = Path::new(SAVED).join("directory");
    copy_files(&dir.path().join("store"), &saved);
    // sled fills the rest of a segment with one byte. Without that the file is small, and opens just as well.
    let bytes = fs::read(saved.join("sled/db")).unwrap();
    let used = bytes.iter().rposition(|byte| Some(byte) != bytes.last()).unwrap() + 1;
    fs::write(saved.join("sled/db"), &bytes[..used]).unwrap();
    fs::remove_dir(saved.join("sled/blobs")).unwrap();
}

#[test]
fn a_store_of_format_1_can_still_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    copy_files(&Path::new(SAVED).join("directory"), &path);
    let store = Store::open(&path).unwrap();
    assert_eq!(exported(&store), fs::read(Path::new(SAVED).join("export.jsonl")).unwrap());
    assert_eq!(add(&store, "next").number, 6);
    assert!(store.verify().is_ok());
}

#[test]
fn indexes_that_do_not_fit_are_made_anew() {
    let (dir, store) = varied();
    let (active, counted) = (store.active().unwrap(), store.counted("mastodon", at(0)).unwrap());
    assert!(!active.is_empty() && !counted.is_empty());
    {
        let disk = store.read();
        for index in [kind::ACTIVE, kind::COUNTED] {
            for (row, _) in disk::rows(&disk.db, &[index], &[], 9).unwrap() {
                disk.db.remove(row).unwrap();
            }
        }
        disk.db.insert(disk::numbered(kind::ATTENTION, 2), &[]).unwrap();
    }
    assert!(store.verify().is_err());
    let store = reopen(&dir, store);
    assert_eq!((store.active().unwrap(), store.counted("mastodon", at(0)).unwrap()), (active, counted));
    assert!(store.items_with_attention().unwrap().is_empty());
    assert!(store.verify().is_ok());
}

/// A split may come in two changes; in between both items name the key, and that is no damage.
#[test]
fn a_key_that_two_items_name_is_no_damage() {
    let (dir, store) = open();
    let (mut a, mut b) = (add(&store, "a"), add(&store, "b"));
    b.phase = Phase::Duplicate { of: 1 };
    b = store.commit(change(b)).unwrap().items.remove(0);
    a.origins.extend(b.origins.clone());
    a = store.commit(change(a)).unwrap().items.remove(0);
    b.phase = Phase::Held;
    b = store.commit(change(b)).unwrap().items.remove(0);
    let store = reopen(&dir, store);
    a.origins.truncate(1);
    store.commit(change(a)).unwrap();
    store.commit(change(b)).unwrap();
    assert_eq!((store.by_key("a").unwrap(), store.by_key("b").unwrap()), (Some(1), Some(2)));
}

#[test]
fn an_export_of_format_1_can_still_be_imported() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::import(&dir.path().join("store"), fs::File::open(Path::new(SAVED).join("export.jsonl")).unwrap())
            .unwrap();
    assert_eq!((store.last_number(), store.by_key("k4").unwrap()), (5, Some(5)));
    assert_eq!(store.verify().unwrap().entries, store.head().seq);
    assert!(store.item(3).unwrap().unwrap().forgotten);
    assert_eq!(store.counted("mastodon", at(0)).unwrap().len(), 1);
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

/// `cargo test --release --lib -- --ignored --nocapture how_fast`
#[test]
#[ignore = "a measurement, not a test"]
#[expect(clippy::print_stdout, reason = "it is there to print")]
fn how_fast_durable_changes_are() {
    let (dir, store) = open();
    let start = std::time::Instant::now();
    for n in 0..1000 {
        let item = add(&store, &format!("k{n}"));
        store.commit(change(item)).unwrap();
    }
    println!("1,000 items with two durable changes each, one after the other: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let store = reopen(&dir, store);
    println!("opened again: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let store = store.clone();
            scope.spawn(move || {
                for n in 0..64 {
                    let item = add(&store, &format!("{thread}-{n}"));
                    store.commit(change(item)).unwrap();
                }
            });
        }
    });
    println!("1,024 items with two durable changes each, from 16 threads: {:?}", start.elapsed());
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
