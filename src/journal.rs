//! The append-only record of everything that happened, chained so that no entry can be changed, removed, inserted or
//! moved without notice (promise 9). Pure: the store keeps what is made here.
//!
//! An [`Entry`] holds *facts* and is covered by the chain for ever. The *words* beside it (the actor's name, a reason, a
//! text, and every detail that is not plainly a fact) are covered by salted digests only, so that `oyez forget` can
//! erase them while the chain still verifies. Each word has its own salt, which is erased with it: a digest without its
//! salt cannot be searched for a guessed name.
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::item::Number;

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        unhex(text).map(Self).ok_or_else(|| format!("`{text}` is not a SHA-256 digest in hexadecimal digits"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Random bytes that keep a digest from being guessed.
pub type Salt = [u8; 16];

/// What happened, as it is handed in. Everything a person wrote belongs into `actor`, `reason` or `text`.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// To which item, if to one.
    pub item: Option<Number>,
    /// The item's revision after it.
    pub rev: Option<u64>,
    /// `web:NAME`, `cli:USER`, `matrix:@ID`, `forum:NAME`, or `oyez`.
    pub actor: String,
    /// One word of the program's own (`seen`, `held`, `veto`, `sent`…): static, so that no private word can get here.
    pub what: &'static str,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// A text that belongs to it: what was edited, what was sent.
    pub text: Option<String>,
    /// An object. Numbers, times and the program's own words stay as facts; all else can be erased.
    pub detail: Value,
}

/// The part of an entry that is never erased.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// 1, 2, 3… without gaps.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The item it is about.
    pub item: Option<Number>,
    /// The item's revision after it: a stored item behind this one was rolled back.
    pub rev: Option<u64>,
    /// One word of the program's own.
    pub what: String,
    /// Facts only, see [`Happening::detail`].
    pub detail: Value,
    /// Digest of the actor's name.
    pub actor: Digest,
    /// Digest of the reason, if one was given.
    pub reason: Option<Digest>,
    /// Digest of the text, if there is one.
    pub text: Option<Digest>,
    /// Digest of the details that could be somebody's words.
    pub aside: Option<Digest>,
    /// The hash of the entry before; all zeros for the first.
    pub prev: Digest,
    /// Over all of the above.
    pub hash: Digest,
}

/// A word that can be erased, with the salt of its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    salt: String,
    word: String,
}

impl Word {
    fn new(salt: &Salt, field: &str, word: String) -> (Digest, Self) {
        // The salt as handed in is thrown away: each word gets one derived from it, to be erased with the word alone.
        let own = Digest::of(&[salt.as_slice(), field.as_bytes()].concat());
        let word = Self { salt: hex(&own.0[..16]), word };
        (word.digest(), word)
    }

    fn digest(&self) -> Digest {
        Digest::of(&[self.salt.as_bytes(), self.word.as_bytes()].concat())
    }

    /// The word itself.
    pub fn as_str(&self) -> &str {
        &self.word
    }
}

/// What stands beside an entry and can be erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Who. `None`: erased.
    pub actor: Option<Word>,
    /// Why. `None`: none given, or erased.
    pub reason: Option<Word>,
    /// The text. `None`: none, or erased.
    pub text: Option<Word>,
    /// Details that could be somebody's words, as a JSON object. `None`: none, or erased.
    pub aside: Option<Word>,
}

impl Words {
    /// Erases what belongs to the item and its author: text, reason, details, and the author's name where the author
    /// was the actor (`forum:`). The names of the team stay: every action has a name.
    pub fn erase(&mut self) {
        self.reason = None;
        self.text = None;
        self.aside = None;
        if self.actor.as_ref().is_some_and(|actor| actor.word.starts_with("forum:")) {
            self.actor = None;
        }
    }
}

/// An entry with the words that are left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The facts.
    pub entry: Entry,
    /// The words.
    pub words: Words,
}

