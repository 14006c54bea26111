//! Compiles the google.rpc error types that the gateway ships with, so that error details print as JSON even where
//! the served descriptor set does not hold them.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let set = protox::compile(["google/rpc/status.proto", "google/rpc/error_details.proto"], ["proto"])?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("google_rpc.bin"), set.encode_to_vec())?;
    Ok(())
}
