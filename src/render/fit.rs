//! Makes the parts of a post small enough, in a fixed order: fewer sentences of summary, the first sentence cut at a word,
//! no summary, no credit, no event, the title cut; the link never, the hashtags only when nothing else is left.
use unicode_segmentation::UnicodeSegmentation;

use super::{ComposeError, Words};
use crate::count::{self, Unit};
use crate::link;

/// In the platform's unit. Less of a first sentence than this says nothing.
const MIN_SUMMARY: usize = 60;

/// What a post is made of before fitting.
pub(super) struct Parts {
    /// Everything but summary and hashtags, which are empty here.
    pub words: Words,
    /// The summary as its whole sentences.
    pub sentences: Vec<String>,
    /// With `#`.
    pub hashtags: Vec<String>,
}

/// A text that fits, and what was cut.
#[derive(Debug)]
pub(super) struct Fitted {
    pub text: String,
    /// In grapheme clusters: what of the item's own text is in it.
    pub summary: usize,
    pub warnings: Vec<String>,
}

/// Renders until it fits into `limit`. Every text is measured as it would leave.
pub(super) fn fit(
    parts: &Parts,
    unit: Unit,
    limit: usize,
    render: impl Fn(&Words) -> Result<String, ComposeError>,
) -> Result<Fitted, ComposeError> {
    let mut words = parts.words.clone();
    // A template may carry a tag of its own: the account's list does not say it again.
    let bare = render(&words)?;
    let own: Vec<String> = hashtags_in(&bare);
    let tags: Vec<&str> = parts
        .hashtags
        .iter()
        .map(String::as_str)
        .filter(|tag| !own.iter().any(|own| own.to_lowercase() == tag.to_lowercase()))
        .collect();
    words.hashtags = tags.join(" ");

    let mut attempt = Attempt { unit, limit, render: &render, summary: 0, warnings: Vec::new() };
    for count in (1..=parts.sentences.len()).rev() {
        words.summary = joined(&parts.sentences[..count]);
        if let Some(text) = attempt.try_it(&words)? {
            if count < parts.sentences.len() {
                attempt.warn(format!("the summary was cut to {count} of {} sentences", parts.sentences.len()));
            }
            attempt.summary = words.summary.graphemes(true).count();
            return Ok(attempt.done(text));
        }
    }
    if let Some(first) = parts.sentences.first() {
        if let Some((text, part)) = attempt.shorten(&words, MIN_SUMMARY, first, |words, part| words.summary = part)? {
            attempt.summary = part.graphemes(true).count();
            attempt.warn("the summary was cut inside its first sentence");
            return Ok(attempt.done(text));
        }
        attempt.warn("the summary was left out");
    }
    words.summary.clear();
    if let Some(text) = attempt.try_it(&words)? {
        return Ok(attempt.done(text));
    }
    if !words.credit.is_empty() {
        words.credit.clear();
        attempt.warn("the credit was left out");
        if let Some(text) = attempt.try_it(&words)? {
            return Ok(attempt.done(text));
        }
    }
    if !words.event.is_empty() {
        words.event.clear();
        attempt.warn("the event was left out");
        if let Some(text) = attempt.try_it(&words)? {
            return Ok(attempt.done(text));
        }
    }
    let title = std::mem::take(&mut words.title);
    if let Some((text, _)) = attempt.shorten(&words, 1, &title, |words, part| words.title = part)? {
        attempt.warn("the title was cut");
        return Ok(attempt.done(text));
    }
    if let Some(text) = attempt.try_it(&words)? {
        attempt.warn("the title was left out");
        return Ok(attempt.done(text));
    }
    // Not even link and hashtags: what they took is the title's again.
    words.hashtags.clear();
    if !tags.is_empty() {
        attempt.warn("the hashtags were left out");
    }
    words.title.clone_from(&title);
    if let Some(text) = attempt.try_it(&words)? {
        return Ok(attempt.done(text));
    }
    words.title.clear();
    if let Some((text, _)) = attempt.shorten(&words, 1, &title, |words, part| words.title = part)? {
        attempt.warn("the title was cut");
        return Ok(attempt.done(text));
    }
    attempt.warn("the title was left out");
    let text = render(&words)?;
    let length = unit.length(&text, "");
    if length > limit { Err(ComposeError::TooLong { length, limit }) } else { Ok(attempt.done(text)) }
}

struct Attempt<'a, R> {
    unit: Unit,
    limit: usize,
    render: &'a R,
    summary: usize,
    warnings: Vec<String>,
}

