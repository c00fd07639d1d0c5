//! What stands in `deploy/` matches the program: names of settings, commands, files and addresses. `deploy/check.sh` asks
//! the tools that will read those files.
use std::collections::BTreeSet;
use std::path::Path;

use clap::{CommandFactory, Parser};
use oyez::cli::args::Cli;
use oyez::config::settings::SETTINGS;
use oyez::config::{Config, Env};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_setting_has_a_type_in_the_nixos_module_and_no_other() {
    let types: toml::Table = toml::from_str(&read("deploy/nix/types.toml")).unwrap();
    let typed: BTreeSet<String> = types
        .iter()
        .flat_map(|(section, keys)| keys.as_table().unwrap().keys().map(move |key| format!("{section}.{key}")))
        .collect();
    let known: BTreeSet<String> = SETTINGS.iter().map(|setting| setting.path.to_owned()).collect();
    let missing: Vec<_> = known.difference(&typed).collect();
    let others: Vec<_> = typed.difference(&known).collect();
    assert!(missing.is_empty() && others.is_empty(), "without a type: {missing:?}; no such setting: {others:?}");
}

#[test]
fn every_choice_of_the_nixos_module_is_one_the_program_knows() {
    let types: toml::Table = toml::from_str(&read("deploy/nix/types.toml")).unwrap();
    let choices = |section: &str, key: &str| -> Vec<String> {
        let list = types[section][key].as_array().unwrap_or_else(|| panic!("{section}.{key} is no list"));
        list.iter().map(|choice| choice.as_str().unwrap().to_owned()).collect()
    };
    let reads = |text: String| {
        Config::parse(&text, "a choice", &Env::of([("TOKEN", "t")])).unwrap_or_else(|error| panic!("{error}"));
    };
    for kind in choices("source", "type") {
        let needs = match kind.as_str() {
            "discourse" => "category = 8",
            "media-ccc-de" => "conferences = [\"a*\"]",
            "peertube" => "channel = \"c\"",
            _ => "",
        };
        reads(format!("[[source]]\nname = \"s\"\nurl = \"https://a.example\"\ntype = \"{kind}\"\n{needs}\n"));
    }
    for platform in choices("account", "platform") {
        let needs = match platform.as_str() {
            "mastodon" => "server = \"https://a.example\"\ntoken = { env = \"TOKEN\" }",
            _ => "path = \"-\"",
        };
        reads(format!("[[account]]\nname = \"a\"\nplatform = \"{platform}\"\n{needs}\n"));
    }
    for visibility in choices("account", "visibility") {
        reads(format!(
            "[[account]]\nname = \"a\"\nplatform = \"mastodon\"\nserver = \"https://a.example\"\n\
             token = {{ env = \"TOKEN\" }}\nvisibility = \"{visibility}\"\n"
        ));
    }
    for then in choices("policy", "then") {
        reads(format!("[[policy]]\nwhen = \"true\"\nthen = \"{then}\"\n"));
    }
}

/// What the words `oyez …` in a text call, where they are written as code.
#[track_caller]
fn commands_exist(path: &str, spans: &[&str]) {
    let cli = Cli::command();
    for span in spans {
        let name = span.split_whitespace().next().unwrap_or_default();
        let exists = cli.get_subcommands().any(|command| command.get_name() == name);
        assert!(exists, "{path}: there is no `oyez {span}`");
    }
}

#[test]
fn the_files_call_the_program_as_it_is() {
    let unit = read("deploy/systemd/oyez.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    Cli::try_parse_from(start.split_whitespace()).unwrap();

    let container = read("deploy/container/Containerfile");
    let exec = |line: &str| -> Vec<String> { serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap() };
    let line = |start: &str| container.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
    assert_eq!(exec(line("ENTRYPOINT")), ["/oyez"]);
    Cli::try_parse_from(["oyez".to_owned()].into_iter().chain(exec(line("CMD")))).unwrap();
    Cli::try_parse_from(exec(line("HEALTHCHECK"))).unwrap();

    let alerts = read("deploy/monitoring/alerts.yml");
    let spans: Vec<&str> = alerts.split('`').skip(1).step_by(2).filter_map(|span| span.strip_prefix("oyez ")).collect();
    assert!(spans.len() > 3, "{spans:?}");
    commands_exist("alerts.yml", &spans);
}

#[test]
fn the_web_servers_and_prometheus_ask_where_the_program_listens() {
    let listen = SETTINGS.iter().find(|setting| setting.path == "service.listen").unwrap().default.trim_matches('"');
    for path in ["deploy/proxy/nginx.conf", "deploy/proxy/Caddyfile", "deploy/monitoring/alerts.yml"] {
        assert!(read(path).contains(listen), "{path} does not name {listen}");
    }
    for path in ["deploy/proxy/nginx.conf", "deploy/proxy/Caddyfile"] {
        assert!(read(path).contains("/hooks/"), "{path}");
    }
}

#[test]
fn every_alert_is_tested_on_a_good_day_and_on_a_bad_one() {
    let (alerts, tests) = (read("deploy/monitoring/alerts.yml"), read("deploy/monitoring/alerts.test.yml"));
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(tests.contains(&format!("alertname: {name} ")), "{name} on a good day");
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} on a bad day");
    }
}

#[test]
fn the_debian_package_names_files_that_exist() {
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    assert!(assets.len() > 5, "{assets:?}");
    for asset in assets {
        let path = asset[0].as_str().unwrap();
        if path.starts_with("target/") {
            continue;
        }
        let (dir, pattern) = path.rsplit_once('/').unwrap_or(("", path));
        let found = std::fs::read_dir(root().join(dir))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .any(|name| match pattern.split_once('*') {
                Some((start, end)) => name.starts_with(start) && name.ends_with(end),
                None => name == pattern,
            });
        assert!(found, "{path} is not there");
    }
}

/// Where Nix is at hand, as it is after `deploy/check.sh` on a Debian; elsewhere it says so.
#[test]
#[expect(clippy::print_stderr, reason = "says that it was skipped, and why")]
fn the_program_reads_what_the_nixos_module_writes() {
    let there = |program: &str| std::process::Command::new(program).arg("--version").output().is_ok();
    if !there("nix-instantiate") || !there("jq") {
        eprintln!("skipped: nix-instantiate and jq evaluate the module, and one of them is not installed");
        return;
    }
    let script = root().join("deploy/nix/run-cases.sh");
    let output = std::process::Command::new(script).arg(env!("CARGO_BIN_EXE_oyez")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("read by oyez check") && !said.contains("(0 read"), "{said}");
}
