//! The one integration-test binary: stories told through the whole program, in a loopback world.
mod docs;
mod promises_posters;
mod promises_sources;
mod site;
mod story;
mod world;
