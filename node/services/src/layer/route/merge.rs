//! The answers of several nodes made one, by the descriptor of the message.
//!
//! A list's rows are joined, texts and other lists are concatenated, counts are added up, and what is of the whole cluster
//! is taken from this node. What a caller reads of a row is what it asked for, although more was needed to order it.

use super::cursor::Position;
use super::gather::{Part, text};
use crate::listing::Order;
use crate::payload;
use arsenal_observe::process_variables::HEADER_NAMES;
use arsenal_runtime::{Node, Term};
use http::HeaderMap;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _,
    SerializeOptions, Value,
};
use std::cmp::Ordering;
use std::collections::VecDeque;
use tonic::Status;

/// Lists that every node has alike: this node's are the answer.
const SHARED: [&str; 2] = ["global_names", "groups"];
/// Numbers that are added up.
const SUMMED: [&str; 2] = ["count", "dropped"];
/// What lists of processes have where no mask asks for other fields.
const DEFAULT_FIELDS: [&str; 5] =
    ["registered_name", "global_names", "hooks", "event_handlers", "state_name"];
/// How names found by a search are ordered where nothing is asked for.
const SEARCH_ORDER: &str = "name, scope, node";
/// What narrows a search on another node: the global names were found here.
const LOCAL_NAMES: &str = "scope == 'LOCAL'";

/// What an operation's answer is made of.
pub(super) struct Shape {
    rows: Option<FieldDescriptor>,
    search: bool,
}

impl Shape {
    pub(super) fn of(method: &MethodDescriptor) -> Self {
        let is_rows = |field: &FieldDescriptor| {
            field.is_list() && matches!(field.kind(), Kind::Message(_)) && !SHARED.contains(&field.name())
        };
        Self { rows: method.output().fields().find(is_rows), search: is_search(&method.input()) }
    }

    /// Has a search on another node leave out what is the same on all.
    pub(super) fn narrow(request: &mut DynamicMessage, elsewhere: bool) {
        if elsewhere && is_search(&request.descriptor()) {
            let filter = format!("({}) && {LOCAL_NAMES}", text(request, "filter"));
            request.set_field_by_name("filter", Value::String(filter));
        }
    }
}

fn is_search(input: &MessageDescriptor) -> bool {
    input.name() == "SearchRegistryByMetadataRequest"
}

/// A node's page on its way into the whole.
pub(super) struct List {
    node: u32,
    token: String,
    /// Rows of the page that are gone, those of earlier pages of the whole included.
    gone: usize,
    rows: VecDeque<(Vec<Term>, Value)>,
    next: String,
}

/// The answer as it grows.
pub(super) struct Merge {
    own: u32,
    rows_field: Option<FieldDescriptor>,
    search: bool,
    message: DynamicMessage,
    headers: HeaderMap,
    rows: Vec<Value>,
    unreached: Vec<u32>,
    order: Option<Order>,
    /// Fields of a row that only its order needed.
    surplus: Vec<String>,
}

impl Merge {
    pub(super) fn new(node: &Node, shape: Shape, output: MessageDescriptor) -> Self {
        let mut message = DynamicMessage::new(output);
        if message.descriptor().get_field_by_name("node").is_some() {
            message.set_field_by_name("node", Value::String(node.name().to_string()));
        }
        Self {
            own: node.id(),
            rows_field: shape.rows,
            search: shape.search,
            message,
            headers: HeaderMap::new(),
            rows: Vec::new(),
            unreached: Vec::new(),
            order: None,
            surplus: Vec::new(),
        }
    }

    /// Another of the same kind, with nothing in it.
    pub(super) fn like(other: &Self) -> Self {
        Self {
            own: other.own,
            rows_field: other.rows_field.clone(),
            search: other.search,
            message: DynamicMessage::new(other.message.descriptor()),
            headers: HeaderMap::new(),
            rows: Vec::new(),
            unreached: Vec::new(),
            order: None,
            surplus: Vec::new(),
        }
    }

