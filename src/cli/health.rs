//! `oyez health`: asks the running service over HTTP, for containers and scripts that have no HTTP client of their own.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use serde_json::{Value, json};

use super::Out;
use crate::acts::Failure;
use crate::config::Config;
use crate::http::Http;

/// More than this is no answer of ours, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Prints what the service says about itself. Fails when it does not answer, or is not well.
pub(super) async fn ask(config: &Config, out: &mut Out) -> anyhow::Result<()> {
    let address = reachable(config.service.listen)?;
    let url = format!("http://{address}/health");
    let http = Http::new(&config.network, None)?;
    let mut response = http.api().get(&url).send().await.map_err(|error| {
        Failure::failed(
            format!("`{url}` does not answer: {}", chain(&error)),
            Some("is the service running, and `service.listen` as it was when it started?".into()),
        )
    })?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.with_context(|| format!("`{url}` stopped in its answer"))? {
        anyhow::ensure!(body.len() + chunk.len() <= MAX_ANSWER_BYTES, "`{url}` answers more than Oyez would");
        body.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&body);
    let said: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!(text.trim()));
    if out.json {
        out.line(&said)?;
    } else if let Some(word) = said["status"].as_str() {
        out.line(format_args!("{address}: {word}"))?;
        for reason in said["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            out.line(format_args!("  {reason}"))?;
        }
    }
    if status.is_success() {
        return Ok(());
    }
    let hint = match status.as_u16() {
        404 => Some("a service of another version, or another program, listens there".to_owned()),
        _ => Some("`oyez queue` shows what needs a person".to_owned()),
    };
    Err(Failure::failed(format!("`{url}` is not well: {status}"), hint).into())
}

/// Where a service that listens on this address can be asked from its own machine.
fn reachable(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    if listen.port() == 0 {
        let hint = "write the port into `service.listen`".to_owned();
        return Err(Failure::usage("nobody can tell which port the service listens on", Some(hint)));
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listen: &str, want: Option<&str>) {
        let got = reachable(listen.parse().unwrap()).ok();
        assert_eq!(got, want.map(|address| address.parse().unwrap()), "{listen}");
    }

    #[test]
    fn it_is_asked_on_the_address_it_listens_on() {
        check("127.0.0.1:8080", Some("127.0.0.1:8080"));
        check("192.0.2.7:8080", Some("192.0.2.7:8080"));
        check("0.0.0.0:8080", Some("127.0.0.1:8080"));
        check("[::]:8080", Some("[::1]:8080"));
        check("127.0.0.1:0", None);
    }
}
