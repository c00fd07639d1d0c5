//! How the demo looks: chapters for people, one object a chapter for programs.
use anyhow::Context;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::view::{self, View, paint};
use super::{Out, runtime};
use crate::acts::Failure;
use crate::app::Signals;
use crate::demo::{self, Event, Options, Show};

pub(crate) fn run(speed: f64, stay: bool, out: &mut Out) -> anyhow::Result<()> {
    if !speed.is_finite() || speed < 0.0 {
        return Err(Failure::usage(
            format!("`{speed}` is no speed"),
            Some("1 is a comfortable pace, 2 is twice as fast, 0 does not wait at all".into()),
        )
        .into());
    }
    let mut played = Played { chapter: None };
    let ended = runtime()?.block_on(async {
        let stop = Signals::listen().context("cannot listen for signals")?.until_stop(|| {});
        demo::run(Options { speed, stay }, &mut |event| played.hear(out, event), stop).await
    });
    played.end(out)?;
    ended
}

struct Played {
    /// With `--json`: the chapter in the making.
    chapter: Option<Value>,
}

impl Played {
    /// Each event is shown at once: somebody is watching.
    fn hear(&mut self, out: &mut Out, event: &Event) -> std::io::Result<()> {
        match (event, out.json) {
            (Event::Step(step), true) => {
                self.end(out)?;
                let mut chapter = serde_json::to_value(step)?;
                chapter["shows"] = json!([]);
                self.chapter = Some(chapter);
            }
            (Event::Show(show), true) => {
                let show = serde_json::to_value(show)?;
                if let Some(shows) = self.chapter.as_mut().and_then(|chapter| chapter["shows"].as_array_mut()) {
                    shows.push(show);
                }
            }
            (Event::Step(step), false) => {
                out.line("")?;
                let heading = format!("{} of {}  {}", step.step, step.of, step.heading);
                out.line(paint(out.color, view::BOLD, &heading))?;
                for row in view::fold(&step.text, 96) {
                    out.line(row)?;
                }
                out.line(paint(out.color, view::DIM, "try in a second terminal:"))?;
                out.line(format_args!("  {}", paint(out.color, view::BLUE, &step.try_it)))?;
                out.line("")?;
            }
            (Event::Show(show), false) => self.show(out, show)?,
            (Event::End, true | false) => self.end(out)?,
        }
        out.finish()
    }

    /// With `--json`: the chapter in the making is whole.
    fn end(&mut self, out: &mut Out) -> std::io::Result<()> {
        match self.chapter.take() {
            Some(chapter) => out.line(chapter),
            None => Ok(()),
        }
    }

    fn show(&self, out: &mut Out, show: &Show) -> std::io::Result<()> {
        match show {
            Show::Line { text } => {
                for row in view::fold(text, 96) {
                    out.line(row)?;
                }
                Ok(())
            }
            Show::Command { command } => out.line(format_args!("{} {command}", paint(out.color, view::GREEN, "$"))),
            Show::Item { item } => {
                let by = item["item"]["author"].as_str().map(|author| format!(", by {author}")).unwrap_or_default();
                let heading = format!("#{} {}", item["number"], item["title"].as_str().unwrap_or_default());
                let state = item["state"].as_str().unwrap_or_default();
                out.line(format_args!("{} ({state}{by})", paint(out.color, view::BOLD, &heading)))?;
                for post in item["posts"].as_array().into_iter().flatten() {
                    view::post_lines(out, post)?;
                }
                Ok(())
            }
            Show::Acted { act, item } => View::Acted { act }.within(TimeZone::UTC).document(out, item.clone()),
            Show::Queue { items } if items.is_empty() => out.line("The queue is empty."),
            Show::Queue { items } => {
                let mut rows = View::Queue { all: false }.within(TimeZone::UTC);
                items.iter().try_for_each(|item| rows.document(out, item.clone()))
            }
            Show::Posted { url, text, pictures } => {
                out.line(paint(out.color, view::DIM, url))?;
                view::framed(out, text)?;
                for alt in pictures {
                    view::picture(out, None, alt.as_deref())?;
                }
                out.line("")
            }
            Show::Check { what, ok, detail } => {
                let mark =
                    if *ok { paint(out.color, view::GREEN, "ok   ") } else { paint(out.color, view::RED, "WRONG") };
                out.line(format_args!("{mark} {what}: {detail}"))
            }
        }
    }
}
