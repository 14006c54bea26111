//! Where a process is: by name, label or expression, on some nodes or all.

use super::{ask, list};
use crate::Shared;
use crate::introspection::IntrospectionApi;
use crate::listing::bad_filter;
use crate::page;
use crate::status::bad_argument;
use arsenal_observe::process_filter::ProcessFilter;
use arsenal_proto::v1;
use arsenal_proto::v1::introspection_service_client::IntrospectionServiceClient;
use arsenal_proto::v1::introspection_service_server::IntrospectionService as _;
use std::collections::BTreeSet;
use tonic::{Request, Response, Status};

pub(super) async fn find(
    shared: &Shared,
    own: &IntrospectionApi,
    request: v1::FindProcessOnNodesRequest,
) -> Result<v1::FindProcessOnNodesResponse, Status> {
    let wanted = condition(&request)?;
    // what is wrong with it is this node's to say, and not each one's
    ProcessFilter::compile(&wanted).map_err(|error| bad_filter(&error))?;
    let page_size = i32::try_from(page::size(request.page_size)?).unwrap_or(i32::MAX);
    let nodes: BTreeSet<u32> = if request.nodes.is_empty() {
        shared.nodes.membership().nodes.keys().copied().collect()
    } else {
        let named =
            request.nodes.iter().map(|name| list::known(shared, "nodes", name).map(|(node, _)| node.id));
        named.collect::<Result<_, _>>()?
    };
    let question = v1::ListAllProcessesRequest {
        filter: wanted,
        page_size,
        read_mask: request.read_mask,
        ..Default::default()
    };
    let own_id = shared.nodes.own();
    let others = nodes.iter().copied().filter(|id| *id != own_id).collect();
    let told = ask::each(shared, others, ask::TIMEOUT_DEFAULT, |_, channel| {
        let question = question.clone();
        async move {
            IntrospectionServiceClient::new(channel)
                .list_all_processes(question)
                .await
                .map(Response::into_inner)
        }
    });
    let mut answers = told.await;
    if nodes.contains(&own_id) {
        let answer = own.list_all_processes(Request::new(question.clone())).await?.into_inner();
        answers.push((own_id, Ok(answer)));
    }
    answers.sort_by_key(|(id, _)| *id);
    let mut found = v1::FindProcessOnNodesResponse::default();
    for (id, answer) in answers {
        match answer {
            Ok(page) => {
                found.processes.extend(page.processes);
                if !page.next_page_token.is_empty() {
                    found.truncated.push(list::name(id));
                }
            }
            Err(status) if ask::is_unreached(&status) => found.unreached.push(list::name(id)),
            Err(status) => return Err(status),
        }
    }
    Ok(found)
}

/// What is asked for as one expression.
fn condition(request: &v1::FindProcessOnNodesRequest) -> Result<String, Status> {
    let mut parts = Vec::new();
    if !request.name.is_empty() {
        let name = literal(&request.name);
        parts.push(format!("(registered_name == {name} || {name} in global_names)"));
    }
    if !request.label.is_empty() {
        let (key, value) = request.label.split_once('=').ok_or_else(|| {
            bad_argument("label", format!("`{}` is no label; give one as `key=value`", request.label))
        })?;
        let (key, value) = (literal(key), literal(value));
        parts.push(format!("({key} in labels && labels[{key}] == {value})"));
    }
    if !request.filter.is_empty() {
        // on lines of its own: it may end in a comment, and positions stay those of its own lines
        parts.push(format!("(\n{}\n)", request.filter));
    }
    if parts.is_empty() {
        return Err(bad_argument("name", "one of `name`, `label` and `filter` says what is looked for"));
    }
    Ok(parts.join(" && "))
}

/// A text as CEL has it.
fn literal(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\U{:08x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_observe::predicate::{Bindings, Predicate};

    #[test]
    fn any_text_is_a_literal_that_means_itself() {
        for text in ["plain", "with \"quotes\" and \\ them", "a\nb\u{1}", "ü日本", ""] {
            let predicate = Predicate::compile(&format!("{} == x", literal(text))).unwrap();
            let bindings = Bindings::default().set("x", text.to_owned());
            assert!(predicate.matches(&bindings).unwrap(), "{text:?}");
        }
    }

    #[test]
    fn what_is_given_has_all_to_hold() {
        let request = v1::FindProcessOnNodesRequest {
            name: "a".into(),
            filter: "true || false // any".into(),
            ..Default::default()
        };
        let predicate = Predicate::compile(&condition(&request).unwrap()).unwrap();
        let named = |name: &str| {
            Bindings::default()
                .set("registered_name", name.to_owned())
                .set("global_names", arsenal_runtime::Term::list([]))
        };
        assert!(predicate.matches(&named("a")).unwrap());
        assert!(!predicate.matches(&named("b")).unwrap());
    }
}
