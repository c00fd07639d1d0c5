//! The second pass over an XML feed: where its entries begin and end, and what feed-rs drops of them.
use std::collections::BTreeMap;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// No feed nests deeper; XHTML content in a parser that recurses could.
const MAX_DEPTH: usize = 200;
/// In bytes, of one remembered text.
const MAX_TEXT: usize = 4096;
/// Namespaces of prefixes that feeds use without declaring them.
const KNOWN_PREFIXES: [(&str, &str); 9] = [
    ("dc", "http://purl.org/dc/elements/1.1/"),
    ("content", "http://purl.org/rss/1.0/modules/content/"),
    ("media", "http://search.yahoo.com/mrss/"),
    ("itunes", "http://www.itunes.com/dtds/podcast-1.0.dtd"),
    ("atom", "http://www.w3.org/2005/Atom"),
    ("yt", "http://www.youtube.com/xml/schemas/2015"),
    ("discourse", "http://www.discourse.org/"),
    ("rdf", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"),
    ("xhtml", "http://www.w3.org/1999/xhtml"),
];

/// What an entry says that feed-rs does not hand on.
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    /// Of the whole element, in the text that was read.
    pub(super) range: Range<usize>,
    /// Of its children, with their local names: for further attempts without some of them.
    pub(super) children: Vec<(String, Range<usize>)>,
    /// `guid` or `id`, trimmed.
    pub(super) id: Option<String>,
    /// `guid isPermaLink="false"` was written.
    pub(super) not_permalink: bool,
    /// `yt:videoId`.
    pub(super) video: Option<String>,
    /// `dc:identifier`.
    pub(super) identifier: Option<String>,
    /// `itunes:author`: the persons of a talk.
    pub(super) persons: Option<String>,
    /// `itunes:duration`, which feed-rs drops where nothing else says anything of the file.
    pub(super) duration: Option<String>,
    /// `discourse:topicPinned`.
    pub(super) pinned: bool,
    /// Dates as written, under the names of their elements without prefix.
    pub(super) dates: BTreeMap<&'static str, String>,
}

/// How much of an entry an attempt reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// All of it.
    All,
    /// Not its authors, on which feed-rs 3.0.0 is reported to panic.
    NoAuthors,
    /// What it is, where, when, and what it says.
    Essence,
}

impl Keep {
    fn keeps(self, name: &str) -> bool {
        match self {
            Keep::All => true,
            Keep::NoAuthors => !matches!(name, "author" | "creator" | "contributor" | "person"),
            Keep::Essence => matches!(
                name,
                "title"
                    | "link"
                    | "guid"
                    | "id"
                    | "pubDate"
                    | "date"
                    | "published"
                    | "updated"
                    | "description"
                    | "summary"
                    | "encoded"
            ),
        }
    }
}

/// The skeleton of an XML feed.
#[derive(Debug, Clone, Default)]
pub(super) struct Outline {
    /// Local name of the root.
    pub(super) root: String,
    /// Entries in order.
    pub(super) entries: Vec<Extra>,
    /// Entries beyond the cap.
    pub(super) beyond: usize,
    /// Feed-level `yt:channelId`, as written.
    pub(super) channel: Option<String>,
    /// Feed-level `yt:playlistId`.
    pub(super) playlist: Option<String>,
    /// The root declares Discourse's namespace.
    pub(super) discourse: bool,
    /// Start tags that every entry stands in, with their namespaces.
    opening: String,
    closing: String,
}

impl Outline {
    /// A document of only the entry `at`, with as much of it as `keep` says: what is read when the whole cannot be.
    pub(super) fn alone(&self, text: &str, at: usize, keep: Keep) -> String {
        let extra = &self.entries[at];
        let mut out = self.opening.clone();
        let mut from = extra.range.start;
        for (_, range) in extra.children.iter().filter(|(name, _)| !keep.keeps(name)) {
            out.push_str(&text[from..range.start]);
            from = range.end;
        }
        out.push_str(&text[from..extra.range.end]);
        out.push_str(&self.closing);
        out
    }

    /// The document without its entries.
    pub(super) fn frame(&self, text: &str) -> String {
        let mut out = String::new();
        let mut from = 0;
        for extra in &self.entries {
            out.push_str(&text[from..extra.range.start]);
            from = extra.range.end;
        }
        out.push_str(&text[from..]);
        out
    }
}

