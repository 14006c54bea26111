//! Compiles proto text at run time: the tests need no protoc and no build script.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};

/// The google.api files that annotations need; google.protobuf comes with protox.
const GOOGLE_API: [(&str, &str); 4] = [
    ("google/api/annotations.proto", include_str!("../data/proto/google/api/annotations.proto")),
    ("google/api/field_behavior.proto", include_str!("../data/proto/google/api/field_behavior.proto")),
    ("google/api/http.proto", include_str!("../data/proto/google/api/http.proto")),
    ("google/api/httpbody.proto", include_str!("../data/proto/google/api/httpbody.proto")),
];

struct Sources(String);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let known = GOOGLE_API.iter().find(|(known, _)| *known == name).map(|(_, source)| *source);
        match known {
            Some(source) => File::from_source(name, source),
            None if name == "t.proto" => File::from_source(name, &self.0),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The encoded descriptor set of one proto file and its imports. Thousands of vectors share a few hundred files.
pub(crate) fn descriptor_set(source: &str) -> Result<Vec<u8>, protox::Error> {
    static COMPILED: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let known = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = known().get(source) {
        return Ok(compiled.clone());
    }
    let compiled = compile(source)?;
    let mut known = known();
    // random ones come once each
    if known.len() >= 1_000 {
        known.clear();
    }
    known.insert(source.to_owned(), compiled.clone());
    Ok(compiled)
}

fn compile(source: &str) -> Result<Vec<u8>, protox::Error> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Sources(source.to_owned()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true).open_file("t.proto")?;
    Ok(compiler.encode_file_descriptor_set())
}
