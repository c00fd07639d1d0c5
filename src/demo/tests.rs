//! Does the demo hold what it tells?
use std::time::{Duration, Instant};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_plays_to_its_end_without_a_reader() {
    let started = Instant::now();
    let mut events = Vec::new();
    let mut tell = |event: &Event| {
        events.push(event.clone());
        Ok(())
    };
    run(Options { speed: 0.0, stay: false }, &mut tell, std::future::pending()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(30), "took {:?}", started.elapsed());

    let steps: Vec<&Step> =
        events.iter().filter_map(|e| if let Event::Step(step) = e { Some(step) } else { None }).collect();
    assert_eq!(steps.iter().map(|s| s.step).collect::<Vec<_>>(), (1..=9).collect::<Vec<u8>>());
    let home = steps[0].try_it.split_whitespace().nth(2).unwrap();
    assert!(home.ends_with("/oyez.toml"), "{home}");
    assert!(!std::path::Path::new(home).exists(), "it is removed");

    let shows: Vec<&Show> =
        events.iter().filter_map(|e| if let Event::Show(show) = e { Some(show) } else { None }).collect();
    let checks = shows.iter().filter(|s| matches!(s, Show::Check { ok: true, .. })).count();
    assert_eq!(checks, 5);
    let lines: Vec<&str> =
        shows.iter().filter_map(|s| if let Show::Line { text } = s { Some(text.as_str()) } else { None }).collect();
    assert_eq!(lines[0], "8 items are known, 0 posts are out.");
    assert!(lines.iter().any(|l| l.contains("is unsure")), "{lines:#?}");
    assert_eq!(lines.iter().filter(|l| l.ends_with("asked 2 times under one key: 1 post.")).count(), 2, "{lines:#?}");

    let posted: Vec<&str> = shows
        .iter()
        .filter_map(|s| if let Show::Posted { text, .. } = s { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(posted.len(), 5, "{posted:#?}");
    for words in ["lock file", "Zinnia” is out!", "Nix 2.36 released", "oldest laptop", "mentors wanted"] {
        assert_eq!(posted.iter().filter(|text| text.contains(words)).count(), 1, "{words}: {posted:#?}");
    }
    for words in ["FlakeBarn", "maintenance tonight", "@", "<", "relased"] {
        assert!(!posted.iter().any(|text| text.contains(words)), "{words}: {posted:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_cleans_up_when_it_is_stopped() {
    let mut home = None;
    let (heard, stop) = tokio::sync::oneshot::channel::<()>();
    let mut heard = Some(heard);
    let mut tell = |event: &Event| {
        if let Event::Step(step) = event {
            home.get_or_insert_with(|| step.try_it.split_whitespace().nth(2).unwrap().to_owned());
            if step.step == 2 {
                let _ = heard.take().unwrap().send(());
            }
        }
        Ok(())
    };
    let stop = async {
        let _ = stop.await;
    };
    run(Options { speed: 1.0, stay: true }, &mut tell, stop).await.unwrap();
    assert!(!std::path::Path::new(&home.unwrap()).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_in_a_second_terminal_may_stop_everything() {
    let mut lines = Vec::new();
    let mut posted = 0;
    let mut checks = 0;
    let mut socket = None;
    let mut tell = |event: &Event| {
        let veto = |number: u64, socket: &Option<std::path::PathBuf>| {
            let items = vec![number.to_string()];
            let request = crate::acts::Request::Act { items, act: crate::acts::TeamAct::Veto, reason: None };
            let answer = crate::socket::ask(socket.as_ref().unwrap(), &request, &mut |_| Ok(())).unwrap();
            answer.expect("a service runs").unwrap();
        };
        match event {
            Event::Step(step) => {
                let config = step.try_it.split_whitespace().nth(2).unwrap();
                socket = Some(std::path::Path::new(config).with_file_name("socket"));
            }
            Event::Show(Show::Item { item }) => veto(item["number"].as_u64().unwrap(), &socket),
            Event::Show(Show::Line { text }) => {
                if let Some(new) = text.strip_prefix("New on the forum: #") {
                    veto(new.split(' ').next().unwrap().parse().unwrap(), &socket);
                }
                lines.push(text.clone());
            }
            Event::Show(Show::Posted { .. }) => posted += 1,
            Event::Show(Show::Check { ok, .. }) => checks += usize::from(*ok),
            Event::Show(Show::Command { .. } | Show::Acted { .. } | Show::Queue { .. }) | Event::End => {}
        }
        Ok(())
    };
    run(Options { speed: 0.0, stay: false }, &mut tell, std::future::pending()).await.unwrap();
    assert_eq!((posted, checks), (0, 5), "{lines:#?}");
    assert!(lines.iter().any(|l| l.ends_with("somebody stopped it before it left.")), "{lines:#?}");
}
