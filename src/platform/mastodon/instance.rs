//! What a server says it is and allows (platforms.md 1.2, 2.1, 2.2, 14).
use serde_json::Value;

use crate::platform::Limits;

/// The software behind the API: the ones that differ from Mastodon where it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Software {
    /// Mastodon and its forks.
    Mastodon,
    /// Ignores idempotency keys, counts code points, reduces no address.
    GoToSocial,
    /// Pleroma and Akkoma: addresses count in full.
    Pleroma,
    /// Ignores idempotency keys.
    Takahe,
    /// Keeps idempotency keys, but in memory.
    Mitra,
    /// Something else, or nobody answered.
    Unknown,
}

/// One server's answer, digested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) software: Software,
    pub(super) limits: Limits,
    /// Images it takes.
    pub(super) image_types: Vec<String>,
    /// The domain in its accounts' names, where it differs from the host.
    pub(super) domain: Option<String>,
}

impl Default for Instance {
    /// What is assumed of a server that could not be asked: Mastodon's defaults, except that it is not trusted to
    /// keep keys and that code points are counted, which are never fewer than grapheme clusters.
    fn default() -> Self {
        Self {
            software: Software::Unknown,
            limits: Limits { counts_code_points: true, ..Limits::mastodon() },
            image_types: ["image/jpeg", "image/png", "image/gif", "image/webp"].map(str::to_owned).to_vec(),
            domain: None,
        }
    }
}

