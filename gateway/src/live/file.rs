//! Descriptors from a file, such as `protoc --include_imports --include_source_info -o FILE` and `buf build` write it.

use std::path::PathBuf;

use bytes::Bytes;

use super::{Fetching, Source};

/// The file at a path.
#[derive(Clone, Debug)]
pub struct DescriptorFile(pub PathBuf);

impl Source for DescriptorFile {
    fn fetch(&self) -> Fetching<'_> {
        let path = self.0.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || {
                std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
            });
            Ok(Bytes::from(read.await??))
        })
    }
}
