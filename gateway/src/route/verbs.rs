//! Which verbs a path could have ended in: for whoever mistyped one.

use super::{Node, Table};
use crate::path;
use std::collections::BTreeSet;

impl<T> Table<T> {
    /// For a path that ends in a verb which no template registers there: that verb, and those which some do. Nothing for
    /// a path without a colon in its last segment, and where no verb is known.
    pub fn unknown_verb<'p>(&self, path: &'p str) -> Option<(&'p str, BTreeSet<&str>)> {
        let (text, verb) = path.rsplit_once(':').filter(|(_, verb)| !verb.contains('/'))?;
        let segments: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let mut known = BTreeSet::new();
        collect(&self.root, &segments, &mut known);
        (!known.is_empty() && !known.contains(verb)).then_some((verb, known))
    }
}

/// Recurses as deep as templates have segments.
fn collect<'t>(node: &'t Node, segments: &[&str], verbs: &mut BTreeSet<&'t str>) {
    let Some((first, rest)) = segments.split_first() else {
        return verbs.extend(node.leaves.iter().map(|leaf| &*leaf.verb).filter(|verb| !verb.is_empty()));
    };
    let literal = path::decode_all(first).ok().and_then(|decoded| node.literals.get(&*decoded));
    for child in literal.into_iter().chain(node.one.as_deref()) {
        collect(child, rest, verbs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    #[test]
    fn a_verb_that_no_template_has_there_is_told_with_those_that_some_have() {
        let mut table = Table::default();
        for template in ["/p/{process}:kill", "/p/{process}:stop", "/p:spawn", "/p/{process}"] {
            table.insert("POST", &Template::parse(template).unwrap(), ()).unwrap();
        }
        let verbs = ["kill", "stop"].into();
        assert_eq!(table.unknown_verb("/p/n1.1.7:klil"), Some(("klil", verbs)));
        assert_eq!(table.unknown_verb("/p:kill"), Some(("kill", ["spawn"].into())));
        for path in ["/p/n1.1.7:kill", "/p/n1.1.7", "/q/n1.1.7:kill", "/p/a:b/c", ""] {
            assert_eq!(table.unknown_verb(path), None, "{path}");
        }
    }
}