    /// Rows that are in it.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What a guard counts: the count that the answer tells, or else its first list.
    pub(super) fn count(&self) -> u32 {
        if let Some(count) = self.message.get_field_by_name("count").and_then(|count| count.as_u32()) {
            return count;
        }
        let lists = self.message.descriptor().fields().filter(FieldDescriptor::is_list).collect::<Vec<_>>();
        let first =
            lists.first().map(|field| self.message.get_field(field).as_list().map_or(0, <[Value]>::len));
        u32::try_from(first.unwrap_or_default()).unwrap_or(u32::MAX)
    }

    /// The request that each node gets if an order was asked for, with what is needed to merge.
    ///
    /// # Errors
    /// `BADARG` for an order over what the rows have not.
    pub(super) fn order(&mut self, request: &DynamicMessage) -> Result<Option<DynamicMessage>, Status> {
        let asked = text(request, "order_by");
        let order_by = if asked.trim().is_empty() && self.search { SEARCH_ORDER } else { asked.trim() };
        let Some(Kind::Message(row)) = self.rows_field.as_ref().map(FieldDescriptor::kind) else {
            return Ok(None);
        };
        if order_by.is_empty() {
            return Ok(None);
        }
        let fields: Vec<String> = row.fields().map(|field| field.name().to_owned()).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        self.order = Some(Order::parse(order_by, &fields)?);
        let mut request = request.clone();
        request.set_field_by_name("order_by", Value::String(order_by.to_owned()));
        if let Some(mask) = request.descriptor().get_field_by_name("read_mask") {
            let ordering = order_by.split(',').filter_map(|part| part.split_whitespace().next());
            self.widen(&mut request, &mask, ordering.filter_map(|path| path.split('.').next()));
        }
        Ok(Some(request))
    }

