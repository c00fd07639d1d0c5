//! What becomes of links on the way of an item: cleaned in the post, shorteners opened before anybody sees the text, and
//! no short link ever posted.
use std::time::Duration;

use oyez::item::State;
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
