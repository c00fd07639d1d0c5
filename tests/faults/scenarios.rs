//! What is done to the program, one function each. They differ in the fault; the question at the end is [`World::finish`]'s.
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use oyez::clock::Clock;
use oyez::pretend::mastodon::{Flavour, Hold, On};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::power::{Machine, Record, read_trace};
use crate::program::printed;
use crate::shim::{Disk, How};
use crate::wire::{Cut, Limit};
use crate::world::{Fate, Plan, Service, WINDOW, World, copy_dir, polled};
use crate::{Job, Row, Run, Stage, damage};

/// Announced at a time: a poll reads at most ten pages of thirty.
const WAVE: usize = 150;
/// Topics that wait to be heard or said, between kills.
const BACKLOG: usize = 40;
/// By our clock, for everything to come out in the end.
const LONGEST: Duration = Duration::from_secs(240);

const PLAIN: &str = "window 20 s, settle 0, quiet hours, spacing and at-most off; clock x20";

fn job(name: &'static str, settings: &'static str, run: impl Fn(&Stage) -> Row + Send + Sync + 'static) -> Job {
    let run: Run = Box::new(run);
    Job { name, settings, run }
}

/// Every scenario, the longest first.
pub fn all(stage: &Stage) -> Vec<Job> {
    let mut jobs = Vec::new();
    let shards = if stage.long { 8 } else { 2 };
    jobs.push(job("SIGTERM during everything", "window 1 s, clock x1 until the end, then x20", sigterm));
    for shard in 0..shards {
        let kills = move |stage: &Stage, share: usize| stage.kills * share / 100 / shards;
        jobs.push(job("kill -9 at every change of a file", PLAIN, move |s| {
            kill(s, Flavour::Mastodon, 1000 + shard as u64, kills(s, 50), s.items / shards, true)
        }));
        jobs.push(job("kill -9 at random", PLAIN, move |s| {
            kill(s, Flavour::Mastodon, 2000 + shard as u64, kills(s, 20), s.items / shards, false)
        }));
    }
    let shards = if stage.long { 4 } else { 1 };
    for (name, flavour, salt) in [
        ("kill -9, server answers 500 to a repeated key", Flavour::Mastodon500OnRepeat, 3000),
        ("kill -9, server ignores keys (GoToSocial)", Flavour::GoToSocial, 4000),
    ] {
        for shard in 0..shards {
            jobs.push(job(name, PLAIN, move |s| {
                kill(s, flavour, salt + shard as u64, s.kills * 15 / 100 / shards, s.items / shards, true)
            }));
        }
    }
    jobs.push(job("kill -9 while a store is made, forgets, is restored", PLAIN, kill_store));
    jobs.push(job("power loss", PLAIN, power_loss));
    for (name, flavour) in [
        ("answers lost, lines cut: Mastodon", Flavour::Mastodon),
        ("answers lost, lines cut: 500 on repeat", Flavour::Mastodon500OnRepeat),
        // In two worlds: beyond a thousand posts since the attempt the account is not read any more, a person is asked.
        ("answers lost, lines cut: GoToSocial", Flavour::GoToSocial),
        ("answers lost, lines cut: GoToSocial", Flavour::GoToSocial),
    ] {
        jobs.push(job(name, PLAIN, move |s| cuts(s, flavour)));
    }
    jobs.push(job("disk full (every write refused)", PLAIN, |s| disk(s, Disk::Full)));
    jobs.push(job("disk broken (every sync refused)", PLAIN, |s| disk(s, Disk::Broken)));
    jobs.push(job("disk full (a small file system)", PLAIN, small_disk));
    jobs.push(job("store truncated, byte flipped", PLAIN, damage::damage));
    jobs.push(job("429 and 503", "as above, clock x4", limits));
    jobs.push(job("token revoked, then renewed", PLAIN, token));
    for hours in [24, -24] {
        jobs.push(job("clock jumps a day and back, running", PLAIN, move |s| clock(s, hours, false)));
        jobs.push(job("clock a day wrong at the start, then right", "as above, window 5 min, clock x60", move |s| {
            clock(s, hours, true)
        }));
    }
    for start in ["2026-10-25T00:00:00Z", "2027-03-28T00:30:00Z"] {
        jobs.push(job(
            "changes of summer time",
            "window 10 min, quiet 02:15-02:45 Europe/Berlin, clock x600",
            move |s| summer_time(s, start),
        ));
    }
    jobs.push(job("titles edited", "window 10 min, clock x50", edits));
    jobs.push(job("two processes on one store", PLAIN, two_processes));
    jobs.push(job("rerun", PLAIN, rerun));
    jobs
}

