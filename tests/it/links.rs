//! What becomes of links on the way of an item: cleaned in the post, shorteners opened before anybody sees the text, and
//! no short link ever posted.
use std::time::Duration;

use oyez::item::State;
use oyez::pretend::video::{Channel, Conferences, Video};
use serde_json::Value;

use crate::site::{Page, Site, feed};
use crate::world::{DAY, HOUR, MINUTE, Plan, World};

/// One entry of a blog that links to `link`.
fn entry(id: &str, title: &str, link: &str) -> String {
    let link = link.replace('&', "&amp;");
    format!(
        "<entry><id>urn:{id}</id><title>{title}</title><link href=\"{link}\"/><updated>2026-11-02T09:30:00Z</updated>\
         <summary>Something happened, and here is a whole sentence about it.</summary></entry>"
    )
}

/// A blog whose entries link through a shortener, which is `localhost` here: rules know hosts by name.
async fn blog(world: &mut World) -> (Site, String) {
    let site = Site::start(world.clock.clone()).await;
    let port: u16 = site.at("").rsplit(':').next().unwrap().parse().unwrap();
    let rules = world.dir.path().join("links.toml");
    std::fs::write(
        &rules,
        "version = 1\n[[expand]]\nid = \"here\"\nwhy = \"a link shortener\"\nhosts = [\"localhost\"]\nmeta = true\n\
         example = [\"http://localhost/a\", \"http://localhost/a\"]\n",
    )
    .unwrap();
    site.put("/blog.xml", Page::xml(feed(&[])));
    let blog = format!(
        "[[source]]\nname = \"blog\"\ntype = \"feed\"\nurl = \"{}\"\nevery = \"1h\"\n[links]\nrules = [\"{}\"]\n",
        site.at("/blog.xml"),
        rules.display()
    );
    world.toml.push_str(&blog);
    world.restart();
    world.meet().await;
    (site, format!("http://localhost:{port}"))
}

async fn world() -> World {
    let network = "timeout = \"2s\"\nallow-private = [\"127.0.0.0/8\", \"::1/128\"]";
    World::with(Plan { network: network.into(), ..Plan::default() }).await
}

fn redirect(to: &str) -> Page {
    Page { status: 301, ..Page::default() }.with("location", to)
}

fn asked(site: &Site, path: &str) -> usize {
    site.asked().iter().filter(|asked| asked.path == path).count()
}

/// The item that a feed's entry became.
fn number(world: &World, title: &str) -> u64 {
    let queue = world.ask(oyez::acts::Request::Queue { all: true }).unwrap();
    queue.iter().find(|item| item["title"] == title).expect("it was heard")["number"].as_u64().unwrap()
}

fn shown(world: &World, number: u64) -> Value {
    world.ask(oyez::acts::Request::Show { item: number.to_string() }).unwrap().remove(0)
}

#[tokio::test]
async fn a_post_leads_to_the_cleaned_address_and_every_step_is_explained() {
    let mut world = world().await;
    let (site, _) = blog(&mut world).await;
    let link = "https://www.google.com/url?q=https%3A%2F%2Fexample.org%2Fnews%3Fid%3D7%26utm_source%3Dfeed&sa=D";
    site.put("/blog.xml", Page::xml(feed(&[entry("a", "Wrapped", link)])));
    world.pass(2 * HOUR).await;
    let item = number(&world, "Wrapped");
    let post = world.item(item).posts["mastodon"].text.clone();
    assert!(post.contains("https://example.org/news?id=7") && !post.contains("google"), "{post}");
    let links = &shown(&world, item)["links"];
    assert_eq!(links[0]["output"], "https://example.org/news?id=7", "{links}");
    let kinds: Vec<_> = links[0]["steps"].as_array().unwrap().iter().map(|step| step["kind"].clone()).collect();
    assert_eq!(kinds, ["unwrap", "strip"]);
    world.pass(2 * DAY).await;
    assert_eq!(world.texts().len(), 1);
    assert!(world.texts()[0].contains("https://example.org/news?id=7"));
}

