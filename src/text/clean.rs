//! Removes what a reader cannot see and a trickster can use.
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Marks on one letter. Vietnamese, Thai and vocalised Hebrew need up to four; stacks above this only smear a timeline.
const MAX_MARKS: usize = 6;

/// NFC without control characters, bidi controls and invisible characters. Line feeds stay; a tab is a space. ZWJ and
/// variation selectors stay inside emoji, ZWJ and ZWNJ where the script needs them.
pub fn clean(text: &str) -> String {
    // Dropping comes first: a mark behind something invisible belongs to the letter before, and NFC then joins the two.
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let before = out.chars().next_back();
        if is_combining_mark(c) && !is_selector(c) {
            marks += 1;
            if marks > MAX_MARKS {
                continue;
            }
        } else if !is_joiner(c) && !is_selector(c) {
            marks = 0;
        }
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\t' | '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{2800}' | '\u{3000}' => out.push(' '),
            _ if c.is_control() => {}
            '\u{200c}' | '\u{200d}' => {
                let after = chars.peek().copied();
                let in_script = before.is_some_and(needs_joiners) && after.is_some_and(needs_joiners);
                let in_emoji = c == '\u{200d}' && ends_with_emoji(&out) && after.is_some_and(is_emoji);
                if in_script || in_emoji {
                    out.push(c);
                }
            }
            '\u{fe0e}' | '\u{fe0f}' => {
                if before.is_some_and(|b| is_emoji(b) || b.is_ascii_digit() || b == '#' || b == '*') {
                    out.push(c);
                }
            }
            // Variants of ideographs (names!) and of Mongolian letters; a row of them would be a hidden message.
            '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => {
                if before.is_some_and(is_ideograph) {
                    out.push(c);
                }
            }
            // The tags of a flag of a region, and nowhere else.
            '\u{e0020}'..='\u{e007f}' => {
                if before.is_some_and(|b| b == '\u{1f3f4}' || ('\u{e0020}'..='\u{e007e}').contains(&b)) {
                    out.push(c);
                }
            }
            _ if is_invisible(c) => {}
            _ => out.push(c),
        }
    }
    out.nfc().collect()
}

/// One line: white space folded, control characters and bidi tricks removed.
pub fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Bidi controls, zero-width characters, fillers and other characters that take no place on the screen.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe03}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || matches!(u32::from(c) & 0xffff, 0xfffe | 0xffff)
        || ('\u{fdd0}'..='\u{fdef}').contains(&c)
}

fn ends_with_emoji(text: &str) -> bool {
    text.chars().rev().find(|c| !is_selector(*c) && !is_combining_mark(*c)).is_some_and(is_emoji)
}

/// Roughly: what may be a part of an emoji besides digits. Too wide is harmless, it only keeps a joiner.
pub(crate) fn is_emoji(c: char) -> bool {
    matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{20e3}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{24c2}' | '\u{25a0}'..='\u{27bf}'
        | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{2fdf}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Scripts that are written wrongly without ZWJ or ZWNJ: Arabic and Persian, Syriac, N'Ko, the Indic ones, Tibetan,
/// Myanmar, Khmer, Mongolian.
fn needs_joiners(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{f00}'..='\u{109f}' | '\u{1780}'..='\u{18af}'
        | '\u{a8e0}'..='\u{a8ff}' | '\u{fb50}'..='\u{fdcf}' | '\u{fe70}'..='\u{fefc}' | '\u{11000}'..='\u{11fff}')
}
