//! A map that costs nothing while it is empty and no tree while it has one entry, as most processes' links do.
//! Iteration is in key order, so that nothing depends on a hasher.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) enum SmallMap<K, V> {
    #[default]
    Empty,
    One(K, V),
    #[expect(clippy::box_collection, reason = "keeps the common cases small")]
    Many(Box<BTreeMap<K, V>>),
}

impl<K: Ord + Copy, V> SmallMap<K, V> {
    /// Inserts and gives the old value.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self {
            Self::Empty => {
                *self = Self::One(key, value);
                None
            }
            Self::One(only, old) if *only == key => Some(std::mem::replace(old, value)),
            Self::One(..) => {
                if let Self::One(first, old) = std::mem::take(self) {
                    *self = Self::Many(Box::new(BTreeMap::from([(first, old), (key, value)])));
                }
                None
            }
            Self::Many(map) => map.insert(key, value),
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        match self {
            Self::One(only, _) if *only == key => match std::mem::take(self) {
                Self::One(_, value) => Some(value),
                _ => None,
            },
            Self::Many(map) => {
                let value = map.remove(&key);
                if map.is_empty() {
                    *self = Self::Empty;
                }
                value
            }
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (K, &V)> + '_> {
        match self {
            Self::Empty => Box::new(std::iter::empty()),
            Self::One(key, value) => Box::new(std::iter::once((*key, value))),
            Self::Many(map) => Box::new(map.iter().map(|(key, value)| (*key, value))),
        }
    }

    pub(crate) fn take(&mut self) -> Vec<(K, V)> {
        match std::mem::take(self) {
            Self::Empty => Vec::new(),
            Self::One(key, value) => vec![(key, value)],
            Self::Many(map) => map.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_what_a_btree_map_holds(commands in prop::collection::vec((0u8..6, any::<bool>()), 0..40)) {
            let (mut small, mut model) = (SmallMap::default(), BTreeMap::new());
            for (step, (key, insert)) in commands.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(small.insert(key, step), model.insert(key, step));
                } else {
                    prop_assert_eq!(small.remove(key), model.remove(&key));
                }
                                prop_assert!(small.iter().map(|(k, v)| (k, *v)).eq(model.iter().map(|(k, v)| (*k, *v))));
            }
            prop_assert!(small.take().into_iter().eq(model));
        }
    }
}
