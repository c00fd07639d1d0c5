//! `oyez preview`: what would be posted, without a store and without a running service.
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};
use url::Url;

use super::{Out, runtime, view};
use crate::acts::{Failure, found_object, post_object};
use crate::app;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Parsed};
use crate::http::Http;
use crate::item::{Found, Visibility};
use crate::link::rewrite::Opened;
use crate::policy::Fields;
use crate::source::document;
use crate::wording::{self, Wording};

/// In bytes: the largest capture of a real catalogue is a tenth of it.
const MAX_DOCUMENT: u64 = 16 << 20;

/// Links that are opened for one preview.
const MOST_LINKS: usize = 20;

pub(super) fn run(
    parsed: Parsed,
    url: Option<&Url>,
    file: Option<&Path>,
    account: Option<&str>,
    out: &mut Out,
) -> anyhow::Result<()> {
    let config = &parsed.config;
    if let Some(name) = account
        && config.account(name).is_none()
    {
        let names: Vec<_> = config.accounts.iter().map(|a| a.name.as_str()).collect();
        return Err(Failure::usage(
            format!("there is no account `{name}`"),
            Some(format!("accounts: {}", names.join(", "))),
        )
        .into());
    }
    let config = Arc::new(config.clone());
    let config = &config;
    let mut rulebook = app::load_rulebook(config).map_err(|problems| Failure::usage(problems.to_string(), None))?;
    if let Some(url) = url {
        rulebook.linker.trust(url);
    }
    let wording = Wording::new(Arc::clone(config), rulebook);
    // A saved document is looked at without the network.
    let mut known = BTreeMap::new();
    let found = match (url, file) {
        (Some(url), _) => {
            let (found, shorts) = runtime()?.block_on(fetch(config, url, &wording))?;
            known = shorts;
            found
        }
        (None, Some(file)) => {
            let (bytes, name) = read(file)?;
            document::recognise(&bytes, name.as_deref())
                .map_err(|error| Failure::failed(format!("cannot preview `{}`: {error}", file.display()), None))?
        }
        (None, None) => unreachable!("clap asks for one of the two"),
    };
    let opened = |short: &str| known.get(short).and_then(|one: &Result<Opened, String>| one.clone().ok());
    for found in found {
        let document = preview(&found, config, &wording, account, &opened);
        if out.json {
            out.line(document)?;
        } else {
            show(&document, out)?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<(Vec<u8>, Option<String>)> {
    let mut bytes = Vec::new();
    let name = if file == Path::new("-") {
        std::io::stdin().take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).context("cannot read stdin")?;
        None
    } else {
        let reader = std::fs::File::open(file).with_context(|| format!("cannot open `{}`", file.display()))?;
        reader
            .take(MAX_DOCUMENT + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read `{}`", file.display()))?;
        file.file_name().map(|name| name.to_string_lossy().into_owned())
    };
    if bytes.len() as u64 > MAX_DOCUMENT {
        anyhow::bail!("the document is larger than {} MiB", MAX_DOCUMENT >> 20);
    }
    Ok((bytes, name))
}

/// What is at an address, and what the shorteners in it answered.
async fn fetch(config: &Config, url: &Url, wording: &Wording) -> anyhow::Result<(Vec<Found>, Known)> {
    let http = Http::new(&config.network, config.service.contact.as_deref())?;
    let found = document::fetch(&http, url, &config.sources, SystemClock::new().now())
        .await
        .map_err(|error| Failure::failed(format!("cannot preview `{url}`: {error}"), None))?;
    let mut known = Known::new();
    let rulebook = wording.rulebook();
    for link in found.iter().flat_map(wording::addresses).take(MOST_LINKS) {
        rulebook.linker.open(&http, link, &mut known).await;
    }
    Ok((found, known))
}

/// Shorteners that were asked, and what came of it.
type Known = BTreeMap<String, Result<Opened, String>>;

/// One object of `oyez preview --json`.
fn preview(
    found: &Found,
    config: &Config,
    wording: &Wording,
    only: Option<&str>,
    opened: &dyn Fn(&str) -> Option<Opened>,
) -> Value {
    // The kind is what the source that would have heard it says; without one, what the thing looks like.
    let source = document::source_of(found, &config.sources);
    let kind = source.map_or_else(|| document::usual_kind(found).to_owned(), |source| source.kind.clone());
    let verdict =
        wording.rulebook().policy.evaluate(&Fields::new(found, source.map_or("", |s| s.name.as_str()), &kind));
    let mark = source.and_then(|source| source.mark.as_deref());
    let mut posts = Vec::new();
    for account in config.accounts.iter().filter(|a| only.map_or(a.takes(&kind), |name| a.name == name)) {
        match wording.word_found(found, &kind, mark, account, &wording::usual_limits(account), opened) {
            Ok(post) => posts.push(post_object(&account.name, Some(account.platform()), &post)),
            Err(error) => posts.push(json!({
                "account": account.name, "platform": account.platform(), "text": null, "length": 0,
                "limit": wording::usual_limits(account).max_length, "language": null,
                "fits": false, "media": [], "card": null, "warnings": [format!("no post: {error}")],
            })),
        }
    }
    let mut document = json!({
        "item": found_object(found, &kind),
        "policy": {"verdict": verdict.verdict, "rule": verdict.rule, "because": verdict.because},
        "links": wording.links(found, opened),
        "posts": posts,
    });
    if let Visibility::Gone(why) = &found.visibility {
        document["item"]["gone"] = json!(why);
    }
    document
}

fn show(document: &Value, out: &mut Out) -> std::io::Result<()> {
    let item = &document["item"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let title = view::paint(out.color, "1", &text(&item["title"]));
    out.line(title)?;
    out.line(text(&item["url"]))?;
    if let Some(why) = item["gone"].as_str() {
        out.line(format_args!("not public: {why}; nothing would be posted"))?;
    }
    let policy = &document["policy"];
    match policy["rule"].as_str() {
        Some(rule) => out.line(format_args!(
            "policy: {} because {} (rule: {rule})",
            text(&policy["verdict"]),
            policy["because"].as_str().unwrap_or("the rule says so")
        ))?,
        None => out.line(format_args!("policy: {}", text(&policy["verdict"])))?,
    }
    for post in document["posts"].as_array().into_iter().flatten() {
        out.line("")?;
        let head = view::paint(out.color, "1", &format!("{} ({})", text(&post["account"]), text(&post["platform"])));
        out.line(head)?;
        view::post_lines(out, post)?;
    }
    let is_changed =
        |link: &&Value| link["input"] != link["output"] || link["flags"].as_array().is_some_and(|f| !f.is_empty());
    let mut changed = document["links"].as_array().into_iter().flatten().filter(is_changed).peekable();
    if changed.peek().is_some() {
        out.line("")?;
        out.line(view::paint(out.color, "1", "links"))?;
    }
    for link in changed {
        out.line(view::link(link))?;
    }
    out.line("")
}
