//! What becomes of a link: comes to rest, leads nowhere that is closed, and stripping never changes the host.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use oyez::link::gate::Gate;
use oyez::link::rewrite::{Context, Opened, Rewrite, StepKind, nothing_opened};
use oyez::link::rules::Rules;
use oyez_fuzz::check_address;
use url::Url;

static GATE: LazyLock<Gate> = LazyLock::new(Gate::default);

fn rewrite(input: &str, opened: &dyn Fn(&str) -> Option<Opened>) -> Rewrite {
    Rules::built_in().rewrite(input, &Context { gate: &GATE, keep: &[], kept: false, referrers: &[], opened })
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The first line is a link, the second what a shortener answers.
    let (input, answer) = text.split_once('\n').unwrap_or((text, ""));
    let first = rewrite(input, &nothing_opened);
    assert_ne!(first.output.is_some(), first.refused.is_some(), "{first:?}");
    let answered = rewrite(input, &|_| Some(Opened::To(answer.to_owned())));
    for rewrite_of in [&first, &answered] {
        let Some(output) = &rewrite_of.output else { continue };
        let again = rewrite(output, &nothing_opened);
        assert_eq!(again.output.as_ref(), Some(output), "{rewrite_of:?} and then {again:?}");
        if output.starts_with("http") {
            check_address("what came out", output);
            let url = Url::parse(output).expect("checked above");
            assert_eq!(GATE.judge(&url), Ok(()), "{rewrite_of:?}");
            assert!(rewrite_of.unopened.is_some() || !Rules::built_in().is_short(&url), "{rewrite_of:?}");
        }
        for step in rewrite_of.steps.iter().filter(|step| step.kind == StepKind::Strip) {
            let (from, to) = (Url::parse(&step.from).unwrap(), Url::parse(&step.to).unwrap());
            assert_eq!((from.scheme(), from.host(), from.port()), (to.scheme(), to.host(), to.port()), "{step:?}");
            assert!(step.to.len() < step.from.len(), "{step:?}");
        }
    }
    // A file of rules is a stranger's as well, until it was read.
    if text.starts_with("version") || text.starts_with('{') {
        let _ = Rules::with([("rules", text)]);
    }
});
