//! Random lives: the code beside a small model of `lifecycle.md` that shares nothing with it but the page, and beside
//! watchers that know only the promises.
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::cells::{ACCOUNTS, origin, post, rules, settings, shown};
use super::*;

/// One thing done to both. Times are minutes.
#[derive(Debug, Clone)]
enum Op {
    Veto,
    Skip(usize),
    Approve,
    Now,
    Snooze(i64),
    Edit(usize),
    Reset(usize),
    Reinstate,
    Retract,
    ResolveSent(usize),
    ResolveNotSent(usize),
    Settle,
    Change(VerdictKind),
    Gone,
    Back,
    Outage,
    Expire,
    Claim(usize),
    Answer(usize, Reply),
    Crash,
    Found(usize),
    /// Two complete readings, far enough apart.
    AbsentTwice(usize),
    Deleted(usize, bool),
    Clock(i64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Reply {
    Ok,
    Retry,
    Refused,
    Locked,
    Lost,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    use Op::*;
    let i = 0..3_usize;
    let verdict = prop_oneof![
        6 => Just(VerdictKind::Hold),
        1 => Just(VerdictKind::Ask),
        1 => Just(VerdictKind::Ignore),
    ];
    let answer = prop_oneof![
        2 => Just(Reply::Ok),
        2 => Just(Reply::Retry),
        1 => Just(Reply::Refused),
        1 => Just(Reply::Locked),
        2 => Just(Reply::Lost),
    ];
    let op = prop_oneof![
        2 => Just(Veto),
        2 => i.clone().prop_map(Skip),
        2 => Just(Approve),
        1 => Just(Now),
        1 => (1..4000_i64).prop_map(Snooze),
        2 => i.clone().prop_map(Edit),
        1 => i.clone().prop_map(Reset),
        3 => Just(Reinstate),
        1 => Just(Retract),
        1 => i.clone().prop_map(ResolveSent),
        2 => i.clone().prop_map(ResolveNotSent),
        3 => Just(Settle),
        3 => verdict.prop_map(Change),
        1 => Just(Gone),
        1 => Just(Back),
        1 => Just(Outage),
        1 => Just(Expire),
        8 => i.clone().prop_map(Claim),
        8 => (i.clone(), answer).prop_map(|(i, answer)| Answer(i, answer)),
        1 => Just(Crash),
        1 => i.clone().prop_map(Found),
        1 => i.clone().prop_map(AbsentTwice),
        2 => (i, any::<bool>()).prop_map(|(i, ok)| Deleted(i, ok)),
        6 => prop_oneof![1..90_i64, 90..3000_i64, 10_000..12_000_i64].prop_map(Clock),
    ];
    prop::collection::vec(op, 1..60)
}

/// What the page says about a row, by column: settling, held, publishing, done, vetoed, known, ignored, expired,
/// withdrawn. `-` is refused.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 9]); 15] = [
    //               settling      held         publishing    done      vetoed      known     ignored     expired   withdrawn
    ("veto",        ["stop",      "stop",      "stop",       "-",      "same",     "-",      "-",        "-",      "-"]),
    ("skip",        ["skip",      "skip",      "skip",       "-",      "-",        "-",      "-",        "-",      "-"]),
    ("approve",     ["approve",   "approve",   "-",          "-",      "-",        "-",      "-",        "-",      "-"]),
    ("now",         ["now",       "now",       "now",        "-",      "-",        "-",      "-",        "-",      "-"]),
    ("snooze",      ["snooze",    "snooze",    "snooze",     "-",      "-",        "-",      "-",        "-",      "-"]),
    ("edit",        ["edit qc",   "edit qc",   "edit q",     "-",      "edit qc",  "-",      "-",        "-",      "-"]),
    ("reinstate",   ["-",         "-",         "-",          "-",      "rest",     "full",   "full",     "full",   "back"]),
    ("retract",     ["stop",      "stop",      "stop+del",   "delete", "delete",   "-",      "claimed",  "claimed","delete"]),
    ("sent",        ["-",         "-",         "sent",       "sent",   "sent",     "-",      "claimed",  "claimed","sent"]),
    ("not-sent",    ["-",         "-",         "again",      "again",  "cancel",   "-",      "claimed",  "claimed","cancel"]),
    ("changed",     ["anew",      "anew",      "anew",       "after",  "after",    "after",  "reconsider","after", "after"]),
    ("ruled out",   ["ignore",    "ignore",    "ignore",     "after",  "after",    "after",  "same",     "after",  "after"]),
    ("gone",        ["withdraw",  "withdraw",  "withdraw",   "same",   "withdraw", "withdraw","withdraw","withdraw","same"]),
    ("outage",      ["grace",     "grace",     "grace",      "same",   "same",     "same",   "same",     "same",   "same"]),
    ("expire",      ["-",         "expire",    "expire",     "-",      "-",        "-",      "-",        "-",      "-"]),
];

const WINDOW: i64 = 24 * 60;
const GRACE: i64 = 60;

/// A delivery as the page sees it: a letter, and what holds it back.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Row {
    letter: char,
    now: bool,
    /// In seconds: back-offs are shorter than a minute.
    not_before: i64,
    attempts: u32,
    lost: bool,
    post: bool,
    edited: bool,
    outdated: bool,
}

