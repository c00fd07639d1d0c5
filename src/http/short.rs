//! One hop of a link shortener (links.md 2.2): where it says that it leads. Where it leads is never asked itself.
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use reqwest::{Method, Response, header};
use url::Url;

use super::{GUARDED_TOTAL, Http, HttpError, body, headers};
use crate::guard::Reach;
use crate::link::rewrite::Opened;

/// In bytes: a page that only redirects is small.
const MAX_PAGE: usize = 64 * 1024;
/// In seconds: a page that refreshes itself later than this means to be read.
const MAX_REFRESH: u32 = 10;

impl Http {
    /// Asks a shortener where one of its links leads: one request, no redirect followed, every address judged as by
    /// [`Http::get_guarded`]. `pages`: its answer may be a page that refreshes itself, or that names the target.
    ///
    /// # Errors
    /// It could not be reached, or did not know at this moment; another time it may. A sentence for the team.
    pub async fn open_short(&self, url: &Url, pages: bool) -> Result<Opened, String> {
        if let Some(word) = single_use(url) {
            return Ok(Opened::Nowhere(format!("`{word}` in its address: it may be for one use only")));
        }
        let work = async {
            let answer = self.ask_short(url, Method::GET, pages).await?;
            // Some show a page to GET and redirect HEAD (links.md 2.2).
            if matches!(answer, Answer::Page) {
                return self.ask_short(url, Method::HEAD, false).await;
            }
            Ok(answer)
        };
        let total = GUARDED_TOTAL.min(self.inner.timeout);
        let answer = match tokio::time::timeout(total, work).await {
            Ok(answer) => answer.map_err(|error: HttpError| error.to_string())?,
            Err(_) => return Err("it did not answer in time".to_owned()),
        };
        match answer {
            Answer::To(target) => Ok(Opened::To(target)),
            Answer::Page => Ok(Opened::Nowhere("it shows a page of its own".to_owned())),
            Answer::Status(status @ (404 | 410)) => Ok(Opened::Nowhere(format!("it answered {status}"))),
            Answer::Status(status) => Err(format!("it answered {status}")),
        }
    }

    async fn ask_short(&self, url: &Url, method: Method, pages: bool) -> Result<Answer, HttpError> {
        let inner = &*self.inner;
        let reach = inner.guard.gate(url).map_err(|refused| HttpError::NotSent(refused.to_string()))?;
        let client = match (reach, &inner.listed) {
            (Reach::Listed, Some(listed)) => listed,
            // Without a list the gate lets nothing else pass.
            (Reach::Public | Reach::Listed, _) => &inner.guarded,
        };
        let _turn = inner.turns.take(url.host_str().unwrap_or_default()).await;
        let _slot = inner.slots.acquire().await.expect("the semaphore is never closed");
        let mut asked = url.clone();
        asked.set_fragment(None);
        let request = client.request(method.clone(), asked).header(header::ACCEPT, "text/html,*/*;q=0.1");
        let mut response = request.timeout(Duration::from_secs(8).min(inner.timeout)).send().await?;
        match response.remote_addr() {
            Some(peer) if inner.guard.allows(peer.ip(), reach) => {}
            Some(peer) => return Err(HttpError::Bound(format!("{} is not a public address", peer.ip()))),
            None => return Err(HttpError::Bound("the server's address is not known".into())),
        }
        let status = response.status();
        if status.is_redirection() {
            return Ok(match headers::written_location(response.headers())? {
                Some(target) => Answer::To(target),
                None => Answer::Status(status.as_u16()),
            });
        }
        if !status.is_success() {
            return Ok(Answer::Status(status.as_u16()));
        }
        if !pages || method == Method::HEAD || !is_html(&response) {
            return Ok(Answer::Page);
        }
        let page = body(&mut response, MAX_PAGE).await?;
        Ok(target_of_page(&String::from_utf8_lossy(&page)).map_or(Answer::Page, Answer::To))
    }
}

enum Answer {
    To(String),
    /// A page that leads nowhere by itself.
    Page,
    Status(u16),
}

/// A word that says that opening the link may do something.
fn single_use(url: &Url) -> Option<&'static str> {
    let address = url.as_str().to_ascii_lowercase();
    ["unsubscribe", "confirm", "verify", "optout", "opt-out", "token="].into_iter().find(|word| address.contains(word))
}

