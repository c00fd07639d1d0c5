//! What a rule sees of an item.
use std::collections::BTreeSet;

use minijinja::context;
use minijinja::value::Value;

use crate::item::{Author, Found, Image};

/// As much of the text as a rule sees. Forums end posts at 32,000 characters unless told otherwise.
pub const TEXT_BYTES: usize = 64 * 1024;
/// As much of a title, a tag or a name as a rule sees.
pub const NAME_BYTES: usize = 1024;
/// As many tags, or hosts, as a rule sees.
pub const LIST: usize = 200;

/// What a rule may ask about, in the order of the manual.
pub const FIELDS: [&str; 11] =
    ["source", "kind", "category", "tags", "author", "trust_level", "staff", "title", "text", "hosts", "has_image"];

/// What the rules may ask about one item: bounded copies of what its source shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    source: String,
    kind: String,
    category: Option<String>,
    tags: Vec<String>,
    author: Option<String>,
    trust_level: Option<u8>,
    staff: bool,
    title: String,
    text: String,
    hosts: Vec<String>,
    has_image: bool,
    /// Something did not fit.
    pub(super) cut: bool,
}

impl Fields {
    /// The fields of an item of `kind` as it was found at `source`.
    pub fn new(found: &Found, source: &str, kind: &str) -> Self {
        let mut cut = false;
        let mut bounded = |text: &str, bytes: usize| {
            let start = crate::text::cut(text, bytes);
            cut |= start.len() < text.len();
            start.to_owned()
        };
        let author = found.author.as_ref();
        let name =
            author.map(|author| author.username.as_deref().unwrap_or(&author.name)).filter(|name| !name.is_empty());
        let mut seen = BTreeSet::new();
        let hosts = found.links.iter().filter_map(|link| {
            let url = url::Url::parse(link).ok()?;
            let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
            let host = host.strip_prefix("www.").unwrap_or(&host).to_owned();
            seen.insert(host.clone()).then_some(host)
        });
        let hosts: Vec<String> = hosts.take(LIST + 1).map(|host| bounded(&host, NAME_BYTES)).collect();
        let tags: Vec<String> = found.tags.iter().take(LIST + 1).map(|tag| bounded(tag, NAME_BYTES)).collect();
        let mut fields = Fields {
            source: source.to_owned(),
            kind: kind.to_owned(),
            category: found.category.as_deref().map(|category| bounded(category, NAME_BYTES)),
            tags,
            author: name.map(|name| bounded(name, NAME_BYTES)),
            trust_level: author.and_then(|author| author.trust_level),
            staff: author.is_some_and(|author| author.staff),
            title: bounded(&found.title, NAME_BYTES),
            text: bounded(&found.text, TEXT_BYTES),
            hosts,
            has_image: !found.images.is_empty(),
            cut,
        };
        for list in [&mut fields.tags, &mut fields.hosts] {
            fields.cut |= list.len() > LIST;
            list.truncate(LIST);
        }
        fields
    }

    /// The same, under the names of [`FIELDS`].
    pub(super) fn values(&self) -> Value {
        context! {
            source => self.source.as_str(),
            kind => self.kind.as_str(),
            category => self.category.as_deref(),
            tags => self.tags.clone(),
            author => self.author.as_deref(),
            trust_level => self.trust_level.map(u32::from),
            staff => self.staff,
            title => self.title.as_str(),
            text => self.text.as_str(),
            hosts => self.hosts.clone(),
            has_image => self.has_image,
        }
    }

    /// Two items on which each rule is tried when it is read: one with everything, one with as little as there can be.
    pub(super) fn samples() -> [Fields; 2] {
        let author =
            Author { name: "Ida".to_owned(), username: Some("ida".to_owned()), trust_level: Some(2), staff: true };
        let full = Found {
            title: "Nix 2.40 released".to_owned(),
            text: "It is out.".to_owned(),
            author: Some(author),
            links: vec!["https://nixos.org/".to_owned()],
            images: vec![Image::default()],
            tags: vec!["release".to_owned()],
            category: Some("announcements".to_owned()),
            ..Found::default()
        };
        [Fields::new(&full, "announcements", "announcement"), Fields::new(&Found::default(), "talks", "talk")]
    }
}
