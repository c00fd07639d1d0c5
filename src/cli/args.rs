//! The words of the command line. Names are fixed: scripts and people rely on them.
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use url::Url;

/// From a community's forum to its social accounts: heard, held for a veto, said once.
#[derive(Debug, Parser)]
#[command(
    name = "oyez",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 it failed; 2 the call or the configuration is wrong; 3 nothing there (no such item).\n\
                  Start with `oyez demo`: a pretend forum and a pretend Mastodon, nothing leaves the machine.",
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// The configuration; else $OYEZ_CONFIG, ./oyez.toml, /etc/oyez/oyez.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print JSON on stdout and nothing else: one document, or one object a line.
    #[arg(long, global = true)]
    pub json: bool,

    /// Say more on stderr; twice for everything. `OYEZ_LOG` takes tracing's filter syntax.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// How the log on stderr is written; `json` is one object a line, errors included.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", env = "OYEZ_LOG_FORMAT")]
    pub log_format: LogFormat,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// For whom the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// An object a line, with the fields beside the message.
    Json,
}

/// Everything `oyez` does.
#[allow(missing_docs, reason = "the flattened arguments are documented where they are defined")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented oyez.toml for a forum category, with a dry-run account; show the five newest topics; post nothing.
    ///
    /// CATEGORY-URL is the address of the category page, for example `https://discourse.example.org/c/announcements/8`.
    /// An existing file is never overwritten.
    Init {
        /// Address of the category page.
        #[arg(value_name = "CATEGORY-URL")]
        url: Url,
        /// Where to write; default ./oyez.toml, `-` prints it.
        #[arg(long, short, value_name = "FILE", default_value = "oyez.toml")]
        output: PathBuf,
    },
    /// A pretend forum, video channel and Mastodon on this machine; plays one minute of a community's day.
    ///
    /// Needs no file and no network. At each step it prints a command to try in a second terminal.
    Demo {
        /// How many times faster than a comfortable reading pace; 0 does not wait at all.
        #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
        speed: f64,
        /// Keep the pretend world running afterwards, until Ctrl-C.
        #[arg(long)]
        stay: bool,
    },
    /// The service: watch the sources, hold, publish. Stops cleanly on SIGTERM and Ctrl-C.
    Run {
        /// One poll-and-deliver round, then exit (cron, tests).
        #[arg(long)]
        once: bool,
        /// Poll every source in this round, due or not (with --once).
        #[arg(long, requires = "once")]
        all: bool,
    },
    /// Configuration, templates and policy; every mistake at once. Exit 1 when something would not work.
    Check {
        /// Also ask the sources and the accounts: tried, got, do this.
        #[arg(long)]
        online: bool,
    },
    /// Is the running service well? Asks its /health over HTTP; exit 1 when it is not, or does not answer.
    Health,
    /// What would be posted for a topic, a video or a saved document: per account, with lengths and the policy's verdict.
    ///
    /// FILE may be a Discourse topic or category list (JSON), a feed, a media.ccc.de event or conference, a PeerTube list.
    /// Needs no store and no running service; without a configuration it shows one plain Mastodon account.
    #[command(group = clap::ArgGroup::new("what").required(true).args(["url", "file"]))]
    Preview {
        /// Address of a topic, video or feed.
        url: Option<Url>,
        /// A saved document; `-` is stdin.
        #[arg(long, value_name = "F")]
        file: Option<PathBuf>,
        /// Only this account.
        #[arg(long, value_name = "A")]
        account: Option<String>,
    },
    /// What is held and until when.
    Queue {
        /// Known and ended items too.
        #[arg(long)]
        all: bool,
    },
    /// One item whole: its posts, its deliveries, its journal.
    Show {
        /// A number, or the address of the topic or video.
        #[arg(value_name = "N")]
        item: String,
    },
    /// Stop it: nothing that has not left will leave. Final until somebody reinstates it.
    Veto {
        #[command(flatten)]
        items: Items,
        #[command(flatten)]
        why: Why,
    },
    /// Leave one account out; the last one makes it a veto.
    Skip {
        #[command(flatten)]
        items: Items,
        /// The account.
        #[arg(long, value_name = "A")]
        account: String,
        #[command(flatten)]
        why: Why,
    },
    /// The text is fine: satisfies an `ask`, changes no time. With --now: send it without waiting.
    Approve {
        #[command(flatten)]
        items: Items,
        /// Do not wait for the window, quiet hours or spacing.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Not before DURATION from now. Never makes it earlier.
    Snooze {
        #[command(flatten)]
        items: Items,
        /// `90s`, `30m`, `4h`, `2d`, or a sum such as `1d12h`.
        #[arg(value_parser = duration, value_name = "DURATION")]
        duration: Duration,
        #[command(flatten)]
        why: Why,
    },
    /// Replace the text one account will publish. Moves no time.
    ///
    /// The text comes from --text, else from a pipe on stdin, else from $EDITOR.
    Edit {
        /// A number, or the address of the topic or video.
        #[arg(value_name = "N")]
        item: String,
        /// The account.
        #[arg(long, value_name = "A")]
        account: String,
        /// Back to the template's text, made anew.
        #[arg(long, conflicts_with = "text")]
        reset: bool,
        /// The new text.
        #[arg(long)]
        text: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Take back a veto; or send an item on its way that was only known, ignored or expired.
    Reinstate {
        #[command(flatten)]
        items: Items,
        #[command(flatten)]
        why: Why,
    },
    /// Leave it as it is: you know what its alarms say, and they need not be said any more.
    Seen {
        #[command(flatten)]
        items: Items,
        #[command(flatten)]
        why: Why,
    },
    /// Delete what was published, everywhere, and veto the rest.
    Retract {
        #[command(flatten)]
        items: Items,
        #[command(flatten)]
        why: Why,
    },
    /// Replace the text of what was published, where the platform can: with --text, or rendered anew from the item as it is now.
    Amend {
        /// A number, or the address of the topic or video.
        #[arg(value_name = "N")]
        item: String,
        /// Only this account.
        #[arg(long, value_name = "A")]
        account: Option<String>,
        /// The new text (needs --account).
        #[arg(long, requires = "account")]
        text: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Say what became of a delivery nobody is sure about, or that failed.
    #[command(group = clap::ArgGroup::new("outcome").required(true).args(["sent", "not_sent"]))]
    Resolve {
        /// A number, or the address of the topic or video.
        #[arg(value_name = "N")]
        item: String,
        /// The account.
        #[arg(long, value_name = "A")]
        account: String,
        /// It is out, here.
        #[arg(long, value_name = "URL")]
        sent: Option<Url>,
        /// It is not out: try again after the grace period.
        #[arg(long)]
        not_sent: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Two items are one thing: the higher number becomes a duplicate of the lower. Undoes no decision, sends nothing twice.
    Join {
        /// A number, or the address of the topic or video.
        #[arg(value_name = "N")]
        item: String,
        /// The other one.
        #[arg(value_name = "M")]
        other: String,
        #[command(flatten)]
        why: Why,
    },
    /// A link of the item stays as its author wrote it, whatever the rules would make of it.
    Keep {
        /// A number, or the address of the topic or video.
        #[arg(value_name = "N")]
        item: String,
        /// The link, as `oyez show` lists it.
        #[arg(value_name = "URL")]
        url: String,
        #[command(flatten)]
        why: Why,
    },
    /// Another place of an item's video: the same, or not.
    Mirror {
        /// A number, or the address of the topic or video.
        #[arg(value_name = "N")]
        item: String,
        /// Is it the same video?
        #[arg(value_enum)]
        word: MirrorChoice,
        /// The other place.
        #[arg(value_name = "URL")]
        url: String,
        #[command(flatten)]
        why: Why,
    },
    /// A duplicate is another thing after all: it stands for itself again, as known.
    Split {
        /// The duplicate's number.
        #[arg(value_name = "N")]
        item: String,
        #[command(flatten)]
        why: Why,
    },
    /// Erase an item's words from the store and the journal; the chain still verifies.
    Forget {
        #[command(flatten)]
        items: Items,
        /// Why it must be forgotten: stands in the journal.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// What the rewriter does to each link (arguments or lines on stdin), and why.
    Link {
        /// Addresses; none: lines on stdin.
        urls: Vec<String>,
        /// Ask no network: shorteners stay as they are.
        #[arg(long)]
        offline: bool,
    },
    /// Length of stdin as that platform counts it, byte for byte: a trailing newline counts.
    Count {
        /// The platform.
        #[arg(long, value_name = "P")]
        platform: CountPlatform,
        /// A content warning, which counts too.
        #[arg(long, value_name = "TEXT", default_value = "")]
        warning: String,
        /// The limit to compare with.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// The journal, oldest first.
    Log {
        /// Only this item's.
        #[arg(long, value_name = "N")]
        item: Option<u64>,
        /// Is the chain unaltered? Exit 1 when it is not.
        #[arg(long)]
        verify: bool,
    },
    /// The whole store as JSON lines on stdout, while the service runs or not.
    Export {
        /// Write here instead of stdout.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// A store from JSON lines; only into an empty one, and not while the service runs.
    Import {
        /// What `oyez export` wrote; `-` is stdin.
        #[arg(value_name = "FILE")]
        input: PathBuf,
    },
    /// A consistent copy of the store, while the service runs or not.
    Backup {
        /// A directory that does not exist yet.
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Completions for your shell on stdout.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// The items an act is for.
#[derive(Debug, Args)]
pub struct Items {
    /// A number, a list (`42,50`), a range (`50-61`), or the address of the topic or video; several may follow.
    #[arg(required = true, value_name = "N")]
    pub items: Vec<String>,
}

/// The reason of an act: asked for, never a condition.
#[derive(Debug, Args)]
pub struct Why {
    /// Why: stands in the journal.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Platforms whose counting this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CountPlatform {
    /// Grapheme clusters, 23 for an address.
    Mastodon,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text)
}

/// What a person says of another place of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MirrorChoice {
    /// It is the same: posts lead there.
    Accept,
    /// It is another, for good.
    Reject,
}
