//! HTML, Markdown and plain text of strangers to plain text, links and images; and the summary made of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oyez::render::{harmless, summary};
use oyez::text::{clean, from_discourse_rss, from_html, from_plain, one_line, title_from_html};
use oyez_fuzz::{check_body, check_line, check_signs};
use url::Url;

fuzz_target!(|data: &[u8]| {
    let text = &*String::from_utf8_lossy(data);
    let base = Url::parse("https://forum.example/t/a-topic/42").expect("an address");

    let cleaned = clean(text);
    assert_eq!(clean(&cleaned), cleaned, "clean twice");
    check_line("a line", &one_line(text));
    check_line("a title", &title_from_html(text));

    let body = from_html(text, &base);
    check_body(&body);
    check_body(&from_discourse_rss(text, &base, &base));
    check_body(&from_plain(text));

    let harmless = harmless::line(text);
    check_line("a harmless line", &harmless);
    assert_eq!(harmless::line(&harmless), harmless, "harmless twice");
    check_signs(&harmless);
    for sentence in summary::sentences(&body.text, "A title", &["https://forum.example/t/a-topic/42"]) {
        check_line("a sentence", &sentence);
        check_signs(&sentence);
    }
});
