//! How far a list of all nodes has been read: for each node its own page token, and how many rows of that page were given
//! out already.
//!
//! A node that a token does not mention was not a member when the list began, and is read from its beginning.

use crate::status::failure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeMap;
use tonic::{Code, Status};

/// What tells such a token from one of a single node.
const MARK: char = '~';
const END: &str = "end";

/// How far one node's list has been read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Position {
    /// To this many rows of the page with this token.
    At {
        /// The node's own token.
        token: String,
        /// Rows of that page that were given out.
        skip: usize,
    },
    /// To its end.
    End,
}

/// How far each node's list has been read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Cursor(BTreeMap<u32, Position>);

impl Cursor {
    /// Reads a token; an empty one is the beginning.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT BAD_PAGE_TOKEN`.
    pub(super) fn parse(token: &str) -> Result<Self, Status> {
        if token.is_empty() {
            return Ok(Self::default());
        }
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(MARK)?).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            text.split_terminator(';').map(entry).collect::<Option<BTreeMap<_, _>>>().map(Self)
        };
        read().ok_or_else(|| {
            let message = "the page token is malformed, or of another list than that of all nodes";
            failure(Code::InvalidArgument, "BAD_PAGE_TOKEN", message).field("page_token").status()
        })
    }

    pub(super) fn of(&self, node: u32) -> Position {
        self.0.get(&node).cloned().unwrap_or(Position::At { token: String::new(), skip: 0 })
    }

    pub(super) fn set(&mut self, node: u32, position: Position) {
        self.0.insert(node, position);
    }

    /// The token that goes on from here; empty if all of these nodes have been read to their ends.
    pub(super) fn token(&self, nodes: &[u32]) -> String {
        if nodes.iter().all(|node| self.of(*node) == Position::End) {
            return String::new();
        }
        let entry = |(node, position): (&u32, &Position)| match position {
            Position::At { token, skip } => format!("{node}.{skip}.{token};"),
            Position::End => format!("{node}.{END}.;"),
        };
        let text: String = self.0.iter().map(entry).collect();
        format!("{MARK}{}", URL_SAFE_NO_PAD.encode(text))
    }
}

fn entry(text: &str) -> Option<(u32, Position)> {
    let (node, rest) = text.split_once('.')?;
    let (skip, token) = rest.split_once('.')?;
    let position = match skip {
        END => Position::End,
        skip => Position::At { token: token.to_owned(), skip: skip.parse().ok()? },
    };
    Some((node.parse().ok()?, position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_token_and_has_none_once_every_node_is_at_its_end() {
        let mut cursor = Cursor::default();
        cursor.set(1, Position::End);
        cursor.set(2, Position::At { token: "aGVsbG8".into(), skip: 3 });
        let token = cursor.token(&[1, 2, 3]);
        assert_eq!(Cursor::parse(&token).unwrap(), cursor);
        cursor.set(2, Position::End);
        assert_ne!(cursor.token(&[1, 2, 3]), "", "n3 was not read yet");
        cursor.set(3, Position::End);
        assert_eq!(cursor.token(&[1, 2, 3]), "");
    }

    #[test]
    fn a_token_of_a_single_node_or_a_broken_one_is_refused() {
        for token in ["aGVsbG8", "~!", "~aGVsbG8"] {
            assert!(Cursor::parse(token).is_err(), "{token}");
        }
    }
}
