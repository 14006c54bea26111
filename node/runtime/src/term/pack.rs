//! A term as compressed bytes: how the state of a hibernated process is kept.

use super::Term;
use crate::codec::{Reader, read_term_within, write_term};

/// A packed term.
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    pub(crate) fn new(term: &Term) -> Self {
        let mut plain = Vec::new();
        write_term(term, &mut plain);
        Self(lz4_flex::compress_prepend_size(&plain).into())
    }

    /// The term; nothing if the bytes are not what was packed.
    pub(crate) fn unpack(&self) -> Option<Term> {
        let plain = lz4_flex::decompress_size_prepended(&self.0).ok()?;
        let mut from = Reader::new(&plain);
        // its own state may be nested as deeply as a process likes
        let term = read_term_within(&mut from, u32::MAX).ok()?;
        from.finish().ok()?;
        Some(term)
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pid::{OwnedId, Pid};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn term() -> impl Strategy<Value = Term> {
        let leaf = prop_oneof![
            Just(Term::Null),
            any::<bool>().prop_map(Term::Bool),
            any::<i64>().prop_map(Term::Int),
            (-1e9..1e9).prop_map(Term::Float),
            ".{0,8}".prop_map(Term::from),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Term::Bytes(Bytes::from(bytes).into())),
            (1u32..9, 1u32..9, any::<u64>())
                .prop_map(|(node, life, serial)| Term::Pid(Pid::new(node, life, serial))),
            (1u32..9, 1u32..9, 0u64..1 << 56)
                .prop_map(|(node, life, number)| Term::Id(OwnedId::new(node, life, b't', number))),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Term::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6).prop_map(Term::map)
            ]
        })
    }

    proptest! {
        #[test]
        fn a_packed_term_comes_back_whole(term in term()) {
            prop_assert_eq!(Packed::new(&term).unpack(), Some(term));
        }

        #[test]
        fn bytes_that_were_never_packed_give_nothing_or_a_term_but_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = read_term_within(&mut Reader::new(&bytes), u32::MAX);
        }
    }

    #[test]
    fn a_state_that_repeats_itself_weighs_far_less_packed() {
        let members =
            (0..200).map(|n| (format!("key-{n:04}"), Term::from("the same value again".to_owned())));
        let state = Term::map(members);
        assert!(Packed::new(&state).size_bytes() * 4 < state.size_bytes());
    }
}
