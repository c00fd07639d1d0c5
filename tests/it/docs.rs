//! The manual is true: it names every setting, command and flag and no others, its examples are read by the program's
//! own parsers, and its links lead somewhere.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use oyez::cli::args::Cli;
use oyez::config::settings::SETTINGS;
use oyez::config::{Config, Env, Parsed};
use oyez::policy::{FIELDS, Policy};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Markdown file for people, with its text.
fn pages() -> BTreeMap<PathBuf, String> {
    let in_dir = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let pages: BTreeMap<_, _> = in_dir(root().to_owned())
        .chain(in_dir(root().join("docs")))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.clone(), read(path)))
        .collect();
    assert!(pages.len() > 10, "the manual is gone: {:?}", pages.keys());
    pages
}

/// The fenced blocks of a page in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(found) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        if found == language {
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

/// A configuration from the manual: its secrets are files that no test has.
#[track_caller]
fn config(text: &str, name: &str) -> Parsed {
    if text.starts_with("version = ") {
        // A file of rules for links, which a configuration names.
        oyez::link::rules::Rules::with([(name, text)]).unwrap_or_else(|e| panic!("{e}"));
        return config("", name);
    }
    let mut text = text.to_owned();
    for place in ["{ file = \"", "{ credential = \""] {
        while let Some(start) = text.find(place) {
            let end = start + text[start..].find('}').expect("a secret's table is closed");
            text.replace_range(start..=end, "{ env = \"SECRET\" }");
        }
    }
    Config::parse(&text, name, &Env::of([("SECRET", "s3cret"), ("HOME", "/home/ida")]))
        .unwrap_or_else(|e| panic!("{e}"))
}

/// The `--flags` in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let starts =
        text.match_indices("--").filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '-'));
    let words =
        starts.map(|(at, _)| text[at + 2..].split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap());
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

fn own_flags(command: &clap::Command) -> BTreeSet<String> {
    command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
}

/// The flags of every command, also clap's own two.
fn global_flags() -> BTreeSet<String> {
    let own = own_flags(&Cli::command());
    own.into_iter().chain(["help".to_owned(), "version".to_owned()]).collect()
}

#[test]
fn every_setting_is_in_the_manual_with_its_default_and_no_other() {
    let page = read("docs/configuration.md");
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let path = cells[1].trim_matches('`');
        assert_eq!(rows.insert(path, (cells[2], cells[3])), None, "`{path}` stands there twice");
    }
    let missing: Vec<_> = SETTINGS.iter().map(|s| s.path).filter(|path| !rows.contains_key(path)).collect();
    let unknown: Vec<_> = rows.keys().filter(|path| SETTINGS.iter().all(|s| s.path != **path)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not in the manual: {missing:?}; no such setting: {unknown:?}");
    for setting in SETTINGS {
        let (default, meaning) = rows[setting.path];
        let is_value = toml::from_str::<toml::Table>(&format!("x = {}", setting.default)).is_ok();
        match setting.default {
            value if is_value => assert_eq!(default, format!("`{value}`"), "{}", setting.path),
            required if required.starts_with("required") => assert_eq!(default, required, "{}", setting.path),
            _ => assert!(!default.is_empty() && !default.starts_with("required"), "{}", setting.path),
        }
        assert!(!meaning.is_empty(), "{}", setting.path);
    }
}

#[test]
fn every_command_and_flag_is_in_the_manual_and_no_other() {
    let page = read("docs/commands.md");
    let sections: BTreeMap<&str, &str> = page
        .split("\n### `oyez ")
        .skip(1)
        .map(|section| {
            let (name, rest) = section.split_once("`\n").expect("a heading ends with its command");
            (name, rest.split("\n## ").next().unwrap())
        })
        .collect();
    let cli = Cli::command();
    let commands: BTreeSet<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    assert_eq!(sections.keys().copied().collect::<BTreeSet<_>>(), commands);
    for command in cli.get_subcommands() {
        let (named, own) = (flags(sections[command.get_name()]), own_flags(command));
        let missing: Vec<_> = own.difference(&named).collect();
        let others: Vec<_> =
            named.iter().filter(|flag| !own.contains(*flag) && !global_flags().contains(*flag)).collect();
        assert!(
            missing.is_empty() && others.is_empty(),
            "{}: without {missing:?}, with {others:?}",
            command.get_name()
        );
    }
    let general = page.split("\n### ").next().unwrap();
    assert!(global_flags().is_subset(&flags(general)), "{:?}", flags(general));
}

/// The words of one shell command, and the commands it is piped into; comments and redirections are dropped.
fn shell(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' => {}
            '#' | '>' | '<' => break,
            '|' => commands.push(Vec::new()),
            first => {
                let mut word = String::new();
                let mut next = Some(first);
                while let Some(c) = next {
                    match c {
                        '"' | '\'' => word.extend(chars.by_ref().take_while(|end| *end != c)),
                        other => word.push(other),
                    }
                    next = chars.next_if(|c| !matches!(c, ' ' | '|'));
                }
                commands.last_mut().expect("there is always one").push(word);
            }
        }
    }
    commands
}