#[tokio::test]
async fn a_shortener_is_asked_once_before_the_item_settles_and_its_target_never() {
    let mut world = world().await;
    let (site, short) = blog(&mut world).await;
    site.put("/x", redirect("/y?utm_source=a"));
    site.put("/y", redirect("https://example.org/target?utm_medium=b&id=3"));
    site.put("/blog.xml", Page::xml(feed(&[entry("a", "Short", &format!("{short}/x?utm_campaign=c"))])));
    world.pass(2 * HOUR).await;
    let item = number(&world, "Short");
    assert_eq!(world.state(item), State::Held);
    assert!(world.item(item).posts["mastodon"].text.contains("https://example.org/target?id=3"));
    let head = site.asked().into_iter().find(|asked| asked.path == "/x").unwrap();
    assert!(head.header("referer").is_none() && head.header("cookie").is_none());
    world.pass(2 * DAY).await;
    assert_eq!((asked(&site, "/x"), asked(&site, "/y")), (1, 1), "what was announced is not asked again");
    assert_eq!(world.texts().len(), 1);
    assert!(!world.texts()[0].contains("localhost"));
    let journal = world.journal(item);
    assert_eq!(journal.iter().filter(|what| *what == "opened").count(), 2, "{journal:?}");
    // Another item with the same link, within a month, and after a restart.
    world.restart();
    let again = entry("b", "Short again", &format!("{short}/x?utm_campaign=d"));
    site.put("/blog.xml", Page::xml(feed(&[again])));
    world.pass(3 * HOUR).await;
    let second = number(&world, "Short again");
    assert!(world.item(second).posts["mastodon"].text.contains("https://example.org/target?id=3"));
    assert_eq!((asked(&site, "/x"), asked(&site, "/y")), (1, 1), "what it answered is kept");
}

#[tokio::test]
async fn a_shortener_that_is_down_is_asked_again_and_what_comes_late_gets_its_grace() {
    let mut world = world().await;
    let (site, short) = blog(&mut world).await;
    site.put("/x", Page { status: 503, ..Page::default() });
    site.put("/blog.xml", Page::xml(feed(&[entry("a", "Late", &format!("{short}/x"))])));
    world.pass(100 * MINUTE).await;
    let item = number(&world, "Late");
    assert_eq!(world.state(item), State::Held, "it holds up nothing");
    assert!(world.item(item).posts.is_empty(), "there is no post that could leave");
    assert!(shown(&world, item)["links"][0]["flags"][0].as_str().unwrap().contains("not opened"));
    // It comes back right before the window would end.
    world.pass(22 * HOUR).await;
    assert!(asked(&site, "/x") > 5, "it was asked again and again");
    site.put("/x", redirect("https://example.org/late"));
    let left_before = world.texts().len();
    world.pass(7 * HOUR).await;
    assert_eq!(left_before, 0);
    let opened = world.item(item);
    assert!(opened.window_end.unwrap() >= opened.opened.values().next().unwrap().at + Duration::from_secs(3600));
    world.pass(DAY).await;
    assert_eq!(world.texts().len(), 1);
    assert!(world.texts()[0].contains("https://example.org/late"));
}

#[tokio::test]
async fn nothing_is_posted_without_its_link_and_a_person_is_asked() {
    let mut world = world().await;
    let (site, short) = blog(&mut world).await;
    let dead = ["/gone", "/script", "/inside", "/loop"];
    site.put("/script", redirect("javascript:alert(1)"));
    site.put("/inside", redirect("http://user:secret@example.org/"));
    site.put("/loop", redirect("/loop"));
    let entries: Vec<String> =
        dead.iter().map(|path| entry(path, &format!("Dead {path}"), &format!("{short}{path}"))).collect();
    site.put("/blog.xml", Page::xml(feed(&entries)));
    world.pass(2 * DAY).await;
    assert_eq!(world.texts(), Vec::<String>::new());
    for path in dead {
        let item = number(&world, &format!("Dead {path}"));
        let shown = shown(&world, item);
        assert!(shown["links"][0]["refused"].is_string(), "{path}: {shown}");
        assert_eq!(shown["attention"], true, "{path}: {shown}");
    }
}

#[tokio::test]
async fn a_person_cannot_post_a_short_link_either() {
    let mut world = world().await;
    let (site, short) = blog(&mut world).await;
    site.put("/blog.xml", Page::xml(feed(&[entry("a", "Edited", "https://example.org/a")])));
    world.pass(2 * HOUR).await;
    let item = number(&world, "Edited");
    let edit = |text: String| {
        let act = oyez::acts::TeamAct::Edit { account: "mastodon".into(), text };
        world.act(item, act)
    };
    let refused = edit(format!("Look: {short}/x")).unwrap_err();
    assert!(refused.error.contains("shortener"), "{}", refused.error);
    edit("Look: https://example.org/b".to_owned()).unwrap();
}

// Mirrors.