impl<R: Fn(&Words) -> Result<String, ComposeError>> Attempt<'_, R> {
    fn try_it(&self, words: &Words) -> Result<Option<String>, ComposeError> {
        let text = (self.render)(words)?;
        Ok((self.unit.length(&text, "") <= self.limit).then_some(text))
    }

    /// Cuts `whole` at a sentence or a word until the post fits, not below `min`: the post, and what is left of `whole`.
    fn shorten(
        &self,
        words: &Words,
        min: usize,
        whole: &str,
        put: impl Fn(&mut Words, String),
    ) -> Result<Option<(String, String)>, ComposeError> {
        let mut words = words.clone();
        put(&mut words, String::new());
        let without = self.unit.length(&(self.render)(&words)?, "");
        let mut room = self.limit.saturating_sub(without).min(self.unit.length(whole, "").saturating_sub(1));
        // The template may put blank lines around a part, or the part in twice: each round takes off what was too much.
        for _ in 0..16 {
            if room < min {
                break;
            }
            let Some(part) = cut(whole, room, self.unit).filter(|part| !part.is_empty()) else { break };
            put(&mut words, part.clone());
            let text = (self.render)(&words)?;
            let length = self.unit.length(&text, "");
            if length <= self.limit {
                return Ok(Some((text, part)));
            }
            room = room.saturating_sub(length - self.limit);
        }
        Ok(None)
    }

    fn warn(&mut self, what: impl Into<String>) {
        self.warnings.push(what.into());
    }

    fn done(self, text: String) -> Fitted {
        Fitted { text, summary: self.summary, warnings: self.warnings }
    }
}

/// Sentences in a row; scripts that end theirs with a full-width stop put no space between.
fn joined(sentences: &[String]) -> String {
    let mut out = String::new();
    for sentence in sentences {
        if !out.is_empty() && !out.ends_with(['。', '！', '？']) {
            out.push(' ');
        }
        out.push_str(sentence);
    }
    out
}

/// The hashtags a platform would see in a text.
fn hashtags_in(text: &str) -> Vec<String> {
    text.split_whitespace()
        .filter_map(|word| word.trim_start_matches(['(', '[', '"']).strip_prefix('#'))
        .map(|word| format!("#{}", word.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()))
        .collect()
}

/// `text` cut to at most `max` with an ellipsis: at a sentence where that keeps most of it, else at a white space, else at a
/// word of a script without spaces, else at a grapheme. Never inside an address. `None` where it fits as it is.
pub(super) fn cut(text: &str, max: usize, unit: Unit) -> Option<String> {
    if unit.length(text, "") <= max {
        return None;
    }
    let addresses: Vec<_> = link::find(text).into_iter().chain(count::urls(text)).collect();
    let is_inside = |at: usize| addresses.iter().any(|address| address.start < at && at < address.end);
    // Outside addresses the length of a start grows with it, so the furthest boundary is searched by halves. A mention may
    // make an exception, hence the steps back.
    let bounds: Vec<usize> =
        text.grapheme_indices(true).map(|(at, _)| at).filter(|&at| at > 0 && !is_inside(at)).collect();
    let fits = |at: usize| unit.length(&ended(&text[..at]), "") <= max;
    let past = bounds.partition_point(|&at| fits(at));
    let furthest = bounds[..past].iter().rev().copied().find(|&at| fits(at))?;
    let usable = |at: usize| at > 0 && at <= furthest && !is_inside(at) && fits(at);
    let last = |places: Vec<usize>, after: usize| places.into_iter().rev().find(|&at| at > after && usable(at));
    let enough = furthest / 2;
    let sentences = text.split_sentence_bound_indices().map(|(at, _)| at).collect();
    if let Some(at) = last(sentences, enough).filter(|&at| text[..at].ends_with(char::is_whitespace)) {
        let start = text[..at].trim_end();
        if start.ends_with(['.', '!', '?', '…']) && unit.length(start, "") <= max {
            return Some(start.to_owned());
        }
    }
    let spaces: Vec<usize> = text.match_indices(char::is_whitespace).map(|(at, _)| at).collect();
    let words = || text.split_word_bound_indices().map(|(at, _)| at).collect();
    let at = last(spaces.clone(), enough)
        .or_else(|| last(words(), enough / 2))
        .or_else(|| last(spaces, 0))
        .unwrap_or(furthest);
    Some(ended(&text[..at]))
}

/// With an ellipsis, and without what cannot stand before one.
fn ended(start: &str) -> String {
    let last_address =
        count::urls(start).into_iter().chain(link::find(start)).map(|address| address.end).max().unwrap_or(0);
    // An address keeps its last sign, whatever it is.
    let (kept, loose) = start.split_at(last_address);
    let loose = loose.trim_end_matches(|c: char| c.is_whitespace() || ",;:.-–—([“„«‹「、，…/@#".contains(c));
    match (kept.is_empty(), loose.trim().is_empty()) {
        (true, true) => String::new(),
        // Some platforms would take the ellipsis into the address.
        (false, true) => format!("{kept} …"),
        (_, false) => format!("{kept}{loose}…"),
    }
}
