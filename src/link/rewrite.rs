//! From a link as it was written to the link that is posted: stripped, unwrapped, opened, in its canonical form, and
//! every step explained (links.md 0).
//!
//! Pure: what only the network knows (where a shortener leads) is asked of [`Context::opened`]; where that does not know,
//! the rewriter says what to open ([`Rewrite::unopened`]) and is asked again with the answer.
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::gate::{self, Gate};
use super::rules::{Encoding, OnHost, Rules, Unwrap};
use super::youtube;
use crate::suffix;

/// Passes of the loop: an honest chain of wrappers and shorteners is shorter.
const MAX_PASSES: usize = 8;
/// Shorteners opened for one link (links.md 4.2).
pub const MAX_HOPS: usize = 5;
/// Times a target may be percent-encoded.
const MAX_DECODING: usize = 3;

/// What a step did. The words of `oyez link --json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Dropped parameters that only track.
    Strip,
    /// Took the target out of a wrapper that carries it.
    Unwrap,
    /// Asked a shortener.
    Expand,
    /// Another address of the same page.
    Canonical,
    /// Another place of the same video.
    Mirror,
}

impl StepKind {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            StepKind::Strip => "strip",
            StepKind::Unwrap => "unwrap",
            StepKind::Expand => "expand",
            StepKind::Canonical => "canonical",
            StepKind::Mirror => "mirror",
        }
    }
}

/// One change of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was done.
    pub kind: StepKind,
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
    /// The reason and, in brackets, the rule, in words for the team.
    pub why: String,
}

/// What became of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// As it was given.
    pub input: String,
    /// What may be posted; `None`: see `refused`.
    pub output: Option<String>,
    /// Why nothing may be posted.
    pub refused: Option<String>,
    /// How `input` became `output`, in order.
    pub steps: Vec<Step>,
    /// What a person should look at: an odd host, a wrapper whose target is refused, a shortener that was not opened.
    #[serde(default)]
    pub flags: Vec<String>,
    /// `output` is a wrapper, and why what it carries is refused: a person must look before it is posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conceals: Option<String>,
    /// A shortener that is still to be opened: `output` is it, and must not be posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unopened: Option<String>,
}

impl Rewrite {
    /// May `output` stand in a post?
    pub fn is_ready(&self) -> bool {
        self.output.is_some() && self.unopened.is_none()
    }
}

/// What a shortener answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Opened {
    /// It leads there. Not judged yet.
    To(String),
    /// It does not say, and why, in words for the team.
    Nowhere(String),
}

/// What the rewriter is told besides the link.
pub struct Context<'c> {
    /// Who may be linked to.
    pub gate: &'c Gate,
    /// Hosts whose links are never touched (`links.keep`), as written there: a host counts for all below it.
    pub keep: &'c [String],
    /// A person wants this very link as it was written.
    pub kept: bool,
    /// The sites the link was found on: a `ref=` that names one of them only says where the reader clicked.
    pub referrers: &'c [String],
    /// What is known of a shortener.
    pub opened: &'c dyn Fn(&str) -> Option<Opened>,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("keep", &self.keep).field("referrers", &self.referrers).finish_non_exhaustive()
    }
}

/// Never heard of any shortener: for rewriting offline.
pub fn nothing_opened(_: &str) -> Option<Opened> {
    None
}

/// The work on one link.
struct Work<'r, 'c> {
    rules: &'r Rules,
    context: &'c Context<'c>,
    steps: Vec<Step>,
    flags: Vec<String>,
    conceals: Option<String>,
}

impl Rules {
    /// What becomes of a link.
    pub fn rewrite(&self, input: &str, context: &Context<'_>) -> Rewrite {
        let mut work = Work { rules: self, context, steps: Vec::new(), flags: Vec::new(), conceals: None };
        let result = work.run(input);
        let Work { steps, flags, conceals, .. } = work;
        let (output, refused, unopened) = match result {
            Ok((output, unopened)) => (Some(output), None, unopened),
            Err(refused) => (None, Some(refused), None),
        };
        Rewrite { input: input.to_owned(), output, refused, steps, flags, conceals, unopened }
    }

