//! Is a video elsewhere the same recording? The keys of sources.md 7.2, strongest first.
//!
//! Keys 1 to 4 are identities and join two sights of a talk when they are heard ([`crate::poll`]). This is for what has no
//! such key: titles, speakers, lengths and dates make a match likely, never certain, so it is only offered to people.
use std::collections::BTreeSet;

use jiff::Timestamp;
use unicode_normalization::UnicodeNormalization;

use crate::item::Found;

/// How alike two titles must be without being equal (sources.md 7.2, key 6).
const ALIKE: f64 = 0.85;
/// In seconds, and as a share: how far two lengths of one recording may be apart.
const LENGTH_S: u64 = 60;
const LENGTH_SHARE: f64 = 0.05;
/// In seconds. A whole day's stream is no talk.
const WHOLE_DAY_S: u64 = 4 * 3600;
/// In days: a talk is shown on its video channel at most this long after it was given.
const RELEASE_DAYS: i64 = 400;
/// Titles that every event has again (links.md 5.4).
const EVERY_YEAR: [&str; 16] = [
    "opening",
    "opening ceremony",
    "opening session",
    "closing",
    "closing ceremony",
    "closing session",
    "welcome",
    "keynote",
    "lightning talks",
    "lightning talk",
    "panel",
    "panel discussion",
    "q a",
    "intro",
    "introduction",
    "hackday",
];
/// What C3VOC appends to the title of a translated recording (sources.md 7.1).
const TRANSLATIONS: [&str; 8] = [
    "deutsche ubersetzung",
    "deutsche übersetzung",
    "english translation",
    "traducción al español",
    "traduction française",
    "russian русский translation",
    "traduzione italiana",
    "nederlandse vertaling",
];

/// A recording as a catalogue or a channel shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// Where it can be seen.
    pub url: String,
    /// As it is shown.
    pub title: String,
    /// Speakers.
    pub persons: Vec<String>,
    /// In seconds.
    pub duration_s: Option<u64>,
    /// When it was given or published.
    pub at: Option<Timestamp>,
    /// The event it was given at, or the channel that shows it.
    pub event: Option<String>,
    /// Words around it: a description may name the speakers.
    pub text: String,
}

impl Recording {
    /// What is known of it from a reading.
    pub fn of(found: &Found) -> Self {
        Self {
            url: found.url.clone(),
            title: found.title.clone(),
            persons: found.persons.clone(),
            duration_s: found.duration_s,
            at: found.published,
            event: found.event.clone(),
            text: found.text.chars().take(2_000).collect(),
        }
    }
}

/// A likely match.
#[derive(Debug, Clone, PartialEq)]
pub struct Likely {
    /// Where among the candidates.
    pub index: usize,
    /// 0 to 1, for choosing the best.
    pub likeness: f64,
    /// What speaks for it, in words for the team.
    pub evidence: String,
}

/// The one candidate that is likely the same recording; none where two are equally likely.
pub fn likely<'a>(video: &Recording, candidates: impl IntoIterator<Item = &'a Recording>) -> Option<Likely> {
    let mut found: Vec<Likely> = candidates
        .into_iter()
        .enumerate()
        .filter_map(|(index, candidate)| {
            let (likeness, evidence) = compare(video, candidate)?;
            Some(Likely { index, likeness, evidence })
        })
        .collect();
    found.sort_by(|a, b| b.likeness.total_cmp(&a.likeness));
    let is_unique = found.len() < 2 || found[0].likeness > found[1].likeness;
    found.into_iter().next().filter(|_| is_unique)
}

