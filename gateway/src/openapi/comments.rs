//! Comments of descriptors, from the set's source info; without it, none.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};

/// Leading comments by file and descriptor path.
pub(super) struct Comments(HashMap<String, HashMap<Vec<i32>, String>>);

/// A method's comment, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MethodComment {
    /// The first sentence.
    pub(super) summary: String,
    /// All but the errors.
    pub(super) description: String,
    /// Code and the rest of each line that begins with one.
    pub(super) errors: Vec<(String, String)>,
}

impl Comments {
    /// Reads the comments of all files.
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let read = |file: FileDescriptor| {
            let locations =
                file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
            let comments = locations.filter_map(|location| {
                let text = location.leading_comments.as_ref().or(location.trailing_comments.as_ref())?;
                Some((location.path.clone(), unindented(text)))
            });
            (file.name().to_owned(), comments.collect())
        };
        Self(pool.files().map(read).collect())
    }

    fn at(&self, file: &FileDescriptor, path: &[i32]) -> String {
        self.0.get(file.name()).and_then(|file| file.get(path)).cloned().unwrap_or_default()
    }

    pub(super) fn of_service(&self, service: &ServiceDescriptor) -> String {
        self.at(&service.parent_file(), service.path())
    }

    /// The comment of a file's package.
    pub(super) fn of_package(&self, file: &FileDescriptor) -> String {
        /// `package` in `FileDescriptorProto`.
        const PACKAGE: i32 = 2;
        self.at(file, &[PACKAGE])
    }

    pub(super) fn of_message(&self, message: &MessageDescriptor) -> String {
        self.at(&message.parent_file(), message.path())
    }

    pub(super) fn of_field(&self, field: &FieldDescriptor) -> String {
        self.at(&field.parent_message().parent_file(), field.path())
    }

    /// The comment of an enum, with those of its values as a list.
    pub(super) fn of_enum(&self, each: &EnumDescriptor) -> String {
        let file = each.parent_file();
        let mut text = self.at(&file, each.path());
        for value in each.values() {
            let comment = self.at(&file, value.path());
            if !comment.is_empty() {
                text.push_str(&format!("\n- `{}`: {}", value.name(), comment.replace('\n', " ")));
            }
        }
        text.trim().to_owned()
    }

    /// The comment of a method, errors apart.
    pub(super) fn of_method(&self, method: &MethodDescriptor) -> MethodComment {
        take_apart(&self.at(&method.parent_service().parent_file(), method.path()))
    }
}

/// Without the blank that follows `//`, and without blank lines around.
fn unindented(text: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn take_apart(comment: &str) -> MethodComment {
    let mut parts = MethodComment::default();
    let mut description = Vec::new();
    // Errors may be indented; what is indented deeper than they goes on with the one before.
    let mut indent = usize::MAX;
    for line in comment.lines() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let word = word.trim_end_matches(':');
        if depth <= indent && super::errors::code_of(word).is_some() {
            indent = depth;
            parts.errors.push((word.to_owned(), rest.to_owned()));
        } else if text.trim_end() == "Errors:" {
        } else if let (Some((_, last)), true) = (parts.errors.last_mut(), depth > indent) {
            last.push(' ');
            last.push_str(text.trim_end());
        } else {
            description.push(line);
        }
    }
    parts.description = description.join("\n").trim().to_owned();
    let first_paragraph = parts.description.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    // A sentence ends at a full stop with a blank behind it; `n1.7.42` and `gen_server:start/3` go on.
    let sentence =
        first_paragraph.split_once(". ").map_or(first_paragraph.as_str(), |(sentence, _)| sentence);
    parts.summary = sentence.trim_end_matches('.').to_owned();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_from_what_a_method_does() {
        let parts = take_apart(
            "Stops `n1.7.42`. And more.\n\nErrors:\nNOT_FOUND NOPROC: it is dead\n  already.\nABORTED: flushed.",
        );
        assert_eq!(parts.summary, "Stops `n1.7.42`");
        assert_eq!(parts.description, "Stops `n1.7.42`. And more.");
        let errors = [("NOT_FOUND", "NOPROC: it is dead already."), ("ABORTED", "flushed.")];
        assert_eq!(parts.errors, errors.map(|(code, text)| (code.to_owned(), text.to_owned())));
    }

    #[test]
    fn errors_may_be_indented_and_go_on_over_lines() {
        let parts = take_apart(
            "Lists.\nErrors:\n  NOT_FOUND: gone, or\n    INTERNAL as it is called here.\n  ABORTED: flushed.",
        );
        assert_eq!(parts.description, "Lists.");
        let errors = [("NOT_FOUND", "gone, or INTERNAL as it is called here."), ("ABORTED", "flushed.")];
        assert_eq!(parts.errors, errors.map(|(code, text)| (code.to_owned(), text.to_owned())));
    }
}