#[test]
fn every_command_line_in_the_manual_is_one() {
    let (cli, mut seen) = (Cli::command(), 0);
    for (path, page) in pages() {
        let lines =
            blocks(&page, "sh").into_iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
        for line in lines {
            for words in shell(&line) {
                let words = words.into_iter().skip_while(|word| word.contains('=') && !word.starts_with('-'));
                let words: Vec<String> = words.collect();
                let call = match words.first().map(String::as_str) {
                    Some("oyez") => words,
                    Some("cargo") if words.contains(&"--".to_owned()) => {
                        words.into_iter().skip_while(|w| w != "--").collect()
                    }
                    Some(_) | None => continue,
                };
                seen += 1;
                if let Err(error) = Cli::try_parse_from(&call) {
                    panic!("{}: `{line}`: {error}", path.display());
                }
            }
        }
        // In a sentence a command may lack its arguments, but it and its flags exist.
        for span in page.split('`').skip(1).step_by(2).filter_map(|span| span.strip_prefix("oyez ")) {
            let Some(name) = span.split_whitespace().next().filter(|name| !name.starts_with('-')) else { continue };
            let command = cli.get_subcommands().find(|command| command.get_name() == name);
            let command = command.unwrap_or_else(|| panic!("{}: there is no `oyez {name}`", path.display()));
            let known: BTreeSet<String> = own_flags(command).union(&global_flags()).cloned().collect();
            assert!(flags(span).is_subset(&known), "{}: `oyez {span}`", path.display());
        }
    }
    assert!(seen > 20, "only {seen} command lines were looked at");
}

/// The example with the settings in it that are commented out because few need them.
fn example() -> String {
    let is_key = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let lines = read("oyez.example.toml")
        .lines()
        .map(|line| {
            let setting =
                line.strip_prefix("# ").filter(|rest| rest.split_once(" = ").is_some_and(|(key, _)| is_key(key)));
            setting.unwrap_or(line).to_owned()
        })
        .collect::<Vec<_>>();
    lines.join("\n")
}

#[test]
fn the_example_shows_every_setting_and_is_read() {
    let text = example();
    let parsed = config(&text, "oyez.example.toml");
    assert_eq!(parsed.warnings, Vec::<String>::new());
    config(&read("oyez.example.toml"), "oyez.example.toml");
    Policy::compile(&parsed.config.policy).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let shows = |path: &str| {
        let (section, key) = path.split_once('.').unwrap();
        match &table[section] {
            toml::Value::Array(list) => list.iter().any(|entry| entry.get(key).is_some()),
            other => other.get(key).is_some(),
        }
    };
    let missing: Vec<_> = SETTINGS.iter().map(|setting| setting.path).filter(|path| !shows(path)).collect();
    assert!(missing.is_empty(), "not in the example: {missing:?}");
}

#[test]
fn the_defaults_that_are_shown_are_those_of_an_empty_configuration() {
    let shown = |config: &Config| format!("{:?}\n{:?}\n{:?}", config.hold.base, config.delivery, config.network);
    let want = shown(&config("", "empty").config);
    assert_eq!(shown(&config(&example(), "oyez.example.toml").config), want);
    let listed: String = ["network", "hold", "delivery"]
        .into_iter()
        .map(|section| {
            let keys =
                SETTINGS.iter().filter_map(|s| Some((s.path.strip_prefix(section)?.strip_prefix('.')?, s.default)));
            keys.fold(format!("[{section}]\n"), |text, (key, default)| text + &format!("{key} = {default}\n"))
        })
        .collect();
    assert_eq!(shown(&config(&listed, "the list of settings").config), want);
}

#[test]
fn every_piece_of_configuration_in_the_manual_is_read() {
    for (path, page) in pages() {
        for block in blocks(&page, "toml") {
            let parsed = config(&block, &path.display().to_string());
            assert_eq!(parsed.warnings, Vec::<String>::new(), "{}", path.display());
            Policy::compile(&parsed.config.policy).unwrap_or_else(|errors| panic!("{}: {errors:?}", path.display()));
        }
    }
    let front = blocks(&read("README.md"), "toml");
    let whole = config(&front[0], "README.md").config;
    assert_eq!((front.len(), whole.sources.len(), whole.accounts.len()), (1, 1, 1));
}

#[test]
fn the_manual_names_the_fields_of_rules_and_the_built_in_templates() {
    let policy = read("docs/policy.md");
    for field in FIELDS {
        assert!(policy.contains(&format!("`{field}`")), "`{field}` is not in docs/policy.md");
    }
    let templates = read("docs/templates.md");
    for entry in std::fs::read_dir(root().join("templates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(templates.contains(&format!("`{name}`")), "`{name}` is not in docs/templates.md");
    }
}

/// The anchors of a page: its headings, in the way of the forges that show them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |heading: &str| -> String {
        let kept = heading.to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    headings.map(slug).collect()
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let mut seen = 0;
    for (path, page) in pages() {
        for (at, _) in page.match_indices("](") {
            let target = page[at + 2..].split(')').next().unwrap();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: `{target}` leads nowhere", path.display());
            let known = anchor.is_empty() || anchors(&read(&file)).contains(anchor);
            assert!(known, "{}: `{target}` has no such heading", path.display());
        }
    }
    assert!(seen > 20, "only {seen} links were looked at");
}