/// Walks the repaired text. Returns it with a root tag that feed-rs understands.
///
/// # Errors
/// Where the XML itself is broken, with the line.
pub(super) fn outline(text: &str, max_entries: usize) -> Result<(String, Outline), String> {
    let (root, names) = first_look(text)?;
    let rewritten = rewrite_root(text, &root, &names);
    let outline = walk(&rewritten, max_entries)?;
    Ok((rewritten, outline))
}

struct Names {
    used: Vec<String>,
    declared: Vec<String>,
    /// Of elements without content that feed-rs refuses the whole document for, as `<media:description/>`, which
    /// YouTube writes for every video without a description.
    empty: Vec<Range<usize>>,
}

/// Elements that say as little when they are empty as when they are not there.
fn may_be_missing(name: &str) -> bool {
    matches!(
        local_of(name),
        "title"
            | "description"
            | "summary"
            | "subtitle"
            | "rights"
            | "text"
            | "credit"
            | "content"
            | "category"
            | "person"
    )
}

/// The root's start tag, and the prefixes that are used and declared. Also the proof that the XML is well-formed.
fn first_look(text: &str) -> Result<(Range<usize>, Names), String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().trim_markup_names_in_closing_tags = true;
    let mut names = Names { used: Vec::new(), declared: Vec::new(), empty: Vec::new() };
    let mut root = None;
    let mut depth = 0_usize;
    let mut opened: Option<usize> = None;
    loop {
        let before = at(reader.buffer_position());
        let event = reader.read_event().map_err(|e| told(text, at(reader.error_position()), &e.to_string()))?;
        let after = at(reader.buffer_position());
        match event {
            Event::Start(tag) => {
                if root.is_some() && depth == 0 {
                    return Err(told(text, before, "a second root element"));
                }
                root.get_or_insert(before..after);
                note(&tag, &mut names);
                let typed = tag.attributes_raw().contains("type");
                let bare = tag.attributes_raw().trim().is_empty()
                    || (typed && !matches!(local_of(name_of(&tag)), "content" | "category"));
                opened = (depth > 0 && bare && may_be_missing(name_of(&tag))).then_some(before);
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(told(text, before, &format!("elements nested deeper than {MAX_DEPTH}")));
                }
            }
            Event::Empty(tag) => {
                root.get_or_insert(before..after);
                note(&tag, &mut names);
                // `<category term="x"/>` and `<media:content url="x"/>` say it all in their attributes.
                if depth > 0 && tag.attributes_raw().trim().is_empty() && may_be_missing(name_of(&tag)) {
                    names.empty.push(before..after);
                }
                opened = None;
            }
            Event::End(_) => {
                names.empty.extend(opened.take().map(|start| start..after));
                depth -= 1;
            }
            Event::Eof => break,
            Event::Text(piece) if piece.xml10_content().trim().is_empty() => {}
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => opened = None,
        }
    }
    if depth > 0 {
        return Err(told(text, text.len(), "the document ends in the middle of an element"));
    }
    root.map(|root| (root, names)).ok_or_else(|| "no XML element in it".to_owned())
}

fn note(tag: &BytesStart<'_>, names: &mut Names) {
    // A hostile document may use a million prefixes; an honest one has a handful.
    const MOST: usize = 64;
    let mut push = |list: fn(&mut Names) -> &mut Vec<String>, prefix: &str| {
        let list = list(names);
        if list.len() < MOST && !list.iter().any(|known| known == prefix) {
            list.push(prefix.to_owned());
        }
    };
    if let Some((prefix, _)) = name_of(tag).split_once(':') {
        push(|n| &mut n.used, prefix);
    }
    for attribute in tag.html_attributes().with_checks(false).flatten() {
        let key: &str = attribute.key.as_ref();
        if let Some(prefix) = key.strip_prefix("xmlns:") {
            push(|n| &mut n.declared, prefix);
        } else if let Some((prefix, _)) = key.split_once(':') {
            push(|n| &mut n.used, prefix);
        }
    }
}

