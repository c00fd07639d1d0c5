//! Oyez hears what a community announces on its own forum and video channels, words it for each social network, waits
//! long enough for the team to object, and then says it aloud, once.
//!
//! One item's journey, which is also the order of the modules:
//! 1. [`poll`] asks a [`source`] what it shows; a new [`item`] is recorded (first contact only records).
//! 2. [`policy`] accepts it, ignores it, or asks for an explicit approval, with the rule's reason.
//! 3. [`render`] words one post for each account from a template, fitted to the limit as [`count`] counts it.
//! 4. [`hold`] says when it settled, when the veto window ends, and which slot each account has.
//! 5. [`acts`] is what the team may do meanwhile; [`life`] is the only way from one state to another.
//! 6. [`deliver`] reads the origin again, claims the delivery in the [`store`], and lets a [`platform`] publish it;
//!    [`outbox`] decides what an answer, or a lost one, means.
//! 7. [`journal`] is every arrow of the way, chained.
pub mod acts;
pub mod app;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod count;
pub mod deliver;
pub mod demo;
pub mod guard;
pub mod hold;
pub mod http;
pub mod item;
pub mod journal;
pub mod life;
pub mod link;
pub mod linker;
pub mod metrics;
pub mod mirrors;
mod opened;
pub mod outbox;
pub mod plan;
pub mod platform;
pub mod policy;
pub mod poll;
pub mod pretend;
pub mod progress;
pub mod render;
pub mod schedule;
pub mod socket;
pub mod source;
pub mod store;
pub mod suffix;
pub mod text;
pub mod web;
pub mod wording;
