//! Where the messages of a call come from: the argument, a file, or standard input.
//!
//! An operation whose client streams takes any number of JSON documents, one after the other, and sends each as soon as it
//! is there: `arsenal call open_session -` is a conversation. Reading waits for the node: at most [`AHEAD`] are under way.

use super::CommandError;
use crate::dynamic;
use arsenal_gateway::transcode::nearest;
use arsenal_services::operations::Operation;
use futures_util::Stream;
use serde_json::Value;
use std::io::Read;
use tokio::sync::{mpsc, oneshot};

/// Messages that are read before the node has taken the ones before them.
const AHEAD: usize = 16;

/// The one request of an operation whose client does not stream.
pub(super) fn read_one(argument: &str) -> Result<Value, CommandError> {
    let mut text = String::new();
    open(argument)?.read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    serde_json::from_str(&text).map_err(|error| no_json(&error))
}

/// A request, encoded.
pub(super) fn encode(operation: &Operation, request: &Value) -> Result<Vec<u8>, CommandError> {
    dynamic::encode(operation, request).map_err(|error| {
        let name = operation.method.input().full_name().to_owned();
        let meant = misspelt(operation, request).map(|meant| format!("; {meant}")).unwrap_or_default();
        CommandError::Usage(format!(
            "{error}{meant}: the request is no {name}; `arsenal ops {}` shows its fields",
            operation.name
        ))
    })
}

/// Which field the first unknown one of a request may have been meant to be.
fn misspelt(operation: &Operation, request: &Value) -> Option<String> {
    let input = operation.method.input();
    let names: Vec<String> =
        input.fields().flat_map(|field| [field.json_name().to_owned(), field.name().to_owned()]).collect();
    let unknown = request.as_object()?.keys().find(|key| !names.contains(key))?;
    let near = nearest(unknown, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{near}`?"))
}

/// The requests of an operation whose client streams, and what is wrong with the first that is wrong, which ends them.
pub(super) fn follow(
    operation: &Operation,
    argument: &str,
) -> Result<(impl Stream<Item = Vec<u8>> + Send + use<>, oneshot::Receiver<CommandError>), CommandError> {
    let source = open(argument)?;
    let (messages, incoming) = mpsc::channel(AHEAD);
    let (wrong, failure) = oneshot::channel();
    let operation = operation.clone();
    // a thread of its own: a read from a terminal cannot be given up
    std::thread::spawn(move || {
        for document in serde_json::Deserializer::from_reader(source).into_iter::<Value>() {
            let message = document.map_err(|error| no_json(&error));
            match message.and_then(|document| encode(&operation, &document)) {
                Ok(message) => {
                    if messages.blocking_send(message).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    // nobody listens where the call is over already
                    let _ = wrong.send(error);
                    return;
                }
            }
        }
    });
    let incoming = futures_util::stream::unfold(incoming, |mut incoming| async move {
        incoming.recv().await.map(|message| (message, incoming))
    });
    Ok((incoming, failure))
}

fn open(argument: &str) -> Result<Box<dyn Read + Send>, CommandError> {
    Ok(match argument.strip_prefix('@') {
        Some(file) => {
            Box::new(std::fs::File::open(file).map_err(|error| unreadable(&format!("{file}: {error}")))?)
        }
        None if argument == "-" => Box::new(std::io::stdin()),
        None => Box::new(std::io::Cursor::new(argument.to_owned())),
    })
}

fn unreadable(error: &dyn std::fmt::Display) -> CommandError {
    CommandError::Usage(format!("the request cannot be read: {error}"))
}

fn no_json(error: &serde_json::Error) -> CommandError {
    unreadable(&format!("{error}; it has to be JSON like '{{\"process\": \"c\"}}'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_services::operations;
    use serde_json::json;

    #[test]
    fn a_field_that_is_almost_right_is_corrected() {
        let operation = operations::find("get_process_info").unwrap();
        let told = |request| encode(&operation, &request).unwrap_err().to_string();
        assert!(told(json!({"proces": "cart"})).contains("did you mean `process`?"));
        assert!(!told(json!({"entirely_else": 1})).contains("did you mean"));
    }
}
