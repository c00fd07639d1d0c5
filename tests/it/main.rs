//! The one integration-test binary: stories told through the whole program, in a loopback world.
mod command_line;
mod corpus;
mod deploy;
mod docs;
mod health;
mod kill;
mod links;
mod program;
mod promises_delivery;
mod promises_posters;
mod promises_sources;
mod purity;
mod real_input;
mod secrets;
mod site;
mod story;
mod world;
