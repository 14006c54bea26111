//! Compiles every `.proto` file: of the contract, the descriptor set as protox encodes it, and the Rust code; of what nodes
//! say to each other, the Rust code alone.
//!
//! Invariants: the embedded set comes from `encode_file_descriptor_set`. A set that went through `prost_types`
//! has lost the method options, which the gateway, the router and the command line read. Nothing of `internal/` is in
//! it: what it holds is served to clients.

use prost_build::{Service, ServiceGenerator};
use std::error::Error;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::{env, fs, io};

/// Folders of the contract, whose files are compiled, whole; imports are found from the crate's own folder.
const CONTRACT: [&str; 3] = ["arsenal/v1", "google/api", "google/rpc"];
/// Folders of what nodes say to each other.
const INTERNAL: [&str; 1] = ["internal/v1"];

fn main() -> Result<(), Box<dyn Error>> {
    for folder in CONTRACT.into_iter().chain(INTERNAL) {
        println!("cargo::rerun-if-changed={folder}");
    }
    println!("cargo::rerun-if-changed=build.rs");

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?);
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(proto_files(&CONTRACT)?)?;
    fs::write(out_dir.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    generator("packages.rs")
        .extern_path(".google.protobuf.Value", "crate::Value")
        .compile_fds(compiler.file_descriptor_set())?;

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_source_info(true).open_files(proto_files(&INTERNAL)?)?;
    generator("internal.rs").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Writes Rust code, and a file of this name that includes it.
fn generator(include_file: &str) -> prost_build::Config {
    let mut config = prost_build::Config::new();
    config.bytes(["."]).include_file(include_file);
    config
        .service_generator(Box::new(Generator { tonic: tonic_prost_build::configure().service_generator() }));
    config
}

/// What tonic generates for a service, and a function that lists its RPCs to whoever serves them (`src/rpcs.rs`).
struct Generator {
    tonic: Box<dyn ServiceGenerator>,
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, code: &mut String) {
        let listing = listing(&service);
        self.tonic.generate(service, code);
        code.push_str(&listing);
    }

    fn finalize(&mut self, code: &mut String) {
        self.tonic.finalize(code);
    }

    fn finalize_package(&mut self, package: &str, code: &mut String) {
        self.tonic.finalize_package(package, code);
    }
}

fn listing(service: &Service) -> String {
    let module = snake_case(&service.name);
    let (name, full_name) = (&service.name, format!("{}.{}", service.package, service.proto_name));
    let mut code = format!(
        "/// Lists the RPCs of `{name}`.\n\
         pub fn list_{module}<T: {module}_server::{name}>(service: &std::sync::Arc<T>, to: &mut impl crate::Rpcs) {{\n"
    );
    for method in &service.methods {
        let kind = match (method.client_streaming, method.server_streaming) {
            (false, false) => "unary",
            (false, true) => "server_streaming",
            (true, true) => "streaming",
            // the contract has none; `Rpcs` gets the method with the first
            (true, false) => "client_streaming",
        };
        code.push_str(&format!(
            "    to.{kind}(\"/{full_name}/{}\", service, |service, request| async move {{ service.{}(request).await }});\n",
            method.proto_name, method.name
        ));
    }
    code.push_str("}\n");
    code
}

/// `ProcessService` as the module that tonic generates for it is called: `process_service`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// The files of some folders in a fixed order, so that a set's bytes depend on nothing but their content.
fn proto_files(folders: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in folders {
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
