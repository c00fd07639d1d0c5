//! Copies of YouTube videos at archive.org (links.md 5): uploads made with TubeUp have an identifier that follows from the
//! video's, so one question tells. Anybody can upload there, so what is found is offered and never taken by itself.
use serde_json::Value;
use url::Url;

/// In bytes: the list of a large item's files is in the answer too.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// The address that tells about the copy of this video, on the server at `base`.
pub fn question(base: &Url, id: &str) -> Option<Url> {
    base.join(&format!("/metadata/youtube-{id}")).ok()
}

/// The page of the copy of this video, whether there is one or not.
pub fn page(base: &Url, id: &str) -> Option<Url> {
    base.join(&format!("/details/youtube-{id}")).ok()
}

/// The page of the copy and what speaks for it, if the answer shows one: a film whose own word is that it is this video.
pub fn copy(answer: &[u8], base: &Url, id: &str) -> Option<(String, String)> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let metadata = answer.get("metadata")?;
    let word = |name: &str| metadata.get(name).and_then(Value::as_str);
    let is_film = word("mediatype") == Some("movies");
    let is_hidden = answer.get("is_dark").and_then(Value::as_bool).unwrap_or(false);
    if word("identifier") != Some(&format!("youtube-{id}")) || !is_film || is_hidden {
        return None;
    }
    if super::youtube_id_of(word("originalurl")?).as_deref() != Some(id) {
        return None;
    }
    let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(100).collect::<String>();
    let mut evidence = "archive.org has a copy made from this very video".to_owned();
    if let Some(title) = word("title") {
        evidence.push_str(&format!(", `{}`", short(title)));
    }
    if let Some(uploader) = word("uploader") {
        evidence.push_str(&format!(", uploaded by {}", short(uploader)));
    }
    Some((page(base, id)?.into(), evidence))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "dQw4w9WgXcQ";

    fn base() -> Url {
        Url::parse("https://archive.org").unwrap()
    }

    fn metadata() -> Value {
        json!({"metadata": {
            "identifier": "youtube-dQw4w9WgXcQ", "mediatype": "movies", "title": "A talk", "uploader": "eve@example.org",
            "originalurl": "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        }})
    }

    #[test]
    fn a_copy_says_of_itself_which_video_it_is() {
        assert_eq!(question(&base(), ID).unwrap().as_str(), "https://archive.org/metadata/youtube-dQw4w9WgXcQ");
        let (page, evidence) = copy(metadata().to_string().as_bytes(), &base(), ID).unwrap();
        assert_eq!(page, "https://archive.org/details/youtube-dQw4w9WgXcQ");
        assert!(evidence.contains("`A talk`") && evidence.contains("uploaded by eve@example.org"), "{evidence}");
    }

    #[track_caller]
    fn check_none(name: &str, value: Value) {
        let mut answer = metadata();
        answer["metadata"][name] = value;
        assert_eq!(copy(answer.to_string().as_bytes(), &base(), ID), None, "{name}");
    }

    #[test]
    fn what_is_no_copy_of_it_is_none() {
        for answer in ["{}", "[]", "null", "", "<html>", "{\"metadata\":null}"] {
            assert_eq!(copy(answer.as_bytes(), &base(), ID), None, "{answer}");
        }
        check_none("mediatype", json!("audio"));
        check_none("identifier", json!("youtube-another"));
        check_none("originalurl", json!("https://www.youtube.com/watch?v=aaaaaaaaaaa"));
        check_none("originalurl", json!("https://evil.example/watch?v=dQw4w9WgXcQ"));
        check_none("originalurl", json!(["https://www.youtube.com/watch?v=dQw4w9WgXcQ"]));
        let mut dark = metadata();
        dark["is_dark"] = json!(true);
        assert_eq!(copy(dark.to_string().as_bytes(), &base(), ID), None);
    }
}
