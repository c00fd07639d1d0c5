//! The first whole sentences of a text that say something.
use unicode_segmentation::UnicodeSegmentation;

use super::harmless;
use crate::link;

/// In grapheme clusters: a post that one reads in passing. The limit of the platform may be five thousand.
pub const PLEASANT: usize = 300;
/// In grapheme clusters. A line without a full stop that is longer is prose of a script or an author without full stops.
const HEADING: usize = 80;
/// In grapheme clusters. With less than this before it, a sentence that the source cut is better than nothing.
const MIN_CUT: usize = 40;
/// In grapheme clusters: sources cut after 100 characters at the earliest.
const LONG_CUT: usize = 90;
/// Sentences looked at.
const MAX_SENTENCES: usize = 12;
/// In bytes: where the first sentences of anything are.
const MAX_BYTES: usize = 16 * 1024;

/// The sentences a summary may be made of, in order, harmless. Their whole is at most [`PLEASANT`] unless the first alone
/// is longer. `links` are the addresses that the post shows anyway: they are taken out.
///
/// Greetings, repetitions of the title, headings, lists, quotes, advertisements and lines that only introduce a list are
/// passed over; after the first sentence a heading or a list ends the summary, since what follows it is about something
/// else. A sentence around another address does as well: the one link of a post, and its card, are the item's.
pub fn sentences(text: &str, title: &str, links: &[&str]) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    let mut length = 0;
    let mut loose: Option<String> = None;
    let text = crate::text::cut(text, MAX_BYTES);
    // Some sources cut their texts themselves (PeerTube's lists after 250 characters, inside a word).
    let cut_word =
        text.split_whitespace().next_back().filter(|word| word.ends_with(['…', ']']) || word.ends_with("..."));
    let cut_word = cut_word.filter(|word| word.trim_end_matches(']').ends_with(['…', '.']));
    'text: for paragraph in text.split("\n\n") {
        for run in runs(paragraph) {
            let prose = without_greeting(&without_links(&run, links));
            let pieces = split(&prose);
            // "Am I affected?" on a line of its own is a heading.
            let asks = pieces.len() == 1 && run == paragraph.trim() && prose.ends_with(['?', '？']);
            let is_aside = run.starts_with("- ")
                || run.starts_with("> ")
                || run.starts_with("(poll)")
                || asks && prose.graphemes(true).count() <= HEADING;
            // What stands around an advertisement belongs to it: "Want to travel? Use my code."
            if sells(&prose) {
                continue;
            }
            let ends = pieces.last().is_some_and(|last| is_whole(last)) || prose_length(&prose) > HEADING;
            if is_aside || !ends || prose.is_empty() {
                let is_candidate =
                    !is_aside && !says(&prose, title) && link::find(&prose).is_empty() && !prose.ends_with(':');
                if loose.is_none() && is_candidate && prose.split_whitespace().count() >= 4 {
                    loose = Some(harmless::line(&prose));
                }
                // A greeting or a bare address is no new section.
                if !taken.is_empty() && !prose.is_empty() {
                    break 'text;
                }
                continue;
            }
            for piece in pieces {
                let piece = without_asides(&piece);
                let is_repeated = taken.contains(&harmless::line(&piece));
                if is_repeated
                    || says(&piece, title)
                    || is_mostly_address(&piece)
                    || is_greeting(&piece)
                    || advertises(&piece)
                {
                    continue;
                }
                if cut_word.is_some() && piece.split_whitespace().next_back() == cut_word {
                    if length < MIN_CUT {
                        taken.extend(Some(harmless::line(&recut(&piece))).filter(|piece| !piece.is_empty()));
                    }
                    break 'text;
                }
                // "I'm Ida, the release manager" is no news, and odd in the mouth of a project's account.
                let mut piece = piece;
                if taken.is_empty() && introduces_author(&piece) {
                    let Some(news) = after_introduction(&piece) else {
                        loose.get_or_insert_with(|| harmless::line(&piece));
                        continue;
                    };
                    piece = news;
                }
                if piece.ends_with(':')
                    || piece.ends_with('：')
                    || introduces_example(&piece)
                    || !link::find(&piece).is_empty()
                {
                    if taken.is_empty() {
                        continue;
                    }
                    break 'text;
                }
                let sentence = harmless::line(&piece);
                let size = sentence.graphemes(true).count();
                if taken.len() == MAX_SENTENCES || (!taken.is_empty() && length + 1 + size > PLEASANT) {
                    break 'text;
                }
                if size > 0 {
                    length += size + usize::from(!taken.is_empty());
                    taken.push(sentence);
                }
            }
        }
    }
    if taken.is_empty() { loose.into_iter().collect() } else { taken }
}

