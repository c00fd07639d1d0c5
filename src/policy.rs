//! The written rules that accept an item, ignore it, or ask for an explicit approval, each with its reason.
//!
//! A rule's `when` is a Jinja expression over the item's fields, run by the template engine's own expression engine. The
//! first rule that matches decides; where none does, the item is held as usual. Fields are values and never code: a title
//! that says `{{ tags }}` is these ten characters.
//!
//! | field | is |
//! |---|---|
//! | `source` | the name of the source, text |
//! | `kind` | `announcement`, `talk`, or a word of the operator's |
//! | `category` | where on the source, text, or `none` |
//! | `tags` | list of texts, as the source spells them |
//! | `author` | the user name, where there is none the name that is shown, or `none` |
//! | `trust_level` | a Discourse trust level, 0 to 4, or `none` |
//! | `staff` | is the author a moderator or admin of the source? |
//! | `title`, `text` | plain text |
//! | `hosts` | list of the hosts that the text links to, in lower case, without `www.` |
//! | `has_image` | true or false |
//!
//! `none` is what is not known. `x == none` finds it; in comparisons it sorts below every number, so `trust_level < 2`
//! matches an author whose trust level is not known and `trust_level >= 2` does not. `"word" in category` fails where the
//! category is `none`; `category and "word" in category` does not.
//!
//! A rule that fails on an item (it compares what cannot be compared, or works too long) lets nothing slip out: the
//! verdict is then `ask`, with the error as its reason.
//!
//! ```
//! use oyez::config::PolicyRule;
//! use oyez::item::{Found, VerdictKind};
//! use oyez::policy::{Fields, Policy};
//!
//! let policy = Policy::compile(&[PolicyRule {
//!     when: r#""no-social" in tags"#.into(),
//!     then: VerdictKind::Ignore,
//!     because: Some("the author asked for it".into()),
//! }])
//! .unwrap();
//! let found = Found { tags: vec!["no-social".into()], ..Found::default() };
//! let verdict = policy.evaluate(&Fields::new(&found, "announcements", "announcement"));
//! assert_eq!(verdict.verdict, VerdictKind::Ignore);
//! assert_eq!(verdict.because.as_deref(), Some("the author asked for it"));
//! ```
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior};

use crate::config::PolicyRule;
use crate::item::{Verdict, VerdictKind};

mod fields;
mod names;

pub use fields::{FIELDS, Fields, LIST, NAME_BYTES, TEXT_BYTES};

/// What one rule may do on one item: an instruction costs one, and so do 64 bytes that are read or made. Enough to look
/// through the longest [`TEXT_BYTES`] some forty times, and a few milliseconds at most.
pub const FUEL: u64 = 50_000;
/// Longest error that becomes a reason: it may quote what a poster wrote.
const REASON_BYTES: usize = 300;
/// Longest `when`.
pub const RULE_BYTES: usize = 4096;
/// One environment for all rules: it has no templates, no functions and no state.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    for function in ["range", "dict", "debug", "namespace"] {
        engine.remove_global(function);
    }
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine
});

/// The rules of a configuration, ready to be asked.
pub struct Policy {
    rules: Vec<Rule>,
}

struct Rule {
    rule: PolicyRule,
    when: Expression<'static, 'static>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rules.iter().map(|rule| &rule.rule)).finish()
    }
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PolicyError {
    /// Which `[[policy]]`, from 0.
    pub index: usize,
    /// What, and where in `when`.
    pub message: String,
    /// A way out, where one is known.
    pub hint: Option<String>,
    /// The bytes of `when` that are meant, where they are known.
    pub range: Option<Range<usize>>,
}

