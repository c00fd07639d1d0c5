//! Times `clearurls` on the links of `../links.txt`, with its own rules: `./run.sh`.
use std::hint::black_box;
use std::time::{Duration, Instant};

use clearurls::UrlCleaner;

const LINKS: &str = include_str!("../../links.txt");

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort();
    values[values.len() / 2]
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

fn main() {
    let (before, began) = (resident(), Instant::now());
    let cleaner = UrlCleaner::from_embedded_rules().unwrap();
    println!("| `clearurls` 0.0.7: its rules are read | {:.1} ms | |", began.elapsed().as_secs_f64() * 1e3);
    let medians: Vec<Duration> = LINKS
        .lines()
        .map(|link| {
            for _ in 0..200 {
                drop(black_box(cleaner.clear_single_url_str(link)));
            }
            let times = (0..2_000).map(|_| {
                let began = Instant::now();
                drop(black_box(cleaner.clear_single_url_str(link)));
                began.elapsed()
            });
            median(times.collect())
        })
        .collect();
    let micros = |time: Duration| format!("{:.1} µs", time.as_secs_f64() * 1e6);
    let slowest = medians.iter().max().copied().unwrap_or_default();
    println!("| `clearurls` 0.0.7, one link: median of ten, the slowest | {}, {} | |", micros(median(medians)), micros(slowest));
    println!("| memory of its rules | {:.1} MiB | |", resident() - before);
}