/// The runs of prose of a paragraph: hard-wrapped lines joined, the author's own lines apart.
fn runs(paragraph: &str) -> Vec<String> {
    let mut runs: Vec<String> = Vec::new();
    for line in paragraph.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let is_item = line.starts_with("- ") || line.starts_with("> ");
        match runs.last_mut() {
            // Wrapped by an editor: the line before is long and unfinished, or this one goes on in lower case.
            Some(last)
                if !is_item
                    && !last.starts_with("> ")
                    && !last.split_whitespace().next_back().is_some_and(|word| word.contains("://"))
                    && (line.starts_with(char::is_lowercase)
                        || (!is_whole(last) && last.graphemes(true).count() >= 50)) =>
            {
                last.push(' ');
                last.push_str(line);
            }
            Some(last) if !is_item && is_whole(last) && !last.starts_with("- ") && !last.starts_with("> ") => {
                last.push(' ');
                last.push_str(line);
            }
            Some(_) | None => runs.push(line.to_owned()),
        }
    }
    runs
}

/// Sentences by UAX 29, joined again where it breaks too early: at abbreviations and initials, before a small letter,
/// and inside addresses and versions, where no space follows.
fn split(text: &str) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    let mut open = String::new();
    let mut bounds = text.split_sentence_bounds().peekable();
    while let Some(piece) = bounds.next() {
        open.push_str(piece);
        let next = bounds.peek().copied().unwrap_or_default();
        let is_cjk_end = open.ends_with(['。', '！', '？', '｡', '．']);
        let no_space = !open.ends_with(char::is_whitespace) && !is_cjk_end;
        let goes_on = next.trim_start().starts_with(|c: char| c.is_lowercase() || matches!(c, ',' | ';' | ')'));
        if !next.is_empty() && (no_space || goes_on || ends_with_abbreviation(&open)) {
            continue;
        }
        let sentence = open.trim();
        if !sentence.is_empty() {
            sentences.push(sentence.to_owned());
        }
        open.clear();
    }
    sentences
}

fn ends_with_abbreviation(text: &str) -> bool {
    let Some(word) = text.split_whitespace().next_back() else { return false };
    let Some(word) = word.trim_start_matches(['(', '"', '“', '„', '[']).strip_suffix('.') else { return false };
    let mut letters = word.chars();
    let is_initial = matches!((letters.next(), letters.next()), (Some(c), None) if c.is_uppercase());
    is_initial
        || matches!(
            word.to_lowercase().as_str(),
            "e.g"
                | "i.e"
                | "eg"
                | "ie"
                | "cf"
                | "vs"
                | "approx"
                | "ca"
                | "dr"
                | "mr"
                | "mrs"
                | "ms"
                | "prof"
                | "st"
                | "no"
                | "nr"
                | "fig"
                | "vol"
                | "z.b"
                | "d.h"
                | "u.a"
                | "bzw"
                | "ggf"
                | "inkl"
                | "incl"
                | "a.k.a"
                | "p"
                | "pp"
                | "jan"
                | "feb"
                | "aug"
                | "sept"
                | "sep"
                | "oct"
                | "nov"
                | "dec"
                | "p.ex"
                | "sr"
                | "jr"
                | "resp"
        )
}

/// Does it end like a sentence, perhaps inside a quotation or with an emoji behind?
fn is_whole(text: &str) -> bool {
    text.trim_end_matches(|c: char| {
        matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '«' | '“' | '」' | '』' | '）' | '\u{fe0f}' | '\u{200d}')
            || c.is_whitespace()
            || crate::text::is_emoji(c)
    })
    .ends_with([
        '.', '!', '?', '…', '。', '！', '？', '｡', '．', '؟', '۔', '।', '॥', '։', '።', '။', '៕', '՜', '՞', ':', '：',
        '‽',
    ])
}

/// Greetings by their first word, in the languages of the forums we know.
const GREETINGS: [&str; 16] = [
    "hi",
    "hello",
    "hey",
    "dear",
    "greetings",
    "howdy",
    "hiya",
    "welcome back",
    "good morning",
    "good evening",
    "good day",
    "hallo",
    "moin",
    "salut",
    "bonjour",
    "hola",
];

