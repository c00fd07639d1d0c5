//! `oyez demo`: one minute of a community's day, played by the real service in this process against a pretend forum, two
//! video places and a Mastodon on loopback. Needs no file and no network, and ends by checking its own story.
mod home;
mod script;
mod story;
#[cfg(test)]
mod tests;
mod world;

use std::io;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use story::Story;
use world::World;

/// How it is played.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many times faster than a comfortable reading pace; 0 does not wait for a reader at all.
    pub speed: f64,
    /// Keep the pretend world running afterwards, until told to stop.
    pub stay: bool,
}

/// What the demo tells, in the order in which it happens.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A new chapter begins.
    Step(Step),
    /// Something to look at, belonging to the chapter before it.
    Show(Show),
    /// The story is at its end. With `stay` the world goes on.
    End,
}

/// A chapter.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// From 1.
    pub step: u8,
    /// How many there are.
    pub of: u8,
    /// A few words.
    pub heading: &'static str,
    /// What happens and why, in two or three sentences.
    pub text: String,
    /// A whole command to paste into a second terminal.
    #[serde(rename = "try")]
    pub try_it: String,
}

/// Something to look at.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "show", rename_all = "kebab-case")]
pub enum Show {
    /// A sentence.
    Line {
        /// Plain text.
        text: String,
    },
    /// What a member of the team types: it goes through the same socket.
    Command {
        /// Without the path of the program and `--config`.
        command: String,
    },
    /// An item with its posts: the object of `oyez show --json`.
    Item {
        /// The object.
        item: Value,
    },
    /// An item after an act: the object the act prints.
    Acted {
        /// The word for the act.
        act: &'static str,
        /// The object.
        item: Value,
    },
    /// Rows of `oyez queue`.
    Queue {
        /// The objects.
        items: Vec<Value>,
    },
    /// A post as a follower of the account sees it.
    Posted {
        /// Where.
        url: String,
        /// Its words.
        text: String,
        /// Alt texts of its pictures.
        pictures: Vec<Option<String>>,
    },
    /// One of the demo's own conclusions.
    Check {
        /// What must be so.
        what: &'static str,
        /// Is it?
        ok: bool,
        /// The numbers.
        detail: String,
    },
}

/// Where the demo's events go.
pub type Tell<'a> = &'a mut dyn FnMut(&Event) -> io::Result<()>;

/// Plays the whole story, or as much of it as happens before `stop` resolves. What it made on the disk is removed, unless
/// the story came out wrong.
///
/// # Errors
/// When the world cannot be set up, or one of the demo's conclusions does not hold.
pub async fn run(options: Options, tell: Tell<'_>, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::pin!(stop);
    let pace = Pace { speed: options.speed };
    let mut world = World::new(pace).await.context("cannot set up the pretend world")?;
    let ended = {
        let mut story = Story::new(&mut world, pace, tell);
        tokio::select! {
            ended = story.tell() => Some(ended),
            () = &mut stop => None,
        }
    };
    if options.stay && matches!(ended, Some(Ok(()))) {
        let text =
            "The pretend world stays until Ctrl-C. Nothing new is announced in it, but every command above works.";
        let text = text.to_owned();
        tell(&Event::Show(Show::Line { text }))?;
    }
    if matches!(ended, Some(Ok(()))) {
        tell(&Event::End)?;
        if options.stay {
            stop.await;
        }
    }
    let left = world.end().await;
    match ended {
        // Whoever watched has seen enough: nothing is wrong with the story.
        Some(Err(error))
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Err(error)
        }
        Some(Err(error)) => {
            let place = left.keep();
            Err(error.context(format!("the demo came out wrong; what it left is in `{}`", place.display())))
        }
        Some(Ok(())) | None => Ok(()),
    }
}

/// How long things take: for a reader, and for what the reader should have time to stop.
#[derive(Debug, Clone, Copy)]
struct Pace {
    speed: f64,
}

impl Pace {
    /// Waits for a reader.
    async fn pause(self, seconds: f64) {
        if self.speed > 0.0 {
            // Slower than a thousandth nobody watches; it keeps the sum a duration.
            tokio::time::sleep(Duration::from_secs_f64(seconds / self.speed.max(0.001))).await;
        }
    }

    /// A time that the service is configured with: whole seconds, never less than `least`, which is what the story needs
    /// also where nobody reads.
    fn seconds(self, usual: f64, least: u64) -> u64 {
        if self.speed > 0.0 { ((usual / self.speed.max(0.001)) as u64).max(least) } else { least }
    }
}
