//! Post templates: the built-in ones, the operator's, and what they are given.
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::ComposeError;

/// Instructions of the template engine for one rendering; the built-in templates need about a hundred.
const FUEL: u64 = 50_000;
/// In bytes. No platform takes a longer text; a template that makes one is wrong.
const MAX_OUTPUT: usize = 1024 * 1024;

/// The templates that come with the program.
const BUILT_IN: [(&str, &str); 3] = [
    ("default.announcement.txt", include_str!("../../templates/default.announcement.txt")),
    ("default.security.txt", include_str!("../../templates/default.security.txt")),
    ("default.talk.txt", include_str!("../../templates/default.talk.txt")),
];

/// What a template is given. Every field is there in every kind; what an item lacks is the empty string, so that
/// `{% if credit %}` asks for it. Text from a source is harmless here: no mention, no hashtag, no markup, one line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Words {
    /// The item's title. Cut last.
    pub title: String,
    /// Whole sentences from the beginning of the text. Shrinks first.
    pub summary: String,
    /// Plain names: the speakers of a talk, else the author. Dropped after the summary.
    pub credit: String,
    /// Where a talk was given, or the channel that shows it; empty where the title says it. Dropped after the credit.
    pub event: String,
    /// The address. Never cut.
    pub link: String,
    /// The account's hashtags with `#`, separated by spaces. Never cut.
    pub hashtags: String,
    /// `mark` of the source in the configuration.
    pub mark: String,
    /// The item's kind.
    pub kind: String,
    /// The platform's word.
    pub platform: String,
}

impl Words {
    /// The fields under the names that templates use; a test compares with the struct.
    fn fields(&self) -> [(&'static str, &str); 9] {
        [
            ("title", &self.title),
            ("summary", &self.summary),
            ("credit", &self.credit),
            ("event", &self.event),
            ("link", &self.link),
            ("hashtags", &self.hashtags),
            ("mark", &self.mark),
            ("kind", &self.kind),
            ("platform", &self.platform),
        ]
    }

    /// An item with everything, of each kind that has a template of its own, and one with nothing but title and link.
    pub fn samples() -> Vec<Words> {
        let sample = |kind: &str, title: &str, summary: &str, credit: &str, event: &str, mark: &str| Words {
            title: title.to_owned(),
            summary: summary.to_owned(),
            credit: credit.to_owned(),
            event: event.to_owned(),
            link: "https://forum.example.org/t/a-topic/42".to_owned(),
            hashtags: "#Example #OpenSource".to_owned(),
            mark: mark.to_owned(),
            kind: kind.to_owned(),
            platform: "mastodon".to_owned(),
        };
        vec![
            sample(
                "announcement",
                "Release 26.11 is out",
                "It brings a faster installer. Thank you all!",
                "Ida Example",
                "",
                "Community",
            ),
            sample(
                "talk",
                "Packaging without tears",
                "What a build needs to be the same twice.",
                "Ida Example and Rok Example",
                "ExampleCon 2026",
                "",
            ),
            sample(
                "security",
                "Fixed: a local privilege escalation",
                "Please update to 26.05.3.",
                "Ida Example",
                "",
                "Official",
            ),
            Words {
                summary: String::new(),
                hashtags: String::new(),
                ..sample("announcement", "Nothing else known", "", "", "", "")
            },
        ]
    }
}

/// Something wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its name, which is its file name.
    pub template: String,
    /// Line in it, from 1, where known.
    pub line: Option<usize>,
    /// What is wrong, for people.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "template `{}`", self.template)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// All templates, compiled. Names are `PLATFORM.KIND.txt` and `default.KIND.txt`; a name that begins with `_` is for
/// including.
#[derive(Debug, Clone)]
pub struct Templates {
    environment: Environment<'static>,
    names: BTreeSet<String>,
    broken: Vec<Problem>,
}

impl Templates {
    /// The built-in templates, and `own` (name to text) instead of those of the same name and beside the others. Never
    /// fails: what is wrong is told by [`Templates::check`], and by [`super::compose`] when it is needed.
    pub fn new(own: &BTreeMap<String, String>) -> Templates {
        let mut environment = Environment::new();
        // Posts are plain text: nothing is escaped, whatever a file is called.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let mut templates = Templates { environment, names: BTreeSet::new(), broken: Vec::new() };
        let built_in = BUILT_IN.iter().filter(|(name, _)| !own.contains_key(*name));
        for (name, text) in built_in.map(|(n, t)| (*n, *t)).chain(own.iter().map(|(n, t)| (n.as_str(), t.as_str()))) {
            if let Err(error) = templates.environment.add_template_owned(name.to_owned(), text.to_owned()) {
                templates.broken.push(problem(name, &error));
            }
            templates.names.insert(name.to_owned());
        }
        templates
    }

    /// Names and texts of the built-in templates, for `oyez init` and the manual.
    pub fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
        BUILT_IN.into_iter()
    }

    /// The template for a kind on a platform: the first of `PLATFORM.KIND.txt`, `default.KIND.txt`,
    /// `PLATFORM.announcement.txt`, `default.announcement.txt` that is there. A kind's own words win over a platform's
    /// general ones: a talk that is worded like an announcement is the worse mistake.
    pub fn choose(&self, platform: &str, kind: &str) -> &str {
        [(platform, kind), ("default", kind), (platform, "announcement")]
            .into_iter()
            .find_map(|(platform, kind)| self.names.get(&format!("{platform}.{kind}.txt")))
            .map_or("default.announcement.txt", String::as_str)
    }

