//! Why a JSON text was refused, and where in it, for the one who wrote it.

/// Why JSON was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct JsonError {
    /// What is wrong.
    pub reason: String,
    /// The field, as a path from the message's top; empty at the top.
    pub field: String,
    /// The member of it that no field has, where that is what is wrong.
    pub unknown: Option<String>,
    /// How far the reader was, in bytes.
    pub offset: usize,
    /// It is no fault of the text but beyond a limit.
    pub beyond_limit: bool,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            return write!(f, "{} at byte {}", self.reason, self.offset);
        }
        write!(f, "field `{}`: {} at byte {}", self.field, self.reason, self.offset)
    }
}

impl JsonError {
    /// Says that the error lies within a field.
    pub fn within(mut self, field: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => field.to_owned(),
            inner if inner.starts_with('[') => format!("{field}{inner}"),
            inner => format!("{field}.{inner}"),
        };
        self
    }

    /// The member that is to be mended, as a path from the message's top; empty for the whole.
    pub fn member(self) -> String {
        match self.unknown {
            Some(unknown) if !self.field.is_empty() => format!("{}.{unknown}", self.field),
            Some(unknown) => unknown,
            None => self.field,
        }
    }
}
