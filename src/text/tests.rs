use proptest::prelude::*;

use super::*;

fn base() -> Url {
    Url::parse("https://forum.example/t/a-topic/42").unwrap()
}

#[track_caller]
fn check(html: &str, text: &str, links: &[&str]) {
    let body = from_html(html, &base());
    assert_eq!(body.text, text, "{html}");
    assert_eq!(body.links, links, "{html}");
}

#[track_caller]
fn check_images(html: &str, images: &[(&str, Option<&str>)]) {
    let body = from_html(html, &base());
    let found: Vec<_> = body.images.iter().map(|i| (i.url.as_str(), i.alt.as_deref())).collect();
    assert_eq!(found, images, "{html}");
}

#[test]
fn headings_lose_their_anchor() {
    check(
        r##"<h2><a name="p-1-news-1" class="anchor" href="#p-1-news-1" aria-label="Heading link"></a>News</h2><p>Text.</p>"##,
        "News\n\nText.",
        &[],
    );
}

#[test]
fn links_are_absolute_in_order_and_once() {
    check(
        r#"<p>a <a href="https://b.example/x" rel="noopener nofollow ugc">b</a> <a href="/t/other/7">c</a>
           <a href="//d.example/">d</a> <a href="https://b.example/x">b</a> <a href="mailto:a@b.org">e</a>
           <a href="javascript:alert(1)">f</a> <a href="upload://x.png">g</a> <a href="https://u:p@h.example/">h</a></p>"#,
        "a b c d b e f g h",
        &["https://b.example/x", "https://forum.example/t/other/7", "https://d.example/"],
    );
}

#[test]
fn a_link_that_shows_an_address_shows_the_real_one() {
    check(
        r#"<p>See <a href="https://evil.example/x">https://nixos.org/…</a> now</p>"#,
        "See https://evil.example/x now",
        &["https://evil.example/x"],
    );
}

#[test]
fn bare_and_inline_oneboxes_are_links_not_prose() {
    check(
        r#"<p>Hi.</p><p><a href="https://a.example/1" class="onebox" target="_blank">https://a.example/1</a></p>
           <p><a href="https://a.example/2" class="inline-onebox">Somebody's title</a></p>
           <p><a href="https://a.example/3" class="inline-onebox-loading">https://a.example/3</a></p>"#,
        "Hi.",
        &["https://a.example/1", "https://a.example/2", "https://a.example/3"],
    );
    check(
        r#"<p>Read <a href="https://a.example/2" class="inline-onebox">this page</a> first.</p>"#,
        "Read this page first.",
        &["https://a.example/2"],
    );
}

#[test]
fn a_onebox_is_only_its_address() {
    check(
        r#"<p>Before.</p><aside class="onebox allowlistedgeneric" data-onebox-src="https://a.example/post">
           <header class="source"><img src="https://a.example/i.png" class="site-icon" width="32" height="32">
           <a href="https://a.example/post">a.example</a></header><article class="onebox-body"><img class="thumbnail"
           src="https://a.example/t.png"><h3><a href="https://a.example/other">Title</a></h3><p>Description</p></article>
           <div class="onebox-metadata"></div></aside><p>After.</p>"#,
        "Before.\n\nAfter.",
        &["https://a.example/post"],
    );
    check(
        r#"<aside class="onebox whitelistedgeneric"><header class="source"><a href="https://a.example/old">a</a></header></aside>"#,
        "",
        &["https://a.example/old"],
    );
    check_images(
        r#"<aside class="onebox" data-onebox-src="https://a.example"><img class="thumbnail" src="https://a.example/t.png"></aside>"#,
        &[],
    );
}

