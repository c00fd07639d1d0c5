//! The real binary in a directory of its own: started, asked, stopped and killed as people and machines do it.
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use oyez::pretend::mastodon::TOKEN;
use serde_json::Value;
use tempfile::TempDir;

/// A directory with an `oyez.toml`, in which the program is run. No variable of the test's environment reaches it.
pub struct Program {
    pub dir: TempDir,
}

/// What one call of it printed.
#[derive(Debug, Clone)]
pub struct Printed {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Printed {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Stdout as one JSON object a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Stdout as one JSON object.
    #[track_caller]
    pub fn object(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }
}

impl Program {
    /// `{dir}` in the configuration stands for the directory.
    pub fn new(toml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = Self { dir };
        program.configure(toml);
        program
    }

    pub fn configure(&self, toml: &str) {
        fs::write(self.config(), toml.replace("{dir}", &self.dir.path().display().to_string())).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("oyez.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn socket(&self) -> PathBuf {
        self.path("state/oyez.sock")
    }

    /// The program as a shell in the directory would start it; `./oyez.toml` is its configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oyez"));
        command.args(args).current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path()).env("TOKEN", TOKEN);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    pub fn oyez(&self, args: &[&str]) -> Printed {
        printed(self.command(args))
    }

    /// With bytes on a pipe to stdin.
    #[track_caller]
    pub fn oyez_with(&self, stdin: &[u8], args: &[&str]) -> Printed {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        said(child.wait_with_output().unwrap())
    }

    /// `oyez run`, as it is: perhaps it has not read its configuration yet.
    pub fn spawn(&self) -> Service {
        let log = fs::File::options().create(true).append(true).open(self.path("service.log")).unwrap();
        let child = self.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Service { child }
    }

    /// `oyez run`, once it answers on its socket.
    #[track_caller]
    pub fn serve(&self) -> Service {
        let mut service = self.spawn();
        wait_until("the service answers", Duration::from_secs(60), || {
            assert_eq!(service.child.try_wait().unwrap(), None, "{}", self.log());
            std::os::unix::net::UnixStream::connect(self.socket()).is_ok()
        });
        service
    }

    /// What the services said on stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("service.log")).unwrap_or_default()
    }
}

#[track_caller]
pub fn printed(mut command: Command) -> Printed {
    said(command.output().unwrap())
}

#[track_caller]
fn said(output: std::process::Output) -> Printed {
    Printed {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running `oyez run`; killed with the test.
pub struct Service {
    pub child: Child,
}

impl Service {
    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended after how long.
    #[track_caller]
    pub fn terminate(mut self) -> (ExitStatus, Duration) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let begun = Instant::now();
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        let mut ended = None;
        wait_until("the service ends", Duration::from_secs(30), || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        (ended.expect("it was waited for"), begun.elapsed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has usually ended already; nothing is to be done about one that cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls a condition, for so long at most.
#[track_caller]
pub fn wait_until(what: &str, longest: Duration, mut condition: impl FnMut() -> bool) {
    assert!(
        polled(longest, Duration::from_millis(50), &mut condition),
        "in {longest:?} it did not come true that {what}"
    );
}

/// Did it come true within this time? Looks closely, for those who wait for a moment.
pub fn came_true(longest: Duration, condition: impl FnMut() -> bool) -> bool {
    polled(longest, Duration::from_millis(2), condition)
}

fn polled(longest: Duration, pause: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > longest {
            return false;
        }
        std::thread::sleep(pause);
    }
}

/// A forum as source, a Mastodon as account; `hold` is all of `[hold]`.
pub fn toml(forum: &url::Url, mastodon: &url::Url, hold: &str) -> String {
    format!(
        r#"
[service]
state = "{{dir}}/state"
listen = "127.0.0.1:0"
time-zone = "UTC"
[network]
timeout = "5s"
[[source]]
name = "announcements"
type = "discourse"
url = "{forum}"
category = "announcements"
every = "1s"
[[account]]
name = "mastodon"
platform = "mastodon"
server = "{mastodon}"
token = {{ env = "TOKEN" }}
[hold]
{hold}
"#
    )
}

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).display().to_string()
}
