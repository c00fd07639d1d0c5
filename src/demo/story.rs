//! The story: nine chapters, told while they happen. Each waits for what it tells about, for a bounded time; when somebody in
//! a second terminal has changed the course of things, it tells what it sees instead.
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};

use super::world::{PATIENCE, World};
use super::{Event, Pace, Show, Step, Tell, script};
use crate::acts::{Request, TeamAct};
use crate::item::{Item, Progress, State};
use crate::pretend::forum::Topic;
use crate::pretend::mastodon::{Cut, Fault, Hold, On};

const STEPS: u8 = 9;
const ACCOUNT: &str = "mastodon";

pub(super) struct Story<'a> {
    world: &'a mut World,
    pace: Pace,
    tell: Tell<'a>,
    step: u8,
    /// Topics that appeared in the course of it.
    topics: Vec<u64>,
}

/// The numbers of the items that are held together.
struct Held {
    release: u64,
    advertisement: u64,
    nix: u64,
    nix_topic: u64,
    maintenance: u64,
    maintenance_topic: u64,
    talk: u64,
}

impl<'a> Story<'a> {
    pub(super) fn new(world: &'a mut World, pace: Pace, tell: Tell<'a>) -> Self {
        Self { world, pace, tell, step: 0, topics: Vec::new() }
    }

    /// All of it.
    pub(super) async fn tell(&mut self) -> anyhow::Result<()> {
        self.first_contact().await?;
        let held = self.appear().await?;
        self.held(&held).await?;
        self.team(&held).await?;
        self.for_now(&held).await?;
        self.windows_pass(&held).await?;
        self.lost_answer().await?;
        self.restart().await?;
        self.conclusion().await
    }

    fn begin(&mut self, heading: &'static str, text: &str, command: &str) -> anyhow::Result<()> {
        self.step += 1;
        let step =
            Step { step: self.step, of: STEPS, heading, text: text.to_owned(), try_it: self.world.command(command) };
        Ok((self.tell)(&Event::Step(step))?)
    }

    fn show(&mut self, show: Show) -> anyhow::Result<()> {
        Ok((self.tell)(&Event::Show(show))?)
    }

    fn say(&mut self, text: impl Into<String>) -> anyhow::Result<()> {
        self.show(Show::Line { text: text.into() })
    }

    async fn first_contact(&mut self) -> anyhow::Result<()> {
        self.begin(
            "First contact is quiet",
            "A forum, a video channel, a conference archive and a Mastodon account run on this machine, and the real \
             service watches them. Five topics and three recordings are older than it: they are noted as known, and \
             nothing is posted.",
            "queue --all",
        )?;
        self.world.start().await?;
        let contacted =
            self.world.until(PATIENCE, |world| Ok((world.store()?.contacts()?.len() >= 3).then_some(()))).await?;
        if contacted.is_none() {
            bail!("the service did not get to know its sources in time");
        }
        let known = self.items()?.iter().filter(|item| item.state() == State::Known).count();
        let posts = self.world.mastodon.created().len();
        self.say(format!("{known} items are known, {posts} posts are out."))?;
        self.pace.pause(6.0).await;
        Ok(())
    }

