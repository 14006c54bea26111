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

struct Sources(Vec<(String, String)>);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let known = GOOGLE_API.iter().find(|(known, _)| *known == name).map(|(_, source)| *source);
        match known {
            Some(source) => File::from_source(name, source),
            None => match self.0.iter().find(|(own, _)| own == name) {
                Some((_, source)) => File::from_source(name, source),
                None => Err(protox::Error::file_not_found(name)),
            },
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
    let compiled = descriptor_set_of(&[source])?;
    let mut known = known();
    // random ones come once each
    if known.len() >= 1_000 {
        known.clear();
    }
    known.insert(source.to_owned(), compiled.clone());
    Ok(compiled)
}

/// That of several files, which are called `t.proto`, `t1.proto`, `t2.proto`.
pub(crate) fn descriptor_set_of(sources: &[&str]) -> Result<Vec<u8>, protox::Error> {
    let name = |index| if index == 0 { "t.proto".to_owned() } else { format!("t{index}.proto") };
    let files: Vec<_> =
        sources.iter().enumerate().map(|(index, source)| (name(index), (*source).to_owned())).collect();
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let mut resolver = ChainFileResolver::new();
    resolver.add(Sources(files));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true).open_files(names)?;
    Ok(compiler.encode_file_descriptor_set())
}
