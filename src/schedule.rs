//! When each source is asked again: pure rules over times that are handed in, for thousands of sources in one loop.
//!
//! The rules are sources.md 8.3. The times are stored by the caller, so a restart asks nobody earlier than was decided.
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

/// Nothing a server says, and no number of failures, keeps us away for longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The first pause after a failure, where the configured interval is shorter.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// Identical permanent redirects before one is learnt.
const MOVES_TO_LEARN: u32 = 3;

/// A permanent redirect is learnt only when it has been there for this long.
const MOVE_STANDS: Duration = Duration::from_secs(24 * 60 * 60);

/// When to ask a source again after an answer, or after none.
///
/// - `every`: the configured minimum. Never undercut, also where it is longer than a day.
/// - `at_least`: what the document or its headers ask for (`ttl`, `max-age`); a day at most is believed.
/// - `retry_after`: what a refusal asked for; a day at most is believed.
/// - `failures` in a row so far, 0 after a success: each doubles the pause, up to a day. There is no last try: YouTube
///   answers 404 for channels that are back an hour later.
/// - `jitter`: a random number from 0 to 1; adds up to a tenth of the pause, so that what started together drifts apart.
pub fn next_poll(
    now: Timestamp,
    every: Duration,
    at_least: Option<Duration>,
    retry_after: Option<Duration>,
    failures: u32,
    jitter: f64,
) -> Timestamp {
    let asked = at_least.unwrap_or_default().min(LONGEST);
    let back_off = match failures {
        0 => Duration::ZERO,
        n => every.max(FIRST_PAUSE).saturating_mul(2u32.saturating_pow(n - 1)).min(LONGEST),
    };
    let told = retry_after.unwrap_or_default().min(LONGEST);
    let pause = every.max(asked).max(back_off).max(told);
    // NaN becomes no jitter.
    let jitter = if jitter > 0.0 { jitter.min(1.0) } else { 0.0 };
    let pause = pause.saturating_add(pause.min(LONGEST).mul_f64(jitter / 10.0));
    now.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// What was seen of a source's permanent redirects. Stored with the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Move>,
}

/// One place that a source says it moved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Move {
    to: Url,
    since: Timestamp,
    times: u32,
}

impl Moves {
    /// Notes one successful answer: `asked` is the address that is asked today, `moved_to` where permanent redirects
    /// led, if they did. Returns the new address once it is learnt: three times the same, over at least a day. A single
    /// answer without the redirect, or with another one, starts over; an answer that failed is not for noting.
    ///
    /// The scheme stays or becomes https.
    pub fn saw(&mut self, now: Timestamp, asked: &Url, moved_to: Option<&Url>) -> Option<Url> {
        let acceptable =
            |to: &&Url| *to != asked && (to.scheme() == "https" || (to.scheme() == "http" && asked.scheme() == "http"));
        let Some(to) = moved_to.filter(acceptable) else {
            self.seen = None;
            return None;
        };
        let seen = match self.seen.take() {
            Some(seen) if seen.to == *to => Move { times: seen.times.saturating_add(1), ..seen },
            Some(_) | None => Move { to: to.clone(), since: now, times: 1 },
        };
        let stood = Duration::try_from(now.duration_since(seen.since)).unwrap_or_default();
        if seen.times >= MOVES_TO_LEARN && stood >= MOVE_STANDS {
            return Some(seen.to);
        }
        self.seen = Some(seen);
        None
    }
}

/// What is to be asked when: at most one source of a host at a time, the one that has waited longest first, and a host
/// that was just asked goes behind the others that wait. Every operation takes logarithmic time.
///
/// A source that must not be asked (disabled, gone for good with 410) is simply not on it.
#[derive(Debug, Default)]
pub struct Agenda {
    sources: HashMap<String, Entry>,
    hosts: HashMap<String, Host>,
    /// Hosts that are free and have something to ask, by the rank of their first source.
    ready: BTreeSet<(Rank, String)>,
    turns: u64,
}