impl Policy {
    /// Reads the rules.
    ///
    /// # Errors
    /// All that is wrong with them: what is no expression, unknown fields, filters and tests, and rules that cannot be
    /// answered with yes or no.
    pub fn compile(rules: &[PolicyRule]) -> Result<Self, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut compiled = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            match compile(&rule.when) {
                Ok(when) => compiled.push(Rule { rule: rule.clone(), when }),
                Err(flaws) => errors.extend(flaws.into_iter().map(|flaw| flaw.at(index, &rule.when))),
            }
        }
        if errors.is_empty() { Ok(Policy { rules: compiled }) } else { Err(errors) }
    }

    /// The verdict on an item. The first rule that matches decides; where none does it is held, without a rule.
    ///
    /// An item that is too long for the rules to see it whole is asked about where it would be held: the part that they
    /// did not see could have matched.
    pub fn evaluate(&self, fields: &Fields) -> Verdict {
        let values = fields.values();
        let decides = |rule: &PolicyRule, verdict, because| Verdict { verdict, rule: Some(rule.when.clone()), because };
        let mut verdict = Verdict::default();
        for Rule { rule, when } in &self.rules {
            match answer(when, &values) {
                Ok(false) => continue,
                Ok(true) => verdict = decides(rule, rule.then, rule.because.clone()),
                Err(error) => {
                    let because = format!(
                        "the rule could not be evaluated: {}",
                        crate::text::cut(&describe(&error), REASON_BYTES)
                    );
                    verdict = decides(rule, VerdictKind::Ask, Some(because));
                }
            }
            break;
        }
        match verdict.verdict {
            VerdictKind::Hold if fields.cut && !self.rules.is_empty() => Verdict {
                verdict: VerdictKind::Ask,
                rule: verdict.rule,
                because: Some("it is too long for the rules to see it whole".to_owned()),
            },
            VerdictKind::Hold | VerdictKind::Ask | VerdictKind::Ignore => verdict,
        }
    }
}

/// The verdict that counts when an item is asked about again (`lifecycle.md` section 2): it becomes stricter by itself,
/// never looser without a person. Of two equally strict ones the new one counts, for its reason.
pub fn stricter(old: &Verdict, new: &Verdict) -> Verdict {
    if new.verdict >= old.verdict { new.clone() } else { old.clone() }
}

/// Yes or no.
fn answer(when: &Expression<'_, '_>, values: &Value) -> Result<bool, Error> {
    let value = when.eval(values)?;
    match value.kind() {
        ValueKind::Bool | ValueKind::None | ValueKind::Number | ValueKind::String | ValueKind::Seq | ValueKind::Map => {
            Ok(value.is_true())
        }
        // An undefined value is a slip of the pen, and a lazy one is "true" however empty it is.
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("{kind} is neither yes nor no"))),
    }
}

/// What is wrong with one `when`, before it is known which one it is.
struct Flaw {
    what: String,
    hint: Option<String>,
    range: Option<Range<usize>>,
}

impl Flaw {
    fn at(self, index: usize, when: &str) -> PolicyError {
        let place = self.range.as_ref().and_then(|range| when.get(..range.start)).map(|before| {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            let line = if when.contains('\n') { format!("line {line}, ") } else { String::new() };
            format!(" at {line}column {column} of `when`")
        });
        let message = self.what + place.as_deref().unwrap_or_default();
        // The engine points one past the end where a quotation mark is missing.
        let range = self.range.filter(|range| when.get(range.clone()).is_some());
        PolicyError { index, message, hint: self.hint, range }
    }
}