/// A channel at YouTube and a conference at media.ccc.de.
async fn channels(world: &mut World) -> (Channel, Conferences) {
    let channel = Channel::start("UC-nixcon", "NixCon", world.clock.clone()).await.unwrap();
    let ccc = Conferences::start(world.clock.clone()).await.unwrap();
    ccc.add_conference("nixcon2026");
    world.toml.push_str(&format!(
        "[[source]]\nname = \"channel\"\ntype = \"feed\"\nurl = \"{}\"\nkind = \"talk\"\nevery = \"15m\"\n\
         [[source]]\nname = \"conference\"\ntype = \"media-ccc-de\"\nurl = \"{}\"\nconferences = [\"nixcon*\"]\nkind = \"talk\"\nevery = \"30m\"\n",
        channel.feed_url(),
        ccc.url()
    ));
    world.restart();
    world.meet().await;
    (channel, ccc)
}

const TALK: &str = "abcdefghij1";
const PAGE: &str = "https://talks.example.org/nixcon-2026/talk/ABC123/";

#[tokio::test]
async fn a_talk_that_is_only_on_youtube_waits_says_so_and_leads_to_its_mirror_once_that_is_proven() {
    let mut world = world().await;
    let (channel, ccc) = channels(&mut world).await;
    channel.publish(Video::new(TALK, "Nix without flakes", &format!("A talk about something.\n\n{PAGE}")));
    world.pass(DAY + 12 * HOUR).await;
    let item = number(&world, "Nix without flakes");
    assert_eq!(world.state(item), State::Held, "the window is over, and it waits");
    let post = &world.item(item).posts["mastodon"];
    assert!(post.text.contains(&format!("https://www.youtube.com/watch?v={TALK}")), "{}", post.text);
    assert!(post.warnings.iter().any(|warning| warning.contains("only on YouTube")), "{:?}", post.warnings);
    let window = world.item(item).window_end;
    // Both name one page of the event's schedule: that is proof.
    let mut talk = Video::new("6f6f0d3e-0000-4000-8000-000000000001", "Nix without flakes", "");
    talk.link = Some(PAGE.to_owned());
    ccc.publish("nixcon2026", talk);
    world.pass(2 * HOUR).await;
    assert_eq!(world.item(item).window_end, window, "a proven mirror restarts nothing");
    assert_eq!(world.texts().len(), 1);
    let said = world.texts().remove(0);
    assert!(!said.contains("youtube") && said.contains("/v/"), "{said}");
    assert!(world.journal(item).contains(&"mirror".to_owned()));
    let links = shown(&world, item)["links"].clone();
    assert!(links.to_string().contains("\"kind\":\"mirror\""), "{links}");
}

#[tokio::test]
async fn a_talk_without_a_mirror_leaves_when_it_has_waited_and_a_mirror_that_comes_late_is_offered_as_an_amendment() {
    let mut world = world().await;
    let (channel, ccc) = channels(&mut world).await;
    channel.publish(Video::new(TALK, "Nix without flakes", &format!("A talk about something.\n\n{PAGE}")));
    world.pass(2 * DAY + 20 * HOUR).await;
    assert_eq!(world.texts().len(), 0);
    world.pass(10 * HOUR).await;
    assert_eq!(world.texts().len(), 1, "three days after it was seen");
    let item = number(&world, "Nix without flakes");
    let mut talk = Video::new("6f6f0d3e-0000-4000-8000-000000000001", "Nix without flakes", "");
    talk.link = Some(PAGE.to_owned());
    ccc.publish("nixcon2026", talk);
    world.pass(2 * HOUR).await;
    assert_eq!(world.texts().len(), 1, "one talk, one post");
    let alarms = world.item(item).alarms;
    assert!(alarms.iter().any(|alarm| alarm.text.contains("oyez amend")), "{alarms:?}");
    world.act(item, oyez::acts::TeamAct::Amend { account: None, text: None }).unwrap();
    world.pass(HOUR).await;
    assert!(world.texts()[0].contains("/v/"), "{:?}", world.texts());
}

