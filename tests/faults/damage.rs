//! A store that is not what was written: cut off anywhere, or with one byte changed. It is noticed, or everything is there;
//! nothing is announced again, and no veto is forgotten.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::{Plan, World, copy_dir, polled};
use crate::{Row, Stage};

const LONGEST: Duration = Duration::from_secs(240);

/// Every file of a store but its lock and socket.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.file_name() != "lock" && entry.metadata().unwrap().len() > 0 {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Up to the last byte that is not zero: sled's file is longer than what is in it.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
}

pub fn damage(stage: &Stage) -> Row {
    let mut world = World::new(stage, Plan::default());
    let mut rng = StdRng::seed_from_u64(stage.seed ^ 0xda3a6e);
    world.meet();
    let service = world.serve();
    let known = |world: &World| world.oyez(&["queue", "--all", "--json"]).ok().stdout.lines().count();
    let heard = |world: &World| assert!(polled(LONGEST, || known(world) >= world.topics.len()));
    world.announce((stage.items / 4).min(8));
    heard(&world);
    for index in 0..world.topics.len() {
        world.veto(index);
    }
    world.announce(stage.items.min(150) - world.topics.len());
    heard(&world);
    assert!(polled(LONGEST, || world.all_out() && world.queue().is_empty()), "{}", world.log());
    // Half of the trials find a store that was closed, half one whose process was killed.
    service.terminate();
    let closed = world.dir().join("closed");
    copy_dir(&world.state(), &closed);
    let service = world.serve();
    service.kill();
    let killed = world.dir().join("killed");
    copy_dir(&world.state(), &killed);
    let whole = world.oyez(&["export"]).ok().stdout;
    let said = world.mastodon.created().len();

    let trials = if stage.long { 400 } else { 20 };
    let (mut refused, mut found, mut harmless) = (0, 0, 0);
    for trial in 0..trials {
        let from = if trial % 2 == 0 { &closed } else { &killed };
        fs::remove_dir_all(world.state()).unwrap();
        copy_dir(from, &world.state());
        let files = files(&world.state());
        let db = world.state().join("sled/db");
        let path = if trial % 4 < 2 { db } else { files[rng.random_range(0..files.len())].clone() };
        let mut bytes = fs::read(&path).unwrap();
        let used = used(&bytes).max(1);
        let truncated = trial % 3 == 0;
        let at = rng.random_range(0..used);
        let what = if truncated { "cut" } else { "flipped" };
        if truncated {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        fs::write(&path, &bytes).unwrap();
        let what = format!("`{}` {what} at {at} of {used} used", path.strip_prefix(world.state()).unwrap().display());

        let run = world.oyez(&["run", "--once", "--all"]);
        assert!(run.code.is_some(), "{what}: it died: {}", run.stderr);
        assert_eq!(world.mastodon.created().len(), said, "{what}: something was said again\n{}", run.stderr);
        if run.code == Some(0) {
            let verified = world.oyez(&["log", "--verify", "--json"]);
            let exported = world.oyez(&["export"]);
            if verified.code == Some(0) && exported.code == Some(0) {
                same(&whole, &exported.stdout, &what);
                harmless += 1;
            } else {
                found += 1;
            }
        } else {
            assert_eq!(run.code, Some(1), "{what}: {}", run.stderr);
            let plain = run.stderr.contains("damaged") || run.stderr.contains("format");
            let way_out = run.stderr.contains("backup") || run.stderr.contains("newer");
            assert!(plain && way_out, "{what}: that says neither what it is nor what to do:\n{}", run.stderr);
            refused += 1;
        }
    }
    assert!(refused > 0);
    // The way out that it names: a backup, here the store as it was.
    fs::remove_dir_all(world.state()).unwrap();
    copy_dir(&killed, &world.state());
    world.announce(1);
    Row::of(
        world.finish(LONGEST),
        &[
            ("stores damaged", trials),
            ("refused at the start", refused),
            ("found by `log --verify` or `export`", found),
            ("harmless", harmless),
        ],
    )
}

/// Every item and every journal entry of `whole` is in `now`, word for word.
#[track_caller]
fn same(whole: &str, now: &str, what: &str) {
    let kept = |line: &&str| line.contains("\"item\"") || line.contains("\"entry\"");
    let now: std::collections::HashSet<&str> = now.lines().collect();
    for line in whole.lines().filter(kept) {
        assert!(now.contains(line), "{what}: unnoticed, this is not there any more: {line}");
    }
}
