//! How answers look to people: tables, times in their zone, colour on a terminal. With `--json` the documents pass as they are.
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Out;
use crate::check::{Finding, Severity};

/// Which answer is being shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View {
    Queue { all: bool },
    Show,
    Acted { act: &'static str },
    Log,
    Verified,
    Backup,
}

/// A view in the course of showing documents.
pub(crate) struct Shown {
    view: View,
    zone: TimeZone,
    count: usize,
    /// What goes under the queue: it is about no item.
    troubles: Vec<String>,
}

impl View {
    /// With times in this zone.
    pub(crate) fn within(self, zone: TimeZone) -> Shown {
        Shown { view: self, zone, count: 0, troubles: Vec::new() }
    }
}

impl Shown {
    pub(crate) fn document(&mut self, out: &mut Out, document: Value) -> std::io::Result<()> {
        if let Some(trouble) = document["trouble"].as_str() {
            if out.json {
                // In JSON every line of a queue is an item, so these stand where errors do, in their form.
                complain(&json!({"error": trouble, "hint": null, "since": document["since"]}));
            } else {
                self.troubles.push(trouble.to_owned());
            }
            return Ok(());
        }
        self.count += 1;
        if out.json {
            return out.line(document);
        }
        match self.view {
            View::Queue { .. } => self.queue_row(out, &document),
            View::Show => self.item(out, &document),
            View::Acted { act } => self.acted(out, &document, act),
            View::Log => self.entry(out, &document, ""),
            View::Verified => out.line(format_args!(
                "the journal is unaltered: {} entries, head {}",
                document["entries"],
                string(&document["head"])
            )),
            View::Backup => out.line(format_args!("a copy of the store is in {}", string(&document["backup"]))),
        }
    }

    pub(crate) fn end(&self, out: &mut Out) -> std::io::Result<()> {
        if self.count == 0 && !out.json {
            match self.view {
                View::Queue { all: true } => out.line("there are no items yet")?,
                View::Queue { all: false } => out.line("nothing is held (`oyez queue --all` shows everything)")?,
                View::Log => out.line("the journal is empty")?,
                View::Show | View::Acted { .. } | View::Verified | View::Backup => {}
            }
        }
        for trouble in &self.troubles {
            let line = paint(out.color, RED, &format!("! {trouble}"));
            out.line(line)?;
        }
        Ok(())
    }

    fn time(&self, value: &Value) -> String {
        value.as_str().and_then(|text| text.parse::<Timestamp>().ok()).map_or_else(
            || "-".to_owned(),
            |at| at.to_zoned_datetime(self.zone.clone()).strftime("%a %d %b %H:%M").to_string(),
        )
    }

    fn queue_row(&self, out: &mut Out, item: &Value) -> std::io::Result<()> {
        if self.count == 1 {
            let head = format!("{:>5}  {:<10}  {:<16}  {}", "", "STATE", "LEAVES", "TITLE");
            out.line(paint(out.color, DIM, &head))?;
        }
        let state = string(&item["state"]);
        let leaves = match () {
            () if item["needs_approval"] == true && matches!(state.as_str(), "settling" | "held" | "publishing") => {
                "needs approval".to_owned()
            }
            () if item["of"].is_u64() => format!("is #{}", item["of"]),
            () => self.time(&item["until"]),
        };
        let color = match state.as_str() {
            "held" | "settling" => YELLOW,
            "publishing" => BLUE,
            "done" => GREEN,
            "vetoed" | "withdrawn" | "expired" => RED,
            _ => DIM,
        };
        let attention = if item["attention"] == true { paint(out.color, RED, "! ") } else { String::new() };
        out.line(format_args!(
            "{:>5}  {}  {:<16}  {}{}",
            item["number"].to_string(),
            paint(out.color, color, &format!("{state:<10}")),
            leaves,
            attention,
            cut(&title(item), 72)
        ))?;
        for delivery in item["deliveries"].as_array().into_iter().flatten() {
            if let Some(error) = delivery["error"].as_str() {
                let tried = match delivery["attempts"].as_u64() {
                    None | Some(0) => String::new(),
                    Some(1) => " after 1 attempt".to_owned(),
                    Some(attempts) => format!(" after {attempts} attempts"),
                };
                let (account, state) = (string(&delivery["account"]), string(&delivery["state"]));
                // Whole: what has to be done often stands at its end.
                for row in fold(&format!("{account}: {state}{tried}: {}", crate::text::one_line(error)), 100) {
                    out.line(format_args!("{:>19}{row}", ""))?;
                }
            } else if matches!(delivery["state"].as_str(), Some("unsure" | "failed")) {
                out.line(format_args!("{:>19}{}: {}", "", string(&delivery["account"]), string(&delivery["state"])))?;
            }
        }
        for alarm in item["alarms"].as_array().into_iter().flatten() {
            out.line(format_args!("{:>19}{}", "", string(alarm)))?;
        }
        Ok(())
    }

