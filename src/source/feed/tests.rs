use super::*;

const YOUTUBE: &[u8] = include_bytes!("../../../tests/fixtures/youtube/channel.xml");

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[track_caller]
fn read(document: &str) -> ParsedFeed {
    parse(document.as_bytes(), &url("https://blog.example/feed.xml"), None).unwrap()
}

fn keys(feed: &ParsedFeed) -> Vec<&str> {
    feed.entries.iter().map(|e| e.found.key.as_str()).collect()
}

fn rss(items: &str) -> String {
    format!("<rss version='2.0'><channel><title>Blog</title><link>https://blog.example/</link>{items}</channel></rss>")
}

#[test]
fn reads_a_youtube_channel() {
    let base = url("https://www.youtube.com/feeds/videos.xml?channel_id=UCaaaaaaaaaaaaaaaaaaaaaa");
    let feed = parse(YOUTUBE, &base, Some("text/xml; charset=UTF-8")).unwrap();
    assert_eq!(feed.contact, "youtube:channel/UCaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(keys(&feed), ["youtube:AAAAAAAAAA1", "youtube:AAAAAAAAAA2"], "{:?}", feed.skipped);
    let talk = &feed.entries[0].found;
    assert_eq!(talk.url, "https://www.youtube.com/watch?v=AAAAAAAAAA1");
    assert_eq!(talk.event.as_deref(), Some("NixCon"));
    assert_eq!(talk.images[0].url, "https://i3.ytimg.com/vi/AAAAAAAAAA1/hqdefault.jpg");
    assert_eq!(talk.published, Some(at("2026-01-22T15:01:42Z")));
    assert_eq!(talk.changed, None);
    assert_eq!(feed.entries[0].views, Some(12));
    assert_eq!(feed.entries[1].found.tags, ["shorts"]);
    assert_eq!(feed.entries[1].found.url, "https://www.youtube.com/watch?v=AAAAAAAAAA2");
}

#[test]
fn promise_05_a_feed_is_what_it_is_however_it_is_spelled() {
    #[track_caller]
    fn check(address: &str, want: &str) {
        let feed = parse(rss("").as_bytes(), &url(address), None).unwrap();
        assert_eq!(feed.contact, want);
    }
    check("https://blog.example/feed.xml", "feed:blog.example/feed.xml");
    check("http://BLOG.example:80/feed.xml/#top", "feed:blog.example/feed.xml");
    check("https://me:secret@blog.example:443/feed%2Exml", "feed:blog.example/feed.xml");
    check("https://blog.example:8443/feed?tag=a%2fb", "feed:blog.example:8443/feed?tag=a%2fb");
    check(
        "https://www.youtube.com/feeds/videos.xml?channel_id=UCaaaaaaaaaaaaaaaaaaaaaa",
        "youtube:channel/UCaaaaaaaaaaaaaaaaaaaaaa",
    );
    check(
        "http://youtube.com/feeds/videos.xml?x=1&channel_id=UCaaaaaaaaaaaaaaaaaaaaaa",
        "youtube:channel/UCaaaaaaaaaaaaaaaaaaaaaa",
    );
    check(
        "https://www.youtube.com/feeds/videos.xml?playlist_id=UUaaaaaaaaaaaaaaaaaaaaaa",
        "youtube:channel/UCaaaaaaaaaaaaaaaaaaaaaa",
    );
    check("https://www.youtube.com/feeds/videos.xml?playlist_id=PLx", "youtube:playlist/PLx");
    check("https://tube.example/feeds/videos.xml?videoChannelName=nixcon", "peertube:tube.example/nixcon");
    check("https://tube.example/feeds/videos.xml?videoChannelName=nixcon@far.example", "peertube:far.example/nixcon");
    check("https://media.ccc.de/c/nixcon2025/podcast/mp4-hq.xml", "media-ccc-de:media.ccc.de/nixcon2025");
    // `?user=`, a saved file, a proxy: the document says it, with or without `UC`.
    let saved = parse(YOUTUBE, &url("http://127.0.0.1:8000/feeds/videos.xml"), None).unwrap();
    assert_eq!(saved.contact, "youtube:channel/UCaaaaaaaaaaaaaaaaaaaaaa");
}

#[test]
fn promise_04_one_bad_entry_does_not_take_the_others_with_it() {
    // feed-rs 3.0 refuses the whole document for a `content` with `src` and a body, and for an unknown MIME type.
    let bad = r#"<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title>
        <entry><id>a</id><title>A</title><link href="/a"/></entry>
        <entry><id>b</id><title>B</title><link href="/b"/><content src="/x" type="b a d">body</content></entry>
        <entry><id>c</id><title>C</title><link href="/c"/></entry></feed>"#;
    let feed = read(bad);
    let own = |id: &str| format!("feed:blog.example/feed.xml#{id}");
    assert_eq!(keys(&feed), [own("a"), own("b"), own("c")]);
    let worse = bad.replace("<content src", "<summary type=\"b a d\">x</summary><content src");
    let feed = read(&worse);
    assert_eq!(keys(&feed), [own("a"), own("c")]);
    assert_eq!(feed.skipped.len(), 1, "{:?}", feed.skipped);
    assert!(feed.skipped[0].starts_with("entry 2 "), "{:?}", feed.skipped);

    let nameless = rss("<item><title>no address</title></item><item><title>ok</title><link>/ok</link></item>");
    let feed = read(&nameless);
    assert_eq!(feed.entries.len(), 1);
    assert_eq!(feed.skipped, ["entry `no address` has neither a guid nor a link"]);
}

#[test]
fn hostile_authors_lose_no_entry() {
    for author in [
        "(",
        ")",
        "a@b (",
        "()",
        "&lt;&gt;",
        "&lt;",
        "> <",
        "é (é",
        "a@b.c (ü)",
        "&lt;a@b&gt; x",
        ")(",
        "(((((",
        "&gt;&lt;@",
    ] {
        let feed = read(&rss(&format!(
            "<item><title>t</title><link>/1</link><author>{author}</author></item><item><title>u</title><link>/2</link></item>",
            author = author.replace("> <", "&gt; &lt;"),
        )));
        assert_eq!(feed.entries.len(), 2, "{author}");
    }
}

#[test]
fn mends_cheap_malformations() {
    #[track_caller]
    fn check(document: &[u8], content_type: Option<&str>, title: &str) {
        let feed = parse(document, &url("https://blog.example/feed.xml"), content_type).unwrap();
        assert_eq!(feed.entries.len(), 1, "{:?}", feed.skipped);
        assert_eq!(feed.entries[0].found.title, title);
    }
    let with = |root: &str, title: &str| {
        format!("{root}<channel><title>x</title><item><title>{title}</title><link>/1</link></item></channel></rss>")
            .into_bytes()
    };
    check(&with("\u{FEFF}\n\n<?xml version='1.0'?><rss version='2.0'>", "a"), None, "a");
    check(&with("<rss>", "a"), None, "a");
    check(&with("<rss version='2.00'>", "a"), None, "a");
    check(&with("<rss version = \"0.93\">", "a"), None, "a");
    check(&with("<rss version='0.91'>", "a"), None, "a");
    check(&with("<rss version='2.0'>", "AT&amp;T \u{8}x"), None, "AT&T x");
    check(&with("<rss version='2.0'>", "a</title><media:x y:z='1'>b</media:x><title>a"), None, "a");
    let mut latin = with("<rss version='2.0'>", "X");
    let at = latin.iter().position(|b| *b == b'X').unwrap();
    latin[at] = 0xE4;
    check(&latin, None, "ä");
    latin[at] = 0xC1;
    check(&latin, Some("text/xml; charset=koi8-r"), "а");
}

#[test]
fn a_dateless_nameless_feed_keeps_its_keys() {
    let document = rss("<item><title>a</title><link>https://blog.example/a</link></item>");
    assert_eq!(read(&document), read(&document));
    assert_eq!(keys(&read(&document)), ["feed:blog.example/feed.xml#//blog.example/a"]);
}

#[test]
fn promise_05_http_and_https_flips_announce_nothing_anew() {
    let item = |scheme: &str| rss(&format!("<item><title>a</title><guid>{scheme}://blog.example/a</guid></item>"));
    assert_eq!(keys(&read(&item("http"))), keys(&read(&item("https"))));
    let prints = |feed: &ParsedFeed| sight(feed, at("2026-01-01T00:00:00Z")).0[0].fingerprint.clone();
    assert_eq!(prints(&read(&item("http"))), prints(&read(&item("https"))));
}

#[test]
fn a_guid_that_all_share_names_none() {
    let feed = read(&rss("<item><title>a</title><guid isPermaLink='false'>0</guid><link>/a</link></item>\
         <item><title>b</title><guid isPermaLink='false'>0</guid><link>/b</link></item>\
         <item><title>b</title><guid isPermaLink='false'>0</guid><link>/b</link></item>"));
    assert_eq!(
        keys(&feed),
        ["feed:blog.example/feed.xml#//blog.example/a", "feed:blog.example/feed.xml#//blog.example/b"]
    );
}

#[test]
fn relative_links_are_made_absolute_and_odd_ones_refused() {
    let feed = read(&rss(
        "<item><title>a</title><link>/a</link></item><item><title>b</title><link>javascript:alert(1)</link></item>",
    ));
    assert_eq!(feed.entries[0].found.url, "https://blog.example/a");
    assert_eq!(feed.skipped.len(), 1);
}

#[test]
fn a_forum_feed_gives_the_keys_of_the_forum() {
    let feed = parse(
        include_bytes!("../../../tests/fixtures/feeds/discourse.rss"),
        &url("https://forum.example/c/announcements/8.rss"),
        None,
    )
    .unwrap();
    assert_eq!(keys(&feed), ["discourse:forum.example/t/41", "discourse:forum.example/t/7"]);
    assert!(!feed.entries[0].pinned);
    assert!(feed.entries[1].pinned);
    assert_eq!(feed.entries[0].found.category.as_deref(), Some("Announcements"));
    assert_eq!(feed.entries[0].found.author.as_ref().and_then(|a| a.username.as_deref()), Some("ida"));
}

#[test]
fn a_podcast_feed_names_events_not_files() {
    let feed = parse(
        include_bytes!("../../../tests/fixtures/feeds/podcast.xml"),
        &url("https://media.ccc.de/c/nixcon2025/podcast/mp4-hq.xml"),
        None,
    )
    .unwrap();
    assert_eq!(keys(&feed), ["media-ccc-de:11111111-2222-5333-8444-555555555555"]);
    assert_eq!(feed.entries[0].found.persons, ["Ada Example", "Bob Example"]);
    assert_eq!(feed.entries[0].found.duration_s, Some(1933));
    // Found by fuzzing: a name over two lines.
    let podcast = include_str!("../../../tests/fixtures/feeds/podcast.xml").replace("Ada Example", "Ada\n   Example");
    let feed = parse(podcast.as_bytes(), &url("https://media.ccc.de/c/nixcon2025/podcast/mp4-hq.xml"), None).unwrap();
    assert_eq!(feed.entries[0].found.persons, ["Ada Example", "Bob Example"]);
}

#[test]
fn a_json_feed_with_numbers_for_ids() {
    let feed = parse(
        include_bytes!("../../../tests/fixtures/feeds/feed.json"),
        &url("https://blog.example/feed.json"),
        Some("application/feed+json"),
    )
    .unwrap();
    let own = |id: &str| format!("feed:blog.example/feed.json#{id}");
    assert_eq!(keys(&feed), [own("1"), own("two"), own("three")]);
    assert_eq!(feed.entries[0].found.images[0].url, "https://blog.example/1.png");
    assert_eq!(feed.entries[0].found.language.as_deref(), Some("de"));
    // Without an address of its own it stands on the feed's page, and shares its name with nothing.
    assert_eq!(feed.entries[2].found.url, "https://blog.example/");
    assert_eq!(feed.entries[2].found.aliases, Vec::<String>::new());
    assert_eq!(feed.skipped, ["entry 4 is not an object"]);
}

#[test]
fn a_placeholder_waits_for_its_time() {
    let document = String::from_utf8_lossy(YOUTUBE).replace("views=\"12\"", "views=\"0\"");
    let feed =
        parse(document.as_bytes(), &url("https://www.youtube.com/feeds/videos.xml?playlist_id=PLx"), None).unwrap();
    let (before, waiting) = sight(&feed, at("2026-01-22T15:00:00Z"));
    assert_eq!((before.len(), waiting), (1, true));
    let (after, waiting) = sight(&feed, at("2026-01-22T16:00:00Z"));
    assert_eq!((after.len(), waiting), (2, false));
    // A date a year ahead orders nothing; what it stands on is still seen.
    let (early, _) = sight(&feed, at("2025-01-22T16:00:00Z"));
    assert_eq!(early[0].published, None);
}

#[test]
fn promise_10_missing_is_gone_only_where_older_ones_stand() {
    #[track_caller]
    fn check(key: &str, published: &str, want: &Reread) {
        let base = url("https://www.youtube.com/feeds/videos.xml?channel_id=UCaaaaaaaaaaaaaaaaaaaaaa");
        let feed = parse(YOUTUBE, &base, None).unwrap();
        let found = Found { key: key.into(), published: Some(at(published)), ..Found::default() };
        let got = reread(&feed, &found);
        assert_eq!(std::mem::discriminant(&got), std::mem::discriminant(want), "{got:?}");
    }
    let gone = Reread::Gone(String::new());
    check("youtube:AAAAAAAAAA1", "2026-01-22T15:01:42Z", &Reread::Present(Box::default()));
    check("youtube:AAAAAAAAAA9", "2026-01-22T00:00:00Z", &gone);
    check("youtube:AAAAAAAAAA9", "2026-01-20T00:00:00Z", &Reread::Unknown);
}

#[test]
fn promise_08_a_feed_of_any_size_is_bounded() {
    let items: String =
        (0..MAX_ENTRIES + 5).map(|n| format!("<item><title>t</title><link>/{n}</link></item>")).collect();
    let feed = read(&rss(&items));
    assert_eq!(feed.entries.len(), MAX_ENTRIES);
    assert_eq!(feed.skipped, ["5 entries beyond the first 10000 were not read"]);
    assert!(parse(&vec![b' '; MAX_BYTES + 1], &url("https://blog.example/"), None).unwrap_err().contains("more than"));
    // Each of these took a quadratic reader minutes.
    for hostile in ["<!--", "<![CDATA[", "&a", "<a b='", "<?x ", "&amp", "<!DOCTYPE ["] {
        let _ = parse(hostile.repeat(500_000 / hostile.len()).as_bytes(), &url("https://blog.example/"), None);
    }
}

mod property {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Promise 8: whatever stands in a document, reading it ends without a panic.
        #[test]
        fn promise_08_no_bytes_break_the_reader(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..3000_usize, at in 0..3000_usize) {
            let base = url("https://blog.example/feed.xml");
            let _ = parse(&bytes, &base, None);
            let mut damaged = YOUTUBE[..cut.min(YOUTUBE.len())].to_vec();
            let at = at.min(damaged.len());
            damaged.splice(at..at, bytes.drain(..));
            let _ = parse(&damaged, &base, None);
        }

        /// Promise 4: an author's oddities lose no entry.
        #[test]
        fn promise_04_no_author_loses_an_entry(author in "[()<>@ a-zé\"',;:.]{0,20}") {
            let author = author.replace('<', "&lt;").replace('>', "&gt;");
            let feed = read(&rss(&format!("<item><title>t</title><link>/1</link><author>{author}</author></item>")));
            prop_assert_eq!(feed.entries.len(), 1);
        }
    }
}