/// The length of a greeting with its comma or exclamation mark, if the text begins with one.
fn greeting(text: &str) -> Option<usize> {
    let lower = text.to_lowercase();
    // A text whose lower case has other lengths is in no language of the list.
    if lower.len() != text.len() {
        return None;
    }
    let word = GREETINGS.iter().find(|word| {
        lower
            .strip_prefix(**word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| !c.is_alphanumeric()))
    })?;
    // "Hello see https://example.org": what stands inside an address ends no greeting.
    let ends = |at: usize| {
        text[at..].starts_with(['\n', '—', '–'])
            || !text[at + 1..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '-' | '_'))
    };
    let marks = text.match_indices([',', '!', '.', ':', '\n', '—', '–']).map(|(at, _)| at);
    let end = marks.filter(|at| *at >= word.len()).find(|at| ends(*at)).unwrap_or(text.len());
    let after = text[end..].chars().next().map_or(end, |c| end + c.len_utf8());
    (text[..end].split_whitespace().count() <= 6).then_some(after)
}

fn is_greeting(text: &str) -> bool {
    let lower = text.to_lowercase();
    let wish = lower
        .strip_prefix("i hope ")
        .or_else(|| lower.strip_prefix("we hope "))
        .or_else(|| lower.strip_prefix("hope "));
    wish.is_some_and(|wish| {
        ["you are", "you're", "everyone is", "everybody is", "this finds you", "you all are", "all is well"]
            .iter()
            .any(|start| wish.starts_with(start))
    }) || greeting(text).is_some_and(|end| !text[end..].contains(char::is_alphanumeric))
}

/// Without "Hey everyone," and "TL;DR:" at its beginning; the rest begins with a capital letter, as it now opens.
fn without_greeting(text: &str) -> String {
    let mut rest = text.trim();
    let mut cut = false;
    loop {
        let tldr = ["tl;dr", "tldr", "tl; dr"]
            .iter()
            .find(|mark| rest.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark)))
            .map(|mark| mark.len());
        let Some(end) = tldr.or_else(|| greeting(rest)) else { break };
        rest = rest[end..].trim_start_matches(|c: char| {
            c.is_whitespace()
                || c.is_ascii_punctuation() && !matches!(c, '(' | '"' | '#' | '@' | '<' | '[')
                || crate::text::is_emoji(c)
        });
        cut = true;
    }
    let mut letters = rest.chars();
    match letters.next().filter(|_| cut) {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => rest.to_owned(),
    }
}

