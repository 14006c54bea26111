//! Passing over values that nobody wants now: checked as any, put together nowhere.

use std::collections::HashMap;

use super::{JsonError, Lexer, Place, TYPE_KEY};

/// Where objects that were passed over have their `@type`, by where they begin, so that nobody looks for it again in an object
/// within them: in an Any in an Any that would take as many steps at each level as at all levels below. It is `None` where
/// an object has several.
#[derive(Debug, Default)]
pub struct Types(HashMap<usize, Option<Place>>);

impl Types {
    /// The `@type` of the object that begins here, if it is known and the only one.
    pub fn of(&self, object: Place) -> Option<Place> {
        self.0.get(&object.at).copied().flatten()
    }

    fn add(&mut self, object: usize, place: Place) {
        self.0.entry(object).and_modify(|known| *known = None).or_insert(Some(place));
    }
}

impl<'a> Lexer<'a> {
    /// Passes over a value, checking it, and gives its text.
    pub fn skip(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let start = self.at;
        self.pass(None)?;
        Ok(&self.text[start..self.at])
    }

    /// As [`Lexer::skip`], and remembers where the objects within have their `@type`.
    pub fn skip_noting(&mut self, types: &mut Types) -> Result<(), JsonError> {
        self.pass(Some(types))
    }

    fn pass(&mut self, mut types: Option<&mut Types>) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => {
                let (object, mut first) = (self.at, true);
                self.open(b'{')?;
                while self.more(&mut first, b'}')? {
                    let key = self.key()?;
                    if let Some(types) = types.as_deref_mut().filter(|_| key == TYPE_KEY) {
                        types.add(object, self.place());
                    }
                    self.pass(types.as_deref_mut())?;
                }
                Ok(())
            }
            Some(b'[') => {
                self.open(b'[')?;
                let mut first = true;
                while self.more(&mut first, b']')? {
                    self.pass(types.as_deref_mut())?;
                }
                Ok(())
            }
            Some(b'"') => self.pass_string(),
            Some(b't' | b'f') => self.boolean().map(drop),
            Some(b'n') => self.take_null().map(drop),
            _ => self.number().map(drop),
        }
    }

    /// A string that nobody wants, which is put together nowhere.
    fn pass_string(&mut self) -> Result<(), JsonError> {
        let mut end = self.plain_until(self.at + 1)?;
        while self.text.as_bytes()[end] != b'"' {
            self.at = end + 1;
            self.escape()?;
            end = self.plain_until(self.at)?;
        }
        self.at = end + 1;
        Ok(())
    }
}
