//! The command line: reads the words, asks the library, prints. The only place that writes to stdout.
pub mod args;
mod demo;
mod health;
mod online;
mod preview;
mod view;

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use crate::acts::{Desk, Failure, Request, TeamAct};
use crate::app::{self, App, Signals};
use crate::check;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Env, Parsed};
use crate::http::Http;
use crate::link::rewrite::nothing_opened;
use crate::linker::Linker;
use crate::progress::Supervisor;
use crate::socket;
use crate::store::{OpenError, Store};
use args::{Cli, Command, CountPlatform, LogFormat};
use view::View;

/// A service that is starting or stopping has the store and does not answer on the socket; stopping may take as long as
/// what is under way. A veto waits for it, about ten seconds: each try waits a third of a second for the lock by itself.
const TURNOVER_TRIES: u32 = 25;
/// As long as a command may have the store, two seconds.
const COMMAND_TRIES: u32 = 6;

/// Parses, does it, prints the error chain. Exit codes: 0 done, 1 it failed, 2 the call or the configuration is wrong,
/// 3 nothing there.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    init_logging(&cli);
    let mut out = Out::new(cli.json);
    // A collector that was promised objects can read the last words too.
    let json_errors = cli.json || cli.log_format == LogFormat::Json;
    match run(&cli, &mut out) {
        Ok(()) => match out.finish() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report(json_errors, &stdout_failure(&error)),
        },
        Err(error) => {
            // What was printed before the failure belongs before it.
            let _ = out.finish();
            report(json_errors, &as_failure(error))
        }
    }
}

/// The call itself is wrong (or asks for help). With `--json`, or a log of objects, that is said as every other error is.
#[expect(clippy::print_stderr, reason = "errors go to stderr, and the arguments that say how are not there yet")]
fn misread(error: &clap::Error) -> ExitCode {
    let is_json = |name: &str| std::env::var(name).is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    let wants_json = std::env::args_os().any(|argument| argument == "--json") || is_json("OYEZ_LOG_FORMAT");
    if !error.use_stderr() || !wants_json {
        // Neither words nor exit code depend on whether somebody reads them.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let text = error.render().to_string();
    let (what, usage) = text.split_once("\n\nUsage:").unwrap_or((&text, ""));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let usage = words(usage.split("\n\n").next().unwrap_or_default());
    let hint = if usage.is_empty() { "`oyez --help` lists the commands".to_owned() } else { format!("usage: {usage}") };
    eprintln!("{}", json!({"error": words(what.trim_start_matches("error:")), "hint": hint}));
    ExitCode::from(2)
}

fn as_failure(error: anyhow::Error) -> Failure {
    match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => {
            if let Some(io) = error.downcast_ref::<std::io::Error>()
                && io.kind() == std::io::ErrorKind::BrokenPipe
            {
                return stdout_failure(io);
            }
            Failure::failed(format!("{error:#}"), None)
        }
    }
}

/// A reader that has seen enough (`oyez log | head`) is no failure worth words.
fn stdout_failure(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        Failure::unread()
    } else {
        Failure::failed(format!("cannot write to stdout: {error}"), None)
    }
}

