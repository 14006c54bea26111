//! `google.protobuf.Any`: an object that says by `@type` what it is. An Empty in it may have a member `value` as those types
//! have whose JSON is no plain object, for so Go writes it, or none.

use std::borrow::Cow;

use super::{Decoder, shown};
use crate::{
    schema::{Form, MessageId},
    transcode::{
        lexer::{JsonError, TYPE_KEY},
        wire,
    },
};

impl<'a> Decoder<'a> {
    pub(super) fn any(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        self.lexer.peek();
        let start = self.lexer.place();
        let url = match self.types.of(start) {
            Some(place) => {
                self.lexer.rewind(place);
                Some(self.lexer.string()?)
            }
            None => self.find_type()?,
        };
        let Some(url) = url else { return Ok(()) };
        let Some((schema, id)) = self.schema.resolve_type_url(&url).filter(|_| url.contains('/')) else {
            return Err(self.lexer.error(format!("unknown type `{}` in `@type`", shown(&url))));
        };
        self.lexer.rewind(start);
        out.push(1 << 3 | wire::WireType::Length as u8);
        wire::put_bytes(out, url.as_bytes());
        let field = out.len();
        out.push(2 << 3 | wire::WireType::Length as u8);
        let length = wire::begin_length(out);
        let own = std::mem::replace(&mut self.schema, schema);
        let plan = schema.message(id);
        let empty = plan.name() == "google.protobuf.Empty";
        let result = match plan.form {
            Form::Object if !empty => self.object(id, out, true),
            _ => self.any_value(id, !empty, out),
        };
        self.schema = own;
        result?;
        if out.len() == length {
            out.truncate(field)
        } else {
            wire::end_length(out, length)
        }
        Ok(())
    }

    /// The type comes from `@type`, which may stand anywhere in the object: it is sought first, and those of all objects within
    /// on the way. Nothing is found in an Any of nothing.
    fn find_type(&mut self) -> Result<Option<Cow<'a, str>>, JsonError> {
        let mut url = None;
        let (mut first, mut members) = (true, 0);
        self.lexer.open(b'{')?;
        while self.lexer.more(&mut first, b'}')? {
            members += 1;
            let key = self.lexer.key()?;
            if key != TYPE_KEY {
                self.lexer.skip_noting(&mut self.types)?;
            } else if url.replace(self.lexer.string()?).is_some() {
                return Err(self.lexer.error("`@type` comes twice"));
            }
        }
        if url.is_none() && members > 0 {
            return Err(self.lexer.error("an Any without `@type`"));
        }
        Ok(url)
    }

    /// Within an Any, a message whose JSON is no plain object stands in the member `value`.
    fn any_value(&mut self, id: MessageId, needed: bool, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let (mut first, mut found) = (true, false);
        self.lexer.open(b'{')?;
        while self.lexer.more(&mut first, b'}')? {
            let key = self.lexer.key()?;
            match &*key {
                TYPE_KEY => drop(self.lexer.skip()?),
                "value" if !std::mem::replace(&mut found, true) => {
                    self.message(id, out).map_err(|error| error.within("value"))?;
                }
                "value" => return Err(self.lexer.error("named twice").within("value")),
                _ => self.unknown_any_member(&key)?,
            }
        }
        if found || !needed { Ok(()) } else { Err(self.lexer.error("an Any of this type needs `value`")) }
    }

    fn unknown_any_member(&mut self, key: &str) -> Result<(), JsonError> {
        if self.options.ignore_unknown_fields {
            return self.lexer.skip().map(drop);
        }
        Err(self
            .lexer
            .error(format!("unknown member `{}`, only `@type` and `value` belong here", shown(key))))
    }
}