fn world(stage: &Stage, plan: Plan) -> World {
    World::new(stage, plan)
}

/// Announces, in waves that the running service can hear.
fn announce(world: &mut World, n: usize) {
    for wave in (0..n).step_by(WAVE) {
        world.announce(WAVE.min(n - wave));
        heard(world);
    }
}

fn heard(world: &World) {
    let all = || {
        let known = world.oyez(&["queue", "--all", "--json"]).ok().stdout.lines().count();
        known >= world.topics.len()
    };
    assert!(polled(Duration::from_secs(120), all), "not heard: {}", world.log());
}

/// Everything again and again.
fn rerun(stage: &Stage) -> Row {
    let mut world = world(stage, Plan::default());
    world.meet();
    let mut rounds = 0;
    let mut round = |world: &World| {
        world.oyez(&["run", "--once", "--all"]).ok();
        rounds += 1;
    };
    for wave in (0..stage.items).step_by(WAVE) {
        world.announce(WAVE.min(stage.items - wave));
        round(&world);
    }
    world.veto(0);
    assert!(polled(LONGEST, || {
        round(&world);
        world.all_out()
    }));
    for _ in 0..5 {
        round(&world);
    }
    Row::of(world.look(), &[("rounds of `run --once`", rounds)])
}

fn edits(stage: &Stage) -> Row {
    let window = SignedDuration::from_mins(10);
    let mut world = world(stage, Plan { window, speed: 50, ..Plan::default() });
    world.meet();
    let service = world.serve();
    // In small waves, so that each is edited long before its window is over.
    let (mut held, mut after) = (Vec::new(), Vec::new());
    for wave in (0..stage.items).step_by(40) {
        let first = world.topics.len();
        announce(&mut world, 40.min(stage.items - wave));
        for id in world.topics[first..].iter().map(|topic| topic.id) {
            if id % 2 == 0 {
                world.forum.edit(id, |topic| topic.title.push_str(", corrected"));
                held.push(id);
            } else {
                after.push(id);
            }
        }
    }
    assert!(polled(LONGEST, || world.all_out()), "{}", world.log());
    for id in &after {
        world.forum.edit(*id, |topic| topic.title.push_str(", corrected late"));
    }
    // A few polls.
    std::thread::sleep(Duration::from_secs(1));
    service.terminate();
    let outcome = world.finish(LONGEST);
    let said = world.said();
    let corrected = |id: &u64| said[id].2.contains(", corrected");
    let of = |ids: &[u64]| ids.iter().filter(|id| corrected(id)).count();
    // What had not settled or left when it was edited says what its author says now.
    assert_eq!(of(&held), held.len(), "posts with an outdated title");
    Row::of(outcome, &[("edits during the hold", held.len()), ("edits after publication", after.len())])
}

fn cuts(stage: &Stage, flavour: Flavour) -> Row {
    let mut stage = stage.clone();
    if flavour == Flavour::GoToSocial {
        stage.items = stage.items.div_ceil(2).max(12);
    }
    let mut world = world(&stage, Plan { flavour, ..Plan::default() });
    world.meet();
    let half = (stage.items / 2).max(1);
    // The 500th of 1,000.
    let plan = [
        (half, Cut::AfterBody),
        (half / 4 + 1, Cut::Before),
        (half / 3 + 2, Cut::InBody),
        (half / 2 + 3, Cut::InAnswer),
        (half + 3, Cut::AfterBody),
    ];
    for (n, cut) in plan {
        world.line.cut(n, cut);
    }
    let service = world.serve();
    announce(&mut world, stage.items);
    world.veto(stage.items - 1);
    polled(LONGEST, || world.line.cuts_left() == 0);
    assert_eq!(world.line.cuts_left(), 0, "{}", world.log());
    service.terminate();
    let outcome = world.finish(LONGEST);
    assert!(outcome.unsure >= 3, "the cuts were not noticed: {outcome:?}");
    let posts = world.line.posts();
    Row::of(outcome, &[("lines cut at a post", plan.len()), ("posts requested", posts)])
}