fn is_html(response: &Response) -> bool {
    let is_plain = response.headers().get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    let html = headers::content_type(response.headers()).is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    is_plain && html
}

/// The target of a page that refreshes itself, also inside `noscript`, or LinkedIn's marked link out.
fn target_of_page(page: &str) -> Option<String> {
    static META: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"(?i)<meta\b[^>]*\bhttp-equiv\s*=\s*["']?refresh\b[^>]*>"#).expect("a constant"));
    static CONTENT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"(?i)\bcontent\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))"#).expect("a constant"));
    static REFRESH: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?i)^\s*([0-9]+)(?:\.[0-9]*)?\s*[;,]\s*(?:url\s*=\s*)?["']?([^"']+)["']?\s*$"#)
            .expect("a constant")
    });
    static LINK: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?i)<a\b[^>]*\bdata-tracking-control-name\s*=\s*["']?external_url_click\b[^>]*>"#)
            .expect("a constant")
    });
    static HREF: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"(?i)\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))"#).expect("a constant"));
    // What a program or a title says is no tag: a page that repeats what a stranger wrote must not lead there.
    static NO_TAGS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?is)<!--.*?(?:-->|\z)|<script\b.*?(?:</script|\z)|<style\b.*?(?:</style|\z)|<title\b.*?(?:</title|\z)|<textarea\b.*?(?:</textarea|\z)")
            .expect("a constant")
    });
    let page = &*NO_TAGS.replace_all(page, " ");
    let value = |regex: &Regex, tag: &str| {
        let captures = regex.captures(tag)?;
        let value = captures.iter().skip(1).flatten().next()?;
        Some(unescaped(value.as_str()))
    };
    let refresh = META.find_iter(page).find_map(|tag| {
        let content = value(&CONTENT, tag.as_str())?;
        let captures = REFRESH.captures(&content)?;
        let wait: u32 = captures.get(1)?.as_str().parse().ok()?;
        (wait <= MAX_REFRESH).then(|| captures.get(2).map(|target| target.as_str().trim().to_owned())).flatten()
    });
    refresh
        .or_else(|| LINK.find(page).and_then(|tag| value(&HREF, tag.as_str())))
        .filter(|target| !target.is_empty() && target.len() <= crate::guard::MAX_URL_BYTES)
}

/// The entities that addresses in attributes are written with.
fn unescaped(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    text.replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&#x2F;", "/")
        .replace("&#47;", "/")
        .replace("&#038;", "&")
        .replace("&#38;", "&")
        .replace("&#x26;", "&")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(page: &str, want: Option<&str>) {
        assert_eq!(target_of_page(page).as_deref(), want, "{page}");
    }

    #[test]
    fn pages_that_lead_on() {
        let want = Some("https://example.org/a?b=1&c=2");
        check(
            r#"<html><noscript><META http-equiv="refresh" content="0;URL=https://example.org/a?b=1&amp;c=2"></noscript>"#,
            want,
        );
        check("<meta http-equiv=refresh content='3; url=https://example.org/a?b=1&c=2'>", want);
        check(r#"<meta content="0,https://example.org/a?b=1&amp;c=2" http-equiv='Refresh' />"#, want);
        check(
            r#"<a class="x" data-tracking-control-name="external_url_click" href="https://example.org/a?b=1&amp;c=2">go</a>"#,
            want,
        );
        check(r#"<meta http-equiv="refresh" content="30;url=https://example.org/">"#, None);
        check(r#"<meta http-equiv="refresh" content="5">"#, None);
        let refresh = r#"<meta http-equiv="refresh" content="0;url=https://evil.example/">"#;
        check(&format!("<title>{refresh}</title><!-- {refresh} --><script>'{refresh}'</script><!--{refresh}"), None);
        check(&format!("<!-- a --><title>b</title>{refresh}"), Some("https://evil.example/"));
        check(r#"<link rel="canonical" href="https://example.org/">"#, None);
        check(r#"<a href="https://example.org/">go</a>"#, None);
    }

    #[test]
    fn what_opening_might_do_something_is_not_opened() {
        assert!(single_use(&Url::parse("https://bit.ly/a?Unsubscribe=1").unwrap()).is_some());
        assert!(single_use(&Url::parse("https://bit.ly/a").unwrap()).is_none());
    }
}