    fn item(&self, out: &mut Out, item: &Value) -> std::io::Result<()> {
        let found = &item["item"];
        out.line(format_args!("{} {}", paint(out.color, BOLD, &format!("#{}", item["number"])), title(item)))?;
        out.line(string(&item["url"]))?;
        let mut facts = vec![string(&item["state"]), string(&item["kind"])];
        if let Some(author) = found["author"].as_str() {
            facts.push(format!("by {author}"));
        }
        facts.push(format!("from {}", list(&item["origins"])));
        out.line(facts.join(" · "))?;
        for (label, key) in [
            ("first seen", "first_seen"),
            ("settled", "settled"),
            ("window ends", "window_end"),
            ("leaves", "until"),
            ("snoozed to", "snoozed"),
        ] {
            if item[key].is_string() {
                out.line(format_args!("{label:<12} {}", self.time(&item[key])))?;
            }
        }
        let policy = &item["policy"];
        if let Some(rule) = policy["rule"].as_str() {
            out.line(format_args!(
                "{:<12} {} because {} (rule: {rule})",
                "policy",
                string(&policy["verdict"]),
                policy["because"].as_str().unwrap_or("the rule says so")
            ))?;
        }
        if item["needs_approval"] == true {
            let why = item["ask"].as_str().unwrap_or("the policy asks");
            out.line(paint(out.color, YELLOW, &format!("needs approval: {why}")))?;
        }
        for alarm in item["alarms"].as_array().into_iter().flatten() {
            out.line(paint(out.color, RED, &format!("! {}", string(alarm))))?;
        }
        for link in item["links"].as_array().into_iter().flatten() {
            let fate = match link["refused"].as_str() {
                Some(refused) => format!(" (refused: {refused})"),
                None if link["kept"] == true => " (kept)".to_owned(),
                None => String::new(),
            };
            out.line(format_args!("{:<12} {}{fate}", "link", string(&link["input"])))?;
            for step in link["steps"].as_array().into_iter().flatten() {
                out.line(format_args!("{:<12}   {} -> {}", "", string(&step["kind"]), string(&step["to"])))?;
                out.line(format_args!("{:<12}     {}", "", string(&step["why"])))?;
            }
            for flag in link["flags"].as_array().into_iter().flatten() {
                out.line(format_args!("{:<12}   ! {}", "", string(flag)))?;
            }
        }
        for delivery in item["deliveries"].as_array().into_iter().flatten() {
            out.line("")?;
            let account = string(&delivery["account"]);
            let mut head = format!("{account}: {}", string(&delivery["state"]));
            if delivery["state"] == "queued" && delivery["not_before"].is_string() {
                head.push_str(&format!(", leaves {}", self.time(&delivery["not_before"])));
            }
            if let Some(url) = delivery["url"].as_str() {
                head.push_str(&format!(", {url}"));
            }
            out.line(paint(out.color, BOLD, &head))?;
            if let Some(error) = delivery["error"].as_str() {
                out.line(format_args!("  last error: {error}"))?;
            }
            if let Some(post) = item["posts"].as_array().into_iter().flatten().find(|post| post["account"] == account) {
                self.post(out, post)?;
            }
        }
        out.line("")?;
        for entry in item["journal"].as_array().into_iter().flatten() {
            self.entry(out, entry, "  ")?;
        }
        Ok(())
    }

    fn post(&self, out: &mut Out, post: &Value) -> std::io::Result<()> {
        post_lines(out, post)
    }

