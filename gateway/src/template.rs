//! The parser of `google.api.http` path templates.
//!
//! ```text
//! Template  = "/" | "/" Segments [ ":" LITERAL ] ;
//! Segments  = Segment { "/" Segment } ;
//! Segment   = "*" | "**" | LITERAL | Variable ;
//! Variable  = "{" FieldPath [ "=" Segments ] "}" ;
//! FieldPath = IDENT { "." IDENT } ;
//! ```
//!
//! After `**` only literals may follow: that is wider than the text of http.proto (nothing but the verb) and what
//! Google's own library takes. Nothing here knows descriptors; whether a variable names a field is the rule's matter.

use std::fmt;

use crate::path;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Text that must stand there, as written in the template.
    Literal(String),
    /// `*`: exactly one segment.
    One,
    /// `**`: any number of segments, also none.
    Many,
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segment::Literal(text) => f.write_str(text),
            Segment::One => f.write_str("*"),
            Segment::Many => f.write_str("**"),
        }
    }
}

/// A captured stretch of segments and the field that it fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The field path, split at its dots.
    pub field_path: Vec<String>,
    /// The first captured segment.
    pub start: usize,
    /// One past the last captured segment.
    pub end: usize,
    /// More than one segment can be captured: `%2F` then stays encoded.
    pub multi: bool,
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The steps, variables dissolved into what they match.
    pub segments: Vec<Segment>,
    /// The custom verb after the last colon, empty without one.
    pub verb: String,
    /// The captures in order.
    pub variables: Vec<Variable>,
}

/// Why a template was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("path template `{template}`: {reason} at byte {offset}")]
pub struct TemplateError {
    template: String,
    reason: &'static str,
    offset: usize,
}

impl Template {
    /// Parses a template, such as `/v1/{name=shelves/*}/books:archive`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parser = Parser { rest: text, segments: Vec::new(), variables: Vec::new() };
        match parser.template() {
            Ok(verb) => Ok(Self { segments: parser.segments, verb, variables: parser.variables }),
            Err(reason) => {
                let offset = text.len() - parser.rest.len();
                Err(TemplateError { template: text.to_owned(), reason, offset })
            }
        }
    }

    /// The path as OpenAPI writes it is built from this: the segments that variable `index` captures.
    pub fn captured(&self, variable: &Variable) -> &[Segment] {
        &self.segments[variable.start..variable.end]
    }
}

struct Parser<'a> {
    rest: &'a str,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
}

type Parsed<T> = Result<T, &'static str>;

impl Parser<'_> {
    fn template(&mut self) -> Parsed<String> {
        self.expect('/', "a template begins with `/`")?;
        if self.rest.is_empty() {
            return Ok(String::new());
        }
        self.segments_of(true)?;
        let verb = if self.take(':') { self.literal()? } else { String::new() };
        if !self.rest.is_empty() {
            return Err("unexpected text");
        }
        Ok(verb)
    }

    fn segments_of(&mut self, variables_allowed: bool) -> Parsed<()> {
        loop {
            self.segment(variables_allowed)?;
            if !self.take('/') {
                return Ok(());
            }
        }
    }

    fn segment(&mut self, variables_allowed: bool) -> Parsed<()> {
        if self.rest.starts_with('{') {
            return if variables_allowed { self.variable() } else { Err("a variable inside a variable") };
        }
        let segment = if let Some(rest) = self.rest.strip_prefix("**") {
            self.rest = rest;
            Segment::Many
        } else if self.take('*') {
            Segment::One
        } else {
            Segment::Literal(self.literal()?)
        };
        if !matches!(segment, Segment::Literal(_)) && self.segments.contains(&Segment::Many) {
            return Err("a wildcard after `**`");
        }
        self.segments.push(segment);
        Ok(())
    }

    fn variable(&mut self) -> Parsed<()> {
        self.expect('{', "`{` expected")?;
        let field_path = self.field_path()?;
        let start = self.segments.len();
        if self.take('=') {
            self.segments_of(false)?;
        } else if self.segments.contains(&Segment::Many) {
            return Err("a wildcard after `**`");
        } else {
            self.segments.push(Segment::One);
        }
        self.expect('}', "`}` expected")?;
        if self.variables.iter().any(|known| known.field_path == field_path) {
            return Err("a variable named twice");
        }
        let end = self.segments.len();
        let multi = end - start > 1 || self.segments[start] == Segment::Many;
        self.variables.push(Variable { field_path, start, end, multi });
        Ok(())
    }

    fn field_path(&mut self) -> Parsed<Vec<String>> {
        let mut names = vec![self.identifier()?];
        while self.take('.') {
            names.push(self.identifier()?);
        }
        Ok(names)
    }

    fn identifier(&mut self) -> Parsed<String> {
        if !self.rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            return Err("a field name expected");
        }
        Ok(self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
    }

    fn literal(&mut self) -> Parsed<String> {
        let text = self.take_while(|byte| path::is_unreserved(byte) || b"!$&'()+,;=@%".contains(&byte));
        if text.is_empty() {
            return Err("a segment expected");
        }
        path::decode_all(&text).map_err(|_| "a broken percent escape")?;
        Ok(text)
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> String {
        // Only ASCII belongs anywhere, so the cut is always at a character's edge.
        let length = self.rest.bytes().take_while(|&byte| belongs(byte)).count();
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken.to_owned()
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char, reason: &'static str) -> Parsed<()> {
        if self.take(wanted) { Ok(()) } else { Err(reason) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sub_template_counts_its_literals_as_captured() {
        let template = Template::parse("/v1/{name.first=shelves/*}/books/{book}:read").unwrap();
        assert_eq!(template.verb, "read");
        assert_eq!(template.variables[0].field_path, ["name", "first"]);
        assert_eq!((template.variables[0].start, template.variables[0].end), (1, 3));
        assert!(template.variables[0].multi);
        assert!(!template.variables[1].multi);
    }

    #[test]
    fn a_refusal_names_the_place() {
        let error = Template::parse("/v1/{name").unwrap_err();
        assert_eq!(error.to_string(), "path template `/v1/{name`: `}` expected at byte 9");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[/{}=*:.%a-z0-9é]{0,24}") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn what_is_accepted_captures_within_its_segments(text in "(/([a-c]|\\*|\\{[a-c](=[a-c*]/\\*)?\\}|\\*\\*)){1,5}(:v)?") {
            if let Ok(template) = Template::parse(&text) {
                for variable in &template.variables {
                    prop_assert!(variable.start < variable.end && variable.end <= template.segments.len());
                }
            }
        }
    }
}
