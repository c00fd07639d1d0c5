use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

use super::*;
use crate::item::{Author, Image};

const LINK: &str = "https://forum.example.org/t/a-topic/42";

fn limits(max_length: usize) -> Limits {
    Limits {
        max_length,
        url_length: Some(23),
        max_media: 4,
        max_image_bytes: 1,
        max_image_pixels: 1,
        max_alt: 40,
        keeps_keys: true,
        counts_code_points: false,
    }
}

fn found(title: &str, text: &str) -> Found {
    Found {
        url: LINK.to_owned(),
        title: title.to_owned(),
        text: text.to_owned(),
        author: Some(Author { name: "Ida Example".to_owned(), ..Author::default() }),
        ..Found::default()
    }
}

fn post(found: &Found, kind: &str, max_length: usize) -> Result<Post, ComposeError> {
    let limits = limits(max_length);
    let hashtags = ["NixOS".to_owned(), "#nixos".to_owned(), "Free Software".to_owned()];
    let input = Compose {
        found,
        link: &found.url,
        kind,
        mark: None,
        hashtags: &hashtags,
        language: Some("en"),
        platform: "mastodon",
        limits: &limits,
    };
    compose(&input, &Templates::default())
}

#[test]
fn an_announcement_reads_like_one() {
    let found = found(
        "Nix 2.6.0 released",
        "Hi all,\n\nWe're pleased to announce the availability of Nix 2.6.0. It is faster.\n\nHere are the notes:\n\n- one",
    );
    let post = post(&found, "announcement", 500).unwrap();
    assert_eq!(
        post.text,
        format!(
            "Nix 2.6.0 released\n\nWe're pleased to announce the availability of Nix 2.6.0. It is faster.\n\n{LINK}\nBy Ida Example\n\n#NixOS #FreeSoftware"
        )
    );
    assert_eq!((post.warnings.len(), post.language.as_deref(), post.limit), (0, Some("en"), 500));
}

#[test]
fn a_talk_names_speakers_and_event_once() {
    let mut talk = found("Packaging without tears", "A talk about packages.");
    talk.persons = vec!["Ida".to_owned(), "Rok".to_owned()];
    talk.event = Some("NixCon 2025".to_owned());
    assert_eq!(
        post(&talk, "talk", 500).unwrap().text,
        format!(
            "🎬 Packaging without tears\n\nIda and Rok at NixCon 2025\n\nA talk about packages.\n\n{LINK}\n\n#NixOS #FreeSoftware"
        )
    );
    talk.persons.clear();
    talk.author = Some(Author { name: "NixCon 2025".to_owned(), ..Author::default() });
    talk.title = "NixCon 2025 - Opening".to_owned();
    talk.text.clear();
    assert_eq!(
        post(&talk, "talk", 500).unwrap().text,
        format!("🎬 NixCon 2025 - Opening\n\n{LINK}\n\n#NixOS #FreeSoftware")
    );
}

#[test]
fn parts_go_in_their_order_and_it_is_said() {
    let found = found(
        "A title of some length",
        "One sentence that is here. Another sentence that is here. And a third sentence.",
    );
    let cut = |limit| {
        let post = post(&found, "announcement", limit).unwrap();
        assert!(post.length <= limit && post.text.contains(LINK), "{}", post.text);
        (post.text, post.warnings.join("; "))
    };
    assert_eq!(cut(500).1, "");
    let (text, warnings) = cut(150);
    assert!(text.contains("Another sentence") && !text.contains("third"), "{text}");
    assert_eq!(warnings, "the summary was cut to 2 of 3 sentences");
    let (text, warnings) = cut(90);
    assert!(!text.contains("One") && text.contains("By Ida") && text.contains("#NixOS"), "{text}");
    assert_eq!(warnings, "the summary was left out");
    let (text, warnings) = cut(75);
    assert!(!text.contains("By Ida") && text.contains("A title of some length"), "{text}");
    assert_eq!(warnings, "the summary was left out; the credit was left out");
    let (text, warnings) = cut(60);
    assert!(text.contains("A title of…") && text.contains("#NixOS #FreeSoftware"), "{text}");
    assert!(warnings.ends_with("the title was cut"), "{warnings}");
    let (text, warnings) = cut(44);
    assert!(text.contains("A title of some…") && !text.contains('#'), "{text}");
    assert!(warnings.ends_with("the hashtags were left out; the title was cut"), "{warnings}");
    assert_eq!(cut(23).0, LINK);
    assert_eq!(post(&found, "announcement", 22), Err(ComposeError::TooLong { length: 23, limit: 22 }));
}