/// Reads one `when`.
fn compile(when: &str) -> Result<Expression<'static, 'static>, Vec<Flaw>> {
    let flaw = |what: String, hint: Option<&str>| vec![Flaw { what, hint: hint.map(str::to_owned), range: None }];
    if when.trim().is_empty() {
        return Err(flaw("the rule has no condition".to_owned(), Some("write `true` for a rule that always matches")));
    }
    if when.len() > RULE_BYTES {
        return Err(flaw(format!("the rule is longer than {RULE_BYTES} bytes"), Some("split it into several rules")));
    }
    let expression = ENGINE.compile_expression_owned(when.to_owned()).map_err(|error| {
        let hint = if when.contains("{{") || when.contains("{%") {
            Some("write the expression itself, without `{{` and `}}`".to_owned())
        } else {
            None
        };
        vec![Flaw { what: describe(&error), hint, range: error.range() }]
    })?;
    let flaws = names::unknown(when, &expression);
    if !flaws.is_empty() {
        return Err(flaws);
    }
    // What only shows when it runs. Some errors lie in the rule; others may lie in the sample (a rule may well need a
    // category), unless they come up with each.
    let tried = Fields::samples().map(|sample| answer(&expression, &sample.values()).err());
    let always = tried.iter().all(Option::is_some);
    match tried.into_iter().flatten().find(|error| always || lies_in_the_rule(error)) {
        Some(error) => Err(vec![Flaw { what: describe(&error), hint: None, range: error.range() }]),
        None => Ok(expression),
    }
}

/// Would this error come up whatever the item is?
fn lies_in_the_rule(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
            | ErrorKind::TooManyArguments
            | ErrorKind::MissingArgument
            | ErrorKind::OutOfFuel
    )
}