/// Without the addresses the post shows anyway, and without what introduced them.
fn without_links(text: &str, links: &[&str]) -> String {
    let same = |shown: &str| {
        let key = |address: &str| url::Url::parse(address).ok().and_then(|url| link::canonical(&url));
        links.iter().any(|link| {
            key(link).is_some_and(|link| {
                key(shown).is_some_and(|shown| shown.trim_end_matches('/') == link.trim_end_matches('/'))
            })
        })
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in link::find(text) {
        if same(&text[range.clone()]) {
            out.push_str(text[at..range.start].trim_end_matches(['<', '(', '[', ':', ' ']));
            at = range.end + usize::from(text[range.end..].starts_with(['>', ')', ']']));
        }
    }
    out.push_str(&text[at..]);
    out.trim().to_owned()
}

/// Is it an address with a word or two around ("Slides: https://…")?
fn is_mostly_address(text: &str) -> bool {
    let addresses = link::find(text);
    !addresses.is_empty() && text.split_whitespace().count() <= 2 + addresses.len()
}

/// "I am Ida…", "We are Ida and Rok, the…": a name follows, not a verb.
fn introduces_author(sentence: &str) -> bool {
    let after = |starts: &[&str]| starts.iter().find_map(|start| sentence.strip_prefix(start));
    let one = after(&["I'm ", "I’m ", "I am ", "My name is "]);
    let many = after(&["We are ", "We're ", "We’re "]).filter(|names| {
        names.split(',').next().is_some_and(|names| {
            let mut halves = names.splitn(2, " and ").skip(1);
            halves.next().is_some_and(|second| second.starts_with(char::is_uppercase))
        })
    });
    let is_nickname = one.and_then(|name| name.split_once(", ")).is_some_and(|(name, office)| {
        !name.contains(' ') && ["one of ", "the ", "a ", "an ", "your "].iter().any(|start| office.starts_with(start))
    });
    is_nickname || one.or(many).is_some_and(|name| name.starts_with(char::is_uppercase))
}

/// "We are Ida and Rok, the release managers, and we are proud to announce…" without its first half.
fn after_introduction(sentence: &str) -> Option<String> {
    let (at, skipped) = [" and we are ", " and we're ", " and we’re ", " and I am ", " and I'm ", " and I’m "]
        .iter()
        .find_map(|joint| sentence.find(joint).map(|at| (at, " and ".len())))?;
    let mut news = sentence[at + skipped..].chars();
    let first = news.next()?;
    Some(first.to_uppercase().chain(news).collect())
}

/// "…some actions, e.g." with the list below it.
fn introduces_example(sentence: &str) -> bool {
    let last = sentence.split_whitespace().next_back().unwrap_or_default().to_lowercase();
    matches!(last.trim_matches(['(', '.', ',']), "e.g" | "eg" | "i.e" | "ie" | "viz" | "namely" | "z.b")
}

/// Words of the programs that make feeds, and of those who live from clicks.
fn advertises(sentence: &str) -> bool {
    let lower = sentence.to_lowercase();
    [
        "sponsored by",
        "subscribe to our",
        "subscribe to my",
        "forget to subscribe",
        "appeared first on",
        "for privacy information",
        "continue reading",
        "read more",
        "read the full",
        "read full",
        "click here",
    ]
    .iter()
    .any(|words| lower.contains(words))
}

/// Is it what paid for a video?
fn sells(prose: &str) -> bool {
    let lower = prose.to_lowercase();
    [
        "sponsoring this video",
        "sponsored this video",
        "video was sponsored",
        "video is sponsored",
        "% off ",
        "with my code",
        "with our code",
        "promo code",
        "free trial",
    ]
    .iter()
    .any(|words| lower.contains(words))
}

/// Without addresses in brackets: "at Latinoware (`https://latinoware.org/`) 2022".
fn without_asides(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in link::find(text) {
        let (before, after) = (text[at..range.start].trim_end(), text[range.end..].trim_start());
        let brackets = (before.chars().next_back(), after.chars().next());
        let inside = matches!(brackets, (Some('('), Some(')')) | (Some('['), Some(']')) | (Some('<'), Some('>')));
        if inside {
            out.push_str(before[..before.len() - 1].trim_end());
            at = text.len() - after.len() + 1;
        }
    }
    out.push_str(&text[at..]);
    out
}

/// What a source cut, cut at a word. A short text that ends in dots was meant to.
fn recut(text: &str) -> String {
    let start = text.trim_end_matches(['.', '…', '[', ']', ' ']);
    if start.graphemes(true).count() < LONG_CUT {
        return text.to_owned();
    }
    let whole = start.rsplit_once(char::is_whitespace).map_or(start, |(whole, _)| whole);
    format!("{}…", whole.trim_end_matches([',', ';', ':', '-', '–', ' ', '(']))
}

/// In grapheme clusters, addresses not counted.
fn prose_length(text: &str) -> usize {
    let addresses: usize = link::find(text).into_iter().map(|range| text[range].graphemes(true).count()).sum();
    text.graphemes(true).count() - addresses
}

/// Does the sentence only say the title again?
fn says(sentence: &str, title: &str) -> bool {
    let words = |text: &str| -> Vec<String> { text.unicode_words().map(str::to_lowercase).collect() };
    let (sentence, title) = (words(sentence), words(title));
    let shared = sentence.iter().filter(|word| title.contains(word)).count();
    sentence.is_empty() || (!title.is_empty() && shared * 4 >= sentence.len() * 3 && sentence.len() <= title.len() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        assert_eq!(sentences(text, "Nix 2.6.0 released", &["https://forum.example/t/nix/42"]), want, "{text}");
    }

    #[test]
    fn sentences_do_not_break_inside() {
        check(
            "We shipped v2.6. and 25.05 works. Use e.g. Flakes, i.e. Nix. Dr. J. Doe agrees!",
            &["We shipped v2.6. and 25.05 works.", "Use e.g. Flakes, i.e. Nix.", "Dr. J. Doe agrees!"],
        );
        check(
            "Version 25.05.1 of nixos.org/?a=b.c!d is there. It is new.",
            &["Version 25.05.1 of nixos.org/?a=b.c!d is there.", "It is new."],
        );
        check("新しい版が出ました。使ってください！", &["新しい版が出ました。", "使ってください！"]);
        check(
            "Yahoo! works with it. He said “Done.” Then left.",
            &["Yahoo! works with it.", "He said “Done.”", "Then left."],
        );
    }

    #[test]
    fn greetings_titles_headings_and_lists_are_passed_over() {
        check("Hi all,\n\nWe made it.", &["We made it."]);
        check("Hello everyone! 👋 We made it.", &["We made it."]);
        check("Hello see (https://example.org/a_(b)) and be glad. It is out.", &["It is out."]);
        check("Hi example.org users, we made it.", &["We made it."]);
        check("Hey everyone, we are Ida and Rok. Enjoy.", &["Enjoy."]);
        check("Hi, we're Ida Ex and Rok, the managers. It is out.", &["It is out."]);
        check("I am idawrites, one of the managers. It is out.", &["It is out."]);
        check(
            "Hi, we are Ida and Rok, the managers, and we are proud to announce it.",
            &["We are proud to announce it."],
        );
        check("We are NixOS. We are happy and Proud.", &["We are NixOS.", "We are happy and Proud."]);
        check("Hi all!\n\nI hope everyone is doing OK. I hope it works for you.", &["I hope it works for you."]);
        check("Hey, I'm Ida, the release manager. It is out.", &["It is out."]);
        check("I'm happy that it is out.", &["I'm happy that it is out."]);
        check("I am Ida from Berlin.", &["I am Ida from Berlin."]);
        check("Hide this. History matters.", &["Hide this.", "History matters."]);
        check("TL;DR: it is out. Get it.", &["It is out.", "Get it."]);
        check("Nix 2.6.0 is released!\n\nIt has new things.", &["It has new things."]);
        check("Highlights\n\nIt has new things.\n\nMore\n\nOther matters.", &["It has new things."]);
        check("Here are the notes:\n\n- one.\n- two.\n\nThat was all.", &["That was all."]);
        check("It is out.\n\n- one.\n- two.\n\nThat was all.", &["It is out."]);
        check("> Somebody said this.\n\nI say that.", &["I say that."]);
        check("It is out.\n\nAm I affected?\n\nYes.", &["It is out."]);
        check("What is new?\n\nAll of it. Is it good? Yes.", &["All of it.", "Is it good?", "Yes."]);
    }

    #[test]
    fn lines_wrapped_by_an_editor_are_one() {
        check(
            "we are organizing a big hiring event in which many\nparticipants can meet. Come\nalong.",
            &["we are organizing a big hiring event in which many participants can meet.", "Come along."],
        );
    }

    #[test]
    fn the_link_of_the_post_is_not_said_twice() {
        check("Read on: https://forum.example/t/nix/42/\n\nIt is out.", &["It is out."]);
        check("Slides: https://nixos.org/slides/some/long/address.pdf\nIt is out.", &["It is out."]);
    }

    #[test]
    fn a_post_has_one_link() {
        check("Talks at Con (https://con.example/) 2022 were fine. Good.", &["Talks at Con 2022 were fine.", "Good."]);
        check("See https://a.example/x for this. It is out.", &["It is out."]);
        check("It is out. Get it at https://a.example/x now. It is good.", &["It is out."]);
    }

    #[test]
    fn what_the_source_cut_is_no_half_sentence() {
        let said = "This is a sentence that is long enough to stand for the whole text.";
        check(&format!("{said} And this one was cut by the so..."), &[said]);
        check(&format!("{said} And this one was cut by the so […]"), &[said]);
        let long =
            "This one sentence goes on and on, since the source of it cuts its texts, and it does so inside of a wo";
        check(&format!("{long}..."), &[&format!("{}…", long.strip_suffix(" wo").unwrap())]);
        check("Here are some descriptions...", &["Here are some descriptions..."]);
    }

    #[test]
    fn advertisements_and_introductions_of_examples_are_passed_over() {
        check("Thanks! This video was sponsored by Somebody.\n\nIt is about rockets.", &["It is about rockets."]);
        check("Want to fly? Use it with my code X.\n\nIt is about rockets.", &["It is about rockets."]);
        check("We are looking for sponsors of the conference.", &["We are looking for sponsors of the conference."]);
        check("It is out. Read more on our blog.", &["It is out."]);
        check("It is out. It can do many things e.g.\n\n- one", &["It is out."]);
        check("The post It is out appeared first on Blog.", &[]);
    }

    #[test]
    fn a_text_without_full_stops_still_says_something() {
        check("A talk about packaging things well", &["A talk about packaging things well"]);
        check("Short", &[]);
        check("Licensed to the public under https://creativecommons.org/licenses/by/4.0/", &[]);
        check("It is out. Get it. It is out. Get it.", &["It is out.", "Get it."]);
        check("", &[]);
    }

    #[test]
    fn the_whole_is_pleasant() {
        let long: String =
            (10..40).map(|n| format!("This is sentence {n} of some length, of fifty characters. ")).collect();
        let taken = sentences(&long, "", &[]);
        assert!(taken.join(" ").graphemes(true).count() <= PLEASANT && taken.len() == 5, "{taken:?}");
    }
}