#[test]
fn a_video_is_its_address_and_its_picture_comes_last() {
    let html = r#"<div class="youtube-onebox lazy-video-container" data-video-id="dQw4w9WgXcQ" data-video-title="Opening the conference"
        data-video-start-time="" data-provider-name="youtube"><a href="https://www.youtube.com/watch?v=dQw4w9WgXcQ">
        <img class="youtube-thumbnail" src="https://img.youtube.com/vi/dQw4w9WgXcQ/maxresdefault.jpg"></a></div>
        <p><img src="/uploads/a.png" alt="The audience cheering"></p>"#;
    check(html, "", &["https://www.youtube.com/watch?v=dQw4w9WgXcQ"]);
    check_images(
        html,
        &[
            ("https://forum.example/uploads/a.png", Some("The audience cheering")),
            ("https://img.youtube.com/vi/dQw4w9WgXcQ/maxresdefault.jpg", Some("Opening the conference")),
        ],
    );
    check(
        r#"<div class="lazy-video-container" data-video-id="76979871" data-provider-name="vimeo"></div>"#,
        "",
        &["https://vimeo.com/76979871"],
    );
    check(
        r#"<p>a</p><iframe src="https://www.youtube.com/embed/dQw4w9WgXcQ?feature=oembed" width="480">no frames</iframe><p>b</p>"#,
        "a\n\nb",
        &["https://www.youtube.com/watch?v=dQw4w9WgXcQ"],
    );
}

#[test]
fn quotes_of_others_go_plain_block_quotes_are_marked() {
    check(
        r#"<aside class="quote no-group quote-modified" data-username="u" data-post="1" data-topic="7"><div class="title">
           <div class="quote-controls"></div><img class="avatar" src="/a.png"> u:</div><blockquote><p>Their
           <a href="https://a.example">words</a></p></blockquote></aside><p>Mine.</p>"#,
        "Mine.",
        &[],
    );
    check("<blockquote><p>Said<br>once.</p></blockquote><p>Mine.</p>", "> Said\n> once.\n\nMine.", &[]);
}

#[test]
fn images_without_their_meta_and_only_with_real_alt_text() {
    let html = r##"<p><div class="lightbox-wrapper"><a class="lightbox" href="//cdn.example/original/a.png" data-download-href="/d"
        title="a.png"><img src="//cdn.example/optimized/a_690x388.png" alt="a.png" data-base62-sha1="x" width="690" height="388">
        <div class="meta"><svg class="d-icon"><use href="#far-image"></use></svg><span class="filename">a.png</span>
        <span class="informations">690×388 67 KB</span><svg><use href="#x"></use></svg></div></a></div></p><p>Text.</p>"##;
    check(html, "Text.", &[]);
    check_images(html, &[("https://cdn.example/original/a.png", None)]);
    check_images(
        r#"<div class="d-image-grid"><img src="/1.png" alt="image"><img src="/2.png" alt="690x388"><img src="/2.png"></div>"#,
        &[("https://forum.example/1.png", None), ("https://forum.example/2.png", None)],
    );
    check_images(
        r#"<img class="avatar" src="/a.png"><img class="site-icon" src="/b.png"><img src="/c.png" width=16 height=16>"#,
        &[],
    );
}