fn limits(stage: &Stage) -> Row {
    let mut world = world(stage, Plan { speed: 4, ..Plan::default() });
    world.meet();
    let step = (stage.items / 5).max(1);
    for (n, limit) in [Limit::Seconds, Limit::Date, Limit::Reset, Limit::Unavailable].into_iter().enumerate() {
        world.line.limit(1 + n * step, limit);
    }
    let service = world.serve();
    announce(&mut world, stage.items);
    polled(LONGEST, || world.all_out());
    service.terminate();
    let limited = world.line.limited();
    let outcome = world.finish(LONGEST);
    assert!(limited >= 4, "{limited} refusals");
    // It waits as it is told: more than a few posts refused within the three seconds would be knocking at the door.
    assert!(limited <= 8, "{limited} posts were refused: it does not wait as long as it is asked to");
    Row::of(outcome, &[("posts refused with 429 or 503", limited)])
}

fn token(stage: &Stage) -> Row {
    let mut world = world(stage, Plan::default());
    world.meet();
    let mut service = world.serve();
    announce(&mut world, stage.items);
    polled(LONGEST, || world.said().len() >= stage.items / 2);
    world.line.token("second");
    let refused = || world.oyez(&["log", "--json"]).stdout.contains("account-locked");
    if world.said().len() < stage.items {
        assert!(polled(LONGEST, refused), "{}", world.log());
    }
    announce(&mut world, 3);
    // More than a window later nothing has left, and the service is alive.
    std::thread::sleep(Duration::from_secs(2));
    assert!(service.ended().is_none());
    assert!(!world.all_out());
    service.terminate();
    world.token = "second".into();
    Row::of(world.finish(LONGEST), &[("tokens revoked", 1)])
}

/// `while_off`: the clock jumps between two lives; else while the service runs, whose clock goes on by the monotonic one.
fn clock(stage: &Stage, hours: i64, while_off: bool) -> Row {
    let by = SignedDuration::from_hours(hours);
    // Longer than the clock is wrong: a window that were counted by it would be over when it is mended.
    let (window, speed) = if while_off { (SignedDuration::from_mins(5), 60) } else { (WINDOW, 20) };
    let mut world = world(stage, Plan { window, speed, ..Plan::default() });
    world.meet();
    let mut service = world.serve();
    announce(&mut world, stage.items / 3);
    if while_off {
        if hours > 0 {
            // What is held gets its grace after the outage that it seems to have been, by the wrong clock: a day late.
            assert!(polled(LONGEST, || world.all_out()), "{}", world.log());
        }
        service.terminate();
        world.clock.skew(by);
        service = world.serve();
        let before = world.said().len();
        // Announced while the clock is wrong: heard or not, the window is counted by the right one.
        world.announce((stage.items / 3).min(WAVE));
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(world.said().len(), before, "something left by a clock that is wrong by {by:#}");
        world.clock.skew(SignedDuration::ZERO);
    } else {
        world.clock.skew(by);
        announce(&mut world, stage.items / 3);
    }
    assert!(
        polled(LONGEST / 4, || world.all_out()),
        "the clock was wrong by {by:#}, is right again, and something does not leave: {}",
        world.log()
    );
    world.clock.skew(SignedDuration::ZERO);
    service.terminate();
    let rest = stage.items - world.topics.len();
    let service = world.serve();
    announce(&mut world, rest);
    service.terminate();
    Row::of(world.finish(LONGEST), &[("jumps", 2)])
}