    /// May a shortener's answer be a page that names the target?
    pub fn may_answer_pages(&self, url: &Url) -> bool {
        host_of(url).is_some_and(|host| self.on_host(&host).expand.is_some_and(|expand| expand.meta))
    }

    /// Is this a shortener's short link, by the rules? No post leaves with one.
    pub fn is_short(&self, url: &Url) -> bool {
        let Some(host) = host_of(url) else { return false };
        let on = self.on_host(&host);
        on.refuse.is_some_and(|refuse| refuse.place.matches(url)) || on.leave.is_none() && is_expandable(&on, url)
    }
}

impl Rules {
    /// Is it a known shortener's short link, or a wrapper that carries one?
    pub fn hides_short(&self, url: &Url, gate: &Gate) -> bool {
        let context = Context { gate, keep: &[], kept: false, referrers: &[], opened: &nothing_opened };
        self.is_short(url) || self.rewrite(url.as_str(), &context).unopened.is_some()
    }
}

/// The host in the rules' writing.
fn host_of(url: &Url) -> Option<String> {
    match url.host()? {
        Host::Domain(name) => Some(name.strip_suffix('.').unwrap_or(name).to_owned()),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

fn is_expandable(on: &OnHost<'_>, url: &Url) -> bool {
    url.path().len() > 1 && on.expand.is_some_and(|expand| expand.place.matches(url))
}

impl Work<'_, '_> {
    fn run(&mut self, input: &str) -> Result<(String, Option<String>), String> {
        let trimmed = input.trim();
        if trimmed.len() > gate::MAX_URL_BYTES {
            return Err(format!("it is longer than {} bytes", gate::MAX_URL_BYTES));
        }
        if trimmed.contains(char::REPLACEMENT_CHARACTER) {
            return Err("some of its bytes were lost on the way".to_owned());
        }
        let parsed = Url::parse(trimmed).map_err(|error| format!("it is not an address: {error}"))?;
        if gate::passes_through(parsed.scheme()) {
            return Ok((trimmed.to_owned(), None));
        }
        self.flags.extend(gate::disguise(trimmed, &parsed));
        self.context.gate.judge(&parsed)?;
        let mut url = parsed.clone();
        standard_form(&mut url);
        if url.as_str() != trimmed {
            self.step(StepKind::Canonical, trimmed, url.as_str(), "the same address in its standard form".to_owned());
        }
        if self.is_kept(&url) {
            // Also the one that a wrapper carries: whoever follows the link goes through it.
            return match self.rules.hides_short(&url, self.context.gate) {
                true => Err("it is a link shortener's, and those are not posted".to_owned()),
                false => Ok((url.into(), None)),
            };
        }
        let mut seen: Vec<String> = Vec::new();
        let mut hops = 0;
        let mut passes = 0;
        loop {
            if seen.iter().any(|known| known == url.as_str()) {
                break;
            }
            passes += 1;
            if passes > MAX_PASSES {
                return Err(format!(
                    "it does not come to rest: it leads through more than {MAX_PASSES} other addresses"
                ));
            }
            seen.push(url.as_str().to_owned());
            let Some(host) = host_of(&url) else { break };
            let on = self.rules.on_host(&host);
            if let Some(refuse) = on.refuse.filter(|refuse| refuse.place.matches(&url)) {
                return Err(format!("{host} {}", refuse.why));
            }
            let expand = on.expand.filter(|_| on.leave.is_none() && is_expandable(&on, &url));
            // Its site checks every byte of a signed address. What it carries is somebody else's.
            let is_signed = self.is_signed(&url);
            let may_strip = !is_signed && expand.is_none_or(|expand| expand.strip);
            if may_strip && let Some((stripped, why)) = self.strip(&url, &on) {
                self.step(StepKind::Strip, url.as_str(), stripped.as_str(), why);
                url = stripped;
            }
            if let Some(target) = self.unwrap(&mut url, &on) {
                url = target;
                continue;
            }
            if let Some(expand) = expand {
                match (self.context.opened)(url.as_str()) {
                    None => {
                        self.flags.push(format!("{host} is {}, and was not opened", expand.why));
                        return Ok((url.as_str().to_owned(), Some(url.into())));
                    }
                    Some(Opened::Nowhere(why)) => {
                        return Err(format!("{host} is {}, and does not say where it leads: {why}", expand.why));
                    }
                    Some(Opened::To(target)) => {
                        hops += 1;
                        if hops > MAX_HOPS {
                            return Err(format!("it leads through more than {MAX_HOPS} link shorteners"));
                        }
                        let target = self.target_of(&target, &url)?;
                        let why = format!("{host} is {} (rule {})", expand.why, expand.id);
                        self.step(StepKind::Expand, url.as_str(), target.as_str(), why);
                        url = target;
                        continue;
                    }
                }
            }
            if !is_signed && let Some((canonical, why)) = canonical(&url, &on) {
                self.step(StepKind::Canonical, url.as_str(), canonical.as_str(), why);
                url = canonical;
                continue;
            }
            break;
        }
        // A chain that does not come to rest must not end on a shortener.
        if self.rules.is_short(&url) {
            return Err("it leads in a circle of link shorteners".to_owned());
        }
        self.context.gate.judge(&url)?;
        if let Some(odd) = gate::odd_host(&url)
            && !self.flags.contains(&odd)
        {
            self.flags.push(odd);
        }
        Ok((url.into(), None))
    }

    fn step(&mut self, kind: StepKind, from: &str, to: &str, why: String) {
        self.steps.push(Step { kind, from: from.to_owned(), to: to.to_owned(), why });
    }

    fn is_kept(&self, url: &Url) -> bool {
        if self.context.kept {
            return true;
        }
        let Some(host) = host_of(url) else { return false };
        self.context.keep.iter().any(|kept| {
            let kept = kept.trim_end_matches('.');
            host.eq_ignore_ascii_case(kept)
                || host.len() > kept.len()
                    && host.as_bytes()[host.len() - kept.len() - 1] == b'.'
                    && host[host.len() - kept.len()..].eq_ignore_ascii_case(kept)
        })
    }

    /// What a shortener led to, if a reader may be sent there.
    fn target_of(&mut self, target: &str, short: &Url) -> Result<Url, String> {
        let host = short.host_str().unwrap_or_default();
        let mut url = short.join(target).map_err(|error| format!("{host} leads to no address: {error}"))?;
        if url.fragment().is_none() {
            url.set_fragment(short.fragment());
        }
        self.flags.extend(gate::disguise(target, &url));
        self.context
            .gate
            .judge(&url)
            .map_err(|refused| format!("{host} leads to an address that is refused: {refused}"))?;
        standard_form(&mut url);
        let on = host_of(&url).map(|host| self.rules.on_host(&host)).unwrap_or_default();
        if let Some(landing) = on.landings.iter().find(|landing| landing.place.matches(&url)) {
            return Err(format!("{host} leads to {}", landing.why));
        }
        if short.scheme() == "https" && url.scheme() == "http" {
            self.flags.push(format!("{host} leads from https to http"));
        }
        Ok(url)
    }

    /// Does a parameter sign the address, or grant access to what is there?
    fn is_signed(&self, url: &Url) -> bool {
        let signs = |pair: &str| {
            let raw = pair.split_once('=').map_or(pair, |(name, _)| name);
            let name = percent_encoding::percent_decode_str(raw).decode_utf8_lossy();
            self.rules.is_signature(&name.to_lowercase())
        };
        url.query().is_some_and(|query| query.split('&').any(signs))
    }

    /// Without the parameters that only track, and why.
    fn strip(&self, url: &Url, on: &OnHost<'_>) -> Option<(Url, String)> {
        let fragment = url.fragment().filter(|fragment| is_list_of_pairs(fragment));
        let has_cut = on.strips.iter().any(|(_, strip)| strip.cut_path.is_some());
        if url.query().is_none() && fragment.is_none() && !has_cut {
            return None;
        }
        let mut kept: Vec<&super::rules::Names> = Vec::new();
        for keep in on.keeps.iter().filter(|keep| keep.place.matches(url)) {
            if keep.names.is_empty() {
                return None;
            }
            kept.push(&keep.names);
        }
        let foreign = self.rules.foreign.as_ref().filter(|_| url.query().is_some()).map(|file| file.on(url.as_str()));
        let mut dropped: Vec<Dropped> = Vec::new();
        let mut drops = |pair: &str| -> bool {
            let (raw, value) = pair.split_once('=').unwrap_or((pair, ""));
            let mut buffer = [0; 64];
            let long;
            let name = match lower(raw, &mut buffer) {
                Some(name) => name,
                None => {
                    long = percent_decoded(raw).unwrap_or_else(|| raw.to_owned()).to_lowercase();
                    &long
                }
            };
            if name.is_empty() || kept.iter().any(|names| names.rule(name).is_some()) {
                return false;
            }
            let rule = self.rules.global(name).or_else(|| {
                let counts = |strip: &super::rules::Strip| {
                    strip.names.rule(name).is_some()
                        && strip.place.matches(url)
                        && (!strip.own_host || self.is_own_value(value, url))
                };
                on.strips.iter().find(|(_, strip)| counts(strip)).map(|&(index, _)| index)
            });
            let by = match rule {
                Some(index) => By::Own(index),
                None => {
                    let providers = foreign.iter().flatten();
                    match providers.into_iter().find(|provider| provider.drops(name)) {
                        Some(provider) => By::Foreign(provider.provider.clone()),
                        None => return false,
                    }
                }
            };
            dropped.push(Dropped { name: raw.to_owned(), by });
            true
        };
        let query = url.query().map(|query| without(query, &mut drops));
        let fragment = fragment.map(|fragment| without(fragment, &mut drops));
        let mut cut: Option<(String, u16)> = None;
        for (index, strip) in &on.strips {
            if let Some(regex) = strip.cut_path.as_ref().and_then(super::rules::Pattern::regex)
                && strip.place.matches(url)
                && regex.is_match(url.path())
            {
                cut = Some((regex.replace_all(url.path(), "").into_owned(), *index));
            }
        }
        if dropped.is_empty() && cut.is_none() {
            return None;
        }
        let mut stripped = url.clone();
        if let Some(Some(query)) = query {
            stripped.set_query((!query.is_empty()).then_some(&query));
        }
        if let Some(Some(fragment)) = fragment {
            stripped.set_fragment((!fragment.is_empty()).then_some(&fragment));
        }
        if let Some((path, index)) = cut {
            stripped.set_path(if path.is_empty() { "/" } else { &path });
            dropped.push(Dropped { name: "a part of the path".to_owned(), by: By::Own(index) });
        }
        Some((stripped, self.reasons(&dropped)))
    }

    /// Does a value name the page's own host, or a site the link was found on?
    fn is_own_value(&self, value: &str, url: &Url) -> bool {
        let value = percent_decoded(value).unwrap_or_default();
        let value = value.trim_end_matches('/');
        let named = value.split_once("://").map_or(value, |(_, rest)| rest).to_lowercase();
        let named = named.strip_prefix("www.").unwrap_or(&named);
        let is =
            |host: &str| !named.is_empty() && host.strip_prefix("www.").unwrap_or(host).eq_ignore_ascii_case(named);
        host_of(url).is_some_and(|host| is(&host)) || self.context.referrers.iter().any(|host| is(host))
    }

    /// "`utm_source`, `utm_medium`: campaign tags (rule utm)".
    fn reasons(&self, dropped: &[Dropped]) -> String {
        let mut reasons: Vec<(&By, Vec<&str>)> = Vec::new();
        for one in dropped {
            match reasons.iter_mut().find(|(by, _)| **by == one.by) {
                Some((_, names)) if names.contains(&one.name.as_str()) => {}
                Some((_, names)) => names.push(&one.name),
                None => reasons.push((&one.by, vec![&one.name])),
            }
        }
        let words = reasons.into_iter().map(|(by, names)| {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let names = names.join(", ");
            match by {
                By::Own(index) => {
                    let rule = self.rules.strip(*index);
                    format!("{names}: {} (rule {})", rule.why, rule.id)
                }
                By::Foreign(provider) => format!("{names}: tracks by ClearURLs' provider {provider}"),
            }
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// The target of a wrapper; a wrapper whose target is refused stays, and is flagged.
    fn unwrap(&mut self, url: &mut Url, on: &OnHost<'_>) -> Option<Url> {
        for rule in on.unwraps.iter().filter(|rule| rule.place.matches(url)) {
            let Some(written) = written_target(url, rule) else { continue };
            match self.judged_target(&written, url, rule) {
                Ok(mut target) => {
                    standard_form(&mut target);
                    self.conceals = None;
                    let why = format!("{} (rule {})", rule.why, rule.id);
                    self.step(StepKind::Unwrap, url.as_str(), target.as_str(), why);
                    if !rule.also_strip.is_empty()
                        && let Some(query) = target.query()
                    {
                        let mut gone: Vec<String> = Vec::new();
                        let left = without(query, &mut |pair: &str| {
                            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
                            let drops = rule.also_strip.rule(&name.to_lowercase()).is_some();
                            if drops {
                                gone.push(format!("`{name}`"));
                            }
                            drops
                        });
                        if let Some(left) = left {
                            let before = target.as_str().to_owned();
                            target.set_query((!left.is_empty()).then_some(&left));
                            let why = format!("{}: added by the wrapper (rule {})", gone.join(", "), rule.id);
                            self.step(StepKind::Strip, &before, target.as_str(), why);
                        }
                    }
                    return Some(target);
                }
                Err(Some(flag)) => {
                    self.conceals = Some(flag.clone());
                    if !self.flags.contains(&flag) {
                        self.flags.push(flag);
                    }
                }
                Err(None) => {}
            }
        }
        None
    }

    /// The checks of links.md 1.6. `Err(None)`: it is no target at all.
    fn judged_target(&self, written: &str, wrapper: &Url, rule: &Unwrap) -> Result<Url, Option<String>> {
        let target = Url::parse(written).map_err(|_| None)?;
        let flag = |why: &str| Some(format!("it carries `{}`, which {why}", short(written)));
        match target.scheme() {
            "http" | "https" => {}
            "javascript" | "data" | "file" | "vbscript" | "blob" | "about" => {
                return Err(flag("is no address of a page"));
            }
            _ => return Err(None),
        }
        if !target.username().is_empty() || target.password().is_some() {
            return Err(flag("holds a user name or password"));
        }
        let Some(host) = host_of(&target) else { return Err(flag("is an address in numbers")) };
        if gate::naive_host(written).is_none_or(|naive| !gate::is_same_host(&naive, &host)) {
            return Err(flag("hides its host"));
        }
        self.context.gate.judge(&target).map_err(|refused| flag(&format!("is refused: {refused}")))?;
        let (Some(site), wrapper_host) = (suffix::site(&host), host_of(wrapper)) else {
            return Err(flag("is no site's"));
        };
        let wrapper_site = wrapper_host.as_deref().and_then(suffix::site);
        if !rule.same_site && wrapper_site == Some(site) {
            return Err(None);
        }
        Ok(target)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum By {
    Own(u16),
    Foreign(String),
}

struct Dropped {
    name: String,
    by: By,
}

/// RFC 3986 6.2.2 is the parser's; the root dot and an empty `?` or `#` are ours.
fn standard_form(url: &mut Url) {
    if let Some(Host::Domain(name)) = url.host()
        && let Some(bare) = name.strip_suffix('.')
    {
        let bare = bare.to_owned();
        // A name that is only a dot stays and is refused.
        let _ = url.set_host(Some(&bare));
    }
    if url.query() == Some("") {
        url.set_query(None);
    }
    if url.fragment() == Some("") {
        url.set_fragment(None);
    }
}

/// `k=v&k=v`, and no route of a program in the browser and no text fragment.
fn is_list_of_pairs(fragment: &str) -> bool {
    !fragment.is_empty()
        && !fragment.contains('/')
        && !fragment.contains(":~:")
        && fragment.split('&').all(|pair| pair.split_once('=').is_some_and(|(name, _)| !name.is_empty()))
}

/// The pairs that stay, byte for byte; `None` where all do.
fn without(pairs: &str, drops: &mut impl FnMut(&str) -> bool) -> Option<String> {
    let mut left = String::with_capacity(pairs.len());
    let mut any = false;
    let mut before_was_dropped = false;
    let mut is_first = true;
    for pair in pairs.split('&') {
        // A value with a bare `&` in it goes on behind it: nobody calls a parameter " va.".
        let is_rest = before_was_dropped && !pair.contains('=') && (pair.starts_with("%20") || pair.starts_with('+'));
        if is_rest || !pair.is_empty() && drops(pair) {
            any = true;
            before_was_dropped = true;
            continue;
        }
        before_was_dropped = false;
        if !is_first {
            left.push('&');
        }
        is_first = false;
        left.push_str(pair);
    }
    if !any {
        return None;
    }
    if left.bytes().all(|b| b == b'&') {
        left.clear();
    }
    Some(left)
}

/// A short plain name in lower case, without an allocation.
fn lower<'b>(name: &str, buffer: &'b mut [u8; 64]) -> Option<&'b str> {
    if name.len() > buffer.len() || !name.bytes().all(|b| b.is_ascii() && b != b'%' && b != b'+') {
        return None;
    }
    let buffer = &mut buffer[..name.len()];
    buffer.copy_from_slice(name.as_bytes());
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}

/// `None` where the bytes are no UTF-8. A plus stays one.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Does it begin with `http://` or `https://`?
pub(crate) fn has_web_scheme(text: &str) -> bool {
    ["http://", "https://"].iter().any(|s| text.get(..s.len()).is_some_and(|start| start.eq_ignore_ascii_case(s)))
}

fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    !scheme.is_empty()
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-'))
}

/// The target as the wrapper carries it, decoded, with a scheme; `None` where there is none.
fn written_target(url: &Url, rule: &Unwrap) -> Option<String> {
    if let Some(regex) = rule.rest.as_ref().and_then(super::rules::Pattern::regex) {
        let captures = regex.captures(&url[url::Position::BeforePath..])?;
        if let Some(template) = &rule.to {
            let mut target = String::new();
            captures.expand(template, &mut target);
            return Some(target);
        }
        return decoded(captures.get(1)?.as_str(), rule);
    }
    // An address that stands bare in the query of its wrapper has its own fragment behind it.
    let query = url.query()?;
    rule.params.iter().find_map(|param| {
        query.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let is_it = name == param || percent_decoded(name).is_some_and(|name| name == *param);
            // A value is encoded once by those who write the query: Google's editors leave `https://` as it is, and
            // encode what follows.
            let once = match rule.encoding {
                // There it is decoded before it is cut.
                Encoding::Percent if rule.cut_after_last.is_some() => value.to_owned(),
                Encoding::Percent => percent_decoded(value)?,
                Encoding::Base64url | Encoding::Base64urlAfterA1 | Encoding::ProofpointV2 | Encoding::ProofpointV3 => {
                    value.to_owned()
                }
            };
            is_it.then(|| decoded(&once, rule)).flatten()
        })
    })
}

fn decoded(written: &str, rule: &Unwrap) -> Option<String> {
    let mut text = match rule.encoding {
        Encoding::Percent => written.to_owned(),
        Encoding::Base64url => base64(written)?,
        Encoding::Base64urlAfterA1 => base64(written.strip_prefix("a1")?)?,
        Encoding::ProofpointV2 => percent_decoded(&written.replace('_', "/").replace('-', "%"))?,
        Encoding::ProofpointV3 => proofpoint_v3(written)?,
    };
    if let Some(mark) = &rule.cut_after_last {
        text = percent_decoded(&text)?;
        if let Some(at) = text.rfind(mark.as_str()).filter(|at| *at > "https:".len()) {
            text.truncate(at);
        }
    }
    for _ in 0..MAX_DECODING {
        if has_web_scheme(&text) {
            return Some(text);
        }
        if !text.contains('%') {
            break;
        }
        // What stands bare before its first slash is a host already.
        if rule.scheme.is_some() && text.split('/').next().is_some_and(|host| host.contains('.') && !host.contains('%'))
        {
            break;
        }
        text = percent_decoded(&text)?;
    }
    if has_web_scheme(&text) {
        return Some(text);
    }
    // `https:/x` is what some gateways make of two slashes.
    if let Some(rest) = text.strip_prefix("https:/").filter(|rest| !rest.starts_with('/')) {
        return Some(format!("https://{rest}"));
    }
    let scheme = rule.scheme.as_deref()?;
    let bare = text.trim_start_matches('/');
    (!has_scheme(bare) && bare.contains('.')).then(|| format!("{scheme}://{bare}"))
}

/// base64url or base64, padded or not, to text.
fn base64(text: &str) -> Option<String> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let text = percent_decoded(text)?;
    let alphabet = if text.contains(['+', '/']) { base64::alphabet::STANDARD } else { base64::alphabet::URL_SAFE };
    let bytes = GeneralPurpose::new(&alphabet, LENIENT).decode(text.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

/// `URL__;BYTES`: each `*` of the address stands for the next byte, and `**X` for a run of them.
fn proofpoint_v3(written: &str) -> Option<String> {
    const RUNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (address, bytes) = written.rsplit_once("__;")?;
    let engine = GeneralPurpose::new(
        &base64::alphabet::URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let replaced = String::from_utf8(engine.decode(bytes).ok()?).ok()?;
    let mut replaced = replaced.chars();
    let mut target = String::with_capacity(address.len());
    let mut chars = address.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '*' {
            target.push(c);
            continue;
        }
        if chars.peek() == Some(&'*') {
            chars.next();
            let code = chars.next()?;
            let run = RUNS.iter().position(|&r| char::from(r) == code)? + 2;
            target.extend(replaced.by_ref().take(run));
        } else {
            target.push(replaced.next()?);
        }
    }
    // Some gateways fold the two slashes behind the scheme.
    for scheme in ["https:/", "http:/"] {
        if let Some(rest) = target.strip_prefix(scheme).filter(|rest| !rest.starts_with('/')) {
            return Some(format!("{scheme}/{rest}"));
        }
    }
    Some(target)
}

/// The canonical form of a site's own addresses, and why.
fn canonical(url: &Url, on: &OnHost<'_>) -> Option<(Url, String)> {
    if let Some(video) = youtube::canonical(url).filter(|video| video != url) {
        return Some((video, "the usual address of a YouTube video (rule youtube)".to_owned()));
    }
    for rule in &on.canonicals {
        let changed = if let Some(regex) = rule.rest.as_ref().and_then(super::rules::Pattern::regex) {
            regex.captures(&url[url::Position::BeforePath..]).and_then(|captures| {
                let mut target = String::new();
                captures.expand(rule.to.as_deref()?, &mut target);
                Url::parse(&target).ok()
            })
        } else if let Some(host) = &rule.host {
            with_host(url, host)
        } else if let Some(label) = &rule.drop_label {
            let host = host_of(url)?;
            let labels: Vec<&str> = host.split('.').filter(|part| part != label).collect();
            (labels.len() >= 2).then(|| with_host(url, &labels.join("."))).flatten()
        } else {
            None
        };
        if let Some(changed) = changed.filter(|changed| changed != url) {
            return Some((changed, format!("{} (rule {})", rule.why, rule.id)));
        }
    }
    if url.scheme() == "http"
        && url.port().is_none()
        && let Some(secure) = on.secure
    {
        let mut changed = url.clone();
        changed.set_scheme("https").ok()?;
        return Some((changed, format!("{} (rule known-https)", secure.why)));
    }
    None
}

fn with_host(url: &Url, host: &str) -> Option<Url> {
    let mut changed = url.clone();
    changed.set_host(Some(host)).ok()?;
    Some(changed)
}

/// For messages.
fn short(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
