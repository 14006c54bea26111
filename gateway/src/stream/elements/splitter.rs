//! Where the elements of a client's stream begin and end in its text.

/// Cuts a JSON array, or a row of JSON values with blanks between, into its elements. Whether an element is JSON is not its
/// matter; only brackets and strings are followed.
#[derive(Debug)]
pub(super) struct Splitter {
    buffer: Vec<u8>,
    /// Where the element begins that is being read.
    start: usize,
    /// How far the buffer was looked at.
    at: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The last byte of the element that is being read, but for blanks; nothing before it has begun. Blanks may be most of
    /// what comes, so what was looked at once is never looked at again.
    last: Option<u8>,
    /// A comma came between elements.
    comma: bool,
    place: Place,
    element_max: usize,
    /// A row without an array is refused, and so are blanks alone.
    only_array: bool,
    /// Text came.
    fed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing came yet.
    Start,
    /// Within the array, or in a row without one.
    Elements { array: bool },
    /// Behind the array.
    End,
}

/// The body cannot be cut into elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SplitError {
    /// An element exceeds the limit.
    #[error("an element of more than {0} bytes")]
    TooLarge(usize),
    /// The text is not an array.
    #[error("not an array of messages")]
    NoArray,
    /// The text ended early.
    #[error("the array is not complete")]
    Incomplete,
}

impl Splitter {
    /// Elements may have up to `element_max` bytes.
    pub(super) fn new(element_max: usize, only_array: bool) -> Self {
        let place = Place::Start;
        Self {
            buffer: Vec::new(),
            start: 0,
            at: 0,
            depth: 0,
            in_string: false,
            escaped: false,
            last: None,
            comma: false,
            place,
            element_max,
            only_array,
            fed: false,
        }
    }

    /// Adds text.
    pub(super) fn push(&mut self, text: &[u8]) {
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(text);
        self.fed |= !text.is_empty();
    }

    /// Bytes that are kept.
    pub(super) fn kept(&self) -> usize {
        self.buffer.len()
    }

    /// The next element that is complete.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, SplitError> {
        while let Some(&byte) = self.buffer.get(self.at) {
            match self.place {
                Place::Start if is_blank(byte) => self.pass(),
                Place::Start if byte == b'[' => {
                    self.pass();
                    self.place = Place::Elements { array: true };
                }
                Place::Start if self.only_array => return Err(SplitError::NoArray),
                Place::Start => self.place = Place::Elements { array: false },
                Place::End if is_blank(byte) => self.pass(),
                Place::End => return Err(SplitError::NoArray),
                Place::Elements { array } => {
                    if let Some(element) = self.step(byte, array)? {
                        return Ok(Some(element));
                    }
                }
            }
        }
        if self.buffer.len() - self.start > self.element_max {
            return Err(SplitError::TooLarge(self.element_max));
        }
        Ok(None)
    }

    fn step(&mut self, byte: u8, array: bool) -> Result<Option<Vec<u8>>, SplitError> {
        if is_blank(byte) && self.last.is_none() {
            self.pass();
            return Ok(None);
        }
        if self.in_string {
            self.at += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return Ok(None);
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 0 => self.depth -= 1,
            b']' if array => {
                let last = self.cut(1)?;
                self.place = Place::End;
                // Nothing but blanks before the end is an empty array; behind a comma it is a comma too many.
                return if last.is_none() && self.comma { Err(SplitError::NoArray) } else { Ok(last) };
            }
            b'}' | b']' => return Err(SplitError::NoArray),
            b',' if array && self.depth == 0 => {
                self.comma = true;
                return self.cut(1)?.map(Some).ok_or(SplitError::NoArray);
            }
            _ if is_blank(byte) && !array && self.depth == 0 => return self.cut(1),
            _ => {}
        }
        if !is_blank(byte) {
            self.last = Some(byte);
        }
        self.at += 1;
        Ok(None)
    }

    /// Takes the text so far as an element, and passes over `behind` bytes after it.
    fn cut(&mut self, behind: usize) -> Result<Option<Vec<u8>>, SplitError> {
        let text = &self.buffer[self.start..self.at];
        let end = text.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1);
        let element = &text[..end];
        if element.len() > self.element_max {
            return Err(SplitError::TooLarge(self.element_max));
        }
        let element = element.to_vec();
        self.at += behind;
        self.start = self.at;
        self.last = None;
        Ok((!element.is_empty()).then_some(element))
    }

    /// Passes over a byte that belongs to no element.
    fn pass(&mut self) {
        self.at += 1;
        self.start = self.at;
    }

    /// Whether an element has begun that is not complete. An object or array is, though what parts it from the next has
    /// not come.
    pub(super) fn is_within(&self) -> bool {
        self.last.is_some_and(|last| self.in_string || self.depth > 0 || !matches!(last, b'}' | b']'))
    }

    /// The end of the text came: the last line, if there is one.
    pub(super) fn finish(&mut self) -> Result<Option<Vec<u8>>, SplitError> {
        match self.place {
            Place::Start if self.only_array && self.fed => Err(SplitError::NoArray),
            Place::Start | Place::End => Ok(None),
            Place::Elements { array: false } if self.depth == 0 && !self.in_string => {
                self.at = self.buffer.len();
                self.cut(0)
            }
            Place::Elements { .. } => Err(SplitError::Incomplete),
        }
    }
}

