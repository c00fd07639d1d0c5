//! `oyez check`: what would not work, found before a post is due. What is asked of the network is in `cli::online`.
use std::path::Path;

use serde::Serialize;

use crate::app;
use crate::config::{AccountSpec, ConfigError, ConfigErrors, Parsed, Service, SourceSpec};

/// Longest path of a Unix socket on Linux (`sun_path` with its end, unix(7)). In bytes.
const MAX_SOCKET_PATH: usize = 107;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Works, but perhaps not as meant.
    Warning,
    /// Does not work.
    Error,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was tried, in words.
    pub tried: String,
    /// What came of it.
    pub got: String,
    /// What to do about it.
    pub do_this: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn fine(tried: impl Into<String>, got: impl Into<String>) -> Self {
        Self { severity: Severity::Fine, tried: tried.into(), got: got.into(), do_this: None }
    }

    /// Works, but perhaps not as meant.
    pub fn warning(tried: impl Into<String>, got: impl Into<String>, do_this: Option<&str>) -> Self {
        Self { severity: Severity::Warning, tried: tried.into(), got: got.into(), do_this: do_this.map(str::to_owned) }
    }

    /// Does not work.
    pub fn error(tried: impl Into<String>, got: impl Into<String>, do_this: Option<&str>) -> Self {
        Self { severity: Severity::Error, tried: tried.into(), got: got.into(), do_this: do_this.map(str::to_owned) }
    }
}

/// The mistakes of a configuration that cannot be read, in the order of the file.
pub fn mistakes(errors: &ConfigErrors) -> Vec<Finding> {
    let mistake = |error: &ConfigError| {
        let mut tried = errors.file.clone();
        if let Some(line) = error.line {
            tried.push_str(&format!(" line {line}"));
        }
        if !error.key.is_empty() {
            tried.push_str(&format!(", `{}`", error.key));
        }
        Finding::error(tried, error.message.as_str(), error.hint.as_deref())
    };
    errors.errors.iter().map(mistake).collect()
}

/// What the configuration alone can tell: its oddities, the templates rendered with sample values, the policy compiled.
pub fn offline(parsed: &Parsed) -> Vec<Finding> {
    let config = &parsed.config;
    let mut findings: Vec<Finding> =
        parsed.warnings.iter().map(|warning| Finding::warning("the configuration", warning, None)).collect();
    findings.push(Finding::fine(
        "the configuration",
        format!(
            "{} sources, {} accounts, {} policy rules",
            config.sources.len(),
            config.accounts.len(),
            config.policy.len()
        ),
    ));
    findings.extend(places(&config.service));
    if config.sources.iter().all(|source| !source.enabled) {
        findings.push(Finding::warning("sources", "none is enabled: nothing will be heard", Some("add a [[source]]")));
    }
    if config.accounts.iter().all(|account| !account.enabled) {
        findings.push(Finding::warning(
            "accounts",
            "none is enabled: nothing will be said",
            Some("add an [[account]]"),
        ));
    }
    for source in config.sources.iter().filter(|source| source.enabled) {
        if config.accounts_for(&source.kind).next().is_none() && config.accounts.iter().any(|a| a.enabled) {
            findings.push(Finding::warning(
                format!("source {}", source.name),
                format!("no account takes its kind `{}`", source.kind),
                Some("add the kind to an account's `kinds`"),
            ));
        }
    }
    let is_announced = |kind: &str| config.sources.iter().any(|source| source.kind == kind);
    let no_source = |named: String, kind: &str| {
        let got = format!("no source announces the kind `{kind}`");
        Finding::warning(named, got, Some("is it misspelt? a source's `kind` is `announcement` where it says nothing"))
    };
    for account in config.accounts.iter().filter(|account| account.enabled) {
        let named = || format!("account {}", account.name);
        findings.extend(account.kinds.iter().filter(|kind| !is_announced(kind)).map(|kind| no_source(named(), kind)));
        if let AccountSpec::File { path, .. } = &account.spec
            && let Err(why) = can_append(path, &config.service.state)
        {
            // A relative one counts from where the service starts, which may be another directory than this.
            let finding = if path.is_relative() { Finding::warning } else { Finding::error };
            findings.push(finding(named(), why, Some("make the directory, for the user the service runs as")));
        }
    }
    for kind in config.hold.kinds.keys().filter(|kind| !is_announced(kind)) {
        findings.push(no_source(format!("[hold.{kind}]"), kind));
    }
    for source in &config.sources {
        if let (SourceSpec::Discourse { webhook_secret: Some(_), .. }, Some(base)) =
            (&source.spec, &config.service.base_url)
        {
            let hook = format!("{}/hooks/{}", base.as_str().trim_end_matches('/'), source.name);
            findings
                .push(Finding::fine(format!("source {}", source.name), format!("the forum's webhook goes to {hook}")));
        }
    }
    match crate::linker::Linker::new(config) {
        Ok(linker) => findings.push(Finding::fine("link rules", linker.rules().versions().join(", "))),
        Err(error) => findings.push(Finding::error("link rules", error.to_string(), None)),
    }
    match app::load_templates(config) {
        Ok(templates) => {
            let problems = templates.check();
            if problems.is_empty() {
                findings.push(Finding::fine("templates", "each renders its sample values"));
            }
            for problem in problems {
                findings.push(Finding::error(
                    "templates",
                    problem.to_string(),
                    Some("mend the template, or remove it: the built-in one is used then"),
                ));
            }
        }
        Err(problems) => findings.push(Finding::error("templates", problems.to_string(), None)),
    }
    match app::compile_policy(config) {
        Ok(_) if config.policy.is_empty() => {}
        Ok(_) => findings.push(Finding::fine("policy", format!("{} rules compile", config.policy.len()))),
        Err(problems) => findings.push(Finding::error("policy", problems.to_string(), None)),
    }
    findings
}

