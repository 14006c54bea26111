//! The program `arsenal`.

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    arsenal_server::cli::run(arsenal_server::cli::Arguments::parse())
}