fn summer_time(stage: &Stage, start: &'static str) -> Row {
    let plan = Plan {
        start,
        zone: "Europe/Berlin",
        window: SignedDuration::from_mins(10),
        quiet: "{ from = \"02:15\", to = \"02:45\" }",
        speed: 600,
        ..Plan::default()
    };
    let mut world = world(stage, plan);
    world.meet();
    let service = world.serve();
    // Two and a third hours of the night.
    let n = (stage.items / 2).min(WAVE);
    let last: Timestamp = start.parse::<Timestamp>().unwrap() + SignedDuration::from_mins(140);
    for left in (0..n).rev() {
        world.announce(1);
        let wait = last.duration_since(world.clock.now()) / i32::try_from(left + 1).unwrap();
        std::thread::sleep(Duration::try_from(wait).unwrap_or(Duration::ZERO) / 600);
    }
    polled(LONGEST, || world.all_out());
    service.terminate();
    let outcome = world.finish(LONGEST);
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    // The moment of the claim: on its way to the server a post takes 600 times as long as ours, and more on a busy machine.
    let log = world.oyez(&["log", "--json"]).ok().stdout;
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let claims: Vec<Value> = entries.filter(|entry| entry["what"] == "sending").collect();
    assert!(claims.len() >= n, "{log}");
    for claim in claims {
        let at: Timestamp = claim["at"].as_str().unwrap().parse().unwrap();
        let local = berlin.to_datetime(at);
        let quiet = local.hour() == 2 && (15..45).contains(&local.minute());
        assert!(!quiet, "{claim}: begun at {local}, in the quiet hours");
    }
    Row::of(outcome, &[("changes of the clocks", 1)])
}

fn two_processes(stage: &Stage) -> Row {
    let mut world = world(stage, Plan::default());
    world.meet();
    let service = world.serve();
    world.announce(stage.items.min(WAVE));
    let mut refused = 0;
    for args in [&["run"][..], &["run", "--once"], &["import", "nothing.jsonl"]] {
        let second = world.oyez(args);
        assert_eq!(second.code, Some(1), "{second:?}");
        refused += 1;
    }
    heard(&world);
    service.terminate();
    // Several at the same moment: one of them has it.
    for _ in 0..3 {
        let mut all: Vec<Service> = (0..3).map(|_| world.spawn()).collect();
        let alone = || all.iter_mut().filter_map(Service::ended).count() == 2;
        assert!(polled(Duration::from_secs(30), alone), "{}", world.log());
        refused += 2;
        for service in all {
            service.terminate();
        }
    }
    let rest = stage.items - world.topics.len();
    let service = world.serve();
    announce(&mut world, rest);
    service.terminate();
    Row::of(world.finish(LONGEST), &[("second processes refused", refused)])
}

fn sigterm(stage: &Stage) -> Row {
    let plan = Plan { speed: 1, window: SignedDuration::from_secs(1), ..Plan::default() };
    let mut world = world(stage, plan);
    let mut rng = StdRng::seed_from_u64(stage.seed);
    world.meet();
    let rounds = if stage.long { 30 } else { 5 };
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let posts = world.line.posts();
        // Quick: all but one of those that take eight seconds.
        let kind = if stage.long { round % 6 } else { round + 1 };
        match kind {
            0 => world.mastodon.hold(On::Post, Hold::Before),
            1 => world.mastodon.hold(On::Post, Hold::After),
            2 => world.mastodon.hold(On::Read, Hold::Before),
            3 => world.forum.hold(),
            _ => {}
        }
        world.announce((stage.items / rounds).max(1));
        let mut service = world.spawn();
        if kind < 2 {
            polled(Duration::from_secs(8), || world.line.posts() > posts);
        } else {
            std::thread::sleep(Duration::from_millis(rng.random_range(0..2500)));
        }
        assert!(service.ended().is_none(), "{}", world.log());
        let (ended, took) = service.terminate();
        // One that was told before it could listen dies of the signal, like any program that has only begun.
        use std::os::unix::process::ExitStatusExt;
        assert!(ended.success() || ended.signal() == Some(15), "{ended:?}: {}", world.log());
        assert!(took < Duration::from_secs(10), "it took {took:?} to stop in round {round}: {}", world.log());
        slowest = slowest.max(took);
        world.mastodon.release();
        world.forum.release();
    }
    world.clock.set_speed(20);
    let slowest = usize::try_from(slowest.as_millis()).unwrap();
    Row::of(world.finish(LONGEST), &[("SIGTERM", rounds), ("ms the slowest stop took", slowest)])
}

