//! Work that looks at all processes, or takes its time otherwise: away from the thread that serves others.

use crate::status::failure;
use arsenal_runtime::Node;
use tonic::{Code, Status};

/// Processes up to which they are looked at where that is asked for: a hop to another thread takes longer.
const QUICK: usize = 500;

/// Work that takes its time.
///
/// # Errors
/// `INTERNAL` if it panics.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Status> {
    let failed = |_| failure(Code::Internal, "INTERNAL", "the analysis panicked").status();
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// A look at all processes of a node.
///
/// # Errors
/// `INTERNAL` if it panics on another thread.
pub(crate) async fn over_processes<R: Send + 'static>(
    node: &Node,
    look: impl FnOnce(&Node) -> R + Send + 'static,
) -> Result<R, Status> {
    if node.process_count() <= QUICK {
        return Ok(look(node));
    }
    let node = node.clone();
    blocking(move || look(&node)).await
}
