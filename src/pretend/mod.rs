//! A forum, channels and a Mastodon on loopback, with switches for their faults: the demo's world, and the tests'.
pub mod forum;
pub mod mastodon;
pub mod video;