/// The engine's words without its own name for the place.
fn describe(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::{Author, Found, Image};

    fn rule(when: &str, then: VerdictKind) -> PolicyRule {
        PolicyRule { when: when.to_owned(), then, because: Some("so it is".to_owned()) }
    }

    fn release() -> Found {
        Found {
            title: "NixOS 26.11 released".to_owned(),
            text: "The release is out. {{ tags }} {% raw %}".to_owned(),
            author: Some(Author {
                name: "Ida".to_owned(),
                username: Some("ida".to_owned()),
                trust_level: Some(3),
                staff: true,
            }),
            links: ["https://www.NixOS.org/download", "https://nixos.org", "mailto:a@b.c", "nonsense", "http://[::1]/"]
                .map(str::to_owned)
                .to_vec(),
            images: vec![Image::default()],
            tags: vec!["release".to_owned(), "événement".to_owned()],
            category: Some("announcements".to_owned()),
            ..Found::default()
        }
    }

    fn verdict(rules: &[PolicyRule], found: &Found) -> Verdict {
        Policy::compile(rules).unwrap().evaluate(&Fields::new(found, "announcements", "announcement"))
    }

    #[track_caller]
    fn check(when: &str, want: bool) {
        let got = verdict(&[rule(when, VerdictKind::Ignore)], &release());
        let (kind, rule) = if want { (VerdictKind::Ignore, Some(when)) } else { (VerdictKind::Hold, None) };
        assert_eq!((got.verdict, got.rule.as_deref()), (kind, rule), "{:?}", got.because);
    }

    /// The same of an item of which nothing is known.
    #[track_caller]
    fn check_bare(when: &str, want: bool) {
        let got = verdict(&[rule(when, VerdictKind::Ignore)], &Found::default());
        assert_eq!(got.verdict == VerdictKind::Ignore, want, "{got:?}");
        assert_ne!(got.verdict, VerdictKind::Ask, "{got:?}");
    }

    #[test]
    fn every_field_can_be_asked_about() {
        check(r#"source == "announcements" and kind == "announcement""#, true);
        check(r#"kind in ["talk", "podcast"]"#, false);
        check(r#"category == "announcements""#, true);
        check(r#""release" in tags"#, true);
        check(r#""no-social" in tags"#, false);
        check(r#""événement" in tags"#, true);
        check(r#"author == "ida" and staff and trust_level >= 2"#, true);
        check("trust_level < 2", false);
        check(r#"title is startingwith "NixOS" and "released" in title | lower"#, true);
        check(r#""RELEASE" in text | upper"#, true);
        check(r#"hosts == ["nixos.org", "[::1]"]"#, true);
        check(r#""youtube.com" in hosts"#, false);
        check("has_image and tags | length == 2", true);
        check(r#"tags | select("in", ["release", "stable"]) | list"#, true);
        check("true", true);
        check("not staff or\n  not has_image", false);
    }

    #[test]
    fn what_is_not_known_is_none() {
        check_bare("category == none and author == none", true);
        check_bare("author is none", true);
        // The stricter way round: who is not known is not trusted.
        check_bare("trust_level < 2", true);
        check_bare("trust_level >= 0", false);
        check_bare("staff or has_image or tags or hosts", false);
        check_bare(r#"category and "x" in category"#, false);
    }

    #[test]
    fn the_first_match_decides() {
        let rules = [
            rule(r#""no-social" in tags"#, VerdictKind::Ignore),
            rule("staff", VerdictKind::Hold),
            rule("true", VerdictKind::Ask),
        ];
        let by_staff = verdict(&rules, &release());
        assert_eq!((by_staff.verdict, by_staff.rule.as_deref()), (VerdictKind::Hold, Some("staff")));
        assert_eq!(by_staff.because.as_deref(), Some("so it is"));
        assert_eq!(verdict(&rules, &Found::default()).verdict, VerdictKind::Ask);
        assert_eq!(verdict(&[], &release()), Verdict::default());
    }

    #[test]
    fn a_verdict_becomes_stricter_only() {
        let of = |verdict, because: &str| Verdict { verdict, rule: None, because: Some(because.to_owned()) };
        let all = [VerdictKind::Hold, VerdictKind::Ask, VerdictKind::Ignore];
        for old in all {
            for new in all {
                let got = stricter(&of(old, "old"), &of(new, "new"));
                assert_eq!(got.verdict, old.max(new));
                assert_eq!(got.because.as_deref(), Some(if new >= old { "new" } else { "old" }));
            }
        }
    }

    #[track_caller]
    fn check_error(when: &str, message: &str, hint: &str) {
        let errors = Policy::compile(&[rule("true", VerdictKind::Hold), rule(when, VerdictKind::Ask)]).unwrap_err();
        let got: Vec<_> = errors.iter().map(|e| (e.index, e.to_string(), e.hint.clone().unwrap_or_default())).collect();
        assert_eq!(got, [(1, message.to_owned(), hint.to_owned())]);
    }

    #[test]
    fn what_cannot_work_is_said_at_load() {
        check_error(r#""x" in tagz"#, "unknown field `tagz` at column 8 of `when`", "did you mean `tags`?");
        check_error(
            r#""tagz" in text and user == "x""#,
            "unknown field `user` at column 20 of `when`",
            "did you mean `author`?",
        );
        check_error(
            "staff or\n  trustlevel < 2",
            "unknown field `trustlevel` at line 2, column 3 of `when`",
            "did you mean `trust_level`?",
        );
        check_error(
            "kind == talk",
            "unknown field `talk` at column 9 of `when`",
            "the fields are source, kind, category, tags, author, trust_level, staff, title, text, hosts, has_image; a text is written in quotes",
        );
        check_error(
            "range(9) | list",
            "unknown function `range` at column 1 of `when`",
            "rules have no functions, only filters and tests",
        );
        check_error(
            "debug()",
            "unknown function `debug` at column 1 of `when`",
            "rules have no functions, only filters and tests",
        );
        check_error(
            "title.lower() == 'x'",
            "`title` has no `lower` at column 1 of `when`",
            "to apply the filter, write `title | lower`",
        );
        check_error("author.name == 'x'", "`author` has no `name` at column 1 of `when`", "no field has parts");
        // Also where no sample gets there.
        check_error("false and title | lowr", "unknown filter `lowr` at column 19 of `when`", "did you mean `lower`?");
        check_error(
            "false and title is startswith 'x'",
            "unknown test `startswith` at column 20 of `when`",
            "did you mean `startingwith`?",
        );
        check_error("false and title is not blue", "unknown test `blue` at column 24 of `when`", "");
        check_error("", "the rule has no condition", "write `true` for a rule that always matches");
        check_error(&"a".repeat(5000), "the rule is longer than 4096 bytes", "split it into several rules");
        check_error("tags[7]", "invalid operation: undefined is neither yes nor no", "");
        check_error("tags[7] or tags[7].y", "undefined value: `tags[7]` is undefined at column 1 of `when`", "");
        check_error("not staff or title | replace('x') == 'y'", "missing argument at column 22 of `when`", "");
    }

    #[test]
    fn what_is_no_expression_is_said_with_its_place() {
        for (when, column) in [("staff and", 7), ("\"x\" in", 5), ("staff = true", 7), ("{{ staff }}", 10)] {
            let errors = Policy::compile(&[rule(when, VerdictKind::Ask)]).unwrap_err();
            assert_eq!(errors.len(), 1);
            assert!(errors[0].message.starts_with("syntax error: "), "{}", errors[0].message);
            assert!(errors[0].range.is_some(), "{}", errors[0].message);
            assert!(errors[0].message.ends_with(&format!(" at column {column} of `when`")), "{}", errors[0].message);
        }
        let braces = Policy::compile(&[rule("{{ staff }}", VerdictKind::Ask)]).unwrap_err();
        assert_eq!(braces[0].hint.as_deref(), Some("write the expression itself, without `{{` and `}}`"));
        // Found by fuzzing: the engine's place lies past the end where a quotation mark is missing.
        for when in ["(tags|\"no-social", "'", "title == 'ä"] {
            for error in Policy::compile(&[rule(when, VerdictKind::Ask)]).unwrap_err() {
                assert!(error.range.is_none_or(|range| when.get(range).is_some()), "{when}");
            }
        }
        // All are told at once.
        let rules = ["tagz", "staff", "and", "titel or txt"].map(|when| rule(when, VerdictKind::Ask));
        let errors = Policy::compile(&rules).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.index).collect::<Vec<_>>(), [0, 2, 3, 3]);
    }

    #[test]
    fn promise_08_what_a_poster_writes_is_a_value_and_never_code() {
        let evil = [
            "{{ 1 / 0 }}",
            "{% include \"/etc/passwd\" %}",
            "x\" in tags or \"",
            "') or true or ('",
            "{{ debug() }}",
            "\\\" or true #}",
        ];
        for text in evil {
            let found = Found {
                title: text.to_owned(),
                text: text.to_owned(),
                tags: vec![text.to_owned()],
                category: Some(text.to_owned()),
                author: Some(Author { name: text.to_owned(), ..Author::default() }),
                ..Found::default()
            };
            let rules = [
                rule(r#"title == "x" or "no-social" in tags"#, VerdictKind::Ignore),
                rule("title | length > 1000 or category == title ~ 'x'", VerdictKind::Ask),
            ];
            assert_eq!(verdict(&rules, &found), Verdict::default());
            assert_eq!(
                verdict(&[rule("title == text", VerdictKind::Ask)], &found).because.as_deref(),
                Some("so it is")
            );
        }
    }

    #[track_caller]
    fn check_fails(when: &str, found: &Found) {
        // What comes after it is not asked, however lenient.
        let got = verdict(&[rule(when, VerdictKind::Hold), rule("true", VerdictKind::Hold)], found);
        assert_eq!((got.verdict, got.rule.as_deref()), (VerdictKind::Ask, Some(when)));
        let because = got.because.unwrap();
        assert!(because.starts_with("the rule could not be evaluated: "), "{because}");
    }

    #[test]
    fn promise_01_a_rule_that_fails_asks() {
        let long = Found { text: "a".repeat(TEXT_BYTES), tags: vec!["t".repeat(1000); 200], ..release() };
        // Fine on the samples, too much for this one.
        check_fails(
            "text ~ text ~ text ~ text ~ text ~ text ~ text ~ text ~ text ~ text ~ text ~ text | replace('a', text)",
            &long,
        );
        check_fails("text | replace('a', text)", &long);
        check_fails("tags | join(text)", &long);
        check_fails("text | list | sort | join(text)", &long);
        check_fails(r#""x" in category"#, &Found::default());
        check_fails("staff or tags[0] | lower == 'x'", &Found::default());
    }

    #[test]
    fn expressions_that_blow_up_are_bounded() {
        // Refused at load, or asked about; in both cases soon.
        let many = vec!["tags"; 500].join(" + ");
        for when in [
            "'x' * 1000000000",
            "('x' * 100000) | replace('', 'y' * 100000)",
            "[0] * 100000000",
            "2 ** 100000",
            "9 ** 9 ** 9 ** 9",
            "(tags * 1000000) | length",
            many.as_str(),
            &"(".repeat(2000),
            &format!("{}1{}", "[".repeat(1000), "]".repeat(1000)),
            &"not ".repeat(1000),
            &"-".repeat(4000),
            &format!("title{}", " | upper".repeat(500)),
            "'%999999999d' | format(1)",
            "text | indent(1000000000)",
            &format!("1{}", "+1".repeat(2000)),
            &format!("1{}", "<1".repeat(2000)),
            &format!("1{}", " and 1".repeat(680)),
            &format!("title{}", "|e".repeat(2000)),
            &format!("title{}", "[0]".repeat(1300)),
            &format!("title{}", ".x".repeat(2000)),
            &format!("1{}", " if 1 else 1".repeat(340)),
            &format!("1{}", " is number".repeat(400)),
            &format!("title{}", "()".repeat(2000)),
            &format!("1{}", "**1".repeat(1300)),
        ] {
            if let Ok(policy) = Policy::compile(&[rule(when, VerdictKind::Hold)]) {
                policy.evaluate(&Fields::new(&release(), "s", "k"));
            }
        }
    }

    #[test]
    fn what_is_too_long_to_see_is_asked_about() {
        let rules = [rule(r#""no-social" in text"#, VerdictKind::Ignore), rule("staff", VerdictKind::Hold)];
        let long = |text: String| Found { text, ..Found::default() };
        let got = verdict(&rules, &long("ü".repeat(TEXT_BYTES)));
        assert_eq!(got.verdict, VerdictKind::Ask);
        assert_eq!(got.because.as_deref(), Some("it is too long for the rules to see it whole"));
        assert_eq!(verdict(&rules, &long("a".repeat(TEXT_BYTES))).verdict, VerdictKind::Hold);
        assert_eq!(verdict(&rules, &long("no-social".repeat(TEXT_BYTES))).verdict, VerdictKind::Ignore);
        assert_eq!(verdict(&[], &long("a".repeat(TEXT_BYTES * 2))).verdict, VerdictKind::Hold);
        let tags = Found { tags: vec!["x".to_owned(); LIST + 1], ..Found::default() };
        assert_eq!(verdict(&rules, &tags).verdict, VerdictKind::Ask);
    }

    proptest! {
        /// No text of an operator or a poster is a panic, and a rule that was read gives a verdict.
        #[test]
        fn nothing_panics(
            when in "[ -~üé\n]{0,40}", parts in prop::collection::vec(prop::sample::select(vec![
                "tags", "title", "'x'", "in", "is", "not", "and", "or", "|", "lower", "(", ")", "[", "]", "1", "~", "==", ".", "none", "if", "else",
            ]), 0..12), title in ".{0,40}",
        ) {
            let found = Found { title: title.clone(), tags: vec![title], ..Found::default() };
            for when in [when, parts.join(" ")] {
                if let Ok(policy) = Policy::compile(&[rule(&when, VerdictKind::Ignore)]) {
                    policy.evaluate(&Fields::new(&found, "s", "k"));
                }
            }
        }
    }
}
