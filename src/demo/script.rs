//! What is announced in the pretend world. People, products and events are invented.
use url::Url;

use super::world::World;
use crate::pretend::forum::{Topic, Writer};
use crate::pretend::video::Video;

/// The name of the forum's source in the configuration.
pub(super) const SOURCE: &str = "announcements";
/// The channel's id: `UC` and 22 characters.
pub(super) const CHANNEL: &str = "UCpretendpretendpretend0";
/// The guid of the talk.
pub(super) const TALK: &str = "5c2f0a3e-9d41-4e0b-8f5a-2f6d1b7a9c10";
/// What the team makes of the release's post; the address is put in.
pub(super) const BETTER: &str = "NixOS 26.11 “Zinnia” is out! 🌼\n\nSeven months of work by everybody who packages, reviews \
and tests: thank you.\n\nWhat is new, and how to upgrade: {url}\n\n#NixOS";

const PICTURE: &[u8] = include_bytes!("picture.png");

fn writer(username: &str, name: &str, staff: bool) -> Writer {
    Writer { username: username.into(), name: name.into(), trust_level: 3, staff }
}

fn mirela() -> Writer {
    writer("mirela", "Mirela Quist", true)
}

fn oskar() -> Writer {
    writer("oskar-l", "Oskar Lindqvam", false)
}

fn june() -> Writer {
    writer("june", "June Tannenberg", false)
}

/// What was there before anybody watched.
pub(super) fn past(world: &World) {
    world.forum.serve("/uploads/picture.png", PICTURE, "image/png");
    world.talks.serve("/picture.png", PICTURE, "image/png");
    let old = [
        (210, "NixOS 26.05 “Yarrow” is out", "<p>The spring release is here.</p>"),
        (150, "NixCon 2026: tickets are on sale", "<p>See you in October.</p>"),
        (96, "Hydra moves to new machines", "<p>Builds pause on Saturday.</p>"),
        (41, "Moderation: what we did in the first half of the year", "<p>Numbers and thoughts.</p>"),
        (12, "Nix 2.35 released", "<p>Mostly fixes.</p>"),
    ];
    for (days, title, cooked) in old {
        let created = world.now() - jiff::SignedDuration::from_hours(days * 24);
        world.forum.publish(Topic {
            title: title.into(),
            cooked: cooked.into(),
            writer: mirela(),
            created: Some(created),
            ..Topic::default()
        });
    }
    for (id, title) in [("lightning01", "Lightning talks, day one"), ("officehour7", "Office hours: packaging a game")]
    {
        world.channel.publish(Video::new(id, title, "Recorded live."));
    }
    world.talks.add_conference("nixcon2025");
    let closing = Video::new("00000000-1111-2222-3333-444444444444", "Closing words", "Thanks, and see you next year.");
    world.talks.publish("nixcon2025", closing);
}

/// A release, with all that a forum post can have.
pub(super) fn release(forum: &Url) -> Topic {
    Topic {
        title: "NixOS 26.11 “Zinnia” released".into(),
        cooked: format!(
            r##"<p>Hey everyone! <img src="{forum}images/emoji/twitter/tada.png?v=14" title=":tada:" class="emoji" alt=":tada:" loading="lazy" width="20" height="20"> We are <strong>very happy</strong> to announce NixOS 26.11 “Zinnia”, the autumn release. It is supported until the end of June 2027.</p>
<p><div class="lightbox-wrapper"><a class="lightbox" href="{forum}uploads/picture.png" title="Zinnia"><img src="{forum}uploads/picture.png" alt="A zinnia drawn in Nix blues" width="480" height="252"></a></div></p>
<h2><a name="highlights-1" class="anchor" href="#highlights-1"></a>Highlights</h2>
<ul>
<li>GNOME 51 and Plasma 6.9</li>
<li>The installer resizes an existing system, and asks before it does</li>
<li>Boot is faster by a third on machines with <code>systemd</code> in the initrd</li>
</ul>
<p>To upgrade:</p>
<pre><code class="lang-bash">nix-channel --add https://channels.nixos.org/nixos-26.11 nixos
nixos-rebuild switch --upgrade
</code></pre>
<p>Thank you, <a class="mention" href="/u/oskar-l">@oskar-l</a> and the 2 913 others who made it.</p>"##
        ),
        tags: vec!["release".into()],
        writer: mirela(),
        image_url: Some(format!("{forum}uploads/picture.png")),
        ..Topic::default()
    }
}

