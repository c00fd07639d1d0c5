//! Kills, lost files and flipped bytes.
use super::*;

#[test]
fn a_kill_loses_no_durable_change() {
    let (dir, store) = open();
    for n in 0..30 {
        let item = add(&store, &format!("k{n}"));
        store.commit(change_new(super::item(&format!("lost{n}")))).unwrap();
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
    let mut claimed = Vec::new();
    for round in 1..=6 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "store::tests::damage::stores_until_killed"])
            .env("OYEZ_KILLED_STORE", &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.filter_map(|line| line.unwrap().rsplit_once("stored ")?.1.parse::<Number>().ok());
        claimed.extend(said.take(round * 7));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(&path).unwrap();
        for number in &claimed {
            let item = store.item(*number).unwrap().unwrap();
            assert_eq!(item.deliveries["mastodon"].progress.name(), "sending", "item {number}");
        }
        store.verify().unwrap();
    }
    assert_eq!(claimed.len(), 7 * (1 + 2 + 3 + 4 + 5 + 6));
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
    let found = contents(&path.join("sled"));
    match Store::open(&path) {
        // What a person could still save is as it was, under one name or the other, also after a second try.
        Err(OpenError::Damaged(_)) => {
            let _ = Store::open(&path);
            let kept = |name: &str| contents(&path.join(name)) == found;
            assert!(kept("sled") || kept("sled.before"), "{what}: the files were changed");
        }
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

#[test]
fn what_was_closed_is_opened_without_a_copy_and_what_was_not_is_copied() {
    let (dir, store) = open();
    add(&store, "a");
    drop(store);
    let path = dir.path().join("store");
    open::keep(&path);
    assert!(!path.join("sled.before").exists(), "it was closed");
    fs::remove_file(path.join("closed")).unwrap();
    let store = Store::open(&path).unwrap();
    assert!(!path.join("sled.before").exists(), "it goes when all is well");
    add(&store, "b");
    drop(store);
    flip(&path.join("sled/db"), |length| length - 1);
    open::keep(&path);
    assert_eq!(contents(&path.join("sled.before")), contents(&path.join("sled")), "somebody else wrote it");
}

#[test]
fn a_copy_that_was_left_by_an_attempt_that_was_cut_off_goes_with_the_next_good_one() {
    let (dir, store) = open();
    add(&store, "a");
    drop(store);
    let path = dir.path().join("store");
    fs::remove_file(path.join("closed")).unwrap();
    open::keep(&path);
    assert!(path.join("sled.before").exists());
    let store = Store::open(&path).unwrap();
    assert!(!path.join("sled.before").exists(), "else forgotten words stay in it, and nothing is copied any more");
    drop(store);
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
    let path = dir.path().join("store");
    head::HeadFile::create(&path.join("head"), 2, &head).unwrap();
    let before = contents(&path);
    let newer = Store::open(&path);
    assert!(matches!(newer, Err(OpenError::Newer { found: 2, known: 1 })), "{newer:?}");
    let hint = newer.unwrap_err().hint().unwrap();
    assert!(hint.contains("oyez export") && hint.contains("oyez import"), "{hint}");
    assert!(contents(&path) == before, "the newer version finds its store as it left it");
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

/// sled gives back an older version of a page whose newer one it cannot read. Items and the index of the entries about
/// them may go back together, while the journal stays whole.
#[test]
fn promise_03_an_item_that_went_back_together_with_its_index_is_noticed() {
    let (dir, store) = open();
    let (before, other) = (add(&store, "a"), add(&store, "b"));
    let account = store.account("mastodon").unwrap();
    store.claim(&before, sending(before.clone(), 3), &account, at(3), vec![]).unwrap();
    store.commit(change(other)).unwrap();
    {
        let disk = store.read();
        let mut batch = sled::Batch::default();
        disk::put(&disk.db, &mut batch, &disk::numbered(kind::ITEM, 1), &before).unwrap();
        for seq in 2..=disk.head.seq {
            batch.remove(disk::about(1, seq));
        }
        disk.db.apply_batch(batch).unwrap();
    }
    let broken = store.verify().unwrap_err();
    assert!(broken.to_string().contains("item 1"), "{broken}");
    drop(store);
    let opened = Store::open(&dir.path().join("store"));
    assert!(matches!(&opened, Err(OpenError::Damaged(_))), "{opened:?}");
}
