//! Discourse's webhook signature.
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// Is `header` (`sha256=` and hex) the HMAC-SHA256 of the exact body? Compared in constant time.
pub fn verify(secret: &SecretString, body: &[u8], header: &[u8]) -> bool {
    let Some(hex) = header.strip_prefix(b"sha256=") else { return false };
    let Some(signature) = decode(hex) else { return false };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes any key");
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

/// 64 hex digits.
fn decode(hex: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|d| d as u8);
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(secret: &str, body: &str, header: &str, want: bool) {
        assert_eq!(verify(&secret.into(), body.as_bytes(), header.as_bytes()), want, "{header}");
    }

    #[test]
    fn signatures() {
        let (secret, body) = ("my_lovely_secret_for_web_hook", r#"{"ping":"OK"}"#);
        let hex = "162f107f6b5022353274eb1a7197885cfd35744d8d08e5bcea025d309386b7d6";
        check(secret, body, &format!("sha256={hex}"), true);
        check(secret, body, &format!("sha256={}", hex.to_uppercase()), true);
        check(secret, &format!("{body} "), &format!("sha256={hex}"), false);
        check("another", body, &format!("sha256={hex}"), false);
        check(secret, body, hex, false);
        check(secret, body, &format!("sha1={hex}"), false);
        check(secret, body, &format!("sha256={hex}00"), false);
        check(secret, body, &format!("sha256={}", &hex[..62]), false);
        check(secret, body, &format!("sha256={}zz", &hex[..62]), false);
        check(secret, body, "sha256=", false);
        check(secret, body, "", false);
    }
}
