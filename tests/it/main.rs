//! The one integration-test binary: stories told through the whole program, in a loopback world.
mod corpus;
mod docs;
mod purity;
mod real_input;
mod story;
mod world;
