//! The command line: what can be asked for, and what the exit code says.
//!
//! Exit codes: 0 done; 1 the operation failed (the status is on standard error); 2 the command line is wrong; 3 the node
//! cannot be reached; 4 the program could not start what it was asked to; 5 a node cannot go on in its cluster.

mod call;
mod connect;
mod dev;
mod operations;
mod overheard;
mod requests;
mod serve;
mod table;

use clap::{Parser, Subcommand, ValueEnum};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// OTP as a service: processes, supervisors and a registry behind gRPC and REST.
#[derive(Debug, Parser)]
#[command(name = "arsenal", version, about, max_term_width = 110)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node with its gateway on loopback, or a cluster of them, for development.
    Dev(dev::DevArguments),
    /// Start a node from a configuration.
    Node(serve::NodeArguments),
    /// Start a gateway of its own in front of a node.
    Gateway(serve::GatewayArguments),
    /// List the operations, or describe one.
    Ops(operations::OpsArguments),
    /// Call an operation.
    Call(call::CallArguments),
    /// Print the commented configuration file or its reference page.
    Config {
        /// What to print.
        #[arg(value_enum, default_value = "file")]
        what: ConfigPage,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ConfigPage {
    /// A configuration file with every setting, its default and its meaning.
    File,
    /// The same as a Markdown page.
    Reference,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// JSON, indented on a terminal's behalf; a stream is a line an item.
    Json,
    /// Columns, where the answer is a list; else a line a field.
    Table,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The operation failed.
    #[error("{0}")]
    Failed(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The node cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// What was asked for cannot be started.
    #[error("{0}")]
    Startup(String),
    /// Whoever read the output went away, as `head` does. That is no failure, and there is nobody to go on for.
    #[error("nobody reads the output")]
    ReaderGone,
}

impl CommandError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Startup(_) => 4,
            Self::ReaderGone => 0,
        })
    }
}

/// Runs a command.
pub fn run(arguments: Arguments) -> ExitCode {
    crate::memory::keep_for_reuse();
    let outcome = match arguments.command {
        Command::Dev(arguments) => dev::dev(&arguments),
        Command::Node(arguments) => serve::node(&arguments),
        Command::Gateway(arguments) => serve::gateway(&arguments),
        Command::Ops(arguments) => operations::ops(&arguments),
        Command::Call(arguments) => call::call(&arguments),
        Command::Config { what: ConfigPage::File } => say(&crate::config::commented_file()),
        Command::Config { what: ConfigPage::Reference } => say(&crate::config::reference_page()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CommandError::ReaderGone) {
                // who closed this as well is told by the exit code
                let _ = writeln!(std::io::stderr(), "arsenal: {error}");
            }
            error.exit_code()
        }
    }
}

/// Prints a text, and a line's end where it has none.
fn say(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let said = write!(out, "{text}{end}").and_then(|()| out.flush());
    said.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => CommandError::ReaderGone,
        _ => CommandError::Failed(format!("cannot print: {error}")),
    })
}

/// Where a configuration file is.
#[derive(Debug, clap::Args)]
struct ConfigArguments {
    /// Configuration file; every setting has a default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}
