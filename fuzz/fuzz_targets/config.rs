//! The configuration, and the small languages inside it.
#![no_main]

use std::collections::BTreeSet;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use oyez::config::{Config, Env, duration, rate};
use oyez::hold;

const CENTURY: Duration = Duration::from_secs(100 * 366 * 86_400);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(length) = duration(text) {
        assert!(length <= CENTURY, "{length:?}");
    }
    if let Ok(rate) = rate(text) {
        assert!(rate.count > 0);
    }
    // Files named in it are not opened.
    if text.contains("file") || text.contains("credential") {
        return;
    }
    match Config::parse(text, "oyez.toml", &Env::default().without_secrets()) {
        Ok(parsed) => {
            let config = parsed.config;
            let names: BTreeSet<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
            assert_eq!(names.len(), config.sources.len(), "two sources of one name");
            let names: BTreeSet<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
            assert_eq!(names.len(), config.accounts.len(), "two accounts of one name");
            oyez::app::compile_policy(&config).expect("it was checked");
            // What was let in must not upset the arithmetic of times.
            let now = "2026-11-06T12:00:00Z".parse().expect("a time");
            let settled = hold::settled_at(now, now, &config.hold.base);
            let end = hold::window_end(settled, config.hold.base.window);
            assert!(end >= now);
            let graced = hold::with_grace(end, now, &config.hold.base, &config.service.time_zone);
            assert!(graced >= end);
            for account in &config.accounts {
                let _ = hold::pacing(&config.hold, "announcement", account).is_free();
            }
        }
        Err(errors) => {
            assert!(!errors.errors.is_empty());
            let lines = text.lines().count().max(1) + 1;
            for error in &errors.errors {
                assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)), "{error:?} of {lines} lines");
                assert!(!error.message.is_empty());
            }
            assert!(!errors.to_string().is_empty());
        }
    }
});