impl Recorded {
    /// Who did it; `forgotten` where the name was erased.
    pub fn actor(&self) -> &str {
        self.words.actor.as_ref().map_or("forgotten", Word::as_str)
    }

    /// Why, if a reason was given and is still there.
    pub fn reason(&self) -> Option<&str> {
        self.words.reason.as_ref().map(Word::as_str)
    }

    /// The text, if there was one and it is still there.
    pub fn text(&self) -> Option<&str> {
        self.words.text.as_ref().map(Word::as_str)
    }

    /// The object of `oyez log --json`.
    pub fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        if let Value::Object(detail) = self.detail() {
            object.extend(detail);
        }
        let own = serde_json::json!({
            "seq": self.entry.seq,
            "at": self.entry.at,
            "item": self.entry.item,
            "actor": self.actor(),
            "what": self.entry.what,
            "reason": self.reason(),
            "text": self.text(),
        });
        if let Value::Object(own) = own {
            object.extend(own);
        }
        Value::Object(object)
    }

    /// All details that are left, facts and words, as one object.
    pub fn detail(&self) -> Value {
        let mut all = self.entry.detail.clone();
        let aside = self.words.aside.as_ref().and_then(|word| serde_json::from_str(&word.word).ok());
        if let (Value::Object(all), Some(Value::Object(aside))) = (&mut all, aside) {
            all.extend(aside);
        }
        all
    }
}

/// The end of the chain: what the next entry hangs on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the last entry; 0: none yet.
    pub seq: u64,
    /// Its hash; zeros: none yet.
    pub hash: Digest,
}

impl Head {
    /// Makes the entry that follows, and moves on to it. `salt` must be fresh random bytes.
    pub fn append(&mut self, happening: Happening, salt: &Salt) -> Recorded {
        let Happening { at, item, rev, actor, what, reason, text, detail } = happening;
        let (facts, aside) = sort_out(detail);
        let aside = (!aside.is_empty()).then(|| Value::Object(aside).to_string());
        let word = |field: &str, word: Option<String>| word.map(|word| Word::new(salt, field, word)).unzip();
        let (actor_digest, actor) = Word::new(salt, "actor", actor);
        let (reason_digest, reason) = word("reason", reason);
        let (text_digest, text) = word("text", text);
        let (aside_digest, aside) = word("aside", aside);
        let mut entry = Entry {
            seq: self.seq + 1,
            at,
            item,
            rev,
            what: what.to_owned(),
            detail: Value::Object(facts),
            actor: actor_digest,
            reason: reason_digest,
            text: text_digest,
            aside: aside_digest,
            prev: self.hash,
            hash: Digest::default(),
        };
        entry.hash = entry.computed_hash();
        *self = Self { seq: entry.seq, hash: entry.hash };
        Recorded { entry, words: Words { actor: Some(actor), reason, text, aside } }
    }

    /// Does this entry follow, unaltered? Moves on to it if so.
    pub fn follow(&mut self, recorded: &Recorded) -> Result<(), Broken> {
        let Recorded { entry, words } = recorded;
        let broken = |why: &str| Err(Broken { seq: entry.seq, why: why.to_owned() });
        if entry.seq != self.seq + 1 {
            return Err(Broken {
                seq: self.seq + 1,
                why: format!("expected entry {}, found entry {}", self.seq + 1, entry.seq),
            });
        }
        if entry.prev != self.hash {
            return broken("it does not hang on the entry before it");
        }
        if entry.hash != entry.computed_hash() {
            return broken("its facts were altered");
        }
        let fields = [
            ("actor", &words.actor, Some(entry.actor)),
            ("reason", &words.reason, entry.reason),
            ("text", &words.text, entry.text),
            ("details", &words.aside, entry.aside),
        ];
        for (name, word, digest) in fields {
            if word.as_ref().is_some_and(|word| Some(word.digest()) != digest) {
                return broken(&format!("its {name} is not what was recorded"));
            }
        }
        *self = Self { seq: entry.seq, hash: entry.hash };
        Ok(())
    }
}