#[derive(Debug, Clone)]
struct Model {
    /// `s`ettling, `h`eld, `v`etoed, `k`nown, `i`gnored, `e`xpired, `w`ithdrawn.
    phase: char,
    rows: [Row; 3],
    clock: i64,
    settled: i64,
    end: Option<i64>,
    snoozed: i64,
    verdict: VerdictKind,
    ask: bool,
    approved: bool,
    gone: bool,
}

impl Model {
    fn new(known: bool, verdict: VerdictKind) -> Self {
        let phase = if known { 'k' } else { ['s', 's', 'i'][verdict as usize] };
        let end = (phase == 's').then_some(30 + WINDOW);
        let rows = [Row { letter: 'q', ..Row::default() }; 3];
        let (clock, settled, snoozed) = (0, 30, 0);
        Model { phase, rows, clock, settled, end, snoozed, verdict, ask: false, approved: false, gone: false }
    }

    fn any(&self, letters: &str) -> bool {
        self.rows.iter().any(|row| letters.contains(row.letter))
    }

    fn column(&self) -> usize {
        match self.phase {
            's' => 0,
            'h' if !self.any("qgwur") => 3,
            'h' if self.any("gwsufrx") => 2,
            'h' => 1,
            'v' => 4,
            'k' => 5,
            'i' => 6,
            'e' => 7,
            'w' => 8,
            other => panic!("{other}"),
        }
    }

    fn shown(&self) -> String {
        let names = ["settling", "held", "publishing", "done", "vetoed", "known", "ignored", "expired", "withdrawn"];
        let letters: String = self.rows.iter().map(|row| row.letter).collect();
        format!("{} {letters}", names[self.column()])
    }