fn compare(video: &Recording, candidate: &Recording) -> Option<(f64, String)> {
    let is_stream = |recording: &Recording| recording.duration_s.is_some_and(|seconds| seconds > WHOLE_DAY_S);
    if is_stream(video) || is_stream(candidate) {
        return None;
    }
    let persons: Vec<String> = video.persons.iter().chain(&candidate.persons).map(|name| words(name)).collect();
    let mut events: Vec<Vec<String>> =
        [video, candidate].iter().filter_map(|recording| recording.event.as_deref()).flat_map(event_names).collect();
    // The longest first: "NixCon 2025" goes whole, not as "NixCon" before a year.
    events.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let (a, a_translated) = normal_title(&video.title, &persons, &events);
    let (b, b_translated) = normal_title(&candidate.title, &persons, &events);
    if a.is_empty() || a_translated != b_translated {
        return None;
    }
    let alike = if a == b || is_cut(&video.title, &a, &b) { 1.0 } else { similarity(&a, &b).min(0.99) };
    if alike < ALIKE {
        return None;
    }
    let mut evidence = vec![if alike >= 1.0 {
        "the same title".to_owned()
    } else {
        format!("titles alike to {:.0} %", alike * 100.0)
    }];
    let mut proofs = 0;
    let shared: Vec<&String> = video.persons.iter().filter(|name| has_person(candidate, name)).collect();
    let shared = if shared.is_empty() {
        candidate.persons.iter().filter(|name| has_person(video, name)).collect()
    } else {
        shared
    };
    if let Some(name) = shared.first() {
        proofs += 1;
        evidence.push(format!("{name} speaks in both"));
    }
    if let (Some(one), Some(other)) = (video.duration_s, candidate.duration_s) {
        let apart = one.abs_diff(other);
        #[expect(clippy::cast_precision_loss, reason = "lengths of recordings are small")]
        if apart as f64 <= (LENGTH_S as f64).max(one.max(other) as f64 * LENGTH_SHARE) {
            proofs += 1;
            evidence.push(format!("{} and {} long", clock(one), clock(other)));
        } else {
            evidence.push(format!("but {} and {} long", clock(one), clock(other)));
        }
    }
    if let (Some(one), Some(other)) = (video.at, candidate.at) {
        let days = (one.duration_since(other).as_hours() / 24).abs();
        if days > RELEASE_DAYS {
            return None;
        }
        if days <= 1 {
            proofs += 1;
            evidence.push("of the same day".to_owned());
        }
    }
    // Key 5 wants one of the three, key 6 two; a title that every event has needs the event's own name as well.
    let needed = if alike >= 1.0 { 1 } else { 2 };
    if proofs < needed || EVERY_YEAR.contains(&a.as_str()) && !names_event(&video.title, candidate) {
        return None;
    }
    Some((alike + f64::from(proofs) / 10.0, evidence.join(", ")))
}

/// Does a recording name a person, among its speakers or in its words?
fn has_person(recording: &Recording, name: &str) -> bool {
    let name = words(name);
    let enough = name.split(' ').count() > 1 || name.chars().count() > 5;
    !name.is_empty()
        && (recording.persons.iter().any(|person| words(person) == name)
            || enough && format!(" {} ", words(&recording.text)).contains(&format!(" {name} "))
            || enough && format!(" {} ", words(&recording.title)).contains(&format!(" {name} ")))
}

/// Does a title name the event of the other, with its year?
fn names_event(title: &str, candidate: &Recording) -> bool {
    let title = format!(" {} ", words(title));
    candidate.event.as_deref().is_some_and(|event| {
        let event = words(event);
        event.bytes().any(|b| b.is_ascii_digit()) && title.contains(&format!(" {event} "))
    })
}

/// The ways an event is written in titles: as it is called, without its year, in one word.
fn event_names(event: &str) -> Vec<Vec<String>> {
    let tokens: Vec<String> = words(event).split(' ').map(str::to_owned).filter(|token| !token.is_empty()).collect();
    let is_year = |token: &str| token.len() == 4 && token.bytes().all(|b| b.is_ascii_digit());
    let bare: Vec<String> = tokens.iter().filter(|token| !is_year(token)).cloned().collect();
    let mut names = vec![tokens.clone(), vec![tokens.concat()]];
    if bare.len() < tokens.len() && !bare.is_empty() {
        names.push(bare);
    }
    // `nixcon2025` is also written `NixCon 2025`, and `NixCon`.
    for token in &tokens {
        if let Some(at) = token.find(|c: char| c.is_ascii_digit()).filter(|at| *at > 2) {
            names.push(vec![token[..at].to_owned(), token[at..].to_owned()]);
            names.push(vec![token[..at].to_owned()]);
        }
    }
    names.retain(|name| !name.is_empty() && name.iter().all(|token| !token.is_empty()));
    names
}

