//! Operations by path and method.
//!
//! OpenAPI has one operation for both, and paths that differ in the names of their variables alone are one to it. Two rules
//! may share such a path: `/v1/{id}` and `/v1/{id=**}`. Whichever comes later then stands in `x-also` of the first, which
//! readers see and generators pass over.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::route::ANY_METHOD;

/// The methods that a path item can have.
const STANDARD_METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// OpenAPI has no word for "any method": such a rule is shown as the first of these that no other rule of its path has.
const FOR_ANY_METHOD: [&str; 5] = ["post", "get", "put", "patch", "delete"];

/// The path items so far.
#[derive(Debug, Default)]
pub(super) struct Items {
    items: BTreeMap<String, Map<String, Value>>,
    /// Rules for any method, which go where the others leave room.
    any: Vec<(String, Value)>,
}

impl Items {
    /// Places an operation. One of a method that OpenAPI does not have has no place.
    pub(super) fn put(&mut self, path: String, http_method: &str, operation: Value) {
        if http_method == ANY_METHOD {
            self.any.push((path, operation));
            return;
        }
        let verb = http_method.to_lowercase();
        if STANDARD_METHODS.contains(&&*verb) {
            add(self.items.entry(path).or_default(), &verb, operation);
        }
    }

    /// All of them, by path.
    pub(super) fn finish(self) -> BTreeMap<String, Map<String, Value>> {
        let mut items = self.items;
        for (path, operation) in self.any {
            let item = items.entry(path).or_default();
            let free = FOR_ANY_METHOD.into_iter().find(|verb| !item.contains_key(*verb));
            add(item, free.unwrap_or(FOR_ANY_METHOD[0]), operation);
        }
        items
    }
}

fn add(item: &mut Map<String, Value>, verb: &str, operation: Value) {
    let Some(first) = item.get_mut(verb).and_then(Value::as_object_mut) else {
        item.insert(verb.to_owned(), operation);
        return;
    };
    if let Some(also) = first.entry("x-also").or_insert_with(|| json!([])).as_array_mut() {
        also.push(operation);
    }
}