    fn cell(&self, row: &str) -> &'static str {
        TABLE.iter().find(|(name, _)| *name == row).unwrap().1[self.column()]
    }

    fn grow(&mut self, to: i64) {
        self.end = Some(self.end.unwrap_or(to).max(to));
    }

    fn stopped(&self) -> bool {
        self.phase != 'h' || self.gone
    }

    fn cancel(&mut self) {
        for row in &mut self.rows {
            row.now = false;
            if row.letter == 'q' {
                row.letter = 'c';
                row.not_before = 0;
            }
        }
    }

    fn lapse(&mut self) {
        self.approved = false;
        self.rows.iter_mut().for_each(|row| row.now = false);
    }

    fn reword(&mut self) {
        for row in &mut self.rows {
            match row.letter {
                'q' | 'c' | 'f' if row.edited => row.outdated = true,
                'q' | 'c' | 'f' => (row.post, row.outdated) = (true, false),
                'g' | 'u' => row.outdated = row.post,
                _ => {}
            }
        }
    }

    /// To the desk by a word that ends the settling; all posts are there in these tests.
    fn desk(&mut self) {
        self.phase = 'h';
        self.settled = self.settled.min(self.clock);
        self.rows.iter_mut().for_each(|row| row.post = true);
    }

    /// Back from a claim with nothing posted.
    fn unclaim(&mut self, i: usize, not_before: i64) {
        let stopped = self.stopped();
        let row = &mut self.rows[i];
        row.lost = false;
        row.letter = if stopped { 'c' } else { 'q' };
        row.not_before = if stopped { 0 } else { not_before };
        row.now &= !stopped;
    }

    fn out(&mut self, i: usize) {
        let stopped = self.stopped();
        let row = &mut self.rows[i];
        (row.letter, row.lost, row.now, row.not_before) = ('s', false, false, 0);
        row.outdated &= stopped;
    }

    /// Is it allowed? And the change.
    fn apply(&mut self, op: &Op) -> bool {
        let (clock, seconds) = (self.clock, self.clock * 60);
        let (name, i) = match op {
            Op::Clock(minutes) => {
                self.clock += minutes;
                return true;
            }
            Op::Settle => {
                if self.phase != 's' || clock < self.settled {
                    return false;
                }
                self.rows.iter_mut().for_each(|row| row.post = true);
                self.phase = 'h';
                if clock > self.settled + 10 {
                    self.grow(clock + GRACE);
                }
                return true;
            }
            Op::Back => {
                self.gone = false;
                if self.phase == 'w' && self.end.is_none() {
                    self.phase = if self.verdict == VerdictKind::Ignore { 'i' } else { 'k' };
                }
                return true;
            }
            Op::Claim(i) => {
                let row = self.rows[*i];
                let time = self.end.is_some_and(|end| clock >= end) || (row.now && self.approved);
                let asks = (self.ask || self.verdict == VerdictKind::Ask) && !self.approved;
                let free = clock >= self.snoozed && seconds >= row.not_before && !row.outdated && row.post;
                if !"qu".contains(row.letter) || self.stopped() || !time || asks || !free {
                    return false;
                }
                self.rows[*i].letter = 'g';
                self.rows[*i].attempts += 1;
                self.rows[*i].not_before = 0;
                return true;
            }
            Op::Answer(i, answer) => {
                let row = self.rows[*i];
                if row.letter != 'g' {
                    return false;
                }
                let pause = (30 << (row.attempts - 1).min(16)).min(3600);
                match answer {
                    Reply::Ok => self.out(*i),
                    Reply::Lost => (self.rows[*i].letter, self.rows[*i].lost) = ('u', true),
                    _ if row.lost => {
                        self.rows[*i].letter = 'u';
                        self.rows[*i].not_before = seconds + pause;
                    }
                    Reply::Retry => self.unclaim(*i, seconds + pause),
                    Reply::Refused if !self.stopped() => self.rows[*i].letter = 'f',
                    Reply::Refused | Reply::Locked => self.unclaim(*i, 0),
                }
                return true;
            }
            Op::Crash => {
                for row in self.rows.iter_mut().filter(|row| row.letter == 'g') {
                    (row.letter, row.lost) = ('u', true);
                }
                return true;
            }
            Op::Found(i) => {
                let unsure = self.rows[*i].letter == 'u';
                if unsure {
                    self.out(*i);
                }
                return unsure;
            }
            Op::AbsentTwice(i) => {
                let unsure = self.rows[*i].letter == 'u';
                self.clock += 6;
                if unsure {
                    self.unclaim(*i, 0);
                }
                return unsure;
            }
            Op::Deleted(i, ok) => {
                let asked = self.rows[*i].letter == 'r';
                if asked {
                    self.rows[*i].letter = if *ok { 'x' } else { 's' };
                    self.rows[*i].not_before = 0;
                }
                return asked;
            }
            Op::Veto => ("veto", 0),
            Op::Skip(i) => ("skip", *i),
            Op::Approve => ("approve", 0),
            Op::Now => ("now", 0),
            Op::Snooze(_) => ("snooze", 0),
            Op::Edit(i) | Op::Reset(i) => ("edit", *i),
            Op::Reinstate => ("reinstate", 0),
            Op::Retract => ("retract", 0),
            Op::ResolveSent(i) => ("sent", *i),
            Op::ResolveNotSent(i) => ("not-sent", *i),
            Op::Change(VerdictKind::Ignore) if self.verdict != VerdictKind::Ignore || self.phase == 'i' => {
                ("ruled out", 0)
            }
            Op::Change(_) => ("changed", 0),
            Op::Gone if self.gone => return true,
            Op::Gone => {
                let cell = self.cell("gone");
                self.gone = true;
                if cell == "withdraw" {
                    self.phase = 'w';
                    self.cancel();
                }
                return true;
            }
            Op::Outage => ("outage", 0),
            Op::Expire => ("expire", 0),
        };
        let mut cell = self.cell(name);
        if cell == "claimed" {
            cell = match name {
                _ if !self.any("gwsufrx") => "-",
                "retract" => "delete",
                "sent" => "sent",
                _ => "cancel",
            };
        }
        match cell {
            "-" => return false,
            "same" => {}
            "stop" | "stop+del" => {
                if cell == "stop" || self.any("qguw") {
                    self.phase = 'v';
                    self.cancel();
                }
                if cell == "stop+del" {
                    self.delete();
                }
            }
            "delete" => self.delete(),
            "skip" => {
                if !"qc".contains(self.rows[i].letter) {
                    return false;
                }
                if self.rows[i].letter == 'q' {
                    self.rows[i].letter = 'c';
                    (self.rows[i].not_before, self.rows[i].now) = (0, false);
                    if !self.any("qgwur") {
                        self.phase = 'v';
                        self.cancel();
                    }
                }
            }
            "approve" => {
                self.approved = true;
                self.chosen();
            }
            "now" => {
                if self.any("q") {
                    self.approved = true;
                    self.snoozed = 0;
                    self.chosen();
                    for row in self.rows.iter_mut().filter(|row| row.letter == 'q') {
                        (row.now, row.not_before) = (true, 0);
                    }
                    if self.phase == 's' {
                        self.desk();
                    }
                    self.rows.iter_mut().for_each(|row| row.post = true);
                }
            }
            "snooze" => {
                let Op::Snooze(minutes) = op else { unreachable!() };
                if self.any("q") {
                    self.snoozed = self.snoozed.max(clock + minutes);
                    for row in self.rows.iter_mut().filter(|row| !"sfcx".contains(row.letter)) {
                        row.now = false;
                    }
                }
            }
            "edit qc" | "edit q" => {
                if !cell[5..].contains(self.rows[i].letter) {
                    return false;
                }
                let row = &mut self.rows[i];
                (row.post, row.edited, row.outdated) = (true, matches!(op, Op::Edit(_)), false);
            }
            "rest" | "full" | "back" => {
                if cell == "back" && self.gone {
                    return false;
                }
                for row in self.rows.iter_mut().filter(|row| row.letter == 'c') {
                    (row.letter, row.now, row.not_before, row.attempts) = ('q', false, 0, 0);
                }
                self.desk();
                if cell == "full" || self.end.is_none() {
                    self.grow(clock + WINDOW);
                }
                self.grow(clock + GRACE);
            }
            "sent" | "again" | "cancel" => {
                if !"uwf".contains(self.rows[i].letter) {
                    return false;
                }
                let stopped = self.stopped();
                let row = &mut self.rows[i];
                (row.lost, row.now, row.not_before, row.attempts) = (false, false, 0, 0);
                row.letter = match cell {
                    "sent" => 's',
                    _ if stopped => 'c',
                    _ => 'q',
                };
                if row.letter == 'q' {
                    row.not_before = seconds + GRACE * 60;
                }
            }
            "anew" | "after" => {
                let Op::Change(verdict) = op else { unreachable!() };
                // A withdrawn one that never was on the desk comes back as what it was, known or ignored.
                let never_shown = self.phase == 'w' && self.end.is_none();
                if self.phase != 'k' && self.phase != 'e' && !never_shown {
                    self.verdict = self.verdict.max(*verdict);
                }
                self.lapse();
                self.reword();
                if cell == "anew" {
                    self.settled = self.settled.max((clock + 30).min(180));
                    self.grow(self.settled + WINDOW);
                    self.grow(clock + GRACE);
                }
            }
            "ignore" => {
                self.verdict = VerdictKind::Ignore;
                self.lapse();
                self.cancel();
                self.phase = 'i';
            }
            "reconsider" => {
                let Op::Change(verdict) = op else { unreachable!() };
                (self.verdict, self.ask) = (*verdict, true);
                for row in self.rows.iter_mut().filter(|row| row.letter == 'c') {
                    (row.letter, row.now, row.not_before, row.attempts) = ('q', false, 0, 0);
                }
                self.lapse();
                self.reword();
                self.desk();
                self.settled = clock;
                self.grow(clock + WINDOW);
                self.grow(clock + GRACE);
            }
            "grace" => {
                if self.any("q") {
                    self.grow(clock + GRACE);
                }
            }
            "expire" => {
                let asks = (self.ask || self.verdict == VerdictKind::Ask) && !self.approved && self.any("q");
                if !asks || clock < self.end.unwrap().max(self.snoozed) + 7 * 24 * 60 {
                    return false;
                }
                if !self.any("gwsufrx") {
                    self.phase = 'e';
                }
                self.cancel();
            }
            other => panic!("no such cell: {other}"),
        }
        true
    }

    fn chosen(&mut self) {
        self.rows.iter_mut().filter(|row| row.letter == 'q').for_each(|row| row.outdated = false);
    }

    fn delete(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.letter == 's') {
            (row.letter, row.attempts, row.not_before) = ('r', 0, 0);
        }
    }
}