    async fn appear(&mut self) -> anyhow::Result<Held> {
        self.begin(
            "Four announcements and a talk",
            "Now things are announced. Each first settles: authors like to mend a word right after posting, so a post is \
             only worded when the author has left it alone (30 minutes usually, here seconds).",
            "queue",
        )?;
        let forum = self.world.forum.base().clone();
        let drafts = [script::release(&forum), script::advertisement(), script::nix(), script::maintenance()];
        // One after the other, as people write, so that they are numbered in this order.
        let now = self.world.now();
        let ago = |i: usize| jiff::SignedDuration::from_millis(400 - 100 * i as i64);
        let topics: Vec<u64> = drafts
            .into_iter()
            .enumerate()
            .map(|(i, topic)| self.world.forum.publish(Topic { created: Some(now - ago(i)), ..topic }))
            .collect();
        self.topics.extend(&topics);
        self.world.talks.add_conference("nixcon2026");
        let talks = self.world.talks.url();
        self.world.talks.publish("nixcon2026", script::talk(&talks));
        let seen = {
            let topics = topics.clone();
            let key = format!("media-ccc-de:{}", script::TALK);
            self.world
                .until(PATIENCE, move |world| {
                    let mut numbers = Vec::new();
                    for topic in &topics {
                        numbers.push(world.by_topic(*topic)?.map(|item| item.number));
                    }
                    numbers.push(world.by_key(&key)?.map(|item| item.number));
                    Ok(numbers.into_iter().collect::<Option<Vec<u64>>>())
                })
                .await?
                .context("the service did not see what was announced")?
        };
        let [release, advertisement, nix, maintenance, talk] = seen[..] else {
            bail!("five things were announced, {} were seen", seen.len());
        };
        self.queue().await?;
        self.pace.pause(2.0).await;
        let (nix_topic, maintenance_topic) = (topics[2], topics[3]);
        Ok(Held { release, advertisement, nix, nix_topic, maintenance, maintenance_topic, talk })
    }

    async fn held(&mut self, held: &Held) -> anyhow::Result<()> {
        self.begin(
            "Held: this is what will be posted",
            "They have settled. Each has a post, cut to what the network allows, and a window in which anybody on the team \
             can stop it (a day usually). Silence means yes; the text you see is the text that leaves.",
            &format!("show {}", held.release),
        )?;
        let all = [held.release, held.advertisement, held.nix, held.maintenance, held.talk];
        self.settled(&all).await?;
        for number in all {
            match self.world.ask(Request::Show { item: number.to_string() }).await? {
                Ok(documents) => {
                    for item in documents {
                        self.show(Show::Item { item })?;
                    }
                }
                Err(failure) => self.say(failure.error)?,
            }
        }
        self.pace.pause(12.0).await;
        Ok(())
    }

    async fn team(&mut self, held: &Held) -> anyhow::Result<()> {
        self.begin(
            "The team, and the authors",
            "One is stopped, one gets better words. Meanwhile one author mends a title: the post is worded anew and a \
             grace period is added. Another deletes a topic; the forum's webhook says so at once, and it is withdrawn.",
            &format!("show {}", held.advertisement),
        )?;
        let reason = "advertising: we repeat news of the community, not offers";
        self.act(held.advertisement, TeamAct::Veto, "veto", Some(reason)).await?;
        let text = script::BETTER.replace("{url}", &self.world.item(held.release)?.found().url);
        let edit = TeamAct::Edit { account: ACCOUNT.into(), text };
        self.act(held.release, edit, "edit", Some("shorter, and a thank-you")).await?;
        self.pace.pause(3.0).await;

        self.world.forum.edit(held.nix_topic, |topic| topic.title = "Nix 2.36 released".into());
        let before = self.world.item(held.nix)?.window_end;
        let number = held.nix;
        let changed = self
            .world
            .until(PATIENCE, |world| Ok(Some(world.item(number)?).filter(|i| i.found().title == "Nix 2.36 released")))
            .await?;
        match changed {
            Some(item) => {
                let words = item.posts.get(ACCOUNT).and_then(|post| post.text.lines().next()).unwrap_or_default();
                let grace =
                    if item.window_end > before { "its window was prolonged" } else { "its window is long enough" };
                self.say(format!("#{number} was mended by its author; the post now begins “{words}”, {grace}."))?;
            }
            None => self.say(format!("The mended title of #{number} was not noticed yet."))?,
        }
        self.world.forum.delete(held.maintenance_topic);
        let status = self.world.webhook("topic_destroyed", held.maintenance_topic).await?;
        self.say(format!(
            "The forum deletes topic {} and tells the webhook (answer {status}).",
            held.maintenance_topic
        ))?;
        let number = held.maintenance;
        self.world.until(PATIENCE, |world| Ok((world.item(number)?.state() == State::Withdrawn).then_some(()))).await?;
        self.look(number)?;
        self.pace.pause(5.0).await;
        Ok(())
    }

