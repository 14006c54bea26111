//! Compiles the echo service: its code, and its descriptor set as protox encodes it, with the options that make the
//! routes.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

/// Where `google/api/annotations.proto` is.
const CONTRACT: &str = "../../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?);
    let mut compiler = protox::Compiler::new(["proto", CONTRACT])?;
    compiler.include_imports(true).include_source_info(true).open_file("echo.proto")?;
    fs::write(out_dir.join("echo.bin"), compiler.encode_file_descriptor_set())?;
    let mut set = compiler.file_descriptor_set();
    // of the imports nothing but options is used
    set.file.retain(|file| file.package() == "bench.v1");
    for file in &mut set.file {
        file.dependency.clear();
    }
    tonic_prost_build::configure().bytes(".").compile_fds(set)?;
    Ok(())
}
