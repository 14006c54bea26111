//! A cluster inside one thread: virtual time, a seeded world, an in-memory network that loses, delays and cuts, disks that
//! forget what was not synced. The code that runs in it is the code that runs outside.
//!
//! Same seed, same run: tasks are polled in the order in which they were woken, time stands still until nothing can run,
//! and whatever is random comes from the seed.

pub mod cluster;
pub mod disk;
pub mod network;
pub mod world;