#[test]
fn a_long_title_stays_whole_as_long_as_it_fits_and_is_said_to_be_cut_where_it_does_not() {
    let title = "Word ".repeat(80).trim_end().to_owned();
    let long =
        post(&found(&title, "A sentence that would fit if the title were shorter than it is."), "announcement", 500);
    let long = long.unwrap();
    assert!(long.text.starts_with(&format!("{title}\n")), "{}", long.text);
    assert_eq!(long.warnings, ["the summary was left out"]);
    // A title longer than any post: also with full stops, at which a cut needs no ellipsis.
    for title in ["Word ".repeat(400), "Four words are here. ".repeat(400), "名".repeat(3000)] {
        let cut = post(&found(&title, ""), "announcement", 500).unwrap();
        assert!(cut.length <= 500 && cut.text.contains(LINK), "{}", cut.text);
        assert_eq!(cut.warnings, ["the credit was left out", "the title was cut"]);
    }
}

#[test]
fn how_much_of_the_text_is_said_and_which_names_were_cut() {
    let text = "One sentence that is here.\n\n- a list\n- of things\n\nAnd prose below it, which no post repeats.";
    let one = post(&found("A title", text), "announcement", 500).unwrap();
    assert_eq!(one.summary, Some(Summary { length: 26, of: text.chars().count() }));
    assert_eq!(one.warnings, Vec::<String>::new());
    assert_eq!(post(&found("A title", ""), "announcement", 500).unwrap().summary, None);
    let none = post(&found("A title", text), "announcement", 80).unwrap();
    assert_eq!((none.summary.unwrap().length, none.warnings.len()), (0, 1));
    let inside = post(&found("A title", &"Many words and no full stop ".repeat(30)), "announcement", 300).unwrap();
    let said = inside.summary.unwrap();
    assert!((60..300).contains(&said.length) && said.of == 28 * 30, "{said:?}");

    let mut talk = found("A talk", "");
    talk.persons = ["Ada", "Ben", "Cleo", "Dora", "Emil"].map(str::to_owned).to_vec();
    talk.event = Some("Conference of very long names ".repeat(5));
    let talk = post(&talk, "talk", 500).unwrap();
    assert_eq!(talk.warnings, ["the event's name was cut to 80 characters", "3 of 5 speakers are named"]);
}

#[track_caller]
fn check_cut(text: &str, max: usize, want: Option<&str>) {
    assert_eq!(fit::cut(text, max, Unit::Graphemes).as_deref(), want, "{text} to {max}");
}