#[expect(clippy::print_stderr, reason = "errors go to stderr, and this is where they are printed")]
fn report(json: bool, failure: &Failure) -> ExitCode {
    if failure.error.is_empty() {
        return ExitCode::from(failure.code);
    }
    if json {
        eprintln!("{}", json!({"error": failure.error, "hint": failure.hint}));
    } else {
        let red = if std::io::stderr().is_terminal() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        eprintln!("{}error:{} {}", red.0, red.1, failure.error);
        if let Some(hint) = &failure.hint {
            eprintln!("hint: {hint}");
        }
    }
    ExitCode::from(failure.code)
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Failure {}

fn init_logging(cli: &Cli) {
    let usual = match (&cli.command, cli.verbose) {
        (_, 2..) => "oyez=trace,info",
        (_, 1) => "oyez=debug,info",
        (Command::Run { once: false, .. }, _) => "oyez=info,warn",
        // What goes wrong there goes wrong on purpose, and is told on stdout.
        (Command::Demo { .. }, _) => "off",
        _ => "oyez=warn,error",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("OYEZ_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
}

/// Stdout, buffered; locked for one document at a time.
pub(crate) struct Out {
    json: bool,
    color: bool,
    writer: std::io::BufWriter<std::io::Stdout>,
}

impl Out {
    fn new(json: bool) -> Self {
        let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, color, writer: std::io::BufWriter::new(std::io::stdout()) }
    }

    fn line(&mut self, line: impl std::fmt::Display) -> std::io::Result<()> {
        writeln!(self.writer, "{line}")
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

fn run(cli: &Cli, out: &mut Out) -> anyhow::Result<()> {
    match &cli.command {
        Command::Init { url, output } => runtime()?.block_on(online::init(url, output, out)),
        Command::Demo { speed, stay } => demo::run(*speed, *stay, out),
        Command::Run { once, all } => {
            let parsed = load(cli)?;
            for warning in &parsed.warnings {
                tracing::warn!("{warning}");
            }
            serve(cli, parsed.config, *once, *all, out)
        }
        Command::Check { online } => check_all(cli, *online, out),
        Command::Health => runtime()?.block_on(health::ask(&load_without_secrets(cli)?.config, out)),
        Command::Preview { url, file, account } => {
            let parsed = load_or_plain(cli)?;
            preview::run(parsed, url.as_ref(), file.as_deref(), account.as_deref(), out)
        }
        Command::Queue { all } => ask(cli, out, Request::Queue { all: *all }, View::Queue { all: *all }),
        Command::Show { item } => ask(cli, out, Request::Show { item: item.clone() }, View::Show),
        Command::Veto { items, why } => act(cli, out, &items.items, TeamAct::Veto, &why.reason),
        Command::Skip { items, account, why } => {
            act(cli, out, &items.items, TeamAct::Skip { account: account.clone() }, &why.reason)
        }
        Command::Approve { items, now, why } => {
            act(cli, out, &items.items, TeamAct::Approve { now: *now }, &why.reason)
        }
        Command::Snooze { items, duration, why } => {
            act(cli, out, &items.items, TeamAct::Snooze { seconds: duration.as_secs() }, &why.reason)
        }
        Command::Edit { item, account, reset: true, why, .. } => {
            act(cli, out, std::slice::from_ref(item), TeamAct::Reset { account: account.clone() }, &why.reason)
        }
        Command::Edit { item, account, text, why, .. } => {
            let text = match text {
                Some(text) => text.clone(),
                None => new_text(cli, item, account)?,
            };
            act(cli, out, std::slice::from_ref(item), TeamAct::Edit { account: account.clone(), text }, &why.reason)
        }
        Command::Seen { items, why } => act(cli, out, &items.items, TeamAct::Seen, &why.reason),
        Command::Reinstate { items, why } => act(cli, out, &items.items, TeamAct::Reinstate, &why.reason),
        Command::Retract { items, why } => act(cli, out, &items.items, TeamAct::Retract, &why.reason),
        Command::Amend { item, account, text, why } => {
            let amend = TeamAct::Amend { account: account.clone(), text: text.clone() };
            act(cli, out, std::slice::from_ref(item), amend, &why.reason)
        }
        Command::Resolve { item, account, sent, why, .. } => {
            let account = account.clone();
            let resolve = match sent {
                Some(url) => TeamAct::ResolveSent { account, url: url.clone() },
                None => TeamAct::ResolveNotSent { account },
            };
            act(cli, out, std::slice::from_ref(item), resolve, &why.reason)
        }
        Command::Join { item, other, why } => {
            let request = Request::Join { item: item.clone(), other: other.clone(), reason: why.reason.clone() };
            ask(cli, out, request, View::Acted { act: "join" })
        }
        Command::Split { item, why } => {
            let request = Request::Split { item: item.clone(), reason: why.reason.clone() };
            ask(cli, out, request, View::Acted { act: "split" })
        }
        Command::Keep { item, url, why } => {
            let request = Request::Keep { item: item.clone(), url: url.clone(), reason: why.reason.clone() };
            ask(cli, out, request, View::Acted { act: "keep" })
        }
        Command::Mirror { item, word, url, why } => {
            let accept = *word == args::MirrorChoice::Accept;
            let request = Request::Mirror { item: item.clone(), url: url.clone(), accept, reason: why.reason.clone() };
            ask(cli, out, request, View::Acted { act: "mirror" })
        }
        Command::Forget { items, reason } => {
            let request = Request::Forget { items: items.items.clone(), reason: reason.clone() };
            ask(cli, out, request, View::Acted { act: "forget" })
        }
        Command::Link { urls, offline } => link(cli, urls, *offline, out),
        Command::Count { platform, warning, limit } => count(*platform, warning, *limit, out),
        Command::Log { verify: true, .. } => ask(cli, out, Request::Verify, View::Verified),
        Command::Log { item, .. } => ask(cli, out, Request::Log { item: *item }, View::Log),
        Command::Export { output } => export(cli, out, output.as_deref()),
        Command::Import { input } => import(cli, out, input),
        Command::Backup { to } => {
            let to = std::path::absolute(to).context("cannot tell where the backup should go")?;
            ask(cli, out, Request::Backup { to: to.clone() }, View::Backup)?;
            // The unit gives the service a /tmp of its own, and a container has all its places for itself.
            match std::fs::metadata(&to) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::failed(
                    format!("the service wrote the copy, but its `{}` is not the one you see", to.display()),
                    Some("name a directory inside of its state directory, and move the copy from there".into()),
                )
                .into()),
                Ok(_) | Err(_) => Ok(()),
            }
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "oyez", &mut script);
            out.writer.write_all(&script)?;
            Ok(())
        }
    }
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
}

fn load(cli: &Cli) -> anyhow::Result<Parsed> {
    load_with(cli, Env::of_process())
}

/// For commands that need no secret: a team member may act without being able to read the service's tokens.
fn load_without_secrets(cli: &Cli) -> anyhow::Result<Parsed> {
    load_with(cli, Env::of_process().without_secrets())
}

fn load_with(cli: &Cli, env: Env) -> anyhow::Result<Parsed> {
    let path = Config::locate(cli.config.as_deref(), &env).map_err(|places| {
        let places: Vec<_> = places.iter().map(|path| format!("`{}`", path.display())).collect();
        Failure::usage(
            format!("there is no configuration: looked for {}", places.join(" and ")),
            Some("`oyez init CATEGORY-URL` writes one, `--config FILE` names one, `oyez demo` needs none".into()),
        )
    })?;
    Config::load(&path, &env).map_err(|errors| Failure::usage(errors.to_string(), None).into())
}

/// Previewing needs no configuration; with none, one plain Mastodon account stands for all.
fn load_or_plain(cli: &Cli) -> anyhow::Result<Parsed> {
    let env = Env::of_process().without_secrets();
    match Config::locate(cli.config.as_deref(), &env) {
        Ok(path) => Config::load(&path, &env).map_err(|errors| Failure::usage(errors.to_string(), None).into()),
        Err(_) => {
            let plain = "[[account]]\nname = \"mastodon\"\nplatform = \"mastodon\"\nserver = \"https://mastodon.invalid\"\n\
                         enabled = true\ntoken = { env = \"NONE\" }\n";
            Ok(Config::parse(plain, "the built-in preview account", &Env::of([("NONE", "none")]))
                .expect("a constant that a test parses"))
        }
    }
}

fn serve(cli: &Cli, config: Config, once: bool, all: bool, out: &mut Out) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let signals = if once {
        None
    } else {
        let _inside = runtime.enter();
        Some(Signals::listen().context("cannot listen for signals")?)
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let config = Arc::new(config);
    let mut tries = 0;
    let store = loop {
        match Store::open(&config.service.state) {
            // A command may have it for a moment: that must not keep the service from starting.
            Err(OpenError::InUse) if tries < COMMAND_TRIES => tries += 1,
            opened => break opened.map_err(|error| unopened(&config, true, &error))?,
        }
    };
    let app = App::build(config, store, clock)?;
    let Some(signals) = signals else {
        let tally = runtime.block_on(app.once(all))?;
        let document = tally.to_json();
        if out.json {
            out.line(document)?;
        } else {
            out.line(view::tally(&document))?;
        }
        return Ok(());
    };
    let app = app.counting(crate::metrics::install());
    let supervisor = Supervisor::of(&Env::of_process()).context("`$NOTIFY_SOCKET` cannot be used")?;
    let reload = || {
        let read = load(cli).map_err(|error| format!("{error:#}"));
        let reloaded = read.and_then(|parsed| app.reload(&parsed.config).map_err(|problems| problems.to_string()));
        if let Err(problems) = reloaded {
            tracing::error!("not reloaded, everything stays as it was: {problems}");
        }
    };
    runtime.block_on(app.run(&supervisor, signals.until_stop(reload)))
}

/// `serving`: by the service itself, which does not come by the socket.
fn unopened(config: &Config, serving: bool, error: &OpenError) -> Failure {
    let hint = match error {
        OpenError::InUse if serving => {
            Some("another `oyez run` serves this store: stop that one, or name another `service.state`".to_owned())
        }
        OpenError::InUse | OpenError::Newer { .. } | OpenError::Damaged(_) | OpenError::Io(_) => error.hint(),
    };
    Failure { code: 1, error: format!("cannot open the store in `{}`: {error}", config.service.state.display()), hint }
}

fn act(cli: &Cli, out: &mut Out, items: &[String], act: TeamAct, reason: &Option<String>) -> anyhow::Result<()> {
    let name = act.name();
    let request = Request::Act { items: items.to_vec(), act, reason: reason.clone() };
    ask(cli, out, request, View::Acted { act: name })
}

/// Asks the running service, or the store itself where none runs. Both print the same.
fn ask(cli: &Cli, out: &mut Out, request: Request, view: View) -> anyhow::Result<()> {
    let loaded = load_without_secrets(cli).map(|parsed| Arc::new(parsed.config));
    // Somebody is half way through a change of the file: the running service goes by what it read, and a veto cannot wait.
    let service = match &loaded {
        Ok(config) => config.service.clone(),
        Err(_) => match Config::locate(cli.config.as_deref(), &Env::of_process())
            .ok()
            .and_then(|path| Config::service_of_broken(&path, &Env::of_process()))
        {
            Some(service) => service,
            None => return loaded.map(|_| ()),
        },
    };
    let mut shown = view.within(service.time_zone.clone());
    let answered = {
        // Nobody reading the answer is no reason to leave half of an act undone; a mere reading ends there.
        let acts = matches!(request, Request::Act { .. } | Request::Keep { .. } | Request::Forget { .. });
        let mut sink = |document: Value| match shown.document(out, document) {
            Err(error) if acts && error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        };
        match loaded {
            Ok(config) => dispatch(&config, &request, &mut sink),
            Err(broken) => match socket::ask(&service.socket, &request, &mut sink) {
                Ok(Some(answer)) => answer.map_err(Into::into),
                Ok(None) => Err(broken),
                Err(unknown) => Err(unknown),
            },
        }
    };
    if answered.is_ok() {
        shown.end(out)?;
    }
    answered
}

fn dispatch(
    config: &Arc<Config>,
    request: &Request,
    sink: &mut dyn FnMut(Value) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    // What root opens, root's files are in: the service must be able to go on with them.
    let _given = GivenBack(&config.service.state);
    let mut tries = 0;
    let store = loop {
        if let Some(answer) = socket::ask(&config.service.socket, request, sink)? {
            return answer.map_err(Into::into);
        }
        if !Store::exists(&config.service.state) {
            // Looking makes none: it might belong to another user than the service's. Nor is it the same as nothing being
            // held: whoever named the wrong configuration must not believe that nothing will leave.
            return Err(Failure {
                code: 3,
                error: format!("there is no store in `{}` yet", config.service.state.display()),
                hint: Some("`oyez run` makes one".into()),
            }
            .into());
        }
        match Store::open(&config.service.state) {
            Err(OpenError::InUse) if tries < TURNOVER_TRIES => {
                tries += 1;
                if tries == 4 {
                    tracing::warn!("the store is in use: waiting for a service that starts or stops");
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            opened => break opened.map_err(|error| unopened(config, false, &error))?,
        }
    };
    let wording = app::load_wording(config).map_err(|problems| Failure::usage(problems.to_string(), None))?;
    let desk = Desk::new(store, Arc::new(SystemClock::new()), Arc::clone(config), Arc::new(wording), None);
    desk.execute(&socket::own_actor(), request.clone(), sink).map_err(Into::into)
}

/// The text for `oyez edit`: a pipe on stdin, else the editor, beginning with what would be posted now.
fn new_text(cli: &Cli, item: &str, account: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read the new text from stdin")?;
        return Ok(text);
    }
    let editor = std::env::var("VISUAL")
        .or_else(|_| std::env::var("EDITOR"))
        .map_err(|_| Failure::usage("no new text was given", Some("use --text, pipe it in, or set $EDITOR".into())))?;
    let config = Arc::new(load_without_secrets(cli)?.config);
    let mut current = None;
    dispatch(&config, &Request::Show { item: item.to_owned() }, &mut |document| {
        let posts = document["posts"].as_array().into_iter().flatten();
        current =
            posts.filter(|post| post["account"] == account).find_map(|post| post["text"].as_str().map(str::to_owned));
        Ok(())
    })?;
    let path = std::env::temp_dir().join(format!("oyez-edit-{}.txt", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    let mut file = options.open(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
    file.write_all(current.unwrap_or_default().as_bytes())?;
    drop(file);
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = std::process::Command::new(program).args(words).arg(&path).status();
    let text = std::fs::read_to_string(&path);
    // The text may be private until it is published.
    let _ = std::fs::remove_file(&path);
    let status = status.with_context(|| format!("cannot start the editor `{editor}`"))?;
    if !status.success() {
        anyhow::bail!("the editor ended with {status}: nothing was changed");
    }
    text.context("cannot read the edited text")
}

fn link(cli: &Cli, urls: &[String], offline: bool, out: &mut Out) -> anyhow::Result<()> {
    let config = load_or_plain(cli)?.config;
    let linker = Linker::new(&config).map_err(|error| Failure::usage(error.to_string(), None))?;
    let network = match offline || !linker.expands() {
        true => None,
        false => Some((runtime()?, Http::new(&config.network, config.service.contact.as_deref())?)),
    };
    let mut known = BTreeMap::new();
    let mut one = |input: &str, out: &mut Out| -> anyhow::Result<()> {
        let mut rewrite = match &network {
            Some((runtime, http)) => runtime.block_on(linker.open(http, input, &mut known)),
            None => linker.rewrite(input, false, &nothing_opened),
        };
        if let Some(Err(error)) = rewrite.unopened.as_ref().and_then(|short| known.get(short)) {
            rewrite.refused = Some(format!("a link shortener that does not say where it leads: {error}"));
            rewrite.output = None;
        }
        let object = crate::wording::link_object(&rewrite);
        if out.json {
            out.line(object)?
        } else {
            out.line(view::link(&object))?
        }
        // One at a time: a shortener may take its seconds.
        Ok(out.finish()?)
    };
    if urls.is_empty() {
        for line in std::io::stdin().lock().split(b'\n') {
            let line = line.context("cannot read stdin")?;
            // A character that stands for broken bytes is refused as part of an address.
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_start_matches('\u{feff}').trim();
            if !line.is_empty() {
                one(line, out)?;
            }
        }
    }
    for url in urls {
        one(url, out)?;
    }
    Ok(())
}

fn count(platform: CountPlatform, warning: &str, limit: Option<usize>, out: &mut Out) -> anyhow::Result<()> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("cannot read stdin")?;
    let text = String::from_utf8(text).map_err(|_| Failure::failed("stdin is not UTF-8", None))?;
    let (name, length, limit) = match platform {
        CountPlatform::Mastodon => {
            let (unit, usual) = crate::count::Unit::by_name("mastodon").expect("it counts as Mastodon does");
            ("mastodon", unit.length(&text, warning), limit.unwrap_or(usual))
        }
    };
    let fits = length <= limit;
    if out.json {
        out.line(json!({"platform": name, "length": length, "limit": limit, "fits": fits}))?;
    } else {
        out.line(format_args!("{length} of {limit}{}", if fits { "" } else { ": too long" }))?;
    }
    Ok(())
}

fn export(cli: &Cli, out: &mut Out, output: Option<&Path>) -> anyhow::Result<()> {
    let config = Arc::new(load_without_secrets(cli)?.config);
    match output {
        None => {
            let mut sink = |line: Value| writeln!(out.writer, "{}", line.as_str().unwrap_or_default());
            dispatch(&config, &Request::Export, &mut sink)
        }
        Some(path) => {
            let mut options = std::fs::OpenOptions::new();
            // Texts of withdrawn items are in it: for the operator's eyes.
            std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
            let file = options.open(path).with_context(|| format!("cannot create `{}`", path.display()))?;
            let mut writer = std::io::BufWriter::new(file);
            let mut lines = 0u64;
            dispatch(&config, &Request::Export, &mut |line: Value| {
                lines += 1;
                writeln!(writer, "{}", line.as_str().unwrap_or_default())
            })?;
            writer.flush()?;
            writer.get_ref().sync_all().with_context(|| format!("cannot write `{}`", path.display()))?;
            if out.json {
                out.line(json!({"export": path, "lines": lines}))?;
            } else {
                out.line(format_args!("{lines} lines in {}", path.display()))?;
            }
            Ok(())
        }
    }
}

fn import(cli: &Cli, out: &mut Out, input: &Path) -> anyhow::Result<()> {
    let config = load_without_secrets(cli)?.config;
    if std::os::unix::net::UnixStream::connect(&config.service.socket).is_ok() {
        return Err(
            Failure::failed("the service is running", Some("stop it first: import makes a new store".into())).into()
        );
    }
    let reader: Box<dyn std::io::BufRead> = if input == Path::new("-") {
        Box::new(std::io::BufReader::new(std::io::stdin()))
    } else {
        let file = std::fs::File::open(input).with_context(|| format!("cannot open `{}`", input.display()))?;
        Box::new(std::io::BufReader::new(file))
    };
    let store = Store::import(&config.service.state, reader)
        .with_context(|| format!("cannot import into `{}`", config.service.state.display()))?;
    let (items, entries) = (store.items(..).count(), store.head().seq);
    drop(store);
    give_to_owner(&config.service.state)
        .with_context(|| format!("cannot give `{}` to its owner", config.service.state.display()))?;
    if out.json {
        out.line(json!({"import": config.service.state, "items": items, "entries": entries}))?;
    } else {
        out.line(format_args!("{items} items and {entries} journal entries"))?;
    }
    Ok(())
}

/// Gives the store's files to the owner of its directory when the command is done with them.
struct GivenBack<'a>(&'a Path);

impl Drop for GivenBack<'_> {
    fn drop(&mut self) {
        if let Err(error) = give_to_owner(self.0) {
            tracing::warn!("`{}` may hold files that the service cannot read: {error}", self.0.display());
        }
    }
}

/// What root makes in a directory of the service's user must be that user's, or the service cannot write it.
fn give_to_owner(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, lchown};
    let owner = std::fs::metadata(dir)?;
    if !nix::unistd::geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            lchown(&path, Some(owner.uid()), Some(owner.gid()))?;
            if std::fs::symlink_metadata(&path)?.is_dir() {
                dirs.push(path);
            }
        }
    }
    Ok(())
}

