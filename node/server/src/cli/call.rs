//! `arsenal call OPERATION [JSON]`.

use super::connect::{NODE_VARIABLE, TlsArguments, connect};
use super::{CommandError, Output, requests, say, table};
use crate::dynamic::{self, RestRequest};
use arsenal_gateway::code::Code;
use arsenal_gateway::transcode::nearest;
use arsenal_services::operations::{self, Operation};
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

#[derive(Debug, clap::Args)]
pub(super) struct CallArguments {
    /// Name of the operation: `start_process`, `start_process/3` or `StartProcess`.
    operation: String,
    /// The request as JSON; `-` reads it from standard input, `@FILE` from a file. Where the client streams: any number,
    /// one after the other, each sent as soon as it is there.
    #[arg(default_value = "{}")]
    request: String,
    /// The node to call.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7450", env = NODE_VARIABLE)]
    node: String,
    #[command(flatten)]
    tls: TlsArguments,
    /// Call as this session.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// How results are printed.
    #[arg(short, long, value_enum, default_value = "json")]
    output: Output,
    /// Print the curl command that does the same over REST, and do nothing.
    #[arg(long)]
    show_curl: bool,
    /// Where --show-curl sends it.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    rest: String,
}

pub(super) fn call(arguments: &CallArguments) -> Result<(), CommandError> {
    let operation = find(&arguments.operation)?;
    if arguments.show_curl {
        let request = requests::read_one(&arguments.request)?;
        requests::encode(&operation, &request)?;
        let session = arguments.session.as_deref();
        return say(&curl(&operation, &request, &arguments.rest, &arguments.tls, session));
    }
    let io = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let io = io.map_err(|error| CommandError::Startup(error.to_string()))?;
    if operation.method.is_client_streaming() {
        let (messages, wrong) = requests::follow(&operation, &arguments.request)?;
        io.block_on(converse(arguments, &operation, messages, wrong))
    } else {
        let message = requests::encode(&operation, &requests::read_one(&arguments.request)?)?;
        let (_fine, wrong) = oneshot::channel();
        io.block_on(converse(arguments, &operation, futures_util::stream::iter([message]), wrong))
    }
}

/// Sends `messages` and prints what comes back, until that ends, a message is `wrong`, or the user has had enough.
async fn converse(
    arguments: &CallArguments,
    operation: &Operation,
    messages: impl Stream<Item = Vec<u8>> + Send + 'static,
    mut wrong: oneshot::Receiver<CommandError>,
) -> Result<(), CommandError> {
    let headers: Vec<(String, String)> =
        arguments.session.iter().map(|id| ("arsenal-session".to_owned(), id.clone())).collect();
    let way = connect(&arguments.node, &arguments.tls).await?;
    let failed =
        |status: tonic::Status| way.refused().unwrap_or_else(|| CommandError::Failed(explain(&status)));
    let answers = dynamic::call(way.channel.clone(), operation, messages, &headers).await.map_err(failed)?;
    let mut answers = std::pin::pin!(answers);
    let streams = operation.method.is_server_streaming();
    let mut unread = std::pin::pin!(unread());
    loop {
        let answer = tokio::select! {
            // first what is wrong with a message: that ends the requests, and so the answers
            biased;
            Ok(error) = &mut wrong, if !wrong.is_terminated() => return Err(error),
            answer = answers.next() => answer,
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = &mut unread => return Err(CommandError::ReaderGone),
        };
        match answer {
            None => return Ok(()),
            Some(answer) => print(&answer.map_err(failed)?, arguments.output, streams)?,
        }
    }
}

/// A status for people: code, message, and what its details say.
fn explain(status: &tonic::Status) -> String {
    let mut text =
        format!("{}: {}", Code::from_number((status.code() as i32).into()).name(), status.message());
    for (name, json) in dynamic::details(status) {
        let _ = write!(text, "\n  {name}: {json}");
    }
    text
}

