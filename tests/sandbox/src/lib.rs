//! To come.

pub mod modules;