/// When a host's first source is due (or when the host was free again, if that was later), then who waits longer.
type Rank = (Timestamp, u64);

/// When a source is due, and whether a hint may change that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Then, or as soon as a hint comes.
    At(Timestamp),
    /// Then and not earlier, whatever is hinted: it failed, or asked to be left alone.
    NotBefore(Timestamp),
}

impl Due {
    fn time(self) -> Timestamp {
        match self {
            Due::At(at) | Due::NotBefore(at) => at,
        }
    }
}

#[derive(Debug)]
struct Entry {
    host: String,
    /// `None`: is being asked.
    due: Option<Due>,
    /// A hint came while it was being asked: ask again at once.
    again: bool,
}

#[derive(Debug, Default)]
struct Host {
    queue: BTreeSet<(Timestamp, String)>,
    busy: bool,
    /// When it was last free again, and the turn in which that was.
    freed: Option<(Timestamp, u64)>,
}

impl Host {
    fn rank(&self) -> Option<Rank> {
        let (due, _) = self.queue.first()?;
        if self.busy {
            return None;
        }
        Some(match self.freed {
            Some((freed, turn)) => (freed.max(*due), turn),
            None => (*due, 0),
        })
    }
}

impl Agenda {
    /// Puts a source on the agenda, or moves it. One that is being asked right now keeps its turn; [`Agenda::done`]
    /// decides then.
    pub fn put(&mut self, source: &str, host: &str, due: Due) {
        if let Some(entry) = self.sources.get(source) {
            if entry.due.is_none() {
                return;
            }
            self.remove(source);
        }
        self.sources.insert(source.to_owned(), Entry { host: host.to_owned(), due: Some(due), again: false });
        self.change(host, |host| {
            host.queue.insert((due.time(), source.to_owned()));
        });
    }

    /// Takes a source off the agenda. If it is being asked, its host is free again.
    pub fn remove(&mut self, source: &str) {
        let Some(entry) = self.sources.remove(source) else { return };
        self.change(&entry.host, |host| match entry.due {
            Some(due) => {
                host.queue.remove(&(due.time(), source.to_owned()));
            }
            None => host.busy = false,
        });
    }

    /// A hint: this source is due now, unless it must be left alone. Returns whether it is on the agenda. A hint while it
    /// is being asked makes it due again right after, because the answer may have been on its way already.
    pub fn hurry(&mut self, source: &str, now: Timestamp) -> bool {
        let Some(entry) = self.sources.get_mut(source) else { return false };
        let host = entry.host.clone();
        match entry.due {
            None => entry.again = true,
            Some(Due::At(at)) if at > now => self.put(source, &host, Due::At(now)),
            Some(Due::At(_) | Due::NotBefore(_)) => {}
        }
        true
    }

    /// One source is due now, the one that is soonest due and need not be left alone: somebody wants to hear from any.
    pub fn hurry_one(&mut self, now: Timestamp) {
        let soonest = self.sources.iter().filter_map(|(name, entry)| match entry.due {
            Some(Due::At(at)) => Some((at, name)),
            Some(Due::NotBefore(_)) | None => None,
        });
        if let Some(name) = soonest.min().map(|(_, name)| name.clone()) {
            self.hurry(&name, now);
        }
    }

    /// The next source to ask now, if one is due whose host is free. The host is busy until [`Agenda::done`] or
    /// [`Agenda::remove`].
    pub fn take(&mut self, now: Timestamp) -> Option<String> {
        let (_, host) = self.ready.first().filter(|((at, _), _)| *at <= now)?.clone();
        let mut taken = None;
        self.change(&host, |host| {
            taken = host.queue.pop_first();
            host.busy = true;
        });
        let (_, source) = taken.expect("a ready host has a source in its queue");
        let entry = self.sources.get_mut(&source).expect("what is queued is on the agenda");
        entry.due = None;
        Some(source)
    }