    fn acted(&self, out: &mut Out, item: &Value, act: &str) -> std::io::Result<()> {
        let done = if item["changed"] == false { "nothing to change" } else { act };
        let until =
            if item["until"].is_string() { format!(", leaves {}", self.time(&item["until"])) } else { String::new() };
        out.line(format_args!(
            "{} {}: {}{}  {}",
            paint(out.color, BOLD, &format!("#{}", item["number"])),
            done,
            match item["of"].as_u64() {
                Some(of) => format!("duplicate of #{of}"),
                None => string(&item["state"]),
            },
            until,
            cut(&title(item), 60)
        ))?;
        for late in item["too_late"].as_array().into_iter().flatten() {
            out.line(paint(
                out.color,
                RED,
                &format!(
                    "  too late for {} ({}){}: `oyez retract {}` deletes it",
                    string(&late["account"]),
                    string(&late["state"]),
                    late["url"].as_str().map(|url| format!(" {url}")).unwrap_or_default(),
                    item["number"]
                ),
            ))?;
        }
        for hint in item["hints"].as_array().into_iter().flatten() {
            out.line(format_args!("  {}", string(hint)))?;
        }
        Ok(())
    }

    fn entry(&self, out: &mut Out, entry: &Value, indent: &str) -> std::io::Result<()> {
        let item = entry["item"].as_u64().map(|n| format!(" #{n}")).unwrap_or_default();
        let mut about: Vec<String> = Vec::new();
        for key in ["account", "source", "hook"] {
            about.extend(entry[key].as_str().map(crate::text::one_line));
        }
        about.extend(entry["with"].as_u64().map(|other| format!("with #{other}")));
        about.extend(entry["known"].as_u64().map(|known| format!("{known} known")));
        if let Some(seconds) = entry["seconds"].as_u64() {
            about
                .push(format!("for {:#}", jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))));
        }
        if entry["since"].is_string() {
            about.push(format!("since {}", self.time(&entry["since"])));
        }
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        // Titles and addresses are short, and say which thing is meant; a whole post is looked at with `oyez show`.
        let text = entry["text"].as_str().map(|text| format!(" “{}”", cut(&crate::text::one_line(text), 60)));
        let url = entry["url"].as_str().map(|url| format!(" {}", crate::text::one_line(url)));
        let reason = entry["reason"]
            .as_str()
            .map(|reason| format!(": {}", cut(&self.local(&crate::text::one_line(reason)), 120)))
            .unwrap_or_default();
        out.line(format_args!(
            "{indent}{}  {:<12} {}{item}{about}{}{}{reason}",
            paint(out.color, DIM, &self.time(&entry["at"])),
            string(&entry["actor"]),
            string(&entry["what"]),
            text.unwrap_or_default(),
            url.unwrap_or_default(),
        ))
    }

    /// The moments in a sentence of the journal, as this person's clock shows them.
    fn local(&self, sentence: &str) -> String {
        let word = |word: &str| match word.parse::<Timestamp>() {
            Ok(_) => self.time(&json!(word)),
            Err(_) => word.to_owned(),
        };
        sentence.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}

/// A post framed as it would stand on the network, with its length and what should be known about it.
pub(crate) fn post_lines(out: &mut Out, post: &Value) -> std::io::Result<()> {
    framed(out, post["text"].as_str().unwrap_or_default())?;
    for media in post["media"].as_array().into_iter().flatten() {
        picture(out, media["url"].as_str(), media["alt"].as_str())?;
    }
    let mut facts = vec![format!("{} of {}", post["length"], post["limit"])];
    if let Some(language) = post["language"].as_str() {
        facts.push(format!("language {language}"));
    }
    if let Some(by) = post["edited_by"].as_str() {
        facts.push(format!("edited by {by}"));
    }
    match (post["summary"]["length"].as_u64(), post["summary"]["of"].as_u64()) {
        (Some(0), Some(of)) => facts.push(format!("nothing of the text's {of} characters")),
        (Some(length), Some(of)) if length < of => facts.push(format!("{length} of the text's {of} characters")),
        (Some(_) | None, _) => {}
    }
    out.line(paint(out.color, DIM, &format!("    {}", facts.join(" · "))))?;
    for warning in post["warnings"].as_array().into_iter().flatten() {
        out.line(format_args!("    note: {}", string(warning)))?;
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "what is wrong goes to stderr, also beside an answer")]
fn complain(document: &Value) {
    eprintln!("{document}");
}

