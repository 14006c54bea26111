//! Metadata of names and groups: how much there may be, and what an update changes.

use crate::status::{bad_argument, failure};
use arsenal_runtime::Term;
use std::sync::Arc;
use tonic::{Code, Status};

/// Bytes that metadata may have, as JSON.
const METADATA_BYTES_MAX: usize = 64 << 10;

/// `RESOURCE_EXHAUSTED METADATA_TOO_LARGE` if these are more than metadata may be.
pub(super) fn check_size(metadata: &Term) -> Result<(), Status> {
    let bytes = metadata.to_json().to_string().len();
    if bytes <= METADATA_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the metadata have {bytes} bytes; at most {METADATA_BYTES_MAX} are kept");
    Err(failure(Code::ResourceExhausted, "METADATA_TOO_LARGE", message).field("metadata").status())
}

/// The merge patch that does what a patch and a mask ask for to `current`.
///
/// # Errors
/// `BADARG` for a path that is no key, or `*` among others.
pub(super) fn patch(current: &Term, patch: &Term, mask: &[String]) -> Result<Term, Status> {
    match mask {
        [] => Ok(patch.clone()),
        [all] if all == "*" => Ok(difference(current, patch)),
        keys => {
            let member = |key: &String| {
                if key.is_empty() || key == "*" || key.contains('.') {
                    let message = format!("`update_mask` has `{key}`, which is no key of metadata");
                    return Err(bad_argument("update_mask", message));
                }
                let old = current.get(key).cloned().unwrap_or_default();
                let change = patch.get(key).map_or(Term::Null, |value| difference(&old, value));
                Ok((Arc::from(key.as_str()), change))
            };
            keys.iter().map(member).collect::<Result<Vec<_>, _>>().map(Term::map::<Arc<str>>)
        }
    }
}

/// The merge patch that makes `target` of `current`. A null in a map of `target` stands for an absent member, as no
/// merge patch can set one.
fn difference(current: &Term, target: &Term) -> Term {
    let Some(wanted) = target.as_map() else { return target.clone() };
    let had = current.as_map().unwrap_or_default();
    let gone =
        had.iter().filter(|(key, _)| target.get(key).is_none()).map(|(key, _)| (Arc::clone(key), Term::Null));
    let set = wanted.iter().map(|(key, value)| {
        let old = current.get(key).cloned().unwrap_or_default();
        (Arc::clone(key), difference(&old, value))
    });
    Term::map(gone.chain(set))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn metadata() -> impl Strategy<Value = Term> {
        let leaf = prop_oneof![any::<bool>().prop_map(Term::Bool), (0i64..9).prop_map(Term::Int)];
        let value = leaf.prop_recursive(2, 8, 3, |inner| {
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(Term::map)
        });
        prop::collection::btree_map("[a-c]", value, 0..4).prop_map(Term::map)
    }

    proptest! {
        #[test]
        fn a_replacement_leaves_nothing_of_what_was_there(current in metadata(), target in metadata()) {
            let patch = patch(&current, &target, &["*".to_owned()]).unwrap();
            prop_assert_eq!(current.merge_patch(&patch), target);
        }

        #[test]
        fn a_masked_key_is_replaced_and_every_other_one_stays(current in metadata(), change in metadata()) {
            let patch = patch(&current, &change, &["a".to_owned()]).unwrap();
            let after = current.merge_patch(&patch);
            prop_assert_eq!(after.get("a"), change.get("a"));
            prop_assert_eq!(after.get("b"), current.get("b"));
            prop_assert_eq!(after.get("c"), current.get("c"));
        }
    }

    #[test]
    fn a_path_that_is_no_key_is_refused() {
        for mask in [vec![""], vec!["a.b"], vec!["*", "a"]] {
            let mask: Vec<String> = mask.into_iter().map(str::to_owned).collect();
            assert!(patch(&Term::Null, &Term::Null, &mask).is_err(), "{mask:?}");
        }
    }

    #[test]
    fn metadata_beyond_the_bound_are_refused() {
        assert!(check_size(&Term::str("x".repeat(METADATA_BYTES_MAX - 2))).is_ok());
        assert!(check_size(&Term::str("x".repeat(METADATA_BYTES_MAX - 1))).is_err());
    }
}
