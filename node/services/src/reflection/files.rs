//! Descriptor files by name and by what they declare.

use bytes::Bytes;
use prost::{DecodeError, Message};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use std::collections::{BTreeMap, HashMap, HashSet};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_name: HashMap<String, File>,
    /// Full name to file name.
    symbols: HashMap<String, String>,
    /// Extended message and number to file name.
    extensions: BTreeMap<(String, i32), String>,
    services: Vec<String>,
}

#[derive(Debug)]
struct File {
    /// As compiled.
    bytes: Bytes,
    imports: Vec<String>,
}

/// A FileDescriptorSet whose files stay bytes.
#[derive(Clone, PartialEq, Message)]
struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

impl Files {
    /// Reads descriptor sets; of a file that is in several the first counts.
    pub(super) fn read(sets: &[&[u8]]) -> Result<Self, DecodeError> {
        let mut files = Self::default();
        for set in sets {
            for bytes in RawSet::decode(*set)?.file {
                let descriptor = FileDescriptorProto::decode(bytes.clone())?;
                if !files.by_name.contains_key(descriptor.name()) {
                    files.add(&descriptor, bytes);
                }
            }
        }
        files.services.sort();
        Ok(files)
    }

    fn add(&mut self, file: &FileDescriptorProto, bytes: Bytes) {
        let (name, package) = (file.name(), file.package());
        for message in &file.message_type {
            self.add_message(name, package, message);
        }
        for enumeration in &file.enum_type {
            self.add_enum(name, package, enumeration);
        }
        for extension in &file.extension {
            self.add_extension(name, package, extension);
        }
        for service in &file.service {
            let full = self.add_symbol(name, package, service.name());
            for method in &service.method {
                self.add_symbol(name, &full, method.name());
            }
            self.services.push(full);
        }
        self.by_name.insert(name.to_owned(), File { bytes, imports: file.dependency.clone() });
    }

    fn add_symbol(&mut self, file: &str, scope: &str, name: &str) -> String {
        let full = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.symbols.insert(full.clone(), file.to_owned());
        full
    }

    fn add_message(&mut self, file: &str, scope: &str, message: &DescriptorProto) {
        let full = self.add_symbol(file, scope, message.name());
        for field in &message.field {
            self.add_symbol(file, &full, field.name());
        }
        for oneof in &message.oneof_decl {
            self.add_symbol(file, &full, oneof.name());
        }
        for inner in &message.nested_type {
            self.add_message(file, &full, inner);
        }
        for enumeration in &message.enum_type {
            self.add_enum(file, &full, enumeration);
        }
        for extension in &message.extension {
            self.add_extension(file, &full, extension);
        }
    }

    /// The values of an enum stand beside it, not within.
    fn add_enum(&mut self, file: &str, scope: &str, enumeration: &EnumDescriptorProto) {
        self.add_symbol(file, scope, enumeration.name());
        for value in &enumeration.value {
            self.add_symbol(file, scope, value.name());
        }
    }

    fn add_extension(&mut self, file: &str, scope: &str, extension: &FieldDescriptorProto) {
        self.add_symbol(file, scope, extension.name());
        let extended = extension.extendee().trim_start_matches('.').to_owned();
        self.extensions.insert((extended, extension.number()), file.to_owned());
    }

    /// The file that declares a full name.
    pub(super) fn of_symbol(&self, symbol: &str) -> Option<&str> {
        self.symbols.get(symbol.trim_start_matches('.')).map(String::as_str)
    }

    /// The file that declares an extension.
    pub(super) fn of_extension(&self, extended: &str, number: i32) -> Option<&str> {
        self.extensions.get(&(extended.to_owned(), number)).map(String::as_str)
    }

    /// The numbers of a message's extensions, in order.
    pub(super) fn extensions_of(&self, extended: &str) -> Vec<i32> {
        let of = (extended.to_owned(), i32::MIN)..=(extended.to_owned(), i32::MAX);
        self.extensions.range(of).map(|((_, number), _)| *number).collect()
    }

    /// The full names of all services, in order.
    pub(super) fn services(&self) -> &[String] {
        &self.services
    }

    /// A file, and behind it what it imports, near and far, as far as it was not sent.
    pub(super) fn with_imports(&self, name: &str, sent: &mut HashSet<String>) -> Option<Vec<Vec<u8>>> {
        let file = self.by_name.get(name)?;
        sent.insert(name.to_owned());
        let (mut out, mut waiting) = (vec![file.bytes.to_vec()], file.imports.clone());
        while let Some(name) = waiting.pop() {
            let Some(file) = self.by_name.get(&name) else { continue };
            if sent.insert(name) {
                out.push(file.bytes.to_vec());
                waiting.extend_from_slice(&file.imports);
            }
        }
        Some(out)
    }
}
