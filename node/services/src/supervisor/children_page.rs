//! Pages of children: each is answered by the supervisor at one moment, `as_of` tells whether the next one saw another.

use super::ask::{ask, unexpected};
use super::encode;
use super::spec::id_text;
use crate::listing::{Row, admits, bad_filter};
use crate::page;
use crate::status::bad_argument;
use arsenal_behaviours::supervisor::core::Place;
use arsenal_behaviours::supervisor::request::{ChildInfo, ChildrenPage};
use arsenal_behaviours::supervisor::{SupervisorReply, SupervisorRequest};
use arsenal_observe::predicate::{Field, FieldType, Predicate};
use arsenal_proto::v1;
use arsenal_runtime::{Node, Pid, Term};
use std::sync::Arc;
use tonic::Status;

/// Children that are looked at for one page: with a filter that few match a page may be shorter than asked.
const LOOKED_AT_MAX: usize = 10_000;

/// One page.
pub(super) struct Page {
    pub(super) children: Vec<v1::Child>,
    pub(super) next_page_token: String,
    pub(super) as_of: u64,
}

/// The page of a supervisor's children that is asked for.
pub(super) async fn read(
    node: &Node,
    supervisor: Pid,
    request: &v1::WhichChildrenRequest,
) -> Result<Page, Status> {
    let filter = match request.filter.as_str() {
        "" => None,
        text => Some(Predicate::condition(text, ChildRow::FIELDS).map_err(|error| bad_filter(&error))?),
    };
    let text = supervisor.to_string();
    let bound = [text.as_str(), request.filter.as_str()];
    let size = page::size(request.page_size)?;
    let position = page::position(&bound, &request.page_token)?;
    let place = position.map(|place| place.parse().map(Place)).transpose();
    let mut before = place.map_err(|_| bad_argument("page_token", "the page token has no position"))?;
    let (mut children, mut looked_at) = (Vec::new(), 0);
    loop {
        let limit = Some(size - children.len());
        let which = SupervisorRequest::WhichChildren { before, limit };
        let answer = match ask(node, supervisor, &which, 0).await? {
            SupervisorReply::Children(answer) => answer,
            other => return Err(unexpected(&other)),
        };
        let ChildrenPage { children: found, next, as_of } = answer;
        before = next;
        looked_at += found.len();
        for child in found {
            let admitted = match &filter {
                Some(filter) => admits(filter, &ChildRow(&child)).map_err(|error| bad_filter(&error))?,
                None => true,
            };
            children.extend(admitted.then(|| encode::child(&child)));
        }
        if before.is_none() || children.len() >= size || looked_at >= LOOKED_AT_MAX {
            let next_page_token =
                before.map(|place| page::token(&bound, &place.0.to_string())).unwrap_or_default();
            return Ok(Page { children, next_page_token, as_of });
        }
    }
}

/// A child as filters see it: the fields of `Child`.
struct ChildRow<'a>(&'a ChildInfo);

impl Row for ChildRow<'_> {
    const FIELDS: &'static [Field] = &[
        ("id", FieldType::Text),
        ("pid", FieldType::Text),
        ("state", FieldType::Text),
        ("type", FieldType::Text),
        ("modules", FieldType::List),
        ("dynamic_modules", FieldType::Flag),
        ("owed", FieldType::Flag),
        ("incarnation", FieldType::Number),
        ("restart", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        let shown = encode::child(self.0);
        match name {
            "id" => Term::from(id_text(&self.0.id)),
            "pid" => Term::from(shown.pid),
            "state" => shown.state().as_str_name().into(),
            "type" => shown.r#type().as_str_name().into(),
            "modules" => {
                Term::list(shown.modules.into_iter().map(|module| Term::str(Arc::<str>::from(module))))
            }
            "dynamic_modules" => shown.dynamic_modules.into(),
            "owed" => shown.owed.into(),
            "incarnation" => Term::Int(self.0.incarnation.into()),
            _ => shown.restart().as_str_name().into(),
        }
    }
}