/// The code, driven by the same words.
struct Real {
    item: Item,
    clock: i64,
    texts: u32,
}

impl Real {
    fn new(known: bool, verdict: VerdictKind) -> Self {
        let sight = Sight {
            number: 42,
            kind: "announcement".into(),
            origin: origin(),
            verdict: Verdict { verdict, ..Verdict::default() },
            accounts: ACCOUNTS.map(str::to_owned).to_vec(),
            known,
            ask: None,
        };
        Real { item: first_sighting(sight, &rules(&settings(), 0)), clock: 0, texts: 0 }
    }

    fn posts(&mut self) -> BTreeMap<String, Post> {
        self.texts += 1;
        ACCOUNTS.iter().map(|name| ((*name).to_owned(), post(&format!("text {}", self.texts)))).collect()
    }

    fn event(&mut self, event: Event) -> bool {
        let hold = settings();
        // Giving up has its own tests; here it would hide what else can happen.
        let rules = Rules { give_up: Duration::from_secs(1 << 31), ..rules(&hold, self.clock) };
        happen(&self.item, event, &rules).map(|applied| self.item = applied.item).is_ok()
    }

    fn act(&mut self, done: Act) -> bool {
        let hold = settings();
        act(&self.item, &done, "web:alice", &rules(&hold, self.clock)).map(|applied| self.item = applied.item).is_ok()
    }