/// A title without what channels put around it, and whether it says that it is a translation.
fn normal_title(title: &str, persons: &[String], events: &[Vec<String>]) -> (String, bool) {
    let mut title = title.to_owned();
    // "Ida, Rok: A talk" and "A talk (Ida, Rok)".
    let names_people = |text: &str| {
        let parts: Vec<String> = text.split([',', '&', '/']).map(words).filter(|part| !part.is_empty()).collect();
        !parts.is_empty() && parts.iter().all(|part| persons.contains(part))
    };
    if let Some((before, after)) = title.split_once(": ").filter(|(before, _)| names_people(before)) {
        let _ = before;
        title = after.to_owned();
    }
    if let Some(at) = title.rfind(" (")
        && title.ends_with(')')
        && names_people(&title[at + 2..title.len() - 1])
    {
        title.truncate(at);
    }
    let mut text = words(&title);
    let translation =
        TRANSLATIONS.iter().find_map(|mark| text.strip_suffix(mark).map(str::trim_end).map(str::to_owned));
    let is_translated = translation.is_some();
    if let Some(bare) = translation {
        text = bare;
    }
    let mut tokens: Vec<&str> = text.split(' ').collect();
    loop {
        let before = tokens.len();
        for event in events {
            let event: Vec<&str> = event.iter().map(String::as_str).collect();
            if tokens.len() > event.len() && tokens.starts_with(&event) {
                tokens.drain(..event.len());
            }
            if tokens.len() > event.len() && tokens.ends_with(&event) {
                tokens.truncate(tokens.len() - event.len());
            }
        }
        if tokens.len() == before {
            break;
        }
    }
    (tokens.join(" "), is_translated)
}

/// YouTube cuts titles at 100 characters: then the first 90 count.
fn is_cut(title: &str, a: &str, b: &str) -> bool {
    let start = |text: &str| text.chars().take(80).collect::<String>();
    title.chars().count() == 100 && b.chars().count() >= 80 && start(a) == start(b)
}