    /// Renders one template: lines trimmed at their end, never two blank lines together.
    pub(super) fn render(&self, name: &str, words: &Words) -> Result<String, ComposeError> {
        let failed = |problem: Problem| ComposeError::Template {
            template: problem.template,
            line: problem.line,
            reason: problem.message,
        };
        if let Some(broken) = self.broken.iter().find(|problem| problem.template == name) {
            return Err(failed(broken.clone()));
        }
        let rendered = self
            .environment
            .get_template(name)
            .and_then(|template| template.render(Value::from_pairs(words.fields())))
            .map_err(|error| failed(problem(name, &error)))?;
        if rendered.len() > MAX_OUTPUT {
            let message = format!("it makes a text of {} bytes", rendered.len());
            return Err(failed(Problem { template: name.to_owned(), line: None, message }));
        }
        Ok(tidy(&rendered))
    }

    /// Everything wrong with any template: what does not parse, names that are not given, what fails or loses the link
    /// with one of the samples, and file names that no platform and kind would ever choose.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = self.broken.clone();
        let words = Words::default();
        let given = words.fields().map(|(name, _)| name);
        for name in &self.names {
            let problem = |message: String, line| Problem { template: name.clone(), line, message };
            let is_chosen = name.strip_suffix(".txt").is_some_and(|stem| {
                stem.split_once('.').is_some_and(|(platform, kind)| !platform.is_empty() && !kind.is_empty())
            });
            if name.starts_with('_') || self.broken.iter().any(|broken| broken.template == *name) {
                continue;
            }
            if !is_chosen {
                problems.push(problem(
                    "its name is not PLATFORM.KIND.txt or default.KIND.txt, so it is never used; begin it with `_` if it is for including".to_owned(),
                    None,
                ));
            }
            let Ok(template) = self.environment.get_template(name) else { continue };
            let mut unknown: Vec<String> = template
                .undeclared_variables(false)
                .into_iter()
                .filter(|variable| !given.contains(&variable.as_str()))
                .filter(|variable| !self.environment.globals().any(|(global, _)| global == variable))
                .collect();
            unknown.sort();
            for variable in &unknown {
                problems.push(problem(
                    format!("`{variable}` is not given to templates; there are {}", given.join(", ")),
                    line_of(template.source(), variable),
                ));
            }
            if unknown.is_empty() {
                let failure = Words::samples().iter().find_map(|words| match self.render(name, words) {
                    Ok(text) if text.contains(&words.link) => None,
                    Ok(_) => Some(problem("it does not show `link`".to_owned(), None)),
                    Err(ComposeError::Template { line, reason, template }) => {
                        Some(Problem { template, line, message: reason })
                    }
                    Err(other @ (ComposeError::TooLong { .. } | ComposeError::Link { .. })) => {
                        Some(problem(other.to_string(), None))
                    }
                });
                problems.extend(failure);
            }
        }
        problems
    }
}

impl Default for Templates {
    fn default() -> Self {
        Templates::new(&BTreeMap::new())
    }
}

fn problem(name: &str, error: &minijinja::Error) -> Problem {
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    Problem { template: error.name().unwrap_or(name).to_owned(), line: error.line(), message }
}

fn line_of(source: &str, variable: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    source.lines().position(|line| line.split(|c| !is_word(c)).any(|word| word == variable)).map(|at| at + 1)
}

fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = false;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            blank = true;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank { "\n\n" } else { "\n" });
        }
        out.push_str(line);
        blank = false;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, text: &str) -> Templates {
        Templates::new(&BTreeMap::from([(name.to_owned(), text.to_owned())]))
    }

    #[test]
    fn the_built_in_templates_have_no_problems() {
        assert_eq!(Templates::default().check(), []);
    }

    #[test]
    fn the_fields_are_those_of_the_struct() {
        let value = serde_json::to_value(Words::default()).unwrap();
        let mut fields: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        fields.sort();
        let mut listed = Words::default().fields().map(|(name, _)| name.to_owned()).to_vec();
        listed.sort();
        assert_eq!(fields, listed);
    }

    #[track_caller]
    fn check_problem(text: &str, line: Option<usize>, message: &str) {
        let problems = with("mastodon.talk.txt", text).check();
        assert!(
            problems.iter().any(|p| p.template == "mastodon.talk.txt" && p.line == line && p.message.contains(message)),
            "{problems:?}"
        );
    }

    #[test]
    fn problems_are_told_with_their_line() {
        check_problem("{{ link }}\n{{ titel }}", Some(2), "`titel` is not given");
        check_problem("{{ link }}\n{% if title %}{{ titel }}{% endif %}", Some(2), "`titel`");
        check_problem("{{ link }}\n\n{% if %}", Some(3), "syntax error");
        check_problem("{{ link }} {{ title | nope }}", Some(1), "nope");
        check_problem("{{ title }}", None, "does not show `link`");
        check_problem(
            "{{ link }}{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            Some(1),
            "fuel",
        );
        assert!(with("twitter", "{{ link }}").check()[0].message.contains("never used"));
        assert_eq!(with("_part.txt", "{{ nonsense }}").check(), []);
    }

    #[test]
    fn the_nearest_template_is_chosen() {
        let templates = with("mastodon.announcement.txt", "{{ link }}");
        assert_eq!(templates.choose("mastodon", "announcement"), "mastodon.announcement.txt");
        assert_eq!(templates.choose("mastodon", "talk"), "default.talk.txt");
        assert_eq!(templates.choose("mastodon", "podcast"), "mastodon.announcement.txt");
        assert_eq!(templates.choose("x", "podcast"), "default.announcement.txt");
        assert_eq!(with("x.talk.txt", "{{ link }}").choose("x", "talk"), "x.talk.txt");
    }
}