/// Can the state's directory be made or written, and the socket be bound?
fn places(service: &Service) -> Vec<Finding> {
    let mut findings = Vec::new();
    let there = service.state.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let named = format!("the state directory `{}`", service.state.display());
    if !there.is_dir() {
        let got = format!("`{}` is not a directory", there.display());
        findings.push(Finding::error(
            named,
            got,
            Some("set `service.state` to a directory, or to where one can be made"),
        ));
    } else if let Err(error) = nix::unistd::access(there, nix::unistd::AccessFlags::W_OK) {
        // It may be another user's, who runs the service, or be made by systemd.
        let got = format!("you cannot write `{}`: {}", there.display(), error.desc());
        findings.push(Finding::warning(named, got, Some("check as the user that the service runs as")));
    }
    let length = service.socket.as_os_str().len();
    if length > MAX_SOCKET_PATH {
        findings.push(Finding::error(
            format!("the socket `{}`", service.socket.display()),
            format!("its path has {length} bytes, and the system takes {MAX_SOCKET_PATH}"),
            Some("set `service.socket` to a shorter one, like /run/oyez/oyez.sock"),
        ));
    }
    findings
}

/// Could a file of posts be made there, or written to, as far as looking at it tells? `state`: the directory that the
/// service, or its supervisor, makes when it first starts.
fn can_append(path: &Path, state: &Path) -> Result<(), String> {
    if path == Path::new("-") {
        return Ok(());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.exists() && (state.starts_with(directory) || directory.starts_with(state)) {
        return Ok(());
    }
    let there = if path.exists() { path } else { directory };
    nix::unistd::access(there, nix::unistd::AccessFlags::W_OK)
        .map_err(|error| format!("`{}` cannot be written: {}", there.display(), error.desc()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env};

    #[test]
    fn a_file_of_posts_needs_a_directory_that_is_there_or_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("later/state");
        assert_eq!(can_append(&dir.path().join("posts.jsonl"), &state), Ok(()));
        assert_eq!(
            can_append(&dir.path().join("later/posts.jsonl"), &state),
            Ok(()),
            "made with the state's directory"
        );
        assert_eq!(can_append(Path::new("-"), &state), Ok(()));
        let missing = can_append(&dir.path().join("missing/posts.jsonl"), &state).unwrap_err();
        assert!(missing.contains("missing` cannot be written: No such file"), "{missing}");
    }

    #[test]
    fn a_state_that_cannot_be_made_and_a_socket_with_too_long_a_path_are_found() {
        let check = |toml: &str| {
            let parsed = Config::parse(toml, "oyez.toml", &Env::default()).unwrap();
            places(&parsed.config.service).into_iter().map(|f| (f.severity, f.got)).collect::<Vec<_>>()
        };
        let dir = tempfile::tempdir().unwrap();
        let made = format!("[service]\nstate = {:?}", dir.path().join("a/b"));
        assert_eq!(check(&made), []);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let [(Severity::Error, got)] = &check(&format!("[service]\nstate = {:?}", file.join("state")))[..] else {
            panic!()
        };
        assert!(got.ends_with("file` is not a directory"), "{got}");
        let long = format!("[service]\nstate = {:?}\nsocket = \"/run/{}\"", dir.path(), "x".repeat(107));
        let [(Severity::Error, got)] = &check(&long)[..] else { panic!() };
        assert!(got.starts_with("its path has 112 bytes"), "{got}");
    }

    #[test]
    fn mistakes_of_a_configuration_are_findings_one_by_one() {
        let errors = Config::parse("[hold]\nwindow = 1\nsetle = \"2m\"", "oyez.toml", &Env::default()).unwrap_err();
        let told: Vec<_> = mistakes(&errors).into_iter().map(|f| (f.tried, f.do_this)).collect();
        assert_eq!(told[0].0, "oyez.toml line 2, `hold.window`");
        assert_eq!(told[1], ("oyez.toml line 3, `hold.setle`".to_owned(), Some("did you mean `settle`?".to_owned())));
    }
}
