//! Compiles every `.proto` file of the contract: the descriptor set as protox encodes it, and the Rust code.
//!
//! Invariant: the embedded set comes from `encode_file_descriptor_set`. A set that went through `prost_types`
//! has lost the method options, which the gateway, the router and the command line read.

use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folders whose files are compiled, whole; imports are found from the crate's own folder.
const FOLDERS: [&str; 4] = ["arsenal/v1", "internal/v1", "google/api", "google/rpc"];

fn main() -> Result<(), Box<dyn Error>> {
    // a folder that does not exist yet is not watched: cargo would rebuild each time
    for folder in FOLDERS.into_iter().filter(|folder| Path::new(folder).is_dir()) {
        println!("cargo::rerun-if-changed={folder}");
    }
    println!("cargo::rerun-if-changed=build.rs");

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?);
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(proto_files()?)?;
    fs::write(out_dir.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .bytes(".")
        .extern_path(".google.protobuf.Value", "crate::Value")
        .include_file("packages.rs")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The contract's files in a fixed order, so that the set's bytes depend on nothing but their content.
fn proto_files() -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in FOLDERS.map(Path::new).into_iter().filter(|folder| folder.is_dir()) {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("proto")) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
