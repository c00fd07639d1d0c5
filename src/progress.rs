//! Is the service alive, and does it say so: the beats of its two halves, and the word to the supervisor.
//!
//! The protocol is systemd's `sd_notify(3)`: lines of text to the datagram socket that `$NOTIFY_SOCKET` names. Without that
//! variable nothing is said.
use std::convert::Infallible;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Env;

/// A half that has not come round for this long is stuck: its longest sleep is a minute, and before its first round it asks
/// the servers for their limits, for three minutes at most.
pub const STUCK_AFTER: Duration = Duration::from_secs(300);

/// The halves of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Asks the sources.
    Poll,
    /// Holds and delivers.
    Deliver,
}

/// When each half last came round, by the monotonic clock, which nobody sets.
#[derive(Debug)]
pub struct Progress {
    beats: Mutex<[Instant; 2]>,
    begun: Instant,
}

impl Default for Progress {
    /// Both begin with a beat.
    fn default() -> Self {
        Self { beats: Mutex::new([Instant::now(); 2]), begun: Instant::now() }
    }
}

impl Progress {
    /// As if the half had last come round too long ago.
    #[cfg(test)]
    pub(crate) fn get_stuck(&self, half: Half) {
        self.beats.lock().unwrap()[half as usize] -= STUCK_AFTER + Duration::from_secs(1);
    }

    /// This half came round.
    pub fn beat(&self, half: Half) {
        self.beats.lock().expect("no holder of this lock can panic")[half as usize] = Instant::now();
    }

    /// How long ago that was.
    pub fn since(&self, half: Half) -> Duration {
        self.beats.lock().expect("no holder of this lock can panic")[half as usize].elapsed()
    }

    /// How long the service has been there.
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The halves that are stuck.
    pub fn stuck(&self) -> Vec<Half> {
        [Half::Poll, Half::Deliver].into_iter().filter(|half| self.since(*half) > STUCK_AFTER).collect()
    }
}

impl Half {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Half::Poll => "poll",
            Half::Deliver => "deliver",
        }
    }
}

/// The supervisor that started this process, if it wants to hear of it.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that all is well.
    pub watchdog: Option<Duration>,
}

impl Supervisor {
    /// From `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    ///
    /// # Errors
    /// When the socket's name is none, or no socket can be made. Who was told to report and cannot should not be silent.
    pub fn of(env: &Env) -> io::Result<Self> {
        let Some(name) = env.var("NOTIFY_SOCKET") else { return Ok(Self::default()) };
        let bytes = name.as_bytes();
        let address = match bytes.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(bytes))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let for_us = env.var("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let usec = env.var("WATCHDOG_USEC").filter(|_| for_us).and_then(|usec| usec.parse().ok());
        let watchdog = usec.filter(|usec: &u64| *usec > 0).map(Duration::from_micros);
        Ok(Self { socket: Some((socket, address)), watchdog })
    }

    /// Tells it. A supervisor that does not listen is no reason to stop.
    pub fn tell(&self, what: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(what.as_bytes(), address) {
            tracing::warn!("the supervisor could not be told `{what}`: {error}");
        }
    }

    /// Feeds its watchdog at half its time, for as long as both halves come round. Never ends.
    pub async fn keep_fed(&self, progress: &Progress) -> Infallible {
        let Some(every) = self.watchdog else { return std::future::pending().await };
        let mut told = false;
        loop {
            tokio::time::sleep(every / 2).await;
            let stuck = progress.stuck();
            if stuck.is_empty() {
                self.tell("WATCHDOG=1");
            } else if !told {
                told = true;
                let names: Vec<&str> = stuck.iter().map(|half| half.name()).collect();
                tracing::error!("no progress any more ({}): the watchdog is not fed", names.join(", "));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_that_does_not_come_round_is_stuck_and_the_other_is_not() {
        let progress = Progress::default();
        assert_eq!(progress.stuck(), []);
        progress.get_stuck(Half::Deliver);
        assert_eq!(progress.stuck(), [Half::Deliver]);
        progress.beat(Half::Deliver);
        assert_eq!(progress.stuck(), []);
    }

    #[tokio::test]
    async fn the_watchdog_is_fed_only_while_both_halves_come_round() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let theirs = UnixDatagram::bind(&path).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let env = Env::of([("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "4000")]);
        let supervisor = Supervisor::of(&env).unwrap();
        assert_eq!(supervisor.watchdog, Some(Duration::from_millis(4)));
        let heard = || {
            let mut buffer = [0; 64];
            theirs.recv(&mut buffer).ok().map(|length| String::from_utf8(buffer[..length].to_vec()).unwrap())
        };
        let progress = Progress::default();
        let fed = async {
            loop {
                match heard() {
                    Some(word) => break word,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        tokio::select! {
            never = supervisor.keep_fed(&progress) => match never {},
            word = fed => assert_eq!(word, "WATCHDOG=1"),
        }
        while heard().is_some() {}
        progress.get_stuck(Half::Poll);
        // Twenty times the pause between two words.
        assert!(tokio::time::timeout(Duration::from_millis(40), supervisor.keep_fed(&progress)).await.is_err());
        assert_eq!(heard(), None);
    }

    #[test]
    fn without_a_socket_nothing_is_said_and_another_process_is_not_watched() {
        let nobody = Supervisor::of(&Env::default()).unwrap();
        nobody.tell("READY=1");
        assert!(nobody.socket.is_none() && nobody.watchdog.is_none());
        let env = [("NOTIFY_SOCKET", "@nobody-listens-there"), ("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")];
        let other = Supervisor::of(&Env::of(env)).unwrap();
        other.tell("READY=1");
        assert_eq!(other.watchdog, None);
    }
}