    fn apply(&mut self, op: &Op) -> bool {
        let name = |i: &usize| ACCOUNTS[*i].to_owned();
        match op {
            Op::Veto => self.act(Act::Veto),
            Op::Skip(i) => self.act(Act::Skip { account: name(i) }),
            Op::Approve => self.act(Act::Approve),
            Op::Now => {
                let posts = self.posts();
                self.act(Act::ApproveNow { posts })
            }
            Op::Snooze(minutes) => self.act(Act::Snooze { until: super::cells::at(self.clock + minutes) }),
            Op::Edit(i) => {
                let post = self.posts()[ACCOUNTS[*i]].clone();
                self.act(Act::Edit { account: name(i), post })
            }
            Op::Reset(i) => {
                let post = self.posts()[ACCOUNTS[*i]].clone();
                self.act(Act::Reset { account: name(i), post })
            }
            Op::Reinstate => {
                let posts = self.posts();
                self.act(Act::Reinstate { posts })
            }
            Op::Retract => self.act(Act::Retract),
            Op::ResolveSent(i) => {
                let (url, id) = ("https://social.example/2".to_owned(), Some("2".to_owned()));
                self.act(Act::ResolveSent { account: name(i), url, id })
            }
            Op::ResolveNotSent(i) => self.act(Act::ResolveNotSent { account: name(i) }),
            Op::Settle => {
                let posts = self.posts();
                self.event(Event::Settle { posts })
            }
            Op::Change(verdict) => {
                let posts = self.posts();
                let verdict = Verdict { verdict: *verdict, ..Verdict::default() };
                let at = super::cells::at(self.clock);
                self.event(Event::Changed { origin: 0, found: Box::default(), posts, verdict, at })
            }
            Op::Gone => self.event(Event::GoneAt { origin: 0, why: "deleted".into() }),
            Op::Back => self.event(Event::BackAt { origin: 0, found: Box::default() }),
            Op::Outage => self.event(Event::OutageGrace),
            Op::Expire => self.event(Event::Expire),
            Op::Claim(i) => {
                let key = self.item.deliveries[ACCOUNTS[*i]].key.clone().unwrap_or_else(|| format!("k{}", self.texts));
                self.event(Event::Claimed { account: name(i), key })
            }
            Op::Answer(i, answer) => {
                let reason = String::new();
                let result = match answer {
                    Reply::Ok => Ok(published()),
                    Reply::Retry => Err(SendError::Retry { after: None, reason }),
                    Reply::Refused => Err(SendError::Refused { reason }),
                    Reply::Locked => Err(SendError::Locked { reason }),
                    Reply::Lost => Err(SendError::Unsure { reason }),
                };
                self.event(Event::Outcome { account: name(i), result, jitter: 0.0 })
            }
            Op::Crash => {
                for account in ACCOUNTS {
                    self.event(Event::LeftOver { account: account.to_owned() });
                }
                true
            }
            Op::Found(i) => self.event(Event::ReadBack { account: name(i), answer: ReadBack::Found(published()) }),
            Op::AbsentTwice(i) => {
                let mut read = |minutes| {
                    self.clock += minutes;
                    self.event(Event::ReadBack { account: name(i), answer: ReadBack::Absent })
                };
                let first = read(3);
                // Where a first reading was kept from before, that one already was the second.
                let second = read(3);
                first || second
            }
            Op::Deleted(i, ok) => {
                let result = if *ok { Ok(()) } else { Err(SendError::Refused { reason: "no".into() }) };
                self.event(Event::Retracted { account: name(i), result, jitter: 0.0 })
            }
            Op::Clock(minutes) => {
                self.clock += minutes;
                true
            }
        }
    }
}

