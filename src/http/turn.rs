//! One request per host at a time.
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who is being asked right now. It remembers only hosts somebody asks or waits for.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    hosts: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl Turns {
    /// Waits until nobody else asks this host, in the order of arrival. The turn ends when the [`Turn`] is dropped.
    pub async fn take(&self, host: &str) -> Turn {
        let gate = {
            let mut hosts = self.hosts.lock().expect("no holder of this lock can panic");
            Arc::clone(hosts.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        // Made before waiting, so that a wait that is given up cleans up as well.
        let mut turn = Turn { turns: self.clone(), host: host.to_owned(), gate: Some(Arc::clone(&gate)), permit: None };
        turn.permit = Some(gate.acquire_owned().await.expect("the semaphore is never closed"));
        turn
    }
}

/// The right to ask one host.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    host: String,
    gate: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut hosts = self.turns.hosts.lock().expect("no holder of this lock can panic");
        self.permit = None;
        self.gate = None;
        // New clones are made under the same lock, so a count of one means that nobody holds or awaits it.
        if hosts.get(&self.host).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            hosts.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let mut second = Box::pin(turns.take("a"));
        assert!((&mut second).now_or_never().is_none(), "it is somebody else's turn");
        let other = turns.take("b").await;
        drop(first);
        let second = second.now_or_never().expect("the turn has come");
        drop((second, other));
        assert!(turns.hosts.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_leaves_nothing() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let mut waiting = Box::pin(turns.take("a"));
        assert!((&mut waiting).now_or_never().is_none());
        drop(first);
        drop(waiting);
        assert!(turns.hosts.lock().unwrap().is_empty());
        assert!(turns.take("a").now_or_never().is_some());
    }
}