    fn widen<'a>(
        &mut self,
        request: &mut DynamicMessage,
        mask: &FieldDescriptor,
        ordering: impl Iterator<Item = &'a str>,
    ) {
        let Some(value) = request.get_field(mask).as_message().cloned() else { return };
        let asked = value.get_field_by_name("paths");
        let asked = asked.as_deref().and_then(Value::as_list).unwrap_or_default();
        let mut paths: Vec<String> =
            asked.iter().filter_map(|path| path.as_str().map(str::to_owned)).collect();
        if paths.is_empty() {
            paths = HEADER_NAMES.iter().chain(&DEFAULT_FIELDS).map(|name| (*name).to_owned()).collect();
        }
        if paths.iter().any(|path| path == "*") {
            return;
        }
        for name in ordering.filter(|name| !paths.iter().any(|path| path == name)).collect::<Vec<_>>() {
            self.surplus.push(name.to_owned());
        }
        paths.extend(self.surplus.iter().cloned());
        let mut value = value;
        value.set_field_by_name("paths", Value::List(paths.into_iter().map(Value::String).collect()));
        request.set_field(mask, Value::Message(value));
    }

    /// Takes what a node answered beside its rows; gives those, and the token of its next page.
    pub(super) fn part(&mut self, part: Part) -> (Vec<Value>, String) {
        let Part { node, headers, message } = part;
        if node == self.own {
            self.headers = headers;
        }
        let mut rows = Vec::new();
        for field in message.descriptor().fields() {
            let value = message.get_field(&field).into_owned();
            if Some(&field) == self.rows_field.as_ref() {
                rows = match value {
                    Value::List(rows) => rows,
                    _ => Vec::new(),
                };
            } else {
                self.add(&field, value, node);
            }
        }
        (rows, text(&message, "next_page_token"))
    }

    fn add(&mut self, field: &FieldDescriptor, value: Value, node: u32) {
        match (field.name(), value) {
            // told at the end
            ("next_page_token" | "node" | "names", _) => {}
            (name, Value::List(mut more)) if !SHARED.contains(&name) => {
                if let Value::List(have) = self.message.get_field_mut(field) {
                    have.append(&mut more);
                }
            }
            (name, Value::U32(more)) if SUMMED.contains(&name) => {
                let have = self.message.get_field(field).as_u32().unwrap_or_default();
                self.message.set_field(field, Value::U32(have.saturating_add(more)));
            }
            (name, Value::U64(more)) if SUMMED.contains(&name) => {
                let have = self.message.get_field(field).as_u64().unwrap_or_default();
                self.message.set_field(field, Value::U64(have.saturating_add(more)));
            }
            (_, value) if node == self.own => self.message.set_field(field, value),
            _ => {}
        }
    }

    pub(super) fn append(&mut self, rows: Vec<Value>) {
        self.rows.extend(rows);
    }

    /// A node gave no answer.
    pub(super) fn unreached(&mut self, node: u32) {
        self.unreached.push(node);
    }

    /// A node's page, with what its rows are ordered by.
    pub(super) fn list(&self, node: u32, token: String, skip: usize, rows: Vec<Value>, next: String) -> List {
        let gone = skip.min(rows.len());
        let rows = rows.into_iter().skip(skip).map(|row| (self.key(&row), row)).collect();
        List { node, token, gone, rows, next }
    }

    fn key(&self, row: &Value) -> Vec<Term> {
        let Some(order) = &self.order else { return Vec::new() };
        let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
        let json = row.as_message().and_then(|row| {
            row.serialize_with_options(serde_json::value::Serializer, &options.skip_default_fields(false))
                .ok()
        });
        let row = json.unwrap_or_default();
        order.key(|name| {
            let value = row.get(name).and_then(|value| arsenal_proto::Value::from_json(value).ok());
            value.map(|value| payload::to_term(&value)).unwrap_or_default()
        })
    }

    /// Takes the first rows of all lists; gives how far each was read. It stops where a list has no more rows at hand
    /// but more to come.
    pub(super) fn in_order(&mut self, mut lists: Vec<List>, size: usize) -> Vec<(u32, Position)> {
        while self.rows.len() < size {
            if lists.iter().any(|list| list.rows.is_empty() && !list.next.is_empty()) {
                break;
            }
            let order = self.order.as_ref();
            let compare =
                |a: &Vec<Term>, b: &Vec<Term>| order.map_or(Ordering::Equal, |order| order.compare(a, b));
            let mut first: Option<usize> = None;
            for (at, list) in lists.iter().enumerate() {
                let Some((key, _)) = list.rows.front() else { continue };
                let best = first.and_then(|first| lists[first].rows.front());
                if best.is_none_or(|(best, _)| compare(key, best) == Ordering::Less) {
                    first = Some(at);
                }
            }
            let Some(list) = first.and_then(|first| lists.get_mut(first)) else { break };
            list.gone += 1;
            self.rows.extend(list.rows.pop_front().map(|(_, row)| row));
        }
        lists.into_iter().map(List::position).collect()
    }

    /// The answer, and the headers that go with it.
    pub(super) fn finish(mut self, token: Option<String>) -> (HeaderMap, DynamicMessage) {
        for row in &mut self.rows {
            if let Value::Message(row) = row {
                self.surplus.iter().for_each(|name| row.clear_field_by_name(name));
            }
        }
        if self.message.descriptor().get_field_by_name("names").is_some() {
            let names =
                self.rows.iter().filter_map(|row| Some(Value::String(text(row.as_message()?, "name"))));
            self.message.set_field_by_name("names", Value::List(names.collect()));
        }
        if let Some(field) = &self.rows_field {
            self.message.set_field(field, Value::List(std::mem::take(&mut self.rows)));
        }
        if let Some(token) = token {
            self.message.set_field_by_name("next_page_token", Value::String(token));
        }
        if let Some(field) = self.message.descriptor().get_field_by_name("unreached")
            && let Value::List(named) = self.message.get_field_mut(&field)
        {
            named.extend(self.unreached.iter().map(|node| Value::String(format!("n{node}"))));
        }
        (self.headers, self.message)
    }
}

impl List {
    /// How far it was read.
    fn position(self) -> (u32, Position) {
        let position = match (self.rows.is_empty(), self.next.is_empty()) {
            (true, true) => Position::End,
            (true, false) => Position::At { token: self.next, skip: 0 },
            (false, _) => Position::At { token: self.token, skip: self.gone },
        };
        (self.node, position)
    }
}
