//! The one integration-test binary: stories told through the whole program, in a loopback world.
mod docs;
mod story;
mod world;
