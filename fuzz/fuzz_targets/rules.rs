//! The operator's rules and templates on what a stranger wrote: rule, template, title, text, name, tags.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use oyez::config::PolicyRule;
use oyez::item::{Author, Found, VerdictKind};
use oyez::platform::Limits;
use oyez::policy::{Fields, Policy};
use oyez::render::{Compose, Templates, compose, measure};
use oyez_fuzz::parts;

fuzz_target!(|data: &[u8]| {
    let [when, template, title, text, name, tags] = parts(data);
    let found = Found {
        key: "discourse:forum.example/t/42".to_owned(),
        url: "https://forum.example/t/a-topic/42".to_owned(),
        title,
        text,
        author: Some(Author { name: name.clone(), username: Some(name), trust_level: Some(2), staff: false }),
        tags: tags.split(',').map(str::to_owned).collect(),
        ..Found::default()
    };
    let rule = PolicyRule { when: when.clone(), then: VerdictKind::Ignore, because: None };
    match Policy::compile(&[rule]) {
        Ok(policy) => {
            let fields = Fields::new(&found, "news", "announcement");
            let verdict = policy.evaluate(&fields);
            assert_eq!(policy.evaluate(&fields), verdict, "asked twice");
            assert!(verdict.because.as_ref().is_none_or(|because| because.len() <= 400), "{verdict:?}");
        }
        Err(errors) => {
            for error in errors {
                assert!(!error.message.is_empty());
                let range = error.range.unwrap_or(0..0);
                assert!(when.get(range.clone()).is_some(), "{range:?} of {when:?}");
            }
        }
    }
    let templates = Templates::new(&BTreeMap::from([("default.announcement.txt".to_owned(), template)]));
    for problem in templates.check() {
        assert!(!problem.to_string().is_empty());
    }
    let limits = Limits::mastodon();
    let input = Compose {
        found: &found,
        link: &found.url,
        kind: "announcement",
        mark: None,
        hashtags: &[],
        language: None,
        platform: "mastodon",
        limits: &limits,
    };
    if let Ok(post) = compose(&input, &templates) {
        let (length, fits) = measure(&post.text, &limits);
        assert!(fits && length == post.length, "{length}: {:?}", post.text);
    }
});