    async fn for_now(&mut self, held: &Held) -> anyhow::Result<()> {
        self.begin(
            "Approved for now",
            "Somebody on the team has looked at the talk and does not want to wait. A named person may release early; \
             nothing else can. The topic or video is read once more, then it leaves.",
            &format!("log --item {}", held.talk),
        )?;
        self.act(held.talk, TeamAct::Approve { now: true }, "approve --now", None).await?;
        self.out(held.talk, PATIENCE).await?;
        self.pace.pause(4.0).await;
        Ok(())
    }

    async fn windows_pass(&mut self, held: &Held) -> anyhow::Result<()> {
        self.begin(
            "The windows pass",
            "Nobody objected to the other two, so they go out by themselves: one with the team's words, one with its \
             author's new title. Look at them with the address below, or take one back.",
            &format!("retract {} --reason 'only trying'", held.release),
        )?;
        for number in [held.release, held.nix] {
            let left =
                self.world.item(number)?.window_end.map_or(0, |end| end.duration_since(self.world.now()).as_secs());
            let limit = Duration::from_secs(u64::try_from(left).unwrap_or(0)) + PATIENCE;
            self.out(number, limit).await?;
        }
        self.pace.pause(4.0).await;
        Ok(())
    }

    async fn lost_answer(&mut self) -> anyhow::Result<()> {
        self.begin(
            "A lost answer",
            "The next post is accepted by Mastodon, but the line is cut before the answer arrives. Oyez cannot know whether \
             it is out, says so, and looks into it: the same request again, under the same key, which Mastodon \
             recognises. Never a second post.",
            "queue",
        )?;
        let number = self.announce(script::help()).await?;
        self.world.mastodon.fault(On::Post, Fault::Lost(Cut::BeforeHead));
        self.act(number, TeamAct::Approve { now: true }, "approve --now", None).await?;
        let doubtful = self
            .world
            .until(PATIENCE, |world| {
                let item = world.item(number)?;
                let doubt = progress(&item).is_none_or(|p| p.is_end() || matches!(p, Progress::Unsure { .. }));
                Ok(doubt.then_some(item))
            })
            .await?;
        if doubtful.is_some_and(|item| matches!(progress(&item), Some(Progress::Unsure { .. }))) {
            self.look(number)?;
            self.queue().await?;
            self.pace.pause(1.0).await;
        }
        self.out(number, PATIENCE).await?;
        // The cut was meant for this one: when somebody stopped it, nobody else shall meet it.
        self.world.mastodon.heal();
        self.requests(number)?;
        self.pace.pause(5.0).await;
        Ok(())
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        self.begin(
            "The power fails",
            "Worse: the service dies while a request is under way. That it was about to post was on the disk before the \
             request left, so after the restart it knows that it does not know, and looks into it as before.",
            "log",
        )?;
        let number = self.announce(script::summer()).await?;
        self.world.mastodon.hold(On::Post, Hold::After);
        self.act(number, TeamAct::Approve { now: true }, "approve --now", None).await?;
        let claimed = self
            .world
            .until(PATIENCE, |world| {
                let item = world.item(number)?;
                let sending = matches!(progress(&item), Some(Progress::Sending { .. }));
                Ok((sending || progress(&item).is_none_or(Progress::is_end)).then_some(sending))
            })
            .await?;
        let under_way =
            claimed == Some(true) && tokio::time::timeout(PATIENCE, self.world.mastodon.held()).await.is_ok();
        let was = self.world.item(number)?;
        self.world.pull_the_plug().await;
        self.world.mastodon.release();
        let state = progress(&was).map_or("gone", Progress::name);
        self.say(if under_way {
            format!("The plug is pulled while #{number} is “{state}”. Mastodon has it; nobody told us.")
        } else {
            format!("The plug is pulled while #{number} is “{state}”: somebody stopped it before it left.")
        })?;
        self.pace.pause(3.0).await;
        self.world.start().await?;
        self.say("The service is started again on the same store.")?;
        self.out(number, PATIENCE).await?;
        self.requests(number)?;
        self.pace.pause(5.0).await;
        Ok(())
    }

