//! The one integration-test binary: stories told through the whole program, in a loopback world.
mod promises_delivery;
mod story;
mod world;