fn check_all(cli: &Cli, online: bool, out: &mut Out) -> anyhow::Result<()> {
    let env = Env::of_process();
    let path = match Config::locate(cli.config.as_deref(), &env) {
        Ok(path) => path,
        Err(_) => return load(cli).map(|_| ()),
    };
    let mut findings = match Config::load(&path, &env) {
        Ok(parsed) => {
            let mut findings = check::offline(&parsed);
            if online {
                findings.extend(runtime()?.block_on(online::check(&parsed.config))?);
            }
            findings
        }
        Err(errors) => {
            // A program reads the mistakes one by one, as it reads other findings; for people the error is enough.
            if out.json {
                for finding in check::mistakes(&errors) {
                    out.line(serde_json::to_value(finding)?)?;
                }
            }
            return Err(Failure::usage(errors.to_string(), None).into());
        }
    };
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    if out.json {
        for finding in &findings {
            out.line(serde_json::to_value(finding)?)?;
        }
    } else {
        for finding in &findings {
            out.line(view::finding(finding, out.color))?;
        }
    }
    let bad = findings.iter().filter(|finding| finding.severity == check::Severity::Error).count();
    if bad > 0 {
        return Err(Failure::failed(format!("{bad} of {} checks failed", findings.len()), None).into());
    }
    Ok(())
}