    async fn conclusion(&mut self) -> anyhow::Result<()> {
        self.begin(
            "What the followers saw",
            "This is the account's timeline, oldest first, and what is left in the queue. The journal holds every step with \
             a name and a reason, chained so that nobody can alter it unnoticed.",
            "log --verify",
        )?;
        for status in self.world.mastodon.posts() {
            let pictures = status.media.into_iter().map(|medium| medium.description).collect();
            self.show(Show::Posted { url: status.url, text: status.text, pictures })?;
        }
        self.queue().await?;
        self.checks().await
    }

    /// The demo does not believe itself either.
    async fn checks(&mut self) -> anyhow::Result<()> {
        // Whatever is still under way because somebody in a second terminal asked for it comes to its end first.
        self.world
            .until(PATIENCE, |world| {
                let moving = |p: &Progress| {
                    matches!(p, Progress::Sending { .. } | Progress::Unsure { .. } | Progress::Retracting { .. })
                };
                let active = world.store()?.active()?;
                Ok((!active.iter().any(|item| progress(item).is_some_and(moving))).then_some(()))
            })
            .await?;
        let items = self.items()?;
        let live = self.world.mastodon.posts();
        let ever = self.world.mastodon.created();
        let sent: Vec<(&Item, &str)> = items
            .iter()
            .filter_map(|item| match progress(item)? {
                Progress::Sent { id: Some(id), .. } => Some((item, id.as_str())),
                Progress::Sent { id: None, .. }
                | Progress::Queued
                | Progress::Sending { .. }
                | Progress::Waiting { .. }
                | Progress::Unsure { .. }
                | Progress::Failed { .. }
                | Progress::Cancelled
                | Progress::Retracting { .. }
                | Progress::Retracted { .. } => None,
            })
            .collect();
        let keys: BTreeSet<_> = ever.iter().filter_map(|status| status.key.as_deref()).collect();
        let ids: BTreeSet<&str> = sent.iter().map(|(_, id)| *id).collect();
        let timeline: BTreeSet<&str> = live.iter().map(|status| status.id.as_str()).collect();
        let early = sent.iter().filter(|(item, id)| {
            let status = ever.iter().find(|status| status.id == *id);
            let approved = item.deliveries.get(ACCOUNT).is_some_and(|d| d.now) || item.approval.is_some();
            !approved && status.is_some_and(|s| item.window_end.is_none_or(|end| s.created_at < end))
        });
        let early = early.count();
        let mut lost = 0;
        for topic in &self.topics {
            lost += usize::from(self.world.by_topic(*topic)?.is_none());
        }
        let known = items.iter().filter(|item| item.state() == State::Known).count();
        let verified = self.world.ask(Request::Verify).await?;
        let (unaltered, entries) = match &verified {
            Ok(documents) => {
                (true, format!("{} entries", documents.first().map_or(0, |d| d["entries"].as_u64().unwrap_or(0))))
            }
            Err(failure) => (false, failure.error.clone()),
        };
        let results = [
            (
                "nothing was posted twice",
                keys.len() == ever.len() && ids.len() == sent.len(),
                format!("{} posts under {} keys", ever.len(), keys.len()),
            ),
            (
                "what Oyez calls sent is what stands on the timeline",
                ids == timeline,
                format!("{} sent, {} on the timeline", ids.len(), timeline.len()),
            ),
            ("nothing left before its window without a named approval", early == 0, format!("{early} early")),
            (
                "nothing announced was lost",
                lost == 0,
                format!("{} items, {known} of them from before, {lost} lost", items.len()),
            ),
            ("the journal is unaltered", unaltered, entries),
        ];
        let mut wrong = Vec::new();
        for (what, ok, detail) in results {
            if !ok {
                wrong.push(format!("not so: {what} ({detail})"));
            }
            self.show(Show::Check { what, ok, detail })?;
        }
        if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("; ")) }
    }

    fn items(&self) -> anyhow::Result<Vec<Item>> {
        Ok(self.world.store()?.items(..).collect::<Result<_, _>>()?)
    }

    /// Publishes a topic and waits until the service has seen it.
    async fn announce(&mut self, topic: Topic) -> anyhow::Result<u64> {
        let title = topic.title.clone();
        let topic = self.world.forum.publish(topic);
        self.topics.push(topic);
        let item = self
            .world
            .until(PATIENCE, |world| world.by_topic(topic))
            .await?
            .context("the service did not see what was announced")?;
        self.say(format!("New on the forum: #{} {title}", item.number))?;
        Ok(item.number)
    }

    /// Waits until none of these is settling any more.
    async fn settled(&mut self, numbers: &[u64]) -> anyhow::Result<()> {
        let limit = PATIENCE + Duration::from_secs(self.pace.seconds(4.0, 0));
        let settled = self
            .world
            .until(limit, |world| {
                for number in numbers {
                    if world.item(*number)?.state() == State::Settling {
                        return Ok(None);
                    }
                }
                Ok(Some(()))
            })
            .await?;
        if settled.is_none() { bail!("the announcements did not settle in time") } else { Ok(()) }
    }

    /// Waits until the delivery of an item has come to its end, and says which.
    async fn out(&mut self, number: u64, limit: Duration) -> anyhow::Result<()> {
        self.world
            .until(limit, |world| {
                let item = world.item(number)?;
                Ok(progress(&item).is_none_or(Progress::is_end).then_some(()))
            })
            .await?;
        self.look(number)
    }

    /// Says where an item stands, whatever brought it there.
    fn look(&mut self, number: u64) -> anyhow::Result<()> {
        let item = self.world.item(number)?;
        let stands = match progress(&item) {
            Some(Progress::Sent { url: Some(url), .. }) => format!("is out: {url}"),
            Some(Progress::Sent { url: None, .. }) => "is out".to_owned(),
            Some(Progress::Unsure { .. }) => {
                let error = item.deliveries.get(ACCOUNT).and_then(|d| d.error.as_deref()).unwrap_or_default();
                format!("is unsure: {error}")
            }
            Some(progress) => format!("is {}, its post {}", item.state().name(), progress.name()),
            None => format!("is {}", item.state().name()),
        };
        self.say(format!("#{number} {stands}"))
    }

    /// How often Mastodon was asked to publish an item, and what came of it.
    fn requests(&mut self, number: u64) -> anyhow::Result<()> {
        let item = self.world.item(number)?;
        let Some(key) = item.deliveries.get(ACCOUNT).and_then(|d| d.key.as_deref()) else { return Ok(()) };
        let asked = self.world.mastodon.requests();
        let asked = asked.iter().filter(|r| r.method == "POST" && r.key.as_deref() == Some(key)).count();
        let posts = self.world.mastodon.created().iter().filter(|s| s.key.as_deref() == Some(key)).count();
        self.say(format!("Mastodon was asked {asked} times under one key: {posts} post."))
    }

    async fn queue(&mut self) -> anyhow::Result<()> {
        match self.world.ask(Request::Queue { all: false }).await? {
            Ok(items) => self.show(Show::Queue { items }),
            Err(failure) => self.say(failure.error),
        }
    }

    /// A member of the team acts. When somebody in a second terminal was faster, the refusal is part of the story.
    async fn act(&mut self, number: u64, act: TeamAct, word: &str, reason: Option<&str>) -> anyhow::Result<()> {
        let (verb, option) = word.split_once(' ').unwrap_or((word, ""));
        let mut command = format!("oyez {verb} {number}");
        if !option.is_empty() {
            command.push_str(&format!(" {option}"));
        }
        if let TeamAct::Edit { account, .. } = &act {
            command.push_str(&format!(" --account {account} --text …"));
        }
        if let Some(reason) = reason {
            command.push_str(&format!(" --reason '{reason}'"));
        }
        self.show(Show::Command { command })?;
        let name = act.name();
        let request = Request::Act { items: vec![number.to_string()], act, reason: reason.map(str::to_owned) };
        match self.world.ask(request).await? {
            Ok(documents) => {
                for item in documents {
                    self.show(Show::Acted { act: name, item })?;
                }
                Ok(())
            }
            Err(failure) => self.say(format!("Refused: {}.", failure.error)),
        }
    }
}

fn progress(item: &Item) -> Option<&Progress> {
    item.deliveries.get(ACCOUNT).map(|delivery| &delivery.progress)
}
