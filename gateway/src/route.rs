//! The routing table: a trie over path segments whose leaves are keyed by verb and HTTP method.
//!
//! Precedence is by specificity, never by order of registration: at each segment a literal goes before `*`, and `*`
//! before `**`; a path that ends in a verb some template registers is read as that verb first. Two routes that no
//! path could tell apart are refused when the table is built. An empty segment matches nothing: no expansion of a
//! template makes one, and letting it match hands out empty ids. Only what `**` takes may end in a slash, as the names of
//! files and folders do, and a verb may follow it.

use std::collections::{BTreeSet, HashMap};

use crate::{
    path,
    template::{Segment, Template},
};

/// The HTTP method `*` of a custom rule: any method that has no route of its own.
pub const ANY_METHOD: &str = "*";

/// A routing table; `T` is what a route leads to.
#[derive(Debug)]
pub struct Table<T> {
    root: Node,
    routes: Vec<T>,
}

#[derive(Debug, Default)]
struct Node {
    /// By decoded text, so that `/%73helves` finds `/shelves`.
    literals: HashMap<Box<str>, Node>,
    one: Option<Box<Node>>,
    many: Option<Box<Node>>,
    leaves: Vec<Leaf>,
}

impl Node {
    /// The child that a raw segment of a path leads to, by its decoded text.
    fn literal(&self, segment: &str) -> Option<&Node> {
        if segment.contains('%') {
            return path::decode_all(segment).ok().and_then(|decoded| self.literals.get(&*decoded));
        }
        self.literals.get(segment)
    }
}

#[derive(Debug)]
struct Leaf {
    verb: Box<str>,
    method: Box<str>,
    route: usize,
}

/// A route found.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'t, T> {
    /// What the route leads to.
    pub route: &'t T,
    /// The path ended in the route's verb: the last segment of the request path is cut before it.
    pub verb_length: usize,
}

/// Why no route was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss {
    /// No template matches the path.
    NotFound,
    /// The path is known, with these methods.
    MethodNotAllowed(BTreeSet<String>),
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { root: Node::default(), routes: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Adds a route. When one already answers exactly the same requests, gives back that one.
    pub fn insert(&mut self, method: &str, template: &Template, route: T) -> Result<(), &T> {
        let mut node = &mut self.root;
        for segment in &template.segments {
            node = match segment {
                Segment::Literal(text) => {
                    let decoded =
                        path::decode_all(text).map_or_else(|_| text.clone(), |text| text.into_owned());
                    node.literals.entry(decoded.into_boxed_str()).or_default()
                }
                Segment::One => node.one.get_or_insert_default(),
                Segment::Many => node.many.get_or_insert_default(),
            };
        }
        let twin = node.leaves.iter().find(|leaf| *leaf.verb == *template.verb && *leaf.method == *method);
        if let Some(leaf) = twin {
            return Err(&self.routes[leaf.route]);
        }
        let leaf =
            Leaf { verb: template.verb.as_str().into(), method: method.into(), route: self.routes.len() };
        node.leaves.push(leaf);
        self.routes.push(route);
        Ok(())
    }

    /// All routes, in order of registration.
    pub fn routes(&self) -> impl Iterator<Item = &T> {
        self.routes.iter()
    }

    /// The route at an index of [`Table::routes`].
    pub fn route(&self, index: usize) -> Option<&T> {
        self.routes.get(index)
    }

    /// How many routes there are; the next gets this index.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Finds the route of a request. `path` is raw, without the query. With `strict_verbs` a colon in the last segment
    /// always begins a verb; else a verb that nobody registered is text of the last segment.
    pub fn find(&self, method: &str, path: &str, strict_verbs: bool) -> Result<Match<'_, T>, Miss> {
        let Some(rest) = path.strip_prefix('/') else { return Err(Miss::NotFound) };
        let mut segments: Segments<'_> = Segments::new();
        if !rest.is_empty() {
            for segment in rest.split('/') {
                if segments.last().is_some_and(|before| before.is_empty()) {
                    return Err(Miss::NotFound);
                }
                segments.push(segment);
            }
        }
        if segments.first().is_some_and(|first| first.is_empty()) {
            return Err(Miss::NotFound);
        }
        if let Some((text, verb)) = segments.last().and_then(|last| last.rsplit_once(':'))
            && !verb.is_empty()
        {
            let whole = segments.replace_last(text);
            match self.search(method, &segments, verb) {
                Err(Miss::NotFound) if !strict_verbs => {}
                found => return found,
            }
            segments.replace_last(whole);
        }
        self.search(method, &segments, "")
    }

    fn search(&self, method: &str, segments: &[&str], verb: &str) -> Result<Match<'_, T>, Miss> {
        let mut search = Search { method, verb, allowed: BTreeSet::new(), any: None };
        let found = search.descend(&self.root, segments).or(search.any);
        match found {
            Some(route) => {
                let verb_length = if verb.is_empty() { 0 } else { verb.len() + 1 };
                Ok(Match { route: &self.routes[route], verb_length })
            }
            None if search.allowed.is_empty() => Err(Miss::NotFound),
            None => Err(Miss::MethodNotAllowed(search.allowed)),
        }
    }
}