impl Entry {
    /// Over a canonical encoding in which every field has its length before it, so that no two entries look alike.
    fn computed_hash(&self) -> Digest {
        let mut out = Canonical::default();
        out.bytes(b"oyez journal 1");
        out.number(Some(self.seq));
        out.bytes(&self.at.as_nanosecond().to_be_bytes());
        out.number(self.item);
        out.number(self.rev);
        out.bytes(self.what.as_bytes());
        out.value(&self.detail);
        out.digest(Some(self.actor));
        out.digest(self.reason);
        out.digest(self.text);
        out.digest(self.aside);
        out.digest(Some(self.prev));
        Digest::of(&out.0)
    }
}

/// What a check of the whole journal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many entries there are.
    pub entries: u64,
    /// The hash of the last one. Written down elsewhere, it proves later that nothing was cut off the end.
    pub head: Digest,
}

/// Where and how the journal is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("journal entry {seq}: {why}")]
pub struct Broken {
    /// The first entry that is wrong, missing, or could not be read.
    pub seq: u64,
    /// What is wrong with it.
    pub why: String,
}

/// Checks a whole journal from its first entry. What was cut off the end only a remembered head can tell.
pub fn verify<'a>(journal: impl IntoIterator<Item = &'a Recorded>) -> Result<Verified, Broken> {
    let mut head = Head::default();
    for recorded in journal {
        head.follow(recorded)?;
    }
    Ok(Verified { entries: head.seq, head: head.hash })
}

/// Names of details whose texts are the program's or the operator's own words. A text under any other name is shown just
/// the same but can be erased; so a detail that nobody thought of is on the safe side.
const OWN_WORDS: [&str; 14] = [
    "account", "accounts", "because", "from", "kind", "platform", "rule", "source", "sources", "state", "states", "to",
    "verdict", "version",
];

/// Parts the details that can only be facts from those that could be somebody's words. Addresses often spell out a
/// title, so they count as words.
fn sort_out(detail: Value) -> (serde_json::Map<String, Value>, serde_json::Map<String, Value>) {
    let mut facts = serde_json::Map::new();
    let mut words = serde_json::Map::new();
    match detail {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let value = settle_numbers(value);
                if OWN_WORDS.contains(&name.as_str()) || is_fact(&value) {
                    facts.insert(name, value);
                } else {
                    words.insert(name, value);
                }
            }
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            words.insert("detail".to_owned(), settle_numbers(other));
        }
    }
    (facts, words)
}

/// Numbers, truth values and times, whatever they are called.
fn is_fact(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.parse::<Timestamp>().is_ok(),
        Value::Array(values) => values.iter().all(is_fact),
        // The names of its fields would be kept too.
        Value::Object(_) => false,
    }
}

/// A fraction is kept as text: read back from JSON it might differ in its last bit, and the hash with it.
fn settle_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::String(number.to_string()),
        Value::Array(values) => values.into_iter().map(settle_numbers).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, settle_numbers(value))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

/// Bytes in which every field has its kind and length before it.
#[derive(Default)]
struct Canonical(Vec<u8>);