fn published() -> Published {
    Published { id: Some("1".into()), url: Some("https://social.example/1".into()), warnings: Vec::new() }
}

fn start() -> impl Strategy<Value = (bool, VerdictKind)> {
    prop_oneof![
        8 => Just((false, VerdictKind::Hold)),
        2 => Just((false, VerdictKind::Ask)),
        1 => Just((false, VerdictKind::Ignore)),
        1 => Just((true, VerdictKind::Hold)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_code_does_what_the_tables_say((known, verdict) in start(), ops in ops()) {
        let (mut model, mut real) = (Model::new(known, verdict), Real::new(known, verdict));
        for (step, op) in ops.iter().enumerate() {
            let before = model.shown();
            let (said, did) = (model.apply(op), real.apply(op));
            prop_assert_eq!(said, did, "step {}: {:?} in {} {:?}", step, op, before, model);
            prop_assert_eq!(model.shown(), shown(&real.item), "step {}: {:?} in {}", step, op, before);
            let end = model.end.map(super::cells::at);
            prop_assert_eq!(end, real.item.window_end, "step {}: {:?} in {}", step, op, before);
        }
    }

    #[test]
    fn promise_01_nothing_leaves_before_its_window_unless_approved_for_now(
        (known, verdict) in start(), ops in ops(),
    ) {
        let mut real = Real::new(known, verdict);
        // Who may leave before its time: from an accepted approval for now until anything takes it back.
        let mut for_now = false;
        for op in &ops {
            let before = real.item.clone();
            let done = real.apply(op);
            prop_assert!(real.item.window_end >= before.window_end, "{:?} made the window shorter", op);
            match op {
                Op::Now if done => for_now = true,
                Op::Change(_) | Op::Veto | Op::Retract | Op::Gone if done => for_now = false,
                // Where nothing is queued any more it changes nothing, and says so.
                Op::Snooze(_) if done && real.item != before => for_now = false,
                Op::Claim(_) if done => {
                    let passed = before.window_end.is_some_and(|end| super::cells::at(real.clock) >= end);
                    prop_assert!(passed || for_now, "claimed early");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn promise_02_after_a_veto_nothing_is_claimed_until_it_is_reinstated(
        (known, verdict) in start(), ops in ops(),
    ) {
        let mut real = Real::new(known, verdict);
        let mut stopped = known;
        for op in &ops {
            let done = real.apply(op);
            match op {
                Op::Veto if done => stopped = true,
                // Retracting what is wholly out stops nothing: there is nothing left to stop.
                Op::Retract if done && real.item.state() == State::Vetoed => stopped = true,
                Op::Reinstate if done => stopped = false,
                Op::Claim(_) => prop_assert!(!(stopped && done), "claimed after a veto"),
                _ => {}
            }
        }
    }

    #[test]
    fn promise_03_no_second_claim_without_an_answer_a_reading_or_the_same_key(
        (known, verdict) in start(), ops in ops(),
    ) {
        let mut real = Real::new(known, verdict);
        // The key and text of a request that may have been taken, while nothing has accounted for it.
        let mut open: [Option<(Option<String>, Option<String>)>; 3] = Default::default();
        for op in &ops {
            let done = real.apply(op);
            match op {
                Op::Claim(i) if done => {
                    let delivery = &real.item.deliveries[ACCOUNTS[*i]];
                    let this = (delivery.key.clone(), delivery.sent_text.clone());
                    prop_assert!(this.0.is_some() && this.1.is_some());
                    if let Some(before) = &open[*i] {
                        prop_assert_eq!(before, &this, "another post while the first may be out");
                    }
                    open[*i] = Some(this);
                }
                // What the answer to a repeat says of the first request is judged by the state it leaves.
                Op::Answer(i, _) | Op::Found(i) | Op::AbsentTwice(i) | Op::ResolveSent(i) | Op::ResolveNotSent(i)
                    if done =>
                {
                    let was_lost = real.item.deliveries[ACCOUNTS[*i]].lost.is_some();
                    if !was_lost {
                        open[*i] = None;
                    }
                }
                _ => {}
            }
        }
    }
}
