//! The campaign of faults: the real program between a pretend forum and a pretend network, and everything that can break
//! between them, in it and under it. `cargo test` runs the quick part; `docs/reliability.md` has the long one.
//!
//! A test target without libtest, because a campaign has arguments (`--seed`, `--kills`, `--items`) and one table as its
//! result. Words without a dash choose scenarios by a part of their name, and libtest's own flags are let pass, so that
//! `cargo test something` works as everywhere.
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::print_stderr, reason = "progress")]
#[path = "../it/program.rs"]
#[allow(dead_code, reason = "shared with the other tests; the campaign starts the program in its own way")]
mod program;

mod damage;
mod power;
mod scenarios;
mod shim;
mod wire;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use clap::Parser;
use world::Outcome;

/// cargo test --test faults -- [OPTIONS] [NAME]...
#[derive(Debug, Parser)]
struct Args {
    /// The long part: every scenario with --items, and --kills in all.
    #[arg(long)]
    long: bool,
    /// Where chance begins.
    #[arg(long)]
    seed: Option<u64>,
    /// Kills in all, over the scenarios that kill.
    #[arg(long)]
    kills: Option<usize>,
    /// Items of each scenario.
    #[arg(long)]
    items: Option<usize>,
    /// Worlds at the same time.
    #[arg(long)]
    jobs: Option<usize>,
    /// The program to test: an installed one, say.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_oyez"))]
    program: PathBuf,
    /// Only scenarios with one of these in their name.
    names: Vec<String>,
    // libtest's.
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    no_capture: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
}

/// What every scenario is given.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) runtime: Arc<tokio::runtime::Runtime>,
    pub(crate) shim: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) long: bool,
    pub(crate) items: usize,
    pub(crate) kills: usize,
    pub(crate) seed: u64,
}

/// What a scenario tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) outcome: Outcome,
    /// What was done to it, counted.
    pub(crate) faults: BTreeMap<&'static str, usize>,
    /// Where it was killed.
    pub(crate) sites: BTreeSet<String>,
}

impl Row {
    pub(crate) fn of(outcome: Outcome, faults: &[(&'static str, usize)]) -> Self {
        Self { outcome, faults: faults.iter().copied().collect(), sites: BTreeSet::new() }
    }
}

type Run = Box<dyn Fn(&Stage) -> Row + Send + Sync>;

/// One world of a scenario. Those with one name are one line of the table.
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) settings: &'static str,
    pub(crate) run: Run,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let dir = tempfile::tempdir().unwrap();
    let Some(shim) = shim::compile(dir.path()) else {
        println!("faults: skipped, there is no C compiler (`cc`) for the layer under the program");
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stage = Stage {
        runtime: Arc::new(runtime),
        shim,
        program: args.program,
        long: args.long,
        items: args.items.unwrap_or(if args.long { 1000 } else { 12 }),
        kills: args.kills.unwrap_or(if args.long { 1000 } else { 90 }),
        seed: args.seed.unwrap_or_else(rand::random),
    };
    let wanted = |job: &Job| {
        let named = args.names.is_empty() || args.names.iter().any(|name| job.name.contains(name.as_str()));
        named && !args.skip.iter().any(|name| job.name.contains(name.as_str()))
    };
    let jobs: Vec<Job> = scenarios::all(&stage).into_iter().filter(wanted).collect();
    if args.list {
        for job in &jobs {
            println!("{}: test", job.name);
        }
        return ExitCode::SUCCESS;
    }
    if jobs.is_empty() || args.ignored {
        return ExitCode::SUCCESS;
    }
    eprintln!("faults: --seed {} --kills {} --items {}", stage.seed, stage.kills, stage.items);
    let results = run(&jobs, &stage, args.jobs.unwrap_or(6));
    table(&jobs, &results)
}

/// A scenario's result: what it tells and how long it took, or why it failed.
type Result = std::result::Result<(Row, f64), String>;

fn run(jobs: &[Job], stage: &Stage, at_once: usize) -> Vec<Result> {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    let results: Vec<Mutex<Option<Result>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((job, result)) = {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(n).zip(results.get(n))
                } {
                    let start = Instant::now();
                    let row = catch_unwind(AssertUnwindSafe(|| (job.run)(stage)));
                    let seconds = start.elapsed().as_secs_f64();
                    let row = row.map(|row| (row, seconds)).map_err(|panic| {
                        let words = panic.downcast_ref::<String>().cloned();
                        words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
                    });
                    let how = if row.is_ok() { "over" } else { "FAILED" };
                    eprintln!("[{:6.1}s] {how}: {} ({seconds:.1}s)", begun.elapsed().as_secs_f64(), job.name);
                    *result.lock().unwrap() = Some(row);
                }
            });
        }
    });
    results.into_iter().map(|result| result.into_inner().unwrap().expect("every job ran")).collect()
}

fn table(jobs: &[Job], results: &[Result]) -> ExitCode {
    let mut lines: Vec<(&Job, Row, f64, Vec<&String>)> = Vec::new();
    for (job, result) in jobs.iter().zip(results) {
        let at = lines.iter().position(|(first, ..)| first.name == job.name).unwrap_or_else(|| {
            lines.push((job, Row::default(), 0.0, Vec::new()));
            lines.len() - 1
        });
        let (_, sum, seconds, failures) = &mut lines[at];
        match result {
            Ok((row, took)) => {
                sum.outcome.add(&row.outcome);
                for (fault, n) in &row.faults {
                    *sum.faults.entry(fault).or_default() += n;
                }
                sum.sites.extend(row.sites.iter().cloned());
                *seconds += took;
            }
            Err(why) => failures.push(why),
        }
    }
    println!("\n| scenario | settings | injected | items | delivered | twice | lost | early | vetoes kept | result |");
    println!("|---|---|---|--:|--:|--:|--:|--:|--:|---|");
    let mut sites = BTreeSet::new();
    let mut well = true;
    for (job, row, seconds, failures) in &lines {
        let o = &row.outcome;
        let good = failures.is_empty() && (o.twice, o.lost, o.early, o.vetoes_broken) == (0, 0, 0, 0);
        well &= good;
        let faults: Vec<String> = row.faults.iter().map(|(fault, n)| format!("{n} {fault}")).collect();
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {}/{} | {} ({seconds:.0} s) |",
            job.name,
            job.settings,
            faults.join(", "),
            o.items,
            o.delivered,
            o.twice,
            o.lost,
            o.early,
            o.vetoes - o.vetoes_broken,
            o.vetoes,
            if good { "ok" } else { "**FAILED**" },
        );
        sites.extend(row.sites.iter().cloned());
    }
    if !sites.is_empty() {
        println!("\nKilled at these changes of files: {}.", sites.into_iter().collect::<Vec<_>>().join("; "));
    }
    for (job, _, _, failures) in &lines {
        for why in failures {
            println!("\n{}: {why}", job.name);
        }
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