/// What the team will not repeat.
pub(super) fn advertisement() -> Topic {
    Topic {
        title: "Black week at FlakeBarn: 40 % off all build machines".into(),
        cooked: r#"<p>Tired of waiting for your builds? Until Sunday every machine at <a href="https://flakebarn.example/black-week?ref=forum">FlakeBarn</a> is <strong>40 % cheaper</strong>.</p>
<p>Use the code <code>NIXNIXNIX</code> when you order.</p>"#
            .into(),
        writer: writer("flakebarn", "FlakeBarn Team", false),
        ..Topic::default()
    }
}

/// With a slip of the finger in its title.
pub(super) fn nix() -> Topic {
    Topic {
        title: "Nix 2.36 relased".into(),
        cooked: r#"<p>Nix 2.36 is ready. Evaluation of large flakes needs about a fifth less memory, and error messages finally point at the line that is wrong.</p>
<aside class="onebox allowlistedgeneric" data-onebox-src="https://nix.example/manual/release-notes/2.36"><header class="source"><a href="https://nix.example/manual/release-notes/2.36" target="_blank" rel="noopener">nix.example</a></header><article class="onebox-body"><h3><a href="https://nix.example/manual/release-notes/2.36" target="_blank" rel="noopener">Release 2.36 - Nix reference manual</a></h3><p>What changed since 2.35.</p></article></aside>
<p>Try it without installing anything:</p>
<pre><code class="lang-bash">nix run github:NixOS/nix/2.36-maintenance -- --version
</code></pre>"#
            .into(),
        tags: vec!["nix".into(), "release".into()],
        writer: oskar(),
        ..Topic::default()
    }
}

/// Its author will think better of it.
pub(super) fn maintenance() -> Topic {
    Topic {
        title: "Binary cache: maintenance tonight, 21:00 UTC".into(),
        cooked: "<p>We replace two disks. For about <em>ten minutes</em> downloads may be slow.</p>\
                 <blockquote><p>Nothing needs to be done on your side.</p></blockquote>"
            .into(),
        writer: june(),
        ..Topic::default()
    }
}

/// A talk, recorded.
pub(super) fn talk(talks: &Url) -> Video {
    Video {
        persons: vec!["Priya Abendroth".into()],
        link: Some("https://talks.nixcon.example/2026/talk/LOCKS1/".into()),
        duration_s: 1_512,
        image: Some(format!("{talks}picture.png")),
        ..Video::new(
            TALK,
            "One lock file to rule them all?",
            "Every language brings its own lock file, and every builder its own way to read it. This talk looks at eleven of \
             them, tells what they forget, and shows how Nix can use them all without being told the same hash twice.",
        )
    }
}

/// The one whose answer is lost.
pub(super) fn help() -> Topic {
    Topic {
        title: "Call for help: try the new installer on your oldest laptop".into(),
        cooked: r#"<p>The new installer works on <em>our</em> machines. Does it work on yours?</p>
<ol>
<li>Download the <a href="https://images.nix.example/installer-next.iso">test image</a>.</li>
<li>Boot it on the oldest machine you have.</li>
<li>Tell us what happened, also when all went well.</li>
</ol>"#
            .into(),
        writer: june(),
        ..Topic::default()
    }
}

/// The one in the middle of which the power fails.
pub(super) fn summer() -> Topic {
    Topic {
        title: "Summer of Nix 2027: mentors wanted".into(),
        cooked: r#"<p>Next summer a dozen newcomers will package free software for <strong>six weeks</strong>, and they need people to ask. <img src="/images/emoji/twitter/sunny.png?v=14" title=":sunny:" class="emoji" alt=":sunny:"></p>
<p>Mentors give about three hours a week. You need not know everything; you need to like questions. Tell <a class="mention" href="/u/mirela">@mirela</a> by the 31st of January.</p>"#
            .into(),
        writer: mirela(),
        ..Topic::default()
    }
}