fn disk(stage: &Stage, disk: Disk) -> Row {
    let mut world = world(stage, Plan::default());
    let mut rng = StdRng::seed_from_u64(stage.seed ^ disk as u64);
    world.meet();
    let rounds = if stage.long { 40 } else { 4 };
    let mut refused = 0;
    for round in 0..rounds {
        world.announce((stage.items / rounds).max(1));
        let full_at_start = round % 4 == 3;
        if full_at_start {
            world.clock.disk(disk);
        }
        let mut service = world.spawn();
        std::thread::sleep(Duration::from_millis(rng.random_range(0..2000)));
        world.clock.disk(disk);
        // A veto that is acknowledged now must be kept as any other.
        let index = rng.random_range(0..world.topics.len());
        if rng.random_bool(0.5) {
            world.veto(index);
        }
        let ended = polled(Duration::from_secs(20), || service.ended().is_some());
        assert!(ended, "it goes on with a disk that takes nothing: {}", world.log());
        refused += usize::try_from(world.clock.refused()).unwrap();
        assert!(!service.ended().unwrap().success(), "it ends as if all were well: {}", world.log());
        world.clock.disk(Disk::Well);
    }
    assert!(refused > 0);
    let log = std::fs::read_to_string(world.dir().join("service.log")).unwrap();
    let told = if disk == Disk::Full { "No space left on device" } else { "Input/output error" };
    assert!(log.contains(told), "nothing says what is wrong: {}", world.log());
    Row::of(world.finish(LONGEST), &[("times full or broken", rounds), ("changes refused", refused)])
}

/// A file system of its own, really full. Only root may mount one.
fn small_disk(stage: &Stage) -> Row {
    let mut world = world(stage, Plan::default());
    let state = world.state();
    std::fs::create_dir_all(&state).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", if stage.long { "size=64m,mode=700" } else { "size=6m,mode=700" }, "none"])
        .arg(&state)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("faults: no file system can be mounted here, the small disk is left out");
        return Row::of(crate::Outcome::default(), &[("skipped: only root may mount", 1)]);
    }
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            // `-l`: a process that is being killed may still be there.
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let _mounted = Mounted(state.clone());
    world.meet();
    let rounds = if stage.long { 10 } else { 2 };
    let mut full = 0;
    for round in 0..rounds {
        let mut service = world.serve();
        let ballast = state.join("ballast");
        // All but a little, which is another each time.
        fill(&ballast, (round * 20_000) as u64);
        world.announce((stage.items / rounds).clamp(40, WAVE));
        // sled rounds its file up, so it may have room for long.
        if polled(Duration::from_secs(if stage.long { 10 } else { 4 }), || service.ended().is_some()) {
            full += 1;
            assert!(!service.ended().unwrap().success());
        }
        service.kill();
        let started = world.spawn();
        started.wait_or_kill(Duration::from_millis(700));
        std::fs::remove_file(&ballast).unwrap();
    }
    Row::of(world.finish(LONGEST), &[("times filled up", rounds), ("times it ended for want of space", full)])
}

fn fill(path: &std::path::Path, leave: u64) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    let block = [7; 4096];
    while file.write_all(&block).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(leave)).unwrap();
}

