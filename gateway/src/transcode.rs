//! Transcoding between canonical proto3 JSON and the protobuf wire format, straight along the schema's plans, without a
//! tree of values in between.
//!
//! [`decode`] goes from JSON to wire, [`encode`] from wire to JSON, [`query`] from parameters and path captures to wire.
//! Since protobuf merges concatenated messages and the last value wins, query and path are appended behind the body.
//! [`reference`](mod@reference) does the same through prost-reflect's DynamicMessage: the measure for tests, and the
//! transcoder of whoever sets it.

pub mod decode;
pub mod encode;
pub mod lexer;
pub mod mask;
pub mod number;
pub mod query;
pub mod reference;
mod scalar;
pub(crate) use scalar::base64;
mod structure;
pub mod text;
pub mod time;
pub mod wire;

use smallvec::SmallVec;

/// How JSON is read and written. The default is canonical proto3 JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonOptions {
    /// Print enum values as numbers.
    pub enum_numbers: bool,
    /// Print fields without presence also when they have their default.
    pub emit_defaults: bool,
    /// But not in the messages within the one that is printed: they are told in part, and a default would look as if it
    /// had been read.
    pub sparse: bool,
    /// Print field names as the proto file has them.
    pub proto_names: bool,
    /// Pass over unknown fields, and over unknown enum names, instead of refusing them.
    pub ignore_unknown_fields: bool,
    /// Take enum names in any case.
    pub enum_case_insensitive: bool,
}

/// The known name nearest to one that is unknown, if any is near enough to be meant.
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const COMPARED_MAX: usize = 64;
    if unknown.len() > COMPARED_MAX {
        return None;
    }
    let distances =
        known.filter(|name| name.len() <= COMPARED_MAX).map(|name| (distance(unknown, name), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + unknown.len() / 3).then_some(name)
}

/// Damerau-Levenshtein distance (adjacent swaps count one), on bytes without regard to case and underscores.
fn distance(left: &str, right: &str) -> usize {
    let fold = |text: &str| -> Vec<u8> {
        text.bytes().filter(|&byte| byte != b'_').map(|byte| byte.to_ascii_lowercase()).collect()
    };
    let (left, right) = (fold(left), fold(right));
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, &a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &b) in right.iter().enumerate() {
            let mut best =
                (above[column] + usize::from(a != b)).min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && a == right[column - 1] && left[row - 1] == b {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

/// A set of small indices; up to 64 of them need no allocation.
#[derive(Debug, Default)]
struct Seen {
    low: u64,
    high: Vec<u64>,
}

impl Seen {
    /// Adds an index; `false` when it was there.
    #[inline]
    fn insert(&mut self, index: usize) -> bool {
        let word = match index.checked_sub(64) {
            None => &mut self.low,
            Some(beyond) => {
                let word = beyond / 64;
                if self.high.len() <= word {
                    self.high.resize(word + 1, 0);
                }
                &mut self.high[word]
            }
        };
        let bit = 1 << (index % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    fn contains(&self, index: usize) -> bool {
        let word = match index.checked_sub(64) {
            None => self.low,
            Some(beyond) => self.high.get(beyond / 64).copied().unwrap_or(0),
        };
        word & 1 << (index % 64) != 0
    }
}

/// The keys of one JSON object or map, to find one that comes twice. The usual few of them are compared one by one.
#[derive(Debug)]
struct Keys<K> {
    few: SmallVec<[K; 8]>,
    many: Option<std::collections::HashSet<K>>,
}

impl<K: Eq + std::hash::Hash + Clone> Keys<K> {
    fn new() -> Self {
        Self { few: SmallVec::new(), many: None }
    }

    /// Adds a key; `false` when it was there.
    fn insert(&mut self, key: K) -> bool {
        const FEW_MAX: usize = 16;
        if let Some(many) = &mut self.many {
            return many.insert(key);
        }
        if self.few.contains(&key) {
            return false;
        }
        self.few.push(key);
        if self.few.len() > FEW_MAX {
            self.many = Some(self.few.drain(..).collect());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_through_a_typing_error_and_not_beyond() {
        let known = ["pageSize", "pageToken", "filter"];
        assert_eq!(nearest("page_siez", known.into_iter()), Some("pageSize"));
        assert_eq!(nearest("fliter", known.into_iter()), Some("filter"));
        assert_eq!(nearest("wholly_other", known.into_iter()), None);
    }

    #[test]
    fn a_key_among_many_is_found_again() {
        let mut keys = Keys::new();
        assert!((0..100).all(|key| keys.insert(key)));
        assert!((0..100).all(|key| !keys.insert(key)));
    }
}