impl Instance {
    /// Reads `/api/v2/instance` or `/api/v1/instance`; both have `configuration`, v1 may have the older flat names
    /// instead. The second value lists what is nonsense in it; there the built-in value stays.
    pub(super) fn read(json: &Value) -> Result<(Self, Vec<String>), String> {
        let version = json.get("version").and_then(Value::as_str).ok_or("its answer has no `version`")?;
        let source = json.get("source_url").and_then(Value::as_str).unwrap_or_default();
        let software = recognise(version, source);
        let mut nonsense = Vec::new();
        let mut number = |paths: &[&str], default: u64| {
            let Some((path, value)) = paths.iter().find_map(|p| Some((p, json.pointer(p)?))) else { return default };
            match value.as_u64() {
                Some(n) if n > 0 => n,
                Some(_) | None => {
                    let shown: String = value.to_string().chars().take(40).collect();
                    nonsense.push(format!("`{}` is {shown}", path[1..].replace('/', ".")));
                    default
                }
            }
        };
        let base = Self::default();
        let limits = Limits {
            max_length: number(
                &["/configuration/statuses/max_characters", "/max_toot_chars"],
                base.limits.max_length as u64,
            ) as usize,
            url_length: match software {
                Software::Mastodon | Software::Unknown => {
                    Some(number(&["/configuration/statuses/characters_reserved_per_url"], 23) as usize)
                }
                // GoToSocial announces 25 and does not do it; the others count what is written.
                Software::GoToSocial | Software::Pleroma | Software::Takahe | Software::Mitra => None,
            },
            max_media: number(
                &["/configuration/statuses/max_media_attachments", "/max_media_attachments"],
                base.limits.max_media as u64,
            ) as usize,
            max_image_bytes: number(
                &["/configuration/media_attachments/image_size_limit", "/upload_limit"],
                base.limits.max_image_bytes,
            ),
            max_image_pixels: number(
                &["/configuration/media_attachments/image_matrix_limit"],
                base.limits.max_image_pixels,
            ),
            max_alt: number(
                &["/configuration/media_attachments/description_limit", "/description_limit"],
                base.limits.max_alt as u64,
            ) as usize,
            // A key that a restart forgets (Mitra, Pleroma) cannot carry "at most once"; those are read back instead.
            keeps_keys: software == Software::Mastodon,
            counts_code_points: match software {
                Software::Mastodon | Software::Pleroma => false,
                Software::GoToSocial | Software::Takahe | Software::Mitra | Software::Unknown => true,
            },
        };
        let named: Vec<String> = json
            .pointer("/configuration/media_attachments/supported_mime_types")
            .and_then(Value::as_array)
            .map(|list| list.iter().take(200).filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        let image_types = if named.is_empty() { base.image_types } else { named };
        let domain = json
            .get("domain")
            .or_else(|| json.get("uri"))
            .and_then(Value::as_str)
            .map(|d| d.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned())
            .filter(|d| !d.is_empty() && d.len() < 254);
        Ok((Self { software, limits, image_types, domain }, nonsense))
    }
}

fn recognise(version: &str, source: &str) -> Software {
    let (version, source) = (version.to_lowercase(), source.to_lowercase());
    if version.contains("gotosocial") || source.contains("gotosocial") {
        Software::GoToSocial
    } else if version.contains("takahe") || source.contains("takahe") {
        Software::Takahe
    } else if version.contains("compatible; pleroma") || version.contains("compatible; akkoma") {
        Software::Pleroma
    } else if version.contains("compatible; mitra") {
        Software::Mitra
    } else if version.contains("compatible") {
        Software::Unknown
    } else {
        // Idempotency keys came with Mastodon 1.4. Everybody else's numbers begin with 0 or say `compatible`.
        match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
            Some(major) if major >= 2 => Software::Mastodon,
            Some(_) | None => Software::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(version: &str, source: &str, want: Software) {
        assert_eq!(recognise(version, source), want, "{version}");
    }

    #[test]
    fn servers_are_recognised() {
        check("4.6.0", "https://github.com/mastodon/mastodon", Software::Mastodon);
        check("4.5.0+glitch", "", Software::Mastodon);
        check("0.20.0+git-1234", "https://codeberg.org/superseriousbusiness/gotosocial", Software::GoToSocial);
        check("2.7.2 (compatible; Pleroma 2.9.0)", "", Software::Pleroma);
        check("2.7.2 (compatible; Akkoma 3.15)", "", Software::Pleroma);
        check("takahe/0.11.0", "", Software::Takahe);
        check("4.0.0 (compatible; Mitra 5.9.0)", "", Software::Mitra);
        check("3.5.3 (compatible; Pixelfed 0.12)", "", Software::Unknown);
        check("0.9", "", Software::Unknown);
        check("", "", Software::Unknown);
    }

    #[test]
    fn gotosocial_counts_its_own_way() {
        let (it, nonsense) = Instance::read(&json!({
            "version": "0.20.0", "source_url": "https://codeberg.org/superseriousbusiness/gotosocial",
            "configuration": {"statuses": {"max_characters": 5000, "characters_reserved_per_url": 25, "max_media_attachments": 6}},
        }))
        .unwrap();
        assert_eq!((it.limits.max_length, it.limits.url_length, it.limits.max_media), (5000, None, 6));
        assert!(it.limits.counts_code_points && !it.limits.keeps_keys && nonsense.is_empty());
    }

    #[test]
    fn pleroma_has_the_older_names() {
        let (it, _) = Instance::read(&json!({"version": "2.7.2 (compatible; Pleroma 2.9.0)", "max_toot_chars": 5000,
            "upload_limit": 1000, "description_limit": 99}))
        .unwrap();
        assert_eq!((it.limits.max_length, it.limits.max_image_bytes, it.limits.max_alt), (5000, 1000, 99));
        assert!(!it.limits.keeps_keys && !it.limits.counts_code_points);
    }

    #[test]
    fn nonsense_is_named_and_not_believed() {
        let (it, nonsense) = Instance::read(&json!({"version": "4.6.0",
            "configuration": {"statuses": {"max_characters": 0, "characters_reserved_per_url": "x"}}}))
        .unwrap();
        assert_eq!((it.limits.max_length, it.limits.url_length), (500, Some(23)));
        assert_eq!(nonsense.len(), 2, "{nonsense:?}");
        assert!(Instance::read(&json!({"error": "no"})).is_err());
        assert!(Instance::read(&json!([])).is_err());
    }
}