/// A text as it would stand on the network.
pub(crate) fn framed(out: &mut Out, text: &str) -> std::io::Result<()> {
    let bar = paint(out.color, DIM, "  │ ");
    for line in text.lines() {
        for row in fold(line, 92) {
            out.line(format_args!("{bar}{row}"))?;
        }
    }
    Ok(())
}

/// A picture below it, by its address where that is still to be fetched, and what is said of it to those who cannot see it.
pub(crate) fn picture(out: &mut Out, url: Option<&str>, alt: Option<&str>) -> std::io::Result<()> {
    let bar = paint(out.color, DIM, "  │ ");
    let url = url.map(|url| format!("{url} ")).unwrap_or_default();
    let alt = alt.map_or_else(|| "no alt text".to_owned(), |alt| format!("alt: {}", cut(alt, 60)));
    out.line(format_args!("{bar}[image] {url}({alt})"))
}

/// What `oyez link` says of one link: the address, what it becomes, each step with its reason.
pub(crate) fn link(object: &Value) -> String {
    let mut text = string(&object["input"]);
    for step in object["steps"].as_array().into_iter().flatten() {
        text.push_str(&format!("\n  {} -> {}", string(&step["kind"]), string(&step["to"])));
        text.push_str(&format!("\n    {}", string(&step["why"])));
    }
    for flag in object["flags"].as_array().into_iter().flatten() {
        text.push_str(&format!("\n  ! {}", string(flag)));
    }
    match object["output"].as_str() {
        Some(output) if object["input"] == output => {}
        Some(output) => text.push_str(&format!("\n  = {output}")),
        None => text.push_str(&format!("\n  refused: {}", string(&object["refused"]))),
    }
    text
}

/// One line of `oyez run --once`.
pub(crate) fn tally(tally: &Value) -> String {
    let mut text = format!(
        "{} sources asked, {} new items ({} held, {} ignored), {} known; {} sent, {} failed, {} unsure",
        tally["polled"],
        tally["seen"],
        tally["held"],
        tally["ignored"],
        tally["known"],
        tally["sent"],
        tally["failed"],
        tally["unsure"]
    );
    let failed = list(&tally["failed_sources"]);
    if !failed.is_empty() {
        text.push_str(&format!("\nfailing sources: {failed} (see `oyez log`)"));
    }
    text
}

/// One finding of `oyez check`.
pub(crate) fn finding(finding: &Finding, color: bool) -> String {
    let (mark, style) = match finding.severity {
        Severity::Fine => ("ok", GREEN),
        Severity::Warning => ("warning", YELLOW),
        Severity::Error => ("error", RED),
    };
    let mut text = format!("{} {}: {}", paint(color, style, &format!("{mark:<7}")), finding.tried, finding.got);
    if let Some(hint) = &finding.do_this {
        text.push_str(&format!("\n        do this: {hint}"));
    }
    text
}

pub(crate) const BOLD: &str = "1";
pub(crate) const DIM: &str = "2";
pub(crate) const RED: &str = "31";
pub(crate) const GREEN: &str = "32";
const YELLOW: &str = "33";
pub(crate) const BLUE: &str = "34";

pub(crate) fn paint(color: bool, style: &str, text: &str) -> String {
    if color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}

/// What a person calls the item.
fn title(item: &Value) -> String {
    match item["title"].as_str() {
        // Its address is erased with its title.
        Some("") if item["url"] == "" => "(forgotten)".to_owned(),
        Some(_) | None => string(&item["title"]),
    }
}

fn string(value: &Value) -> String {
    match value {
        // People's words: nothing in them may look like a line of ours or move the terminal's cursor.
        Value::String(text) => crate::text::one_line(text),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn list(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(string).collect::<Vec<_>>().join(", ")
}

/// At most `width` columns, with an ellipsis where it was longer.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used < width
        })
        .collect();
    kept.push('…');
    kept
}

/// Rows of at most `width` columns, broken between words where one fits.
pub(crate) fn fold(line: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in line.split(' ') {
        let row = rows.last_mut().expect("there is always a row");
        if !row.is_empty() && row.width() + 1 + word.width() > width {
            rows.push(word.to_owned());
        } else {
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        }
    }
    rows
}