/// `<rss>` without a version, or with one nobody defined, is read as 2.0; Atom 0.3 as Atom; prefixes that were
/// forgotten are declared.
fn rewrite_root(text: &str, root: &Range<usize>, names: &Names) -> String {
    let tag = &text[root.clone()];
    let empty = tag.ends_with("/>");
    let inner = tag.trim_start_matches('<').trim_end_matches('>').trim_end_matches('/');
    let name = &inner[..inner.find(char::is_whitespace).unwrap_or(inner.len())];
    let start = BytesStart::from_content(inner, name.len());
    let is_rss = local_of(name) == "rss";
    let mut attributes = String::new();
    let mut put = |key: &str, value: &str| {
        let quote = if value.contains('"') { '\'' } else { '"' };
        attributes.push_str(&format!(" {key}={quote}{value}{quote}"));
    };
    for attribute in start.html_attributes().with_checks(false).flatten() {
        let (key, value): (&str, &str) = (attribute.key.as_ref(), attribute.value.as_ref());
        match (key, local_of(name)) {
            ("version", "rss") => {}
            // The namespaces of RSS 0.90, of Userland, of Atom 0.3: nobody means another language by them.
            ("xmlns", "rss") => {}
            ("xmlns", "RDF") => put("xmlns", "http://purl.org/rss/1.0/"),
            ("xmlns", "feed" | "entry") => put("xmlns", "http://www.w3.org/2005/Atom"),
            _ => put(key, value),
        }
    }
    if is_rss {
        let version = start.html_attributes().with_checks(false).flatten().find(|a| {
            let key: &str = a.key.as_ref();
            key == "version"
        });
        let known = version.as_ref().map(|v| v.value.as_ref()).filter(|v| matches!(*v, "0.91" | "0.92"));
        put("version", known.unwrap_or("2.0"));
    }
    for prefix in names.used.iter().filter(|p| *p != "xml" && *p != "xmlns" && !names.declared.contains(*p)) {
        let namespace = KNOWN_PREFIXES
            .iter()
            .find(|(known, _)| known == prefix)
            .map_or_else(|| format!("urn:undeclared:{prefix}"), |(_, namespace)| (*namespace).to_owned());
        attributes.push_str(&format!(" xmlns:{prefix}='{namespace}'"));
    }
    let end = if empty { "/>" } else { ">" };
    let mut out = [&text[..root.start], "<", name, &attributes, end].concat();
    let mut from = root.end;
    for empty in &names.empty {
        out.push_str(&text[from..empty.start]);
        // Line numbers of later complaints stay right.
        out.extend(text[empty.clone()].chars().filter(|c| *c == '\n'));
        from = empty.end;
    }
    out.push_str(&text[from..]);
    out
}