/// Lives that end by `kill -9`: at the first change of a file, the second, and so on until a life has no more to do; or
/// at random. In between, people veto.
fn kill(stage: &Stage, flavour: Flavour, salt: u64, kills: usize, items: usize, every_change: bool) -> Row {
    let mut world = world(stage, Plan { flavour, ..Plan::default() });
    let mut rng = StdRng::seed_from_u64(stage.seed.wrapping_add(salt));
    world.meet();
    let (mut row, mut n, mut rounds, mut died_at, mut at_random) = (Row::default(), 1, 0, 0, 0);
    for life in 0..kills {
        // A life that is killed early hears nothing. More than ten pages of the list that nobody has read are a gap, which is
        // said aloud and is no fault: so no more than this are waiting.
        let room = BACKLOG.saturating_sub(world.topics.len() - world.said().len());
        let due = (items * (life + 1) / kills).saturating_sub(world.topics.len());
        world.announce(due.min(room));
        let candidate = (!world.topics.is_empty()).then(|| {
            let newest = world.topics.len();
            rng.random_range(newest.saturating_sub(6)..newest)
        });
        let veto = candidate.filter(|_| rng.random_bool(0.15));
        let (while_it_runs, how) = (rng.random_bool(0.5), [How::Before, How::After, How::Torn][rng.random_range(0..3)]);
        if let Some(index) = veto.filter(|_| !while_it_runs) {
            world.veto(index);
        }
        world.clock.kill_at(if every_change { n } else { 0 }, how);
        let service = world.spawn();
        if let Some(index) = veto.filter(|_| while_it_runs) {
            world.veto(index);
        }
        let longest = if every_change { 1300 } else { rng.random_range(0..1300) };
        let (died, _) = service.wait_or_kill(Duration::from_millis(longest));
        if died && every_change {
            row.sites.extend(world.clock.killed());
            died_at += 1;
            // The quick part has not enough kills to be at each of them.
            n += if stage.long { 1 } else { rng.random_range(1..9) };
        } else {
            at_random += 1;
            rounds += usize::from(every_change);
            n = 1;
        }
    }
    world.clock.kill_at(0, How::Before);
    let service = world.serve();
    let rest = items - world.topics.len();
    announce(&mut world, rest);
    service.terminate();
    row.outcome = world.finish(LONGEST);
    row.faults = [("kills at a change", died_at), ("kills at random", at_random)].into();
    if every_change {
        row.faults.insert("times through all changes", rounds);
    }
    row
}

/// Making a store, erasing words from it (which rewrites it), restoring an export into one: killed at each change.
fn kill_store(stage: &Stage) -> Row {
    let mut row = Row::default();
    let mut kills = 0;
    let mut rng = StdRng::seed_from_u64(stage.seed ^ 0x5702e);
    let mut hows = move || [How::Before, How::After, How::Torn][rng.random_range(0..3)];
    // Quick: every third change, beginning at another each time.
    let step = if stage.long { 1 } else { 5 };
    let mut first = 1 + i64::try_from(stage.seed % 5).unwrap() * i64::from(!stage.long);

    // First contact is quiet, however often the store is made.
    let mut world = world(stage, Plan::default());
    world.forum.announce("There before", "<p>Old news.</p>");
    let mut at = first;
    loop {
        std::fs::remove_dir_all(world.state()).ok();
        world.clock.kill_at(at, hows());
        let died = printed(world.command(&["run", "--once"], true)).code.is_none();
        if !died {
            break;
        }
        kills += 1;
        row.sites.extend(world.clock.killed());
        world.clock.kill_at(0, How::Before);
        let again = world.oyez(&["run", "--once", "--json"]).ok().object();
        assert_eq!(again["failed_sources"], serde_json::json!([]), "{again}");
        let known = world.oyez(&["queue", "--all", "--json"]).ok().lines();
        assert!(known.iter().all(|item| item["state"] == "known"), "{known:?}");
        assert_eq!(known.len(), 1, "killed at change {at}: {known:?}");
        at += step;
    }

    // Three items, one of them forgotten.
    world.clock.kill_at(0, How::Before);
    std::fs::remove_dir_all(world.state()).ok();
    world.meet();
    world.announce(3);
    let service = world.serve();
    heard(&world);
    assert!(world.veto(2));
    assert!(polled(LONGEST, || world.all_out()));
    service.terminate();
    let whole = world.dir().join("whole");
    copy_dir(&world.state(), &whole);
    let number =
        world.oyez(&["show", &world.forum.topic_url(world.topics[2].id), "--json"]).ok().object()["number"].to_string();
    first = (first - 1) % 3 + 1;
    let mut at = first;
    loop {
        std::fs::remove_dir_all(world.state()).unwrap();
        copy_dir(&whole, &world.state());
        world.clock.kill_at(at, hows());
        // The words are erased by the first, the old bytes by the second, which only opens the store.
        let mut killed =
            printed(world.command(&["forget", &number, "--reason", "asked", "--json"], true)).code.is_none();
        let acknowledged = !killed;
        if !killed {
            killed = printed(world.command(&["queue"], true)).code.is_none();
        }
        if !killed {
            break;
        }
        kills += 1;
        row.sites.extend(world.clock.killed());
        world.clock.kill_at(0, How::Before);
        let mut outcome = world.look();
        // Forgotten things keep their state; their words and addresses are gone.
        let text = world.oyez(&["export"]).ok().stdout;
        if acknowledged {
            assert!(!text.contains("News number 3"), "killed at change {at}: it is not forgotten");
        }
        outcome.items = 0;
        outcome.delivered = 0;
        (outcome.vetoes, outcome.entries, outcome.unsure) = (0, 0, 0);
        row.outcome.add(&outcome);
        at += step;
    }

    // An export restored: whole or not there.
    world.clock.kill_at(0, How::Before);
    std::fs::remove_dir_all(world.state()).unwrap();
    copy_dir(&whole, &world.state());
    world.oyez(&["export", "--output", "out.jsonl"]).ok();
    let mut at = first;
    loop {
        std::fs::remove_dir_all(world.state()).unwrap();
        world.clock.kill_at(at, hows());
        let killed = printed(world.command(&["import", "out.jsonl"], true)).code.is_none();
        if !killed {
            break;
        }
        kills += 1;
        row.sites.extend(world.clock.killed());
        world.clock.kill_at(0, How::Before);
        let again = world.oyez(&["import", "out.jsonl"]);
        let there =
            again.stderr.contains("not empty") || again.stderr.contains("already") || again.stderr.contains("has");
        assert!(again.code == Some(0) || there, "killed at change {at}: {again:?}");
        let mut outcome = world.look();
        assert_eq!((outcome.lost, outcome.delivered), (0, 2), "killed at change {at}: {again:?}");
        (outcome.items, outcome.delivered, outcome.vetoes, outcome.entries, outcome.unsure) = (0, 0, 0, 0, 0);
        row.outcome.add(&outcome);
        at += step;
    }
    row.outcome.add(&world.look());
    row.faults = [("kills at a change", kills)].into();
    row
}

