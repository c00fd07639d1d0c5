//! The one integration-test binary: stories told through the whole program, in a loopback world.
mod command_line;
mod kill;
mod program;
mod story;
mod world;