fn walk(text: &str, max_entries: usize) -> Result<Outline, String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().trim_markup_names_in_closing_tags = true;
    reader.config_mut().expand_empty_elements = true;
    let mut outline = Outline::default();
    let mut depth = 0_usize;
    // Depth at which entries stand: below the channel in RSS 2.0, below the root elsewhere.
    let mut entry_depth = 2;
    let mut entry: Option<Extra> = None;
    let mut field: Option<(String, usize, String)> = None;
    loop {
        let before = at(reader.buffer_position());
        let event = reader.read_event().map_err(|e| told(text, at(reader.error_position()), &e.to_string()))?;
        let after = at(reader.buffer_position());
        match event {
            Event::Start(tag) => {
                depth += 1;
                let name = name_of(&tag).to_owned();
                let local = local_of(&name);
                if depth == 1 {
                    outline.root = local.to_owned();
                    outline.discourse = tag.attributes_raw().contains("http://www.discourse.org/");
                    outline.opening.push_str(&text[before..after]);
                    outline.closing = format!("</{name}>");
                    match local {
                        "rss" => entry_depth = 3,
                        "entry" => entry_depth = 1,
                        _ => {}
                    }
                } else if depth == 2 && entry_depth == 3 && local == "channel" && outline.entries.is_empty() {
                    outline.opening.push_str(&text[before..after]);
                    outline.closing = format!("</{name}>{}", outline.closing);
                }
                if depth == entry_depth && matches!(local, "item" | "entry") && entry.is_none() {
                    let about = tag.html_attributes().with_checks(false).flatten().find(|a| {
                        let key: &str = a.key.as_ref();
                        key == "rdf:about" || key == "about"
                    });
                    entry = Some(Extra {
                        range: before..before,
                        id: about
                            .and_then(|a| quick_xml::escape::unescape(&a.value).ok().map(|v| v.trim().to_owned()))
                            .filter(|v| !v.is_empty()),
                        ..Extra::default()
                    });
                } else if let Some(extra) = &mut entry
                    && depth == entry_depth + 1
                {
                    extra.children.push((local.to_owned(), before..before));
                    if local == "guid" {
                        extra.not_permalink = tag.html_attributes().with_checks(false).flatten().any(|a| {
                            let key: &str = a.key.as_ref();
                            key.eq_ignore_ascii_case("isPermaLink") && a.value.trim().eq_ignore_ascii_case("false")
                        });
                    }
                    field = Some((name, depth, String::new()));
                } else if entry.is_none() && (2..=entry_depth).contains(&depth) && name.starts_with("yt:") {
                    field = Some((name, depth, String::new()));
                }
            }
            Event::End(_) => {
                if let Some((name, at_depth, value)) = field.take() {
                    if at_depth == depth {
                        let value = value.trim();
                        if !value.is_empty() {
                            keep(&mut outline, entry.as_mut(), &name, value);
                        }
                    } else {
                        field = Some((name, at_depth, value));
                    }
                }
                if let Some(extra) = &mut entry {
                    if depth == entry_depth + 1
                        && let Some((_, child)) = extra.children.last_mut()
                        && child.start == child.end
                    {
                        child.end = after;
                    }
                    if depth == entry_depth {
                        extra.range.end = after;
                        if outline.entries.len() < max_entries {
                            outline.entries.extend(entry.take());
                        } else {
                            outline.beyond += 1;
                            entry = None;
                        }
                    }
                }
                depth = depth.saturating_sub(1);
            }
            Event::Text(piece) => append(&mut field, &piece.xml10_content()),
            Event::CData(piece) => append(&mut field, &piece.xml10_content()),
            Event::GeneralRef(reference) => {
                let c = match reference.resolve_char_ref() {
                    Ok(Some(c)) => Some(c.to_string()),
                    Ok(None) | Err(_) => {
                        quick_xml::escape::resolve_predefined_entity(&reference.xml10_content()).map(str::to_owned)
                    }
                };
                append(&mut field, c.as_deref().unwrap_or_default());
            }
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if entry_depth == 1 {
        // A lone entry is its own document.
        outline.opening.clear();
        outline.closing.clear();
    }
    Ok(outline)
}

fn append(field: &mut Option<(String, usize, String)>, piece: &str) {
    if let Some((_, _, text)) = field
        && text.len() + piece.len() <= MAX_TEXT
    {
        text.push_str(piece);
    }
}

fn keep(outline: &mut Outline, entry: Option<&mut Extra>, name: &str, value: &str) {
    let value = value.to_owned();
    let Some(extra) = entry else {
        match name {
            "yt:channelId" => outline.channel = Some(value),
            "yt:playlistId" => outline.playlist = Some(value),
            _ => {}
        }
        return;
    };
    match name {
        "yt:videoId" => extra.video = Some(value),
        "dc:identifier" => extra.identifier = Some(value),
        "itunes:duration" => extra.duration = Some(value),
        "itunes:author" => extra.persons = Some(value),
        "discourse:topicPinned" => extra.pinned = value.eq_ignore_ascii_case("yes"),
        _ => match local_of(name) {
            "guid" | "id" => extra.id = Some(value),
            "pubDate" | "date" | "published" | "issued" | "created" => {
                extra.dates.entry("published").or_insert(value);
            }
            "updated" | "modified" => {
                extra.dates.entry("updated").or_insert(value);
            }
            _ => {}
        },
    }
}

fn name_of<'a>(tag: &'a BytesStart<'_>) -> &'a str {
    tag.name().into_inner()
}

fn local_of(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn at(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

fn told(text: &str, position: usize, what: &str) -> String {
    let line = 1 + text.as_bytes().iter().take(position).filter(|b| **b == b'\n').count();
    format!("broken XML in line {line}: {}", crate::source::reason(what))
}
