//! What the program `arsenal` is made of: configuration, assembly, shutdown, the command line.
//!
//! The top assembles the parts' configurations before any port is bound; nothing below reads a file or a variable.

pub mod assembly;
pub mod cli;
mod cluster;
pub mod config;
pub mod dynamic;
mod gateway;
mod grpc;
mod health;
mod listener;
mod memory;
mod metrics;
mod parting;
mod ports;
mod probes;
mod rest;
mod shutdown;
pub mod standalone;
pub mod telemetry;
