//! Which items a person means: numbers, lists, ranges, and the address of the topic or video.
use url::Url;

use super::{Desk, Failure, MOST_ITEMS, missing};
use crate::item::{Item, Number};

impl Desk {
    pub(super) fn must(&self, number: Number) -> Result<Item, Failure> {
        self.store.item(number)?.ok_or_else(|| missing(number))
    }

    pub(super) fn one(&self, selector: &str) -> Result<Number, Failure> {
        let numbers = self.several(&[selector.to_owned()])?;
        match numbers.as_slice() {
            [number] => Ok(*number),
            _ => {
                Err(Failure::usage("name one item", Some("a number such as `42`, or the address of the topic".into())))
            }
        }
    }

    /// Numbers, lists, ranges and addresses to numbers, in order, without repeats. A range passes over numbers that do
    /// not exist, a number named by itself must.
    pub(super) fn several(&self, selectors: &[String]) -> Result<Vec<Number>, Failure> {
        let mut numbers = Vec::new();
        for selector in selectors {
            if selector.contains("://") {
                numbers.push(self.by_address(selector)?);
                continue;
            }
            for part in selector.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                let number = |text: &str| text.trim().trim_start_matches('#').parse::<Number>();
                let bad = || {
                    Failure::usage(
                        format!("`{part}` names no item"),
                        Some("write a number, a list `42,50`, a range `50-61`, or the address of the topic".into()),
                    )
                };
                match part.split_once('-') {
                    Some((from, to)) => {
                        let from = number(from).map_err(|_| bad())?;
                        let to = number(to).map_err(|_| bad())?;
                        if to < from {
                            return Err(bad());
                        }
                        if to - from >= MOST_ITEMS as u64 {
                            return Err(Failure::usage(format!("a range of more than {MOST_ITEMS} items"), None));
                        }
                        let before = numbers.len();
                        for number in from..=to {
                            if self.store.item(number)?.is_some() {
                                numbers.push(number);
                            }
                        }
                        if numbers.len() == before {
                            return Err(Failure::nothing(format!("there is no item from {from} to {to}")));
                        }
                    }
                    None => {
                        let number = number(part).map_err(|_| bad())?;
                        self.must(number)?;
                        numbers.push(number);
                    }
                }
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        numbers.retain(|number| seen.insert(*number));
        if numbers.is_empty() {
            return Err(Failure::usage("no item was named", None));
        }
        Ok(numbers)
    }

    pub(super) fn by_address(&self, address: &str) -> Result<Number, Failure> {
        let url: Url =
            address.parse().map_err(|error| Failure::usage(format!("`{address}` is not an address: {error}"), None))?;
        for key in crate::link::identity_keys(&url) {
            if let Some(number) = self.store.by_key(&key)? {
                return Ok(number);
            }
        }
        Err(Failure::nothing(format!("no item came from `{address}`")))
    }
}