#[tokio::test]
async fn a_likely_mirror_is_offered_with_its_evidence_and_a_person_decides() {
    let mut world = world().await;
    let (channel, ccc) = channels(&mut world).await;
    let talk = |id: &str, title: &str| {
        let mut talk = Video::new(id, title, "");
        talk.persons = vec!["Ida Example".into()];
        talk
    };
    ccc.publish("nixcon2026", talk("6f6f0d3e-0000-4000-8000-000000000001", "Nix without flakes"));
    ccc.publish("nixcon2026", talk("6f6f0d3e-0000-4000-8000-000000000002", "Flakes without Nix"));
    world.pass(HOUR).await;
    for path in ["Nix without flakes", "Flakes without Nix"] {
        world.act(number(&world, path), oyez::acts::TeamAct::Veto).unwrap();
    }
    channel.publish(Video::new(TALK, "NixCon 2026 - Nix without flakes", "With Ida Example."));
    channel.publish(Video::new("abcdefghij2", "NixCon 2026 - Flakes without Nix", "With Ida Example."));
    world.pass(2 * HOUR).await;
    let first = number(&world, "NixCon 2026 - Nix without flakes");
    let second = number(&world, "NixCon 2026 - Flakes without Nix");
    let offer = |item: u64| {
        let shown = shown(&world, item);
        assert_eq!(shown["attention"], true, "{shown}");
        (shown["mirrors"][0]["url"].as_str().unwrap().to_owned(), shown["mirrors"][0]["evidence"].to_string())
    };
    let (url, evidence) = offer(first);
    assert!(evidence.contains("the same title") && evidence.contains("Ida Example speaks in both"), "{evidence}");
    assert!(world.item(first).posts["mastodon"].text.contains("youtube"), "nothing is replaced by itself");
    let say = |item: u64, url: &str, accept: bool| {
        world.ask(oyez::acts::Request::Mirror { item: item.to_string(), url: url.into(), accept, reason: None })
    };
    assert!(say(first, "http://10.0.0.1/v/a", true).unwrap_err().error.contains("cannot be a mirror"));
    say(first, &url, true).unwrap();
    let text = world.item(first).posts["mastodon"].text.clone();
    assert!(text.contains(&url) && !text.contains("youtube"), "{text}");
    let (other, _) = offer(second);
    say(second, &other, false).unwrap();
    world.pass(6 * HOUR).await;
    let rejected = world.item(second);
    assert!(rejected.posts["mastodon"].text.contains("youtube") && rejected.alarms.is_empty(), "{:?}", rejected.alarms);
    assert_eq!(rejected.mirrors.len(), 1, "what was rejected is not offered again");
}

#[tokio::test]
async fn a_description_that_begins_with_the_talks_page_is_proof() {
    let mut world = world().await;
    let (channel, _ccc) = channels(&mut world).await;
    let page = "https://media.ccc.de/v/nixcon2026-1-nix-without-flakes";
    channel.publish(Video::new(TALK, "Nix without flakes", &format!("{page}\n\nA talk about something.")));
    channel.publish(Video::new("abcdefghij2", "Another talk", &format!("A talk about something. See {page} too.")));
    world.pass(2 * HOUR).await;
    let text = |title: &str| world.item(number(&world, title)).posts["mastodon"].text.clone();
    assert!(text("Nix without flakes").contains(page));
    assert!(text("Another talk").contains("youtube"));
}

#[tokio::test]
async fn a_copy_at_archive_org_is_asked_for_seldom_and_only_offered() {
    let mut world = world().await;
    let site = Site::start(world.clock.clone()).await;
    let channel = Channel::start("UC-nixcon", "NixCon", world.clock.clone()).await.unwrap();
    world.toml.push_str(&format!(
        "[[source]]\nname = \"channel\"\ntype = \"feed\"\nurl = \"{}\"\nkind = \"talk\"\nevery = \"15m\"\n\
         [links]\nmirrors = [\"archive-org\"]\narchive-org = \"{}\"\n",
        channel.feed_url(),
        site.at("")
    ));
    world.restart();
    world.meet().await;
    let question = format!("/metadata/youtube-{TALK}");
    site.put(&question, Page { status: 200, body: b"{}".to_vec(), ..Page::default() });
    channel.publish(Video::new(TALK, "Nix without flakes", "A talk about something."));
    world.pass(5 * HOUR).await;
    let item = number(&world, "Nix without flakes");
    assert_eq!((asked(&site, &question), world.item(item).mirrors.len()), (1, 0));
    // A restart asks nothing anew, and neither does a server that is down.
    world.restart();
    site.put(&question, Page { status: 503, ..Page::default() });
    world.pass(5 * HOUR).await;
    assert_eq!(asked(&site, &question), 2);
    let copy = serde_json::json!({"metadata": {
        "identifier": format!("youtube-{TALK}"), "mediatype": "movies", "uploader": "eve@example.org",
        "originalurl": format!("https://www.youtube.com/watch?v={TALK}"),
    }});
    site.put(&question, Page { status: 200, body: copy.to_string().into_bytes(), ..Page::default() });
    world.pass(4 * HOUR).await;
    let shown = shown(&world, item);
    assert_eq!((&shown["attention"], asked(&site, &question)), (&Value::Bool(true), 3), "{shown}");
    assert_eq!(shown["mirrors"][0]["url"], site.at(&format!("/details/youtube-{TALK}")));
    assert!(shown["mirrors"][0]["evidence"].to_string().contains("uploaded by eve@example.org"), "{shown}");
    assert!(world.item(item).posts["mastodon"].text.contains("youtube"), "nothing is replaced by itself");
    world.pass(8 * HOUR).await;
    assert_eq!(asked(&site, &question), 3, "what is on the desk is not asked for again");
}
