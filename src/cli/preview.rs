//! `oyez preview`: what would be posted, without a store and without a running service.
use std::io::Read;
use std::path::Path;

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
use crate::policy::{Fields, Policy};
use crate::render::Templates;
use crate::source::document;
use crate::wording;

/// In bytes: the largest capture of a real catalogue is a tenth of it.
const MAX_DOCUMENT: u64 = 16 << 20;

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
    let templates = app::load_templates(config).map_err(|problems| Failure::usage(problems.to_string(), None))?;
    let policy = app::compile_policy(config).map_err(|problems| Failure::usage(problems.to_string(), None))?;
    let found = match (url, file) {
        (Some(url), _) => runtime()?.block_on(fetch(config, url))?,
        (None, Some(file)) => {
            let (bytes, name) = read(file)?;
            document::recognise(&bytes, name.as_deref())
                .map_err(|error| Failure::failed(format!("cannot preview `{}`: {error}", file.display()), None))?
        }
        (None, None) => unreachable!("clap asks for one of the two"),
    };
    for found in found {
        let document = preview(&found, config, &policy, &templates, account);
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

async fn fetch(config: &Config, url: &Url) -> anyhow::Result<Vec<Found>> {
    let http = Http::new(&config.network, config.service.contact.as_deref())?;
    document::fetch(&http, url, &config.sources, SystemClock::new().now())
        .await
        .map_err(|error| Failure::failed(format!("cannot preview `{url}`: {error}"), None).into())
}

/// One object of `oyez preview --json`.
fn preview(found: &Found, config: &Config, policy: &Policy, templates: &Templates, only: Option<&str>) -> Value {
    // The kind is what the source that would have heard it says; without one, what the thing looks like.
    let source = document::source_of(found, &config.sources);
    let kind = source.map_or_else(|| document::usual_kind(found).to_owned(), |source| source.kind.clone());
    let verdict = policy.evaluate(&Fields::new(found, source.map_or("", |s| s.name.as_str()), &kind));
    let mark = source.and_then(|source| source.mark.as_deref());
    let mut posts = Vec::new();
    for account in config.accounts.iter().filter(|a| only.map_or(a.takes(&kind), |name| a.name == name)) {
        match wording::word_found(found, &kind, mark, account, templates, &wording::usual_limits(account)) {
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
        "links": wording::links(found),
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
    for link in document["links"].as_array().into_iter().flatten().filter(|link| link["refused"].is_string()) {
        out.line(format_args!("refused link: {}: {}", text(&link["input"]), text(&link["refused"])))?;
    }
    out.line("")
}