/// The segments of one request path; the usual few of them need no allocation.
struct Segments<'p> {
    inline: [&'p str; 16],
    length: usize,
    spilled: Vec<&'p str>,
}

impl<'p> Segments<'p> {
    fn new() -> Self {
        Self { inline: [""; 16], length: 0, spilled: Vec::new() }
    }

    fn push(&mut self, segment: &'p str) {
        if self.spilled.is_empty() && self.length < self.inline.len() {
            self.inline[self.length] = segment;
            self.length += 1;
            return;
        }
        if self.spilled.is_empty() {
            self.spilled.extend_from_slice(&self.inline);
        }
        self.spilled.push(segment);
    }

    fn replace_last(&mut self, text: &'p str) -> &'p str {
        let last = match self.spilled.last_mut() {
            Some(last) => last,
            None => &mut self.inline[self.length.saturating_sub(1)],
        };
        std::mem::replace(last, text)
    }
}

impl<'p> std::ops::Deref for Segments<'p> {
    type Target = [&'p str];

    fn deref(&self) -> &[&'p str] {
        if self.spilled.is_empty() { &self.inline[..self.length] } else { &self.spilled }
    }
}

struct Search<'s> {
    method: &'s str,
    verb: &'s str,
    /// The methods of every leaf that matched the path.
    allowed: BTreeSet<String>,
    /// The most specific leaf for any method.
    any: Option<usize>,
}

impl Search<'_> {
    fn descend(&mut self, node: &Node, segments: &[&str]) -> Option<usize> {
        let Some((&first, rest)) = segments.split_first() else {
            // `**` also stands for no segment at all.
            return self.leaf(node).or_else(|| self.descend_many(node, segments));
        };
        if first.is_empty() {
            return self.descend_many(node, segments);
        }
        node.literal(first)
            .and_then(|child| self.descend(child, rest))
            .or_else(|| node.one.as_ref().and_then(|child| self.descend(child, rest)))
            .or_else(|| self.descend_many(node, segments))
    }

    /// After `**` only literals follow, so the shortest stretch that leaves a match is the one with the longest
    /// literal end: the most specific.
    fn descend_many(&mut self, node: &Node, segments: &[&str]) -> Option<usize> {
        let child = node.many.as_deref()?;
        (0..segments.len())
            .filter(|_| !child.literals.is_empty())
            .find_map(|taken| self.descend_literals(child, &segments[taken..]))
            .or_else(|| self.leaf(child))
    }

    fn descend_literals(&mut self, node: &Node, segments: &[&str]) -> Option<usize> {
        let Some((&first, rest)) = segments.split_first() else { return self.leaf(node) };
        self.descend_literals(node.literal(first)?, rest)
    }