#[test]
fn uploads_never_show_their_inner_address() {
    check_images(
        r#"<img src="/images/transparent.png" data-orig-src="upload://abc.png" alt="x"><img src="upload://abc.png">"#,
        &[],
    );
    check(r#"<p><a href="upload://abc.pdf">paper</a></p>"#, "paper", &[]);
}

#[test]
fn an_attachment_loses_its_size() {
    check(
        r#"<p>Get <a class="attachment" href="/uploads/short-url/X.pdf">paper.pdf</a> (123.4 KB) today.</p>"#,
        "Get paper.pdf today.",
        &["https://forum.example/uploads/short-url/X.pdf"],
    );
}

#[test]
fn emoji_become_characters() {
    let emoji = |code: &str| {
        format!(r#"<p>a <img class="emoji only-emoji" title="{code}" alt="{code}" src="/e.png?v=14">b</p>"#)
    };
    check(&emoji(":tada:"), "a 🎉b", &[]);
    check(&emoji(":wave:t3:"), "a 👋🏼b", &[]);
    check(&emoji(":slight_smile:"), "a 🙂b", &[]);
    check(&emoji(":no_such_thing:"), "a b", &[]);
    check(r#"<p>a <img class="emoji emoji-custom" alt=":tada:" src="/e.png">b</p>"#, "a b", &[]);
}

#[test]
fn mentions_and_hashtags_are_bare_names() {
    check(
        r#"<p>Thanks <a class="mention" href="/u/ida">@ida</a>, <a class="mention-group" href="/groups/team">@team</a> and
           <span class="mention">@nobody</span></p>"#,
        "Thanks ida, team and nobody",
        &[],
    );
    check(
        r#"<p><a class="hashtag-cooked" href="/c/events/13" data-type="category" data-slug="events" data-id="13"><span
           class="hashtag-icon-placeholder"><svg></svg></span><span>Events</span></a> <a class="hashtag" href="/c/x">#<span>old</span></a>
           <span class="hashtag-raw">#raw</span></p>"#,
        "Events old raw",
        &[],
    );
}

#[test]
fn code_blocks_tables_details_spoilers_and_math_go() {
    check(
        r#"<p>Run <code>nix flake update</code>:</p><pre data-code-wrap="nix"><code class="lang-nix">{ pkgs }: <a href="https://a.example">x</a></code></pre>
           <p>Done.</p>"#,
        "Run nix flake update:\n\nDone.",
        &[],
    );
    check(
        r#"<p>a</p><div class="md-table"><table><thead><tr><th>h</th></tr></thead><tbody><tr><td><a href="https://a.example/">c</a></td></tr></tbody></table></div><p>b</p>"#,
        "a\n\nb",
        &["https://a.example/"],
    );
    check("<details><summary>More</summary><p>Body</p> loose</details><p>b</p>", "More\n\nb", &[]);
    check(
        r#"<p>It was <span class="spoiler">him</span>!</p><div class="spoiler"><p>x</p></div><div class="spoiled">y</div>"#,
        "It was !",
        &[],
    );
    check(r#"<p>With <span class="math">x^2</span></p><div class="math">\sum</div>"#, "With x^2", &[]);
}

#[test]
fn footnotes_go() {
    check(
        r##"<p>A claim.<sup class="footnote-ref"><a href="#footnote-1-1" id="footnote-ref-1-1">[1]</a></sup></p><hr class="footnotes-sep">
           <ol class="footnotes-list"><li id="footnote-1-1" class="footnote-item"><p>Proof <a href="https://a.example/p">here</a>
           <a href="#footnote-ref-1-1" class="footnote-backref">↩︎</a></p></li></ol>"##,
        "A claim.",
        &["https://a.example/p"],
    );
}

#[test]
fn a_poll_is_only_named() {
    check(
        r#"<p>Vote!</p><div class="poll" data-poll-name="poll" data-poll-status="open"><div class="poll-container"><ul>
           <li data-poll-option-id="1">Yes</li></ul></div><div class="poll-info"><span>0 voters</span></div></div><p>Thanks.</p>"#,
        "Vote!\n\n(poll)\n\nThanks.",
        &[],
    );
}

#[test]
fn local_dates_and_events_say_their_time_in_words() {
    check(
        r#"<p>At <span class="discourse-local-date" data-date="2026-09-05" data-time="18:00:00" data-timezone="Europe/Berlin"
           data-email-preview="2026-09-05T16:00:00Z UTC">2026-09-05T16:00:00Z</span>.</p>"#,
        "At 5 September 2026, 18:00 CEST (16:00 UTC).",
        &[],
    );
    check(
        r#"<p><span class="discourse-local-date" data-date="2026-09-05" data-time="01:00:00" data-timezone="Asia/Tokyo">x</span> →
           <span class="discourse-local-date" data-date="2026-09-06">y</span></p>"#,
        "5 September 2026, 01:00 JST (4 September 2026, 16:00 UTC) → 6 September 2026",
        &[],
    );
    check(r#"<p><span class="discourse-local-date" data-date="soon">soon</span></p>"#, "soon", &[]);
    check(
        r#"<div class="discourse-post-event" data-start="2026-09-05 16:00" data-end="2026-09-05 18:30" data-name="NixCon"></div>"#,
        "NixCon: 5 September 2026, 16:00 UTC – 5 September 2026, 18:30 UTC",
        &[],
    );
}

#[test]
fn lists_rules_small_print_and_checklists() {
    check(
        "<p>a</p><ol start=3><li>one</li><li><p>two</p><ul><li>deep</li></ul></li></ol><hr><p>b</p>",
        "a\n\n- one\n- two\n- deep\n\nb",
        &[],
    );
    check(
        "<p><small>s</small> <big>b</big> <kbd>k</kbd> <ins>i</ins> <del>d</del><mark>m</mark> <abbr title=t>a</abbr></p>",
        "s b k i m a",
        &[],
    );
    check(
        r#"<ul><li><span class="chcklst-box fa fa-square-check-o"></span> done</li><li><span class="chcklst-box fa fa-square-o"></span> open</li></ul>"#,
        "- ☑ done\n- ☐ open",
        &[],
    );
}

#[test]
fn scripts_comments_and_broken_markup() {
    check("<p>a<!-- <p>hidden</p> --><script>alert('</p>')</script>b<style>p{}</style></p>", "ab", &[]);
    check("1 < 2 && 3 > 2 <p title='>'>x</p> &lt;b&gt; &amp;amp;", "1 < 2 && 3 > 2\n\nx\n\n<b> &amp;", &[]);
    check("<p>a<p>b<li>c<li>d<b>e", "a\n\nb\n\n- c\n- de", &[]);
    check("<p style='display: none'>x</p><p hidden>y</p><p>z</p>", "z", &[]);
    check("<a href='https://a.example/1'>unclosed <p>b", "unclosed\n\nb", &["https://a.example/1"]);
}

#[test]
fn a_feed_loses_its_two_trailers_in_any_language() {
    let item = base();
    let trailers = r#"<p><small>12 Beiträge - 4 Teilnehmer</small></p><p><a href="https://forum.example/t/a-topic/42">Ganzes Thema lesen</a></p>"#;
    let text = |html: &str| from_discourse_rss(html, &item, &item).text;
    assert_eq!(text(&format!("<p>Body.</p>{trailers}")), "Body.");
    assert_eq!(text(&format!("<p>ida wrote:</p><blockquote><p>Body.</p></blockquote>{trailers}")), "Body.");
    assert_eq!(text("<p>Body.</p><p><small>small print</small></p><p>more</p>"), "Body.\n\nsmall print\n\nmore");
    assert_eq!(text(r#"<p>Body.</p><p><a href="https://other.example/">Read on</a></p>"#), "Body.\n\nRead on");
    assert_eq!(from_discourse_rss(&format!("<p>Body.</p>{trailers}"), &item, &item).links, Vec::<String>::new());
}

#[test]
fn titles_are_one_plain_line() {
    assert_eq!(
        title_from_html("Nix&rsquo;s <b>2.6</b>\n &amp; more <img class=emoji alt=':tada:'>"),
        "Nix’s 2.6 & more 🎉"
    );
    assert_eq!(title_from_html("plain\u{202e} title"), "plain title");
}

#[track_caller]
fn check_clean(text: &str, want: &str) {
    assert_eq!(clean(text), want, "{text:?}");
}

#[test]
fn what_cannot_be_seen_goes_and_what_a_script_needs_stays() {
    check_clean("a\u{200b}b\u{feff}c\u{ad}d\u{2060}e", "abcde");
    check_clean("\u{202e}evil\u{2066}x\u{2069}\u{200f}", "evilx");
    check_clean("a\u{0}b\u{1b}[31m\tc\r\nd", "ab[31m c\nd");
    check_clean(
        "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f} 1\u{fe0f}\u{20e3} 🏴\u{e0067}\u{e0062}\u{e007f}",
        "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f} 1\u{fe0f}\u{20e3} 🏴\u{e0067}\u{e0062}\u{e007f}",
    );
    check_clean("می\u{200c}خواهم क\u{94d}\u{200d}ष", "می\u{200c}خواهم क\u{94d}\u{200d}ष");
    check_clean("a\u{200d}b \u{e0041}x\u{fe0f}", "ab x");
    check_clean("e\u{301}", "é");
    check_clean(&format!("a{}", "\u{335}".repeat(40)), &format!("a{}", "\u{335}".repeat(6)));
}

#[test]
fn plain_text_keeps_paragraphs_and_finds_links() {
    let body = from_plain(
        "First  line\nsecond\n\n\n• item\n* item\n\nSee https://nixos.org/a, flake.nix and https://nixos.org/a.",
    );
    assert_eq!(
        body.text,
        "First line\nsecond\n\n- item\n- item\n\nSee https://nixos.org/a, flake.nix and https://nixos.org/a."
    );
    assert_eq!(body.links, ["https://nixos.org/a"]);
}

#[test]
fn a_rule_in_plain_text_parts_it() {
    assert_eq!(
        from_plain("One.\n---\nTwo.\n=====\nThree -- four.\n--\nFive.").text,
        "One.\n\nTwo.\n\nThree -- four.\n--\nFive."
    );
}

#[test]
fn signs_of_markdown_go_from_plain_text() {
    let body = from_plain(
        "## Notes\nSee **the [manual](https://nixos.org/m)**, *now*![x](https://a.example/i.png). 2 * 3, 2**8, a[0](b c)",
    );
    assert_eq!(body.text, "Notes\nSee the manual, now. 2 * 3, 2**8, a[0](b c)");
    assert_eq!(body.links, ["https://nixos.org/m", "https://a.example/i.png"]);
    assert_eq!(from_plain("[![logo](/l.png)](https://a.example/l)It is out.").text, "It is out.");
}

#[test]
fn hostile_sizes_and_depths_are_cheap() {
    let started = std::time::Instant::now();
    for tag in [
        "<div>",
        "<b>",
        "<blockquote>",
        "<ul><li>",
        "<table><tr><td>",
        "<a href=x>",
        "<p><span>",
        "<svg>",
        "<b id=1><p>x",
        "<",
        "<a ",
        "</",
    ] {
        from_html(&format!("{}x", tag.repeat(100_000)), &base());
    }
    let attributes: String = (0..50_000).map(|n| format!(" a{n}")).collect();
    from_html(&format!("<p{attributes}>x</p>"), &base());
    from_html(&"&".repeat(600_000), &base());
    // A minute would be wrong by a factor of a thousand; a busy machine must not fail this.
    assert!(started.elapsed().as_secs() < 60, "took {:?}", started.elapsed());
    assert!(from_html(&format!("{}x", "<div>".repeat(100_000)), &base()).text.contains('x'));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn html_of_anybody_never_panics_and_never_leaks(html in "(<[/]?(p|div|a|img|aside|li|ul|b|table|td|blockquote|details|iframe|svg|script)( (class|href|src|alt|data-date)=['\"]?[a-z:/.#@]{0,12}['\"]?){0,2}>|[a-z &;@#\u{202e}\u{200b}<>日]{0,6}){0,40}") {
        let body = from_html(&html, &base());
        let is_hidden = |c: char| matches!(c, '\u{202e}' | '\u{200b}');
        prop_assert!(!body.text.contains(is_hidden), "hidden characters");
        prop_assert!(!body.text.contains("\n\n\n") && body.text.trim() == body.text);
        for link in &body.links {
            prop_assert!(link.starts_with("http://") || link.starts_with("https://"));
        }
    }

    #[test]
    fn cleaning_twice_is_cleaning_once(text in any::<String>()) {
        let once = clean(&text);
        prop_assert_eq!(clean(&once), once.clone());
        prop_assert_eq!(one_line(&one_line(&text)), one_line(&text));
        from_plain(&text);
    }

    #[test]
    fn any_string_is_bounded(text in any::<String>()) {
        from_html(&text, &base());
        title_from_html(&text);
    }
}