/// Words in lower case with one space between them: what is neither letter nor digit is a space.
fn words(text: &str) -> String {
    let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Dice's coefficient over the sets of words.
fn similarity(a: &str, b: &str) -> f64 {
    let (a, b): (BTreeSet<&str>, BTreeSet<&str>) = (a.split(' ').collect(), b.split(' ').collect());
    let shared = a.intersection(&b).count();
    #[expect(clippy::cast_precision_loss, reason = "titles have few words")]
    let likeness = 2.0 * shared as f64 / (a.len() + b.len()) as f64;
    likeness
}

fn clock(seconds: u64) -> String {
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;

    fn recording(title: &str, persons: &[&str], duration_s: u64, event: &str) -> Recording {
        Recording {
            url: format!("https://media.example.org/v/{}", words(title).replace(' ', "-")),
            title: title.to_owned(),
            persons: persons.iter().map(|name| (*name).to_owned()).collect(),
            duration_s: Some(duration_s).filter(|seconds| *seconds > 0),
            at: None,
            event: Some(event.to_owned()),
            text: String::new(),
        }
    }

    #[track_caller]
    fn check(video: &Recording, candidate: &Recording, want: bool) {
        let found = likely(video, std::slice::from_ref(candidate));
        assert_eq!(found.is_some(), want, "{video:?} and {candidate:?}: {found:?}");
    }

    #[test]
    fn what_channels_put_around_a_title_does_not_hide_the_talk() {
        let talk = recording("Nix without flakes", &["Ida Example", "Rok Sample"], 1_500, "NixCon 2025");
        for title in [
            "Nix without flakes",
            "NixCon 2025 - Nix without flakes",
            "[NixCon2025] Nix Without Flakes",
            "Nix without flakes | NixCon",
            "Ida Example, Rok Sample: Nix without flakes",
            "Nix without flakes (Ida Example, Rok Sample)",
            "NixCon 2025 – “Nix without flakes” (NixCon 2025)",
        ] {
            check(&recording(title, &[], 1_520, "NixCon"), &talk, true);
        }
    }

    #[test]
    fn what_only_looks_alike_is_not_offered() {
        let talk = recording("Nix without flakes", &["Ida Example"], 1_500, "NixCon 2025");
        check(&recording("Nix without flakes", &[], 0, "NixCon"), &talk, false);
        check(&recording("Nix without flakes", &[], 2_500, "NixCon"), &talk, false);
        check(&recording("Nix with flakes", &["Ida Example"], 1_500, "NixCon"), &talk, false);
        check(&recording("Nix without flakes - english translation", &["Ida Example"], 1_500, "NixCon"), &talk, false);
        check(&recording("NixCon 2025 Day 1 - Aula", &["Ida Example"], 30_000, "NixCon"), &talk, false);
        let opening = recording("Opening", &["Ida Example"], 900, "NixCon 2025");
        check(&recording("Opening", &["Ida Example"], 900, "NixCon"), &opening, false);
        check(&recording("NixCon 2025 - Opening", &["Ida Example"], 900, "NixCon"), &opening, true);
        let last_year = Recording { at: Some("2023-09-08T10:00:00Z".parse().unwrap()), ..talk.clone() };
        let now = Recording { at: Some("2025-09-08T10:00:00Z".parse().unwrap()), ..talk.clone() };
        check(&now, &last_year, false);
    }

    #[test]
    fn of_two_equally_likely_none_is_offered() {
        let talk = recording("Nix without flakes", &["Ida Example"], 1_500, "NixCon 2025");
        let twin = Recording { url: "https://media.example.org/v/twin".into(), ..talk.clone() };
        assert!(likely(&talk, &[talk.clone(), twin.clone()]).is_none());
        let other = Recording { duration_s: Some(3_000), ..twin };
        assert_eq!(likely(&talk, &[other, talk.clone()]).unwrap().index, 1);
    }

    /// The schedule of NixCon NA 2024 against the playlist of its videos. Where OYEZ_CORPUS is not set, it is skipped.
    #[test]
    fn matching_corpus() {
        let Some(corpus) = std::env::var_os("OYEZ_CORPUS") else { return };
        let folder = PathBuf::from(corpus).join("sources/matching");
        let read =
            |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let schedule = read("nixcon-na-2024-sessionize.json");
        let mut talks = Vec::new();
        for session in schedule
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|day| day["rooms"].as_array().unwrap())
            .flat_map(|room| room["sessions"].as_array().unwrap())
        {
            let time = |key: &str| format!("{}Z", text(&session[key])).parse::<Timestamp>().unwrap();
            talks.push(Recording {
                url: text(&session["id"]),
                title: text(&session["title"]),
                persons: session["speakers"].as_array().unwrap().iter().map(|s| text(&s["name"])).collect(),
                // A slot on the schedule is no length of a recording.
                duration_s: None,
                at: Some(time("startsAt")),
                event: Some("NixCon NA 2024".to_owned()),
                text: String::new(),
            });
        }
        let playlist = read("nixcon-na-2024-youtube-playlistItems.json");
        let mut matched = Vec::new();
        let mut unmatched = Vec::new();
        for item in playlist["items"].as_array().unwrap() {
            let snippet = &item["snippet"];
            let video = Recording {
                url: text(&snippet["resourceId"]["videoId"]),
                title: text(&snippet["title"]),
                persons: Vec::new(),
                duration_s: None,
                at: text(&snippet["publishedAt"]).parse().ok(),
                event: Some(text(&snippet["channelTitle"])),
                text: text(&snippet["description"]),
            };
            match likely(&video, &talks) {
                Some(found) => {
                    matched.push(format!("{} = {} ({})", video.title, talks[found.index].title, found.evidence))
                }
                None => unmatched.push(format!("{} | {}", video.title, video.text.lines().next().unwrap_or_default())),
            }
        }
        // Read by a human eye: each pair is one talk.
        // Read by a human eye: each pair is one talk. One video has no speaker in its description, one is the lightning
        // talks of a day, and two have another title and no second proof.
        let said = format!("{}\n-- none:\n{}", matched.join("\n"), unmatched.join("\n"));
        assert_eq!((matched.len(), unmatched.len()), (8, 4), "{said}");
        let is_one = |pair: &String| pair.split_once(" = ").is_some_and(|(a, b)| b.starts_with(a));
        assert!(matched.iter().all(is_one), "{said}");
    }
}