    fn leaf(&mut self, node: &Node) -> Option<usize> {
        let leaves = || node.leaves.iter().filter(|leaf| *leaf.verb == *self.verb);
        if let Some(leaf) = leaves().find(|leaf| *leaf.method == *self.method) {
            return Some(leaf.route);
        }
        // what else there is matters only to whoever finds nothing
        for leaf in leaves() {
            if &*leaf.method == ANY_METHOD {
                self.any = self.any.or(Some(leaf.route));
            } else {
                self.allowed.insert(leaf.method.to_string());
            }
        }
        None
    }
}

mod verbs;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rules: &[(&str, &str)]) -> Table<String> {
        let mut table = Table::default();
        for (method, template) in rules {
            table.insert(method, &Template::parse(template).unwrap(), (*template).to_owned()).unwrap();
        }
        table
    }

    #[test]
    fn a_literal_goes_before_a_wildcard_whatever_the_order() {
        let table = table(&[("GET", "/v1/{id}"), ("GET", "/v1/search"), ("GET", "/v1/**")]);
        assert_eq!(table.find("GET", "/v1/search", false).unwrap().route, "/v1/search");
        assert_eq!(table.find("GET", "/v1/other", false).unwrap().route, "/v1/{id}");
        assert_eq!(table.find("GET", "/v1/other/deep", false).unwrap().route, "/v1/**");
    }

    #[test]
    fn an_encoded_literal_is_the_literal_before_and_behind_a_double_wildcard() {
        let table = table(&[("GET", "/v1/{name=**}"), ("GET", "/v1/{name=**}/history")]);
        for path in ["/v1/a/b/history", "/v1/a/b/%68istory", "/%761/a/histor%79"] {
            assert_eq!(table.find("GET", path, false).unwrap().route, "/v1/{name=**}/history", "{path}");
        }
    }

    #[test]
    fn a_registered_verb_with_another_method_is_not_allowed_rather_than_text() {
        let table = table(&[("POST", "/p/{process}:kill"), ("GET", "/p/{process}")]);
        let allowed = BTreeSet::from(["POST".to_owned()]);
        assert_eq!(table.find("GET", "/p/a:kill", false), Err(Miss::MethodNotAllowed(allowed)));
        assert_eq!(table.find("GET", "/p/a:other", false).unwrap().verb_length, 0);
        assert_eq!(table.find("POST", "/p/n1.7.42:kill", false).unwrap().verb_length, 5);
    }

    #[test]
    fn a_trailing_slash_and_an_empty_segment_match_nothing() {
        let table = table(&[("GET", "/a/{b}"), ("GET", "/a"), ("GET", "/x/**"), ("GET", "/**/end")]);
        for path in ["/a/", "/a//", "//a", "//", "/x//a", "/x/a//", "/y/end/", "", "a"] {
            assert_eq!(table.find("GET", path, false), Err(Miss::NotFound), "{path}");
        }
    }

    #[test]
    fn what_a_double_wildcard_takes_may_end_in_a_slash() {
        let table = table(&[("GET", "/x/{rest=**}"), ("GET", "/x/{one}")]);
        for path in ["/x/a/", "/x/a/b/", "/x/"] {
            assert_eq!(table.find("GET", path, false).unwrap().route, "/x/{rest=**}", "{path}");
        }
    }

    #[test]
    fn the_same_requests_under_other_variable_names_are_a_conflict() {
        let mut table = table(&[("GET", "/x/{a}")]);
        let twin = table.insert("GET", &Template::parse("/x/{b=*}").unwrap(), "b".to_owned());
        assert_eq!(twin, Err(&"/x/{a}".to_owned()));
    }

    #[test]
    fn a_path_of_more_segments_than_are_kept_inline_still_matches() {
        let table = table(&[("GET", "/x/{rest=**}")]);
        let path = format!("/x{}", "/a".repeat(40));
        assert!(table.find("GET", &path, false).is_ok());
    }
}
