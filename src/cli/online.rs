//! What `oyez check --online` and `oyez init` ask of the network.
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use url::Url;

use super::{Out, view};
use crate::acts::Failure;
use crate::app;
use crate::check::Finding;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Env, init as written};
use crate::http::Http;
use crate::link::rewrite::nothing_opened;
use crate::source::PollContext;

/// Topics shown by `oyez init`.
const SHOWN: usize = 5;

/// Asks every source and every account: tried, got, do this. Posts nothing.
pub(super) async fn check(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let http = Http::new(&config.network, config.service.contact.as_deref())?;
    let clock = SystemClock::new();
    let mut findings = Vec::new();
    for source in config.sources.iter().filter(|source| source.enabled) {
        let tried = format!("source {}", source.name);
        let context = PollContext {
            now: clock.now(),
            memory: &Value::Null,
            known: &|_| false,
            contacted: &|_| false,
            http: &http,
        };
        findings.push(
            match match app::source(source) {
                Ok(source) => source.poll(&context).await,
                Err(error) => Err(error),
            } {
                Ok(polled) => match polled.sightings.first() {
                    Some(newest) => {
                        Finding::fine(tried, format!("{} shown, newest: {}", polled.sightings.len(), newest.title))
                    }
                    None => Finding::warning(
                        tried,
                        "it answers, but shows nothing",
                        Some("is the category or channel the right one?"),
                    ),
                },
                Err(error) => Finding::error(
                    tried,
                    error.to_string(),
                    Some("open its address in a browser; mend `url`, `category`, or wait"),
                ),
            },
        );
    }
    for account in config.accounts.iter().filter(|account| account.enabled) {
        let tried = format!("account {}", account.name);
        let platform = app::platform(account, &http);
        findings.push(match platform.identity().await {
            Ok(who) => {
                let limits = platform.limits(clock.now()).await;
                Finding::fine(tried, format!("{who}, posts of up to {}", limits.max_length))
            }
            Err(error) => Finding::error(tried, error.to_string(), Some("mend the address or the token")),
        });
    }
    Ok(findings)
}

/// Writes the configuration and shows what would be posted for the newest topics.
pub(super) async fn init(url: &Url, output: &Path, out: &mut Out) -> anyhow::Result<()> {
    let (forum, category) = written::category_of(url).map_err(|why| Failure::usage(format!("`{url}`: {why}"), None))?;
    let text = written::render(&forum, &category, "announcements");
    let to_stdout = output == Path::new("-");
    if !to_stdout && output.exists() {
        return Err(Failure::usage(
            format!("`{}` is there already", output.display()),
            Some("write elsewhere with --output FILE, or `--output -` for stdout".into()),
        )
        .into());
    }
    let config = Config::parse(&text, "the new configuration", &Env::of_process())
        .map_err(|errors| anyhow::anyhow!("{errors}"))?
        .config;
    // Asked before anything is written: an address that leads nowhere should leave no file behind.
    let http = Http::new(&config.network, None)?;
    let clock = SystemClock::new();
    let source = app::source(&config.sources[0])?;
    let context =
        PollContext { now: clock.now(), memory: &Value::Null, known: &|_| false, contacted: &|_| false, http: &http };
    let polled = source.poll(&context).await.map_err(|error| {
        Failure::failed(
            format!("cannot read the category `{url}`: {error}"),
            Some("is it public? open it in a browser without logging in".into()),
        )
    })?;
    if to_stdout {
        out.line(text)?;
        return Ok(());
    }
    std::fs::write(output, text).with_context(|| format!("cannot write `{}`", output.display()))?;
    if out.json {
        out.line(serde_json::json!({"written": output, "topics": polled.sightings.len()}))?;
        return Ok(());
    }
    out.line(format_args!("{} is written. The newest topics would be posted like this:\n", output.display()))?;
    let config = Arc::new(config);
    let wording = app::load_wording(&config).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let mut sightings = polled.sightings;
    sightings.sort_by_key(|sighting| std::cmp::Reverse(sighting.published));
    for sighting in sightings.into_iter().take(SHOWN) {
        let asked = crate::item::Found { key: sighting.key.clone(), url: sighting.url.clone(), ..Default::default() };
        let found = match sighting.full {
            Some(found) => found,
            None => match source.read(&http, &asked, clock.now()).await {
                Ok(crate::source::Reread::Present(found)) => *found,
                Ok(crate::source::Reread::Gone(_) | crate::source::Reread::Unknown) => continue,
                Err(error) => {
                    out.line(format_args!("{}: cannot be read: {error}", sighting.title))?;
                    continue;
                }
            },
        };
        let account = &config.accounts[0];
        let limits = crate::wording::usual_limits(account);
        match wording.word_found(&found, "announcement", None, account, &limits, &nothing_opened) {
            Ok(post) => {
                let head = view::paint(out.color, "1", &found.title);
                out.line(head)?;
                view::post_lines(out, &crate::acts::post_object(&account.name, Some(account.platform()), &post))?;
            }
            Err(error) => out.line(format_args!("{}: no post: {error}", found.title))?,
        }
        out.line("")?;
    }
    out.line("Nothing was posted. Next: `oyez check --online`, then `oyez run`.")?;
    Ok(())
}