#[test]
fn cuts_are_at_a_sentence_a_word_or_at_least_a_grapheme() {
    check_cut("short", 5, None);
    check_cut("First sentence here. Then more words", 30, Some("First sentence here."));
    check_cut("some words, and more", 12, Some("some words…"));
    check_cut("Donaudampfschifffahrt", 8, Some("Donauda…"));
    check_cut("👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 2, Some("👩‍👩‍👧‍👦…"));
    check_cut("see https://nixos.org/a/long/address now", 20, Some("see…"));
    check_cut("see https://nixos.org/a now and then", 26, Some("see https://nixos.org/a …"));
}

#[track_caller]
fn check_harmless(text: &str, want: &str) {
    assert_eq!(harmless::line(text), want, "{text:?}");
    assert_eq!(harmless::line(want), want, "twice: {text:?}");
}

#[test]
fn text_from_a_source_pings_nobody_and_tags_nothing() {
    check_harmless("thanks @ida and @rok@chaos.social.", "thanks ida and rok at chaos.social.");
    check_harmless("(@ida) .@rok ＠full /@x =@y @_z @é", "(ida) .rok full /x =y _z é");
    check_harmless(
        "mail summer@nixos.org, or <foundation@nixos.org>!",
        "mail summer@nixos.org, or foundation@nixos.org!",
    );
    check_harmless("ü@nixos.org a@b @@ida @ flox", "ü at nixos.org a at b ida @ flox");
    check_harmless("#nixos C# #123 #1st ##x ＃full F#m", "nixos C# #123 1st x full Fm");
    check_harmless("https://chaos.social/@ida/1#frag and #frag", "https://chaos.social/@ida/1#frag and frag");
    check_harmless("Vec<String> <b>bold</b> 1 < 2 <script", "Vec‹String› ‹b›bold‹/b› 1 < 2 ‹script");
    check_harmless("![x](upload://abc.png) UPLOAD://y z", "![x]( z");
    check_harmless("a\u{202e}b\u{2066}c\u{0}d\ne", "abcd e");
    check_harmless("{{ title }} {% raw %}", "{{ title }} {% raw %}");
}

#[test]
fn template_code_in_a_title_is_only_text() {
    let post = post(&found("{{ 7 * 7 }} {% include '_x' %}", ""), "announcement", 500).unwrap();
    assert!(post.text.starts_with("{{ 7 * 7 }} {% include '_x' %}"), "{}", post.text);
}

#[test]
fn the_lead_image_goes_with_its_alt_text() {
    let mut found = found("Title", "");
    found.language = Some("de".to_owned());
    found.images = vec![
        Image {
            url: "https://a.example/1.png".to_owned(),
            alt: Some("A rather long description of what can be seen".to_owned()),
        },
        Image { url: "https://a.example/2.png".to_owned(), alt: None },
    ];
    let post = post(&found, "announcement", 500).unwrap();
    assert_eq!(
        post.media,
        [Media {
            url: "https://a.example/1.png".to_owned(),
            alt: Some("A rather long description of what can…".to_owned())
        }]
    );
    assert_eq!(
        (post.language.as_deref(), post.warnings.join("")),
        (Some("de"), "the picture's alt text was shortened".to_owned())
    );
}

#[test]
fn an_address_that_is_none_makes_no_post() {
    for url in ["javascript:alert(1)", "/t/1", "https://u:p@nixos.org/"] {
        let found = Found { url: url.to_owned(), ..found("Title", "") };
        let refused = post(&found, "announcement", 500);
        assert!(matches!(&refused, Err(ComposeError::Link { link, .. }) if link == url), "{refused:?}");
    }
}

#[test]
fn a_template_with_a_tag_of_its_own_has_it_once() {
    let own = std::collections::BTreeMap::from([(
        "default.announcement.txt".to_owned(),
        "{{ title }} #nixos {{ link }} {{ hashtags }}".to_owned(),
    )]);
    let (found, limits) = (found("Title", ""), limits(500));
    let hashtags = ["NixOS".to_owned(), "Nix".to_owned()];
    let input = Compose {
        found: &found,
        link: &found.url,
        kind: "x",
        mark: None,
        hashtags: &hashtags,
        language: None,
        platform: "file",
        limits: &limits,
    };
    assert_eq!(compose(&input, &Templates::new(&own)).unwrap().text, format!("Title #nixos {LINK} #Nix"));
}

#[test]
fn a_channel_is_named_alone_and_a_program_never() {
    #[track_caller]
    fn check(author: &str, event: Option<&str>, line: &str) {
        let mut talk = found("A video", "");
        talk.author = Some(Author { name: author.to_owned(), ..Author::default() });
        talk.event = event.map(str::to_owned);
        let text = post(&talk, "talk", 500).unwrap().text;
        let between = text.split("\n\n").nth(1).unwrap();
        assert_eq!(if between == LINK { "" } else { between }, line, "{text}");
    }
    check("Ida", Some("Ida's channel"), "Ida");
    check("ida", Some("Packaging weekly"), "Packaging weekly");
    check("Ida", None, "By Ida");
    check("(Ida Example)", None, "By Ida Example");
    check("/u/ida", None, "By ida");
    check("admin", None, "");
    check("Administrator", Some("Packaging weekly"), "Packaging weekly");
}

#[test]
fn an_edit_is_measured_and_not_cut() {
    assert_eq!(measure(&"a".repeat(501), &limits(500)), (501, false));
    assert_eq!(measure(LINK, &limits(500)), (23, true));
}

/// A sign that Mastodon, X or Bluesky would take for a mention.
fn pings(text: &str) -> bool {
    let urls = crate::count::urls(text);
    text.match_indices(['@', '＠', '﹫']).any(|(at, sign)| {
        let before = text[..at].chars().next_back();
        let after = text[at + sign.len()..].chars().next();
        !urls.iter().any(|url| url.contains(&at))
            && !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
            && after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-zA-Z]{1,12}",
        2 => "\\PC{1,8}",
        1 => "[日本語中文한국어ประเทศไทยहिन्दीעבריתفارسی\u{200c}\u{200d}]{1,10}",
        1 => Just("👩‍👩‍👧‍👦".to_owned()),
        1 => Just("🇩🇪".to_owned()),
        1 => Just("e\u{301}\u{302}".to_owned()),
        1 => "https://[a-z]{2,8}\\.org/[a-zA-Z0-9/_.()@#?=é日-]{0,60}",
        1 => "[@＠#＃﹫]{1,2}[a-zé日_.-]{1,8}(@[a-z]{1,6}\\.org)?",
        1 => "[a-z.]{1,6}@[a-z]{1,6}\\.org",
        1 => Just("upload://a.png".to_owned()),
        1 => "[.!?。:,;\n<>&\u{202e}\u{2066}]{1,3}",
    ]
}

fn anything() -> impl Strategy<Value = String> {
    (prop::collection::vec(piece(), 0..40), prop::sample::select(vec![" ", "", ". ", "\n\n"]))
        .prop_map(|(pieces, between)| pieces.join(between))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn promise_07_no_surprise_in_the_text(title in anything(), text in anything(), name in anything(), limit in 60_usize..600, points in any::<bool>()) {
        let mut found = found(&title, &text);
        found.author = Some(Author { name: name.clone(), ..Author::default() });
        found.event = Some(name);
        let limits = Limits { counts_code_points: points, ..limits(limit) };
        let hashtags = ["NixOS".to_owned()];
        for kind in ["announcement", "talk", "security"] {
            let input = Compose { found: &found, link: &found.url, kind, mark: None, hashtags: &hashtags, language: None, platform: "mastodon", limits: &limits };
            let post = compose(&input, &Templates::default()).unwrap();
            let (length, fits) = measure(&post.text, &limits);
            prop_assert!(fits && length == post.length, "{} of {limit}: {}", length, post.text);
            prop_assert!(post.text.contains(LINK), "{}", post.text);
            prop_assert!(post.text.ends_with("#NixOS"), "{}", post.text);
            prop_assert!(!pings(&post.text), "{}", post.text);
            prop_assert!(!post.text.to_lowercase().contains("upload://"), "{}", post.text);
            let is_trick = |c: char| c != '\n' && c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            prop_assert!(!post.text.contains(is_trick), "{}", post.text);
        }
    }

    #[test]
    fn cuts_keep_graphemes_and_addresses_whole(text in anything(), max in 1_usize..200) {
        let text = harmless::line(&text);
        for unit in [Unit::Graphemes, Unit::CodePoints, Unit::Mastodon { url_length: 23 }] {
            let Some(cut) = fit::cut(&text, max, unit) else { continue };
            prop_assert!(unit.length(&cut, "") <= max, "{cut}");
            let start = cut.strip_suffix('…').unwrap_or(&cut).trim_end();
            prop_assert!(text.starts_with(start), "{cut:?} of {text:?}");
            let at = start.len();
            prop_assert!(at == 0 || at == text.len() || text.grapheme_indices(true).any(|(bound, _)| bound == at), "{cut:?} of {text:?}");
            for address in crate::count::urls(&text) {
                prop_assert!(at <= address.start || at >= address.end, "{cut:?} of {text:?}");
            }
        }
    }

    #[test]
    fn harmless_is_harmless_at_once(text in anything()) {
        let once = harmless::line(&text);
        prop_assert!(!pings(&once), "{once}");
        prop_assert_eq!(harmless::line(&once), once);
    }
}

/// Found by fuzzing: a server may say anything, and its word was multiplied and added to.
#[test]
fn no_limit_is_too_strange() {
    let found = found("Release 26.11 is out", "It brings a faster installer. See https://a.example.org/x for more.");
    let most =
        Limits { max_length: usize::MAX, max_alt: usize::MAX, url_length: Some(usize::MAX), ..Limits::mastodon() };
    let input = |limits| Compose {
        found: &found,
        link: &found.url,
        kind: "talk",
        mark: None,
        hashtags: &[],
        language: None,
        platform: "mastodon",
        limits,
    };
    let post = compose(&input(&most), &Templates::default()).unwrap();
    assert!(post.text.contains("Release 26.11 is out"), "{}", post.text);
    let addresses = Limits { max_length: 500, ..most };
    assert!(matches!(
        compose(&input(&addresses), &Templates::default()),
        Err(ComposeError::TooLong { limit: 500, .. })
    ));
}

/// Real announcements and talks, composed and shown for reading (`--nocapture`); what must hold is asserted.
#[test]
#[expect(clippy::print_stdout, reason = "the posts are there to be read, and a skipped test says so")]
fn the_corpus_reads_well() {
    let Some(corpus) = std::env::var_os("OYEZ_CORPUS").map(std::path::PathBuf::from) else {
        println!("skipped: OYEZ_CORPUS is not set");
        return;
    };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(corpus.join("sources/nixos-announcements-md")).unwrap() {
        let file = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut parts = file.splitn(3, "---\n").skip(1);
        let (head, body) = (parts.next().unwrap(), parts.next().unwrap());
        let title = head.lines().find_map(|line| line.strip_prefix("title:")).unwrap_or_default();
        all.push(("announcement", found(title, &crate::text::from_plain(body).text)));
    }
    for name in ["conference-camp2023.json", "conference-oscal19.json", "events-recent.json"] {
        let file = std::fs::read_to_string(corpus.join("sources/mediaccc-api").join(name)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&file).unwrap();
        for event in json["events"].as_array().unwrap().iter().take(12) {
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            let persons = event["persons"].as_array().cloned().unwrap_or_default();
            let mut talk = found(&text("title"), &crate::text::from_plain(&text("description")).text);
            talk.author = None;
            talk.persons = persons.iter().filter_map(|p| p.as_str().map(str::to_owned)).collect();
            talk.event = Some(text("conference_title")).filter(|event| !event.is_empty());
            all.push(("talk", talk));
        }
    }
    for name in ["core-t-280.json", "perceval-discourse_topic_1148.json", "core-t-9.json"] {
        let file = std::fs::read_to_string(corpus.join("sources/discourse-topic").join(name)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&file).unwrap();
        let cooked = json["post_stream"]["posts"][0]["cooked"].as_str().unwrap_or_default();
        let body = crate::text::from_html(cooked, &Url::parse(LINK).unwrap());
        all.push(("announcement", found(json["title"].as_str().unwrap(), &body.text)));
    }
    for (kind, found) in all {
        let post = post(&found, kind, 500).unwrap();
        println!("{}\n== {} {:?}", post.text, post.length, post.warnings);
        assert!(post.length <= 500 && !pings(&post.text) && !post.text.contains("upload://"));
    }
}