impl Canonical {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.bytes(&number.to_be_bytes()),
            None => self.bytes(b""),
        }
    }

    fn digest(&mut self, digest: Option<Digest>) {
        match digest {
            Some(digest) => self.bytes(&digest.0),
            None => self.bytes(b""),
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(b"null"),
            Value::Bool(yes) => self.bytes(if *yes { b"true" } else { b"false" }),
            Value::Number(number) => {
                self.bytes(b"number");
                self.bytes(number.to_string().as_bytes());
            }
            Value::String(text) => {
                self.bytes(b"text");
                self.bytes(text.as_bytes());
            }
            Value::Array(values) => {
                self.bytes(b"list");
                self.number(Some(values.len() as u64));
                values.iter().for_each(|value| self.value(value));
            }
            Value::Object(fields) => {
                // Sorted here: whether the JSON library keeps them sorted depends on who else asks it to.
                let sorted: BTreeMap<_, _> = fields.iter().collect();
                self.bytes(b"object");
                self.number(Some(sorted.len() as u64));
                for (name, value) in sorted {
                    self.bytes(name.as_bytes());
                    self.value(value);
                }
            }
        }
    }
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; 32];
    for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn happening(n: i64) -> Happening {
        Happening {
            at: Timestamp::from_second(1_800_000_000 + n).unwrap(),
            item: Some(42),
            rev: Some(n as u64),
            actor: "forum:eve".into(),
            what: "veto",
            reason: Some("not yet".into()),
            text: Some("Release 1.4".into()),
            detail: json!({"account": "mastodon", "url": "https://example.org/a-title", "attempts": n}),
        }
    }

    fn journal(length: i64) -> Vec<Recorded> {
        let mut head = Head::default();
        (0..length).map(|n| head.append(happening(n), &[n as u8; 16])).collect()
    }

    /// Alters the JSON of the third of five entries and expects the chain to break.
    #[track_caller]
    fn check_altered(pointer: &str, value: Value) {
        let mut journal = journal(5);
        let mut json = serde_json::to_value(&journal[2]).unwrap();
        let place = json.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in an entry"));
        assert_ne!(*place, value, "the test must change {pointer}");
        *place = value;
        journal[2] = serde_json::from_value(json).unwrap();
        assert!(verify(&journal).is_err(), "{pointer} was altered and nobody noticed");
    }

    #[test]
    fn promise_09_each_altered_field_is_noticed() {
        let zeros = json!("0".repeat(64));
        check_altered("/entry/seq", json!(4));
        check_altered("/entry/at", json!("2030-01-01T00:00:00Z"));
        check_altered("/entry/item", json!(43));
        check_altered("/entry/item", Value::Null);
        check_altered("/entry/rev", json!(7));
        check_altered("/entry/what", json!("approve"));
        check_altered("/entry/detail", json!({"account": "x", "attempts": 2}));
        check_altered("/entry/detail", json!({"account": "mastodon"}));
        check_altered("/entry/actor", zeros.clone());
        check_altered("/entry/reason", zeros.clone());
        check_altered("/entry/reason", Value::Null);
        check_altered("/entry/text", zeros.clone());
        check_altered("/entry/aside", zeros.clone());
        check_altered("/entry/prev", zeros.clone());
        check_altered("/entry/hash", zeros);
        check_altered("/words/actor/word", json!("web:alice"));
        check_altered("/words/actor/salt", json!("00"));
        check_altered("/words/reason/word", json!("fine"));
        check_altered("/words/text/word", json!("Release 1.5"));
        check_altered("/words/aside/word", json!("{}"));
    }

    #[test]
    fn promise_09_removal_insertion_and_reordering_are_noticed() {
        let whole = journal(5);
        assert_eq!(verify(&whole), Ok(Verified { entries: 5, head: whole[4].entry.hash }));
        for gone in 0..4 {
            let mut cut = whole.clone();
            cut.remove(gone);
            assert_eq!(verify(&cut).unwrap_err().seq, gone as u64 + 1);
        }
        let mut twice = whole.clone();
        twice.insert(2, whole[1].clone());
        assert!(verify(&twice).is_err());
        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        assert!(verify(&swapped).is_err());
        // A forger who renumbers still has to find a hash.
        let mut renumbered = whole;
        renumbered.remove(1);
        for (at, recorded) in renumbered.iter_mut().enumerate() {
            recorded.entry.seq = at as u64 + 1;
            recorded.entry.hash = recorded.entry.computed_hash();
        }
        assert!(verify(&renumbered).is_err());
    }

    #[test]
    fn promise_09_an_added_word_is_noticed() {
        let mut head = Head::default();
        let mut recorded = head.append(Happening { reason: None, ..happening(1) }, &[7; 16]);
        recorded.words.reason = Some(Word { salt: "0".into(), word: "because I say so".into() });
        assert!(verify([&recorded]).is_err());
    }

    #[test]
    fn promise_09_erased_words_leave_a_chain_that_verifies() {
        let mut journal = journal(3);
        journal[1].words.erase();
        let json = serde_json::to_string(&journal[1]).unwrap();
        for word in ["eve", "not yet", "Release", "a-title", "salt"] {
            assert!(!json.contains(word), "`{word}` is still in {json}");
        }
        assert_eq!(journal[1].actor(), "forgotten");
        assert_eq!(verify(&journal).unwrap().entries, 3);
    }

    #[test]
    fn erasing_keeps_the_team_members_name() {
        let mut head = Head::default();
        let mut recorded = head.append(Happening { actor: "web:alice".into(), ..happening(1) }, &[7; 16]);
        recorded.words.erase();
        assert_eq!(recorded.actor(), "web:alice");
        assert_eq!(verify([&recorded]).unwrap().entries, 1);
    }

    #[track_caller]
    fn check_facts(detail: Value, facts: Value) {
        let mut head = Head::default();
        let recorded = head.append(Happening { detail: detail.clone(), ..happening(1) }, &[7; 16]);
        assert_eq!(recorded.entry.detail, facts);
    }

    #[test]
    fn only_facts_are_kept_for_ever() {
        check_facts(json!({"account": "mastodon", "attempts": 3}), json!({"account": "mastodon", "attempts": 3}));
        check_facts(json!({"until": "2026-11-23T18:00:00Z"}), json!({"until": "2026-11-23T18:00:00Z"}));
        check_facts(json!({"title": "Eve leaves us"}), json!({}));
        check_facts(json!({"url": "https://example.org/eve-leaves"}), json!({}));
        check_facts(
            json!({"because": "no job offers", "rule": "'jobs' in tags"}),
            json!({"because": "no job offers", "rule": "'jobs' in tags"}),
        );
        check_facts(json!({"author": "eve"}), json!({}));
        check_facts(json!({"ratio": 0.5, "age": 5}), json!({"age": 5}));
        check_facts(json!("anything"), json!({}));
        check_facts(Value::Null, json!({}));
        check_facts(json!({"accounts": ["a", "b"]}), json!({"accounts": ["a", "b"]}));
    }

    #[test]
    fn what_is_read_back_is_whole() {
        let recorded = &journal(2)[1];
        assert_eq!(
            recorded.detail(),
            json!({"account": "mastodon", "url": "https://example.org/a-title", "attempts": 1})
        );
        assert_eq!(
            (recorded.actor(), recorded.reason(), recorded.text()),
            ("forum:eve", Some("not yet"), Some("Release 1.4"))
        );
    }

    proptest! {
        /// Whatever is written, it verifies after a way through JSON, and two different actors never share a digest.
        #[test]
        fn any_journal_verifies_after_json(
            notes in prop::collection::vec((".*", prop::option::of(".*"), any::<i32>(), any::<f64>()), 1..8)
        ) {
            let mut head = Head::default();
            let journal: Vec<_> = notes.into_iter().enumerate().map(|(n, (actor, reason, second, number))| {
                let recorded = head.append(Happening {
                    at: Timestamp::from_second(i64::from(second)).unwrap(),
                    detail: json!({"n": number, "actor": actor}),
                    actor, reason, ..happening(1)
                }, &[n as u8; 16]);
                serde_json::from_str::<Recorded>(&serde_json::to_string(&recorded).unwrap()).unwrap()
            }).collect();
            prop_assert!(verify(&journal).is_ok());
        }
    }
}