/// The operation with this name, or what it may have been meant to be.
pub(super) fn find(name: &str) -> Result<Operation, CommandError> {
    operations::find(name).ok_or_else(|| {
        let all = operations::all();
        let base = |operation: &Operation| operation.name.split('/').next().unwrap_or_default().to_owned();
        let bases: Vec<String> = all.iter().map(base).collect();
        let near = nearest(name, bases.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        CommandError::Usage(format!("no operation is called `{name}`{near}; `arsenal ops` lists all"))
    })
}

/// Returns when whoever reads the output has gone away: on a quiet stream no write would tell.
async fn unread() {
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    // only looked at, never written to, so that it need not be non-blocking
    let watched = output.and_then(|output| pipe::Sender::from_file_unchecked(output.into()));
    // what cannot be watched, a file for one, is always read
    if let Ok(output) = watched
        && output.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn print(answer: &Value, output: Output, streams: bool) -> Result<(), CommandError> {
    say(&match output {
        Output::Table => table::render(answer),
        Output::Json if streams || !std::io::stdout().is_terminal() => answer.to_string(),
        Output::Json => serde_json::to_string_pretty(answer).unwrap_or_default(),
    })
}

/// The curl command that calls the same operation over REST.
fn curl(
    operation: &Operation,
    request: &Value,
    rest: &str,
    tls: &TlsArguments,
    session: Option<&str>,
) -> String {
    let RestRequest { verb, path, body } = dynamic::rest_request(operation, request);
    let mut command = "curl -s".to_owned();
    if rest.starts_with("https:") {
        command.push_str(&tls.curl_options(quote));
    }
    let lines = operation.method.is_client_streaming();
    // what curl would take by itself; it would put what it uploads
    let is_plain = verb == "GET" || (verb == "POST" && body.is_some());
    if lines || !is_plain {
        let _ = write!(command, " -X {verb}");
    }
    if lines {
        // each line of its input is a message, and each line that it prints
        command.push_str(" -N --http2-prior-knowledge -H 'accept: application/x-ndjson'");
    } else if operation.method.is_server_streaming() {
        command.push_str(" -N -H 'accept: text/event-stream'");
    }
    if let Some(session) = session {
        let _ = write!(command, " -H 'arsenal-session: {session}'");
    }
    let _ = write!(command, " {}", quote(&format!("{}{path}", rest.trim_end_matches('/'))));
    if lines {
        command.push_str(" -H 'content-type: application/x-ndjson' -T -");
    } else if let Some(body) = body {
        let _ = write!(command, " -H 'content-type: application/json' -d {}", quote(&body.to_string()));
    }
    command
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_curl_command_fills_path_query_and_body() {
        let (call, tls) = (operations::find("call_process").unwrap(), TlsArguments::default());
        let line = curl(
            &call,
            &json!({"process": "a b", "message": ["it's", 1]}),
            "http://h",
            &TlsArguments::default(),
            None,
        );
        assert_eq!(
            line,
            r#"curl -s 'http://h/v1/processes/a%20b:call' -H 'content-type: application/json' -d '{"message":["it'\''s",1]}'"#
        );
        let list = operations::find("list_all_processes").unwrap();
        let line = curl(&list, &json!({"pageSize": 5}), "http://h/", &tls, Some("n1.1-s3"));
        assert_eq!(line, "curl -s -H 'arsenal-session: n1.1-s3' 'http://h/v1/processes?pageSize=5'");
        let session = operations::find("open_session").unwrap();
        let line = curl(&session, &json!({}), "http://h", &tls, None);
        assert!(line.starts_with("curl -s -X GET -N --http2-prior-knowledge"), "{line}");
        assert!(line.ends_with("-T -"), "{line}");
    }

    #[test]
    fn a_name_that_is_almost_right_is_corrected() {
        let error = find("start_proces").unwrap_err().to_string();
        assert!(error.contains("did you mean `start_process`?"), "{error}");
        let error = find("nope").unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }
}