/// Something that was promised when the trace was this long.
#[derive(Debug, Clone)]
enum Promise {
    /// The veto of this topic was acknowledged.
    Vetoed(u64),
    /// The network has seen a request with this key.
    Claimed(String),
}

fn power_loss(stage: &Stage) -> Row {
    let mut world = world(stage, Plan::default());
    let mut rng = StdRng::seed_from_u64(stage.seed ^ 0x90e4);
    let trace = world.trace();
    let length = {
        let trace = trace.clone();
        move || std::fs::metadata(&trace).map_or(0, |meta| meta.len())
    };
    let promises: Arc<Mutex<Vec<(u64, Promise)>>> = Arc::default();
    world.line.watch({
        let (promises, length) = (Arc::clone(&promises), length.clone());
        move |key| promises.lock().unwrap().push((length(), Promise::Claimed(key.to_owned())))
    });
    printed(world.command(&["run", "--once"], true)).ok();
    let lives = if stage.long { 6 } else { 2 };
    for life in 0..lives {
        let service = world.serve();
        for _ in 0..3 {
            world.announce(if stage.long { 8 } else { 2 });
            heard(&world);
            let newest = world.topics.len() - 1;
            if world.veto(newest) {
                promises.lock().unwrap().push((length(), Promise::Vetoed(world.topics[newest].id)));
            }
        }
        polled(LONGEST, || world.all_out());
        if life % 2 == 0 {
            service.kill();
        } else {
            service.terminate();
        }
    }
    let outcome = world.finish(LONGEST);
    // Forgetting rewrites the store when it is opened next: the power may go then too.
    let first = world.topics.iter().find(|topic| topic.fate == Fate::Said).expect("most are said");
    let end = format!("/{}", first.id);
    let about_it = |text: &str| text.split_whitespace().any(|word| word.ends_with(&end));
    let forgotten =
        world.mastodon.created().into_iter().find(|status| about_it(&status.text)).and_then(|status| status.key);
    let number = world.oyez(&["show", &world.forum.topic_url(first.id), "--json"]).ok().object()["number"].to_string();
    printed(world.command(&["forget", &number, "--reason", "asked", "--json"], true)).ok();
    printed(world.command(&["queue", "--json"], true)).ok();
    let mut promises = promises.lock().unwrap().clone();
    promises.retain(|(_, promise)| !matches!(promise, Promise::Claimed(key) if Some(key) == forgotten.as_ref()));
    let records = read_trace(&trace, &world.state());
    assert!(records.len() > 100, "{} changes recorded", records.len());
    let cuts: BTreeSet<usize> = if stage.long {
        let most = (stage.kills / 4).min(records.len());
        (0..most).map(|_| rng.random_range(0..=records.len())).collect()
    } else {
        (0..18).map(|_| rng.random_range(0..=records.len())).collect()
    };
    let (mut machine, mut losses, mut kept) = (Machine::new(), 0, 0);
    // Against a disk to which syncing means nothing the same promises must be seen to break: else nothing was asked.
    let (mut careless, mut broken) = (Machine::careless(), 0);
    let state = world.dir().join("powerless");
    for n in 0..=records.len() {
        if cuts.contains(&n) {
            let before = if n == 0 { 0 } else { records[n - 1].end };
            for luck in [false, true] {
                let mut chance = StdRng::seed_from_u64(rng.random());
                std::fs::remove_dir_all(&state).ok();
                machine.lose_power(&state, luck.then_some(&mut chance));
                match after_power_loss(&world, &state, before, &promises) {
                    Ok(promised) => kept += promised,
                    Err(why) => panic!("{why}\n{}", about(&records, n)),
                }
                losses += 1;
            }
            if broken == 0 {
                std::fs::remove_dir_all(&state).ok();
                careless.lose_power(&state, Some(&mut StdRng::seed_from_u64(rng.random())));
                broken += usize::from(after_power_loss(&world, &state, before, &promises).is_err());
            }
        }
        if let Some(record) = records.get(n) {
            machine.play(record);
            careless.play(record);
        }
    }
    assert!(broken > 0, "a disk that syncs nothing breaks no promise: this shows nothing");
    let syncs = records.iter().filter(|r| crate::shim::OPS[r.op].ends_with("sync")).count();
    Row::of(
        outcome,
        &[
            ("power losses", losses),
            ("promises looked up in what was left", kept),
            ("changes recorded", records.len()),
            ("of them syncs", syncs),
        ],
    )
}

