//! Discourse's emoji images back to characters.

/// The character for `:code:` or `:code:t3:` (skin tones are t2 to t6); `None` for custom ones.
pub(super) fn from_code(code: &str) -> Option<&'static str> {
    let code = code.trim();
    if let Some(emoji) = emojis::get(code) {
        return Some(emoji.as_str());
    }
    let code = code.trim_matches(':');
    let (code, tone) = match code.rsplit_once(":t") {
        Some((name, tone)) => (name, tone.parse::<u8>().ok()),
        None => (code, None),
    };
    let emoji = named(code)?;
    let tone = match tone {
        Some(2) => emojis::SkinTone::Light,
        Some(3) => emojis::SkinTone::MediumLight,
        Some(4) => emojis::SkinTone::Medium,
        Some(5) => emojis::SkinTone::MediumDark,
        Some(6) => emojis::SkinTone::Dark,
        Some(_) | None => return Some(emoji.as_str()),
    };
    Some(emoji.with_skin_tone(tone).unwrap_or(emoji).as_str())
}

fn named(code: &str) -> Option<&'static emojis::Emoji> {
    if code.is_empty() || code.len() > 64 {
        return None;
    }
    // Where Discourse and the common short codes disagree.
    let code = match code {
        "slight_smile" => "slightly_smiling_face",
        "slight_frown" => "slightly_frowning_face",
        "hugging" | "hugging_face" => "hugs",
        "thinking_face" => "thinking",
        "party_popper" => "tada",
        "email" => "envelope",
        "rofl" | "rolling_on_the_floor_laughing" => "rofl",
        other => other,
    };
    emojis::get_by_shortcode(code).or_else(|| {
        let name = code.replace('_', " ");
        emojis::iter().find(|emoji| emoji.name().eq_ignore_ascii_case(&name))
    })
}
