//! Images on their way from a poster's address to the account's server.
use std::panic::{AssertUnwindSafe, catch_unwind};

use unicode_segmentation::UnicodeSegmentation;

use super::instance::Instance;

/// Memory one image may take, whatever the server would accept.
const MAX_IMAGE_BYTES: u64 = 32 * 1024 * 1024;

/// An image the server can be expected to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) bytes: Vec<u8>,
    pub(super) mime: &'static str,
    pub(super) file_name: &'static str,
}

/// How many bytes to fetch at most.
pub(super) fn max_bytes(instance: &Instance) -> usize {
    usize::try_from(instance.limits.max_image_bytes.min(MAX_IMAGE_BYTES)).unwrap_or(usize::MAX)
}

/// Believes the bytes, not what was said about them. `Err`: why it cannot be attached.
pub(super) fn look_at(bytes: Vec<u8>, instance: &Instance) -> Result<Picture, String> {
    if bytes.len() as u64 > instance.limits.max_image_bytes {
        return Err(format!("it has {} bytes, the server takes {}", bytes.len(), instance.limits.max_image_bytes));
    }
    let (mime, file_name) = sniff(&bytes).ok_or("it is no image of a known kind")?;
    if !instance.image_types.iter().any(|t| t == mime) {
        return Err(format!("the server takes no {mime}"));
    }
    // The parser reads a stranger's bytes: should it panic, that is an image that cannot be measured.
    let size = catch_unwind(AssertUnwindSafe(|| imagesize::blob_size(&bytes)))
        .map_err(|_| "its size cannot be read")?
        .map_err(|e| format!("its size cannot be read: {e}"))?;
    let pixels = (size.width as u64).saturating_mul(size.height as u64);
    if pixels == 0 {
        return Err("it has no pixels".into());
    }
    if pixels > instance.limits.max_image_pixels {
        return Err(format!("it has {pixels} pixels, the server takes {}", instance.limits.max_image_pixels));
    }
    Ok(Picture { bytes, mime, file_name })
}

fn sniff(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(("image/png", "image.png"))
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some(("image/jpeg", "image.jpg"))
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some(("image/gif", "image.gif"))
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(("image/webp", "image.webp"))
    } else if bytes.get(4..12) == Some(b"ftypavif") || bytes.get(4..12) == Some(b"ftypavis") {
        Some(("image/avif", "image.avif"))
    } else {
        None
    }
}

/// Alt text within the server's limit, counted in code points (never fewer than its characters), cut between
/// grapheme clusters.
pub(super) fn fit_alt(alt: &str, max: usize) -> String {
    if alt.chars().count() <= max {
        return alt.to_owned();
    }
    let mut out = String::new();
    let mut left = max.saturating_sub(1);
    for grapheme in alt.graphemes(true) {
        let n = grapheme.chars().count();
        if n > left {
            break;
        }
        left -= n;
        out.push_str(grapheme);
    }
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The head of a PNG of that size: as much of it as anybody measures.
    pub(in super::super) fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[track_caller]
    fn check(bytes: Vec<u8>, want: Result<&str, &str>) {
        let got = look_at(bytes, &Instance::default()).map(|p| p.mime);
        assert_eq!(got.as_ref().map(|m| *m).map_err(String::as_str), want);
    }

    #[test]
    fn bytes_decide_what_an_image_is() {
        check(png(640, 480), Ok("image/png"));
        check(png(100_000, 100_000), Err("it has 10000000000 pixels, the server takes 33177600"));
        check(png(0, 10), Err("it has no pixels"));
        check(b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), Err("it is no image of a known kind"));
        check(b"GIF89a\x10\0\x10\0\0\0\0;".to_vec(), Ok("image/gif"));
        check(b"\0\0\0\x1cftypavif".to_vec(), Err("the server takes no image/avif"));
        check(Vec::new(), Err("it is no image of a known kind"));
        assert!(look_at(b"\xff\xd8\xff".to_vec(), &Instance::default()).is_err());
        assert!(look_at(vec![0; 20_000_000], &Instance::default()).unwrap_err().contains("20000000 bytes"));
    }

    #[test]
    fn alt_text_is_cut_between_graphemes() {
        assert_eq!(fit_alt("abc", 3), "abc");
        assert_eq!(fit_alt("abcd", 3), "ab…");
        assert_eq!(fit_alt("a👩‍👩‍👧b", 4), "a…");
        assert_eq!(fit_alt("abcd", 0), "…");
    }
}