/// What JSON takes for a blank.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &[u8], cut: usize) -> Result<Vec<String>, SplitError> {
        split_by(Splitter::new(1024, false), text, cut)
    }

    fn split_by(mut splitter: Splitter, text: &[u8], cut: usize) -> Result<Vec<String>, SplitError> {
        let mut out = Vec::new();
        for chunk in text.chunks(cut.max(1)) {
            splitter.push(chunk);
            while let Some(element) = splitter.next()? {
                out.push(String::from_utf8_lossy(&element).into_owned());
            }
        }
        out.extend(splitter.finish()?.map(|element| String::from_utf8_lossy(&element).into_owned()));
        Ok(out)
    }

    #[test]
    fn an_array_and_lines_give_the_same_elements_however_they_are_cut() {
        let wanted = vec![r#"{"a":"x,]\"é"}"#.to_owned(), "[1,2]".to_owned(), "3".to_owned()];
        for cut in 1..12 {
            assert_eq!(split(r#" [{"a":"x,]\"é"}, [1,2] ,3 ] "#.as_bytes(), cut).unwrap(), wanted);
            assert_eq!(split("{\"a\":\"x,]\\\"é\"}\n[1,2]\n3".as_bytes(), cut).unwrap(), wanted);
        }
        assert_eq!(split(b"[]", 1).unwrap(), Vec::<String>::new());
        assert_eq!(split(b"[1", 1), Err(SplitError::Incomplete));
        assert_eq!(split(b"[1] 2", 1), Err(SplitError::NoArray));
    }

    #[test]
    fn values_of_a_row_are_parted_by_blanks() {
        let wanted = ["{\"a\": [{}]}", "{}", "[1]", "2", "\"x y\"", "null"].map(str::to_owned);
        for cut in 1..12 {
            let row = "{\"a\": [{}]} {}\n[1]\t2 \"x y\" \r\n null";
            assert_eq!(split(row.as_bytes(), cut).unwrap(), wanted, "pieces of {cut}");
        }
        // without one, or with what JSON does not take for one, it is left together and then refused as no JSON
        assert_eq!(split(b"{}{}\n", 1).unwrap(), ["{}{}"]);
        assert_eq!(split(b"\x0c{}\n", 1).unwrap(), ["\u{c}{}"]);
    }

    #[test]
    fn a_body_that_says_it_is_json_is_an_array_or_has_no_bytes() {
        for text in ["{\"a\":1}", "1", " ", "\r \t\n", "{}\n{}", "\"[\""] {
            let found = split_by(Splitter::new(1024, true), text.as_bytes(), 1);
            assert_eq!(found, Err(SplitError::NoArray), "{text:?}");
        }
        assert_eq!(split_by(Splitter::new(1024, true), b"", 1), Ok(Vec::new()));
        assert_eq!(split_by(Splitter::new(1024, true), b" [1 ] ", 1), Ok(vec!["1".to_owned()]));
    }

    #[test]
    fn blanks_before_an_element_are_not_kept() {
        let mut splitter = Splitter::new(1024, false);
        for text in ["[", "1,"] {
            splitter.push(text.as_bytes());
            while splitter.next().unwrap().is_some() {}
            for _ in 0..5_000 {
                splitter.push(b" ");
                assert_eq!(splitter.next(), Ok(None));
                assert!(!splitter.is_within());
            }
            assert!(splitter.kept() <= 2, "{} bytes", splitter.kept());
        }
    }

    #[test]
    fn an_element_that_comes_whole_is_held_to_the_limit_as_one_that_comes_in_pieces() {
        let text = format!("[1, \"{}\", 2]", "x".repeat(2_000));
        for cut in [7, 100, text.len()] {
            assert_eq!(split(text.as_bytes(), cut), Err(SplitError::TooLarge(1024)), "pieces of {cut}");
        }
        let line = format!("{}\n", "1".repeat(1_025));
        assert_eq!(split(line.as_bytes(), line.len()), Err(SplitError::TooLarge(1024)));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_splitter_panic(text: Vec<u8>, cut in 1usize..8) {
            let _ = split(&text, cut);
        }
    }
}
