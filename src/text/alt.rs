//! Is an alt text one?

/// In characters. Longer than any platform takes; each cuts to its own limit.
const MAX_ALT: usize = 5000;

/// The alt text if somebody wrote it for readers. Discourse fills in the file name, the size or the word "image".
pub(super) fn real(alt: &str) -> Option<String> {
    // `name|690x388` is Discourse's Markdown for a size; cooking removes it, feeds do not always.
    let alt = super::one_line(alt.split('|').next().unwrap_or_default());
    let lower = alt.to_lowercase();
    let letters = lower.chars().filter(|c| c.is_alphabetic()).count();
    let words = lower.split_whitespace().count();
    let is_word = matches!(
        lower.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_whitespace() || c == '(' || c == ')'),
        "image"
            | "img"
            | "picture"
            | "photo"
            | "screenshot"
            | "screen shot"
            | "bild"
            | "thumbnail"
            | "logo"
            | "icon"
            | "untitled"
            | "unknown"
            | "grafik"
            | "upload"
            | "pasted image"
            | "clipboard"
            | "unnamed"
            | "imagen"
            | "foto"
    );
    let extension = lower.rsplit_once('.').map(|(_, ext)| ext);
    let is_file = matches!(
        extension,
        Some("png" | "jpg" | "jpeg" | "gif" | "webp" | "avif" | "svg" | "heic" | "bmp" | "tiff" | "tif" | "jxl")
    );
    let is_size = letters <= 1 && lower.chars().any(|c| c.is_ascii_digit());
    // `IMG_2041`, `Screenshot_20240501`, a digest, `nixos-logo-lores`: one word with digits or separators.
    let is_id = words == 1
        && (lower.contains('_') || lower.matches('-').count() >= 2 || lower.chars().any(|c| c.is_ascii_digit()));
    let is_shot = (lower.starts_with("screenshot from ")
        || lower.starts_with("screen shot ")
        || lower.starts_with("screenshot "))
        && lower.chars().filter(char::is_ascii_digit).count() >= 6;
    if letters == 0 || is_word || is_file || is_size || is_id || is_shot || lower.contains("://") {
        return None;
    }
    Some(alt.chars().take(MAX_ALT).collect())
}