/// Opens with the real program what a power loss left, and looks for what had been promised. How many promises there
/// were, or which one was broken.
fn after_power_loss(
    world: &World,
    state: &std::path::Path,
    before: u64,
    promises: &[(u64, Promise)],
) -> Result<usize, String> {
    let config = std::fs::read_to_string(world.dir().join("oyez.toml")).unwrap();
    let config = config.replace(&world.state().display().to_string(), &state.display().to_string());
    std::fs::write(world.dir().join("powerless.toml"), config).unwrap();
    let asked = |args: &[&str]| world.oyez(&[args, &["--config", "powerless.toml"]].concat());
    let due: Vec<&Promise> = promises.iter().filter(|(at, _)| *at <= before).map(|(_, promise)| promise).collect();
    if !oyez::store::Store::exists(state) {
        return if due.is_empty() { Ok(0) } else { Err("the store is gone".into()) };
    }
    let exported = asked(&["export"]);
    if exported.code != Some(0) {
        return Err(format!("it does not open: {}", exported.stderr));
    }
    let verified = asked(&["log", "--verify", "--json"]);
    if verified.code != Some(0) {
        return Err(format!("it does not verify: {}", verified.stderr));
    }
    for promise in &due {
        match promise {
            Promise::Vetoed(topic) => {
                let key = format!("\"{}\"", oyez::source::discourse::topic_key(world.forum.base(), *topic));
                let mut items =
                    exported.stdout.lines().filter(|line| line.starts_with("{\"item\"") && line.contains(&key));
                if !items.any(|item| item.contains("\"phase\":\"vetoed\"")) {
                    return Err(format!("the veto of topic {topic} is lost"));
                }
            }
            Promise::Claimed(key) => {
                if !exported.stdout.contains(key.as_str()) {
                    return Err(format!("the claim {key} is lost"));
                }
            }
        }
    }
    Ok(due.len())
}

/// The changes just before the power went.
fn about(records: &[Record], n: usize) -> String {
    let around = records[n.saturating_sub(12)..n].iter();
    let around = around.map(|r| format!("{} {} {}+{}", crate::shim::OPS[r.op], r.path, r.offset, r.data.len()));
    format!("power lost after change {n} of {}: …{:#?}", records.len(), around.collect::<Vec<_>>())
}
