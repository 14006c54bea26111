//! JSON's tokens (RFC 8259), strictly: what the grammar does not have is refused, with its offset.
//!
//! The text is UTF-8 from the start, so a string without escapes is a slice of it. Depth and the number of values are
//! counted here, so that no walk over JSON can forget to.

mod error;
mod skip;

use std::borrow::Cow;

pub use error::JsonError;
pub use skip::Types;

use super::{number, text};

/// What says of an Any which message it is.
pub const TYPE_KEY: &str = "@type";

/// Bounds on one text.
#[derive(Clone, Copy, Debug)]
pub struct JsonLimits {
    /// How deep objects, arrays and messages may nest.
    pub depth: usize,
    /// How many members and elements there may be in all.
    pub values: usize,
}

/// A place in a text, for [`Lexer::rewind`].
#[derive(Clone, Copy, Debug)]
pub struct Place {
    at: usize,
    values_left: usize,
}

/// A reader of JSON tokens.
#[derive(Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    depth_left: usize,
    values_left: usize,
}

impl<'a> Lexer<'a> {
    /// Reads `text` from its start.
    pub fn new(text: &'a str, limits: JsonLimits) -> Self {
        Self { text, at: 0, depth_left: limits.depth, values_left: limits.values }
    }

    /// An error at this place.
    pub fn error(&self, reason: impl Into<String>) -> JsonError {
        JsonError {
            reason: reason.into(),
            field: String::new(),
            unknown: None,
            offset: self.at,
            beyond_limit: false,
        }
    }

    fn limit(&self, reason: String) -> JsonError {
        JsonError { beyond_limit: true, ..self.error(reason) }
    }

    /// Where the reader is.
    pub fn place(&self) -> Place {
        Place { at: self.at, values_left: self.values_left }
    }

    /// Goes back to where it was. What was passed over counts when it is read, and not twice.
    pub fn rewind(&mut self, place: Place) {
        (self.at, self.values_left) = (place.at, place.values_left);
    }

    /// The next byte that is no blank.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes a punctuation mark if it is next.
    #[inline]
    pub fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn expect(&mut self, wanted: u8) -> Result<(), JsonError> {
        if self.take(wanted) {
            return Ok(());
        }
        let found = self.found();
        Err(self.error(format!("`{}` expected{found}", char::from(wanted))))
    }

    /// `, found ...` for messages.
    pub fn found(&mut self) -> String {
        match self.peek() {
            None => ", found the end".to_owned(),
            Some(b'"') => ", found a string".to_owned(),
            Some(b'{') => ", found an object".to_owned(),
            Some(b'[') => ", found an array".to_owned(),
            Some(b'0'..=b'9' | b'-') => ", found a number".to_owned(),
            Some(b't' | b'f') => ", found a boolean".to_owned(),
            Some(b'n') => ", found null".to_owned(),
            Some(_) => {
                let character = self.text.get(self.at..).and_then(|rest| rest.chars().next());
                format!(", found `{}`", character.unwrap_or_default())
            }
        }
    }

