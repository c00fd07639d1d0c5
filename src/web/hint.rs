//! What leaves the webhook endpoint: hints for the poller, reports for the team. Both are bounded; neither can make a
//! sender wait.
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// "Look again."
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hint {
    /// The source, by its name in the configuration.
    pub source: String,
    /// The Discourse topic it is about; `None`: poll the source.
    pub topic: Option<u64>,
}

/// A queue of at most `capacity` hints, in which equal ones are one.
pub fn queue(capacity: usize) -> (HintSender, HintReceiver) {
    let shared = Arc::new(Shared { waiting: Mutex::default(), came: Notify::new(), capacity });
    (HintSender { shared: Arc::clone(&shared) }, HintReceiver { shared })
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    came: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<Hint>,
    known: HashSet<Hint>,
}

/// The end that gives hints. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HintSender {
    shared: Arc<Shared>,
}

impl HintSender {
    /// Adds a hint unless it waits already. In a full queue it is dropped: the next poll sees what it was about.
    /// Returns whether it will be acted on.
    pub fn hint(&self, hint: Hint) -> bool {
        let mut waiting = self.shared.waiting.lock().expect("no holder of this lock can panic");
        if waiting.known.contains(&hint) {
            return true;
        }
        if waiting.order.len() >= self.shared.capacity {
            tracing::debug!(source = hint.source, "too many hints wait: this one is left to the next poll");
            return false;
        }
        waiting.known.insert(hint.clone());
        waiting.order.push_back(hint);
        drop(waiting);
        self.shared.came.notify_one();
        true
    }
}

/// The end that takes them. There is one.
#[derive(Debug)]
pub struct HintReceiver {
    shared: Arc<Shared>,
}

impl HintReceiver {
    /// The oldest hint, once there is one. An equal one that comes after this is a new hint, because what is fetched now
    /// may be older than what it is about. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Hint {
        loop {
            if let Some(hint) = self.try_next() {
                return hint;
            }
            self.shared.came.notified().await;
        }
    }

    /// The oldest hint, if there is one.
    pub fn try_next(&mut self) -> Option<Hint> {
        let mut waiting = self.shared.waiting.lock().expect("no holder of this lock can panic");
        let hint = waiting.order.pop_front()?;
        waiting.known.remove(&hint);
        Some(hint)
    }
}

/// Something at the webhook endpoint that the team should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What stood behind `/hooks/`: a source's name, or what was taken for one. Chosen by whoever asked: printable and
    /// at most [`MAX_NAME_CHARS`] characters.
    pub name: String,
    /// What is wrong.
    pub trouble: Trouble,
}

/// What is wrong with a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Trouble {
    /// Renamed or mistyped.
    #[error("no source has this name")]
    UnknownSource,
    /// `webhook-secret` is missing, so that nobody can be believed.
    #[error("the source has no webhook secret")]
    NoSecret,
    /// The forum's side has no secret.
    #[error("it was not signed")]
    NoSignature,
    /// The two sides have different secrets, or somebody is trying.
    #[error("its signature is wrong")]
    WrongSignature,
}

/// A name in a report is cut there, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// The same report is not made again for this long.
const REPORT_EVERY: Duration = Duration::from_secs(60 * 60);

/// Different unknown names reported in [`REPORT_EVERY`]: they are free to invent.
const MAX_INVENTED: usize = 100;

/// Tells each trouble once an hour, and never waits for whoever listens.
#[derive(Debug)]
pub(super) struct Reports {
    sender: mpsc::Sender<Report>,
    told: Mutex<HashMap<(String, Trouble), Instant>>,
}

impl Reports {
    pub(super) fn new(sender: mpsc::Sender<Report>) -> Self {
        Self { sender, told: Mutex::default() }
    }

    pub(super) fn tell(&self, name: &str, trouble: Trouble, now: Instant) {
        let name: String = name.chars().take(MAX_NAME_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect();
        let key = (name, trouble);
        let mut told = self.told.lock().expect("no holder of this lock can panic");
        told.retain(|_, at| now.duration_since(*at) < REPORT_EVERY);
        // The names of our own sources are few, and must be heard however many names are invented.
        let invented = || told.keys().filter(|(_, trouble)| *trouble == Trouble::UnknownSource).count();
        if told.contains_key(&key) || (trouble == Trouble::UnknownSource && invented() >= MAX_INVENTED) {
            return;
        }
        let report = Report { name: key.0.clone(), trouble };
        // Full: it will be told with the next request of this kind. Closed: the service is going down.
        if self.sender.try_send(report).is_ok() {
            told.insert(key, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn hint(topic: u64) -> Hint {
        Hint { source: "a".into(), topic: Some(topic) }
    }

    #[test]
    fn equal_hints_are_one_until_taken() {
        let (sender, mut receiver) = queue(2);
        assert!(sender.hint(hint(1)) && sender.hint(hint(1)) && sender.hint(hint(2)));
        assert!(!sender.hint(hint(3)), "full");
        assert!(sender.hint(hint(2)), "full, but it waits already");
        assert_eq!(receiver.next().now_or_never(), Some(hint(1)));
        assert!(sender.hint(hint(1)), "it is news again");
        assert_eq!(
            (receiver.try_next(), receiver.try_next(), receiver.try_next()),
            (Some(hint(2)), Some(hint(1)), None)
        );
    }

    #[tokio::test]
    async fn a_waiting_receiver_is_woken() {
        let (sender, mut receiver) = queue(2);
        let (got, _) = tokio::join!(receiver.next(), async { sender.hint(hint(7)) });
        assert_eq!(got, hint(7));
    }

    #[test]
    fn a_trouble_is_told_once_an_hour() {
        let (sender, mut receiver) = mpsc::channel(1_000);
        let now = Instant::now();
        let reports = Reports::new(sender);
        reports.tell("a\nb", Trouble::UnknownSource, now);
        reports.tell("a\nb", Trouble::UnknownSource, now);
        assert_eq!(receiver.try_recv().unwrap().name, "a?b");
        assert!(receiver.try_recv().is_err());
        (0..10_000).for_each(|i| reports.tell(&format!("{i}{}", "x".repeat(1_000)), Trouble::UnknownSource, now));
        let mut count = 0;
        while let Ok(report) = receiver.try_recv() {
            assert!(report.name.chars().count() <= MAX_NAME_CHARS);
            count += 1;
        }
        assert_eq!(count, MAX_INVENTED - 1);
        reports.tell("news", Trouble::WrongSignature, now);
        assert!(receiver.try_recv().is_ok(), "a real source is heard all the same");
        reports.tell("a\nb", Trouble::UnknownSource, now + REPORT_EVERY);
        assert!(receiver.try_recv().is_ok());
    }

    #[test]
    fn a_report_nobody_takes_is_not_counted_as_told() {
        let (sender, mut receiver) = mpsc::channel(1);
        let now = Instant::now();
        let reports = Reports::new(sender);
        reports.tell("a", Trouble::NoSecret, now);
        reports.tell("b", Trouble::NoSecret, now);
        assert_eq!(receiver.try_recv().unwrap().name, "a");
        reports.tell("b", Trouble::NoSecret, now);
        assert_eq!(receiver.try_recv().unwrap().name, "b");
    }
}