    /// A source was asked; it is due again as said, or now if a hint came meanwhile.
    pub fn done(&mut self, source: &str, now: Timestamp, next: Due) {
        let Some(entry) = self.sources.get_mut(source).filter(|entry| entry.due.is_none()) else { return };
        let due = match (next, std::mem::take(&mut entry.again)) {
            (Due::At(_), true) => Due::At(now),
            (Due::At(_), false) | (Due::NotBefore(_), _) => next,
        };
        entry.due = Some(due);
        let host = entry.host.clone();
        self.turns += 1;
        let turn = self.turns;
        self.change(&host, |host| {
            host.queue.insert((due.time(), source.to_owned()));
            host.busy = false;
            host.freed = Some((now, turn));
        });
    }

    /// When [`Agenda::take`] will have something, as things stand: the loop sleeps until then, or until something
    /// changes. `None`: nothing waits for the time alone.
    pub fn next(&self) -> Option<Timestamp> {
        self.ready.first().map(|((at, _), _)| *at)
    }

    /// How many sources are on it.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Is nothing on it?
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Changes one host and keeps its place among the ready ones.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Host)) {
        let host = self.hosts.entry(name.to_owned()).or_default();
        if let Some(rank) = host.rank() {
            self.ready.remove(&(rank, name.to_owned()));
        }
        change(host);
        match host.rank() {
            Some(rank) => {
                self.ready.insert((rank, name.to_owned()));
            }
            None if host.queue.is_empty() && !host.busy => {
                self.hosts.remove(name);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;

    fn at(seconds: u64) -> Timestamp {
        "2026-11-06T12:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
    }

    #[track_caller]
    fn check(every: u64, at_least: Option<u64>, retry_after: Option<u64>, failures: u32, want: u64) {
        let secs = |s: Option<u64>| s.map(Duration::from_secs);
        let got = next_poll(at(0), Duration::from_secs(every), secs(at_least), secs(retry_after), failures, 0.0);
        assert_eq!(got, at(want));
    }

    #[test]
    fn the_longest_wish_wins_up_to_a_day() {
        check(180, None, None, 0, 180);
        check(180, Some(900), None, 0, 900);
        check(180, Some(60), None, 0, 180);
        check(180, Some(100 * HOUR), None, 0, 24 * HOUR);
        check(180, Some(u64::MAX), None, 0, 24 * HOUR);
        check(48 * HOUR, Some(900), None, 0, 48 * HOUR);
        check(180, None, Some(600), 1, 600);
        check(180, None, Some(1), 1, 180);
        check(180, None, Some(100 * HOUR), 1, 24 * HOUR);
        check(180, None, Some(600), 9, 768 * MINUTE);
    }

    #[test]
    fn failures_double_the_pause() {
        for (failures, minutes) in [(1, 3), (2, 6), (3, 12), (9, 768), (10, 1440), (11, 1440), (u32::MAX, 1440)] {
            check(180, None, None, failures, minutes * MINUTE);
        }
        check(1, None, None, 1, 60);
        check(48 * HOUR, None, None, 5, 48 * HOUR);
    }

    proptest! {
        #[test]
        fn never_earlier_than_asked_and_never_much_later(
            every in 1u64..200_000, at_least in proptest::option::of(any::<u64>()),
            retry in proptest::option::of(any::<u64>()), failures in any::<u32>(), jitter in any::<f64>(),
        ) {
            let secs = |s: Option<u64>| s.map(Duration::from_secs);
            let ask = |jitter| next_poll(at(0), Duration::from_secs(every), secs(at_least), secs(retry), failures, jitter);
            let (plain, got) = (ask(0.0), ask(jitter));
            let asked = every.max(at_least.unwrap_or(0).min(24 * HOUR)).max(retry.unwrap_or(0).min(24 * HOUR));
            prop_assert!(plain >= at(asked) && plain <= at(every.max(24 * HOUR)));
            prop_assert!(got >= plain && got <= plain + Duration::from_secs(24 * HOUR / 10 + 1));
        }
    }

    fn url(url: &str) -> Url {
        url.parse().unwrap()
    }

    /// Feeds `Moves` with answers at hours; the last one's result is compared.
    #[track_caller]
    fn check_moves(asked: &str, answers: &[(u64, Option<&str>)], want: Option<&str>) {
        let mut moves = Moves::default();
        let mut learnt = None;
        for (hour, to) in answers {
            assert_eq!(learnt, None, "learnt too early");
            learnt = moves.saw(at(hour * HOUR), &url(asked), to.map(url).as_ref());
            // It survives the store.
            moves = serde_json::from_str(&serde_json::to_string(&moves).unwrap()).unwrap();
        }
        assert_eq!(learnt, want.map(url), "{answers:?}");
    }

    #[test]
    fn a_move_is_learnt_when_it_has_stood() {
        let (http, a, b) = ("http://old.org/", Some("https://a.org/"), Some("https://b.org/"));
        check_moves(http, &[(0, a), (12, a), (24, a)], Some("https://a.org/"));
        check_moves(http, &[(0, a), (1, a), (2, a), (23, a)], None);
        check_moves(http, &[(0, a), (30, a)], None);
        check_moves(http, &[(0, a), (12, b), (24, a), (25, a)], None);
        check_moves(http, &[(0, a), (12, a), (20, None), (24, a)], None);
        check_moves(
            http,
            &[(0, Some("http://a.org/")), (12, Some("http://a.org/")), (24, Some("http://a.org/"))],
            Some("http://a.org/"),
        );
        check_moves(
            "https://old.org/",
            &[(0, Some("http://a.org/")), (12, Some("http://a.org/")), (24, Some("http://a.org/"))],
            None,
        );
        check_moves("https://a.org/", &[(0, a), (12, a), (24, a)], None);
        check_moves(http, &[(48, a), (24, a), (0, a)], None);
    }

    #[test]
    fn one_at_a_time_per_host() {
        let mut agenda = Agenda::default();
        agenda.put("a1", "a", Due::At(at(0)));
        agenda.put("a2", "a", Due::At(at(1)));
        agenda.put("b1", "b", Due::At(at(2)));
        assert_eq!((agenda.take(at(0)), agenda.take(at(1)), agenda.next()), (Some("a1".into()), None, Some(at(2))));
        assert_eq!((agenda.take(at(2)), agenda.take(at(2)), agenda.next()), (Some("b1".into()), None, None));
        agenda.done("a1", at(3), Due::At(at(100)));
        assert_eq!((agenda.take(at(3)), agenda.take(at(3))), (Some("a2".into()), None));
        agenda.done("a2", at(4), Due::At(at(101)));
        agenda.done("b1", at(4), Due::At(at(102)));
        assert_eq!((agenda.take(at(99)), agenda.next()), (None, Some(at(100))));
    }

    #[test]
    fn a_host_with_much_to_ask_does_not_starve_the_others() {
        let mut agenda = Agenda::default();
        (0..100).for_each(|i| agenda.put(&format!("a{i}"), "a", Due::At(at(0))));
        agenda.put("b", "b", Due::At(at(5)));
        agenda.put("c", "c", Due::At(at(5)));
        let mut order = Vec::new();
        for _ in 0..4 {
            let source = agenda.take(at(10)).unwrap();
            agenda.done(&source, at(10), Due::At(at(1_000)));
            order.push(source);
        }
        assert_eq!(order, ["a0", "b", "c", "a1"]);
    }

    #[test]
    fn hints_and_changes() {
        let mut agenda = Agenda::default();
        agenda.put("a", "h", Due::At(at(100)));
        assert!(agenda.hurry("a", at(1)) && !agenda.hurry("x", at(1)));
        assert_eq!(agenda.take(at(1)), Some("a".into()));
        agenda.put("a", "h", Due::At(at(50)));
        assert_eq!(agenda.take(at(60)), None, "it is being asked");
        assert!(agenda.hurry("a", at(2)));
        agenda.done("a", at(3), Due::At(at(100)));
        assert_eq!(agenda.take(at(3)), Some("a".into()), "the hint came while it was asked");
        agenda.done("a", at(4), Due::At(at(100)));
        assert_eq!((agenda.take(at(99)), agenda.len()), (None, 1));
        assert_eq!(agenda.take(at(100)), Some("a".into()));
        agenda.put("b", "h", Due::At(at(0)));
        agenda.remove("a");
        agenda.done("a", at(101), Due::At(at(200)));
        assert_eq!((agenda.take(at(101)), agenda.len()), (Some("b".into()), 1));
        agenda.remove("b");
        agenda.remove("b");
        assert!(agenda.is_empty() && agenda.hosts.is_empty() && agenda.ready.is_empty());
    }

    #[test]
    fn a_hint_does_not_shorten_a_back_off() {
        let mut agenda = Agenda::default();
        agenda.put("a", "h", Due::NotBefore(at(100)));
        assert!(agenda.hurry("a", at(1)));
        assert_eq!(agenda.take(at(99)), None);
        assert_eq!(agenda.take(at(100)), Some("a".into()));
        agenda.hurry("a", at(101));
        agenda.done("a", at(102), Due::NotBefore(at(200)));
        assert_eq!(agenda.take(at(199)), None);
        assert_eq!(agenda.take(at(200)), Some("a".into()));
        agenda.done("a", at(201), Due::At(at(300)));
        assert_eq!(agenda.take(at(202)), None, "the old hint is spent");
    }

    proptest! {
        /// Against the plain rule: everything due is asked, never two of a host at once, never too early.
        #[test]
        fn nothing_is_lost_or_early(steps in proptest::collection::vec((0u8..5, 0u64..12, 0u64..50), 1..200)) {
            let mut agenda = Agenda::default();
            let mut due: HashMap<String, Timestamp> = HashMap::new();
            let mut busy: HashMap<String, String> = HashMap::new();
            let mut clock = 0;
            for (step, number, amount) in steps {
                let (source, host) = (format!("s{number}"), format!("h{}", number % 3));
                match step {
                    0 if !busy.values().any(|s| *s == source) => {
                        agenda.put(&source, &host, Due::At(at(amount)));
                        due.insert(source, at(amount));
                    }
                    1 => if busy.get(&host).is_some_and(|s| *s == source) {
                        busy.remove(&host);
                        agenda.done(&source, at(clock), Due::At(at(clock + amount)));
                        due.insert(source, at(clock + amount));
                    },
                    2 => {
                        if busy.get(&host).is_some_and(|s| *s == source) {
                            busy.remove(&host);
                        }
                        agenda.remove(&source);
                        due.remove(&source);
                    }
                    3 => clock += amount,
                    _ => while let Some(source) = agenda.take(at(clock)) {
                        let host = format!("h{}", source[1..].parse::<u64>().unwrap() % 3);
                        prop_assert!(due.remove(&source).unwrap() <= at(clock));
                        prop_assert!(busy.insert(host, source).is_none());
                    },
                }
            }
            while let Some(source) = agenda.take(at(clock)) {
                let host = format!("h{}", source[1..].parse::<u64>().unwrap() % 3);
                due.remove(&source);
                prop_assert!(busy.insert(host, source).is_none());
            }
            for (source, when) in due {
                let host = format!("h{}", source[1..].parse::<u64>().unwrap() % 3);
                prop_assert!(when > at(clock) || busy.contains_key(&host), "{source} was forgotten");
            }
        }
    }

    #[test]
    fn thousands_of_sources_take_no_time() {
        let mut agenda = Agenda::default();
        (0..20_000).for_each(|i| agenda.put(&format!("s{i}"), &format!("h{}", i % 500), Due::At(at(i))));
        let mut asked = 0;
        while let Some(source) = agenda.take(at(20_000)) {
            agenda.done(&source, at(20_000), Due::At(at(40_000)));
            asked += 1;
        }
        assert_eq!((asked, agenda.next()), (20_000, Some(at(40_000))));
    }
}