    /// Nothing but blanks may be left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error("text after the value")),
        }
    }

    /// One level deeper; pair it with [`Lexer::leave`].
    pub fn enter(&mut self) -> Result<(), JsonError> {
        match self.depth_left.checked_sub(1) {
            Some(left) => self.depth_left = left,
            None => return Err(self.limit("nested too deep".to_owned())),
        }
        Ok(())
    }

    /// One level up again.
    pub fn leave(&mut self) {
        self.depth_left += 1;
    }

    /// Begins an object or an array: `{` or `[`.
    #[inline]
    pub fn open(&mut self, bracket: u8) -> Result<(), JsonError> {
        self.expect(bracket)?;
        self.enter()
    }

    /// Before each member or element: `true` when there is one, `false` when `close` came and was taken. `first` is to
    /// be true before the first.
    #[inline]
    pub fn more(&mut self, first: &mut bool, close: u8) -> Result<bool, JsonError> {
        if self.take(close) {
            self.leave();
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',')?;
            if self.peek() == Some(close) {
                return Err(self.error("a comma without a value after it"));
            }
        }
        match self.values_left.checked_sub(1) {
            Some(left) => self.values_left = left,
            None => return Err(self.limit("too many values".to_owned())),
        }
        Ok(true)
    }

    /// A member's name and its colon.
    #[inline]
    pub fn key(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Takes `null` if it is next.
    pub fn take_null(&mut self) -> Result<bool, JsonError> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    /// `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => {
                let found = self.found();
                Err(self.error(format!("true or false expected{found}")))
            }
        }
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error("not a JSON value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// A number, as its text.
    pub fn number(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let rest = &self.text.as_bytes()[self.at..];
        let Some(length) = number::scan(rest) else {
            if matches!(rest.first(), Some(b'0'..=b'9' | b'-')) {
                return Err(self.error("malformed number"));
            }
            let found = self.found();
            return Err(self.error(format!("a number expected{found}")));
        };
        if rest.get(length).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'.') {
            return Err(self.error("malformed number"));
        }
        let text = &self.text[self.at..self.at + length];
        self.at += length;
        Ok(text)
    }

    /// A string, without a copy when it has no escape.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            let found = self.found();
            return Err(self.error(format!("a string expected{found}")));
        }
        let start = self.at + 1;
        let end = self.plain_until(start)?;
        if self.text.as_bytes()[end] == b'"' {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        self.escaped_string(start, end).map(Cow::Owned)
    }

    /// The next quote or backslash; a control character before it is an error.
    #[inline]
    fn plain_until(&mut self, start: usize) -> Result<usize, JsonError> {
        let bytes = self.text.as_bytes();
        let end = start + text::plain_length(&bytes[start..]);
        match bytes.get(end) {
            Some(b'"' | b'\\') => Ok(end),
            Some(_) => {
                self.at = end;
                Err(self.error("a control character in a string"))
            }
            None => Err(self.error("a string without an end")),
        }
    }

    fn escaped_string(&mut self, start: usize, first: usize) -> Result<String, JsonError> {
        let mut out = String::with_capacity(first - start + 16);
        let (mut from, mut end) = (start, first);
        loop {
            out.push_str(&self.text[from..end]);
            if self.text.as_bytes()[end] == b'"' {
                self.at = end + 1;
                return Ok(out);
            }
            self.at = end + 1;
            out.push(self.escape()?);
            from = self.at;
            end = self.plain_until(from)?;
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let letter = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        Ok(match letter {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => {
                self.at -= 1;
                return Err(self.error("unknown escape"));
            }
        })
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let unit = self.hex4()?;
        let code = match unit {
            0xd800..=0xdbff => {
                if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    return Err(self.error("half a surrogate pair"));
                }
                self.at += 2;
                let low = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(self.error("half a surrogate pair"));
                }
                0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
            }
            _ => unit,
        };
        char::from_u32(code).ok_or_else(|| self.error("half a surrogate pair"))
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let value = digits.and_then(|digits| {
            digits
                .iter()
                .try_fold(0, |sum, &digit| char::from(digit).to_digit(16).map(|digit| sum << 4 | digit))
        });
        let value = value.ok_or_else(|| self.error("four hexadecimal digits expected"))?;
        self.at += 4;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: JsonLimits = JsonLimits { depth: 20, values: 1000 };

    #[test]
    fn a_number_that_is_malformed_is_not_told_as_one_that_is_missing() {
        let refused = |text: &str| Lexer::new(text, LIMITS).number().unwrap_err().reason;
        for malformed in ["01", "-", "1.", "1x"] {
            assert_eq!(refused(malformed), "malformed number", "{malformed}");
        }
        assert_eq!(refused("true"), "a number expected, found a boolean");
    }

    fn accepts(text: &str) -> bool {
        let mut lexer = Lexer::new(text, LIMITS);
        lexer.skip().and_then(|_| lexer.end()).is_ok()
    }

    #[test]
    fn what_nests_beyond_the_limit_is_refused_as_such() {
        let text = "[".repeat(30);
        let error = Lexer::new(&text, LIMITS).skip().unwrap_err();
        assert!(error.beyond_limit);
    }

    proptest! {
        #[test]
        fn it_accepts_what_serde_json_accepts(text in "[\\[\\]{}:,\"\\\\ultrnfaes0-9.eE+\\- dD8bc]{0,20}") {
            // serde_json refuses numbers beyond a double; the lexer leaves that to the field's type.
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                prop_assert!(accepts(&text), "{value}");
            } else if accepts(&text) {
                let error = serde_json::from_str::<serde_json::Value>(&text).unwrap_err();
                prop_assert!(error.to_string().contains("out of range"), "{}", error);
            }
        }

        #[test]
        fn a_string_is_read_as_serde_json_reads_it(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(Lexer::new(&json, LIMITS).string().unwrap(), text);
        }
    }
}
