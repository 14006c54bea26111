//! A connection to another node that stands still while it is cut: as in a partition, what is sent waits, and nobody is
//! told.
//!
//! What was cut for longer than the pings of the connection bear is closed by them, and opened again once that is possible.

use crate::cuts::{Cuts, Other, Way};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to another node.
pub(crate) struct Severed<S> {
    socket: S,
    inward: Gate,
    outward: Gate,
}

impl<S> Severed<S> {
    /// To the node that serves at an address.
    pub(crate) fn new(socket: S, cuts: Cuts, address: Arc<str>) -> Self {
        let gate = |ways| Gate::new(cuts.clone(), Other::At(Arc::clone(&address)), ways);
        Self { socket, inward: gate(&[Way::In]), outward: gate(&[Way::Out]) }
    }
}

/// Where what goes these ways between two nodes has to stop while they are cut apart.
pub(crate) struct Gate {
    cuts: Cuts,
    other: Other,
    ways: &'static [Way],
    /// Ends with the cut that stops it.
    stopped: Option<BoxFuture<'static, ()>>,
}

impl Gate {
    pub(crate) fn new(cuts: Cuts, other: Other, ways: &'static [Way]) -> Self {
        Self { cuts, other, ways, stopped: None }
    }

    /// Ready while nothing stops what goes these ways.
    pub(crate) fn poll_pass(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.stopped.is_none() {
            if self.cuts.until(&self.other, self.ways, false).is_none() {
                return Poll::Ready(());
            }
            self.stopped = Some(self.cuts.clone().healed(self.other.clone(), self.ways).boxed());
        }
        if let Some(healed) = &mut self.stopped {
            ready!(healed.poll_unpin(context));
            self.stopped = None;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Severed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.inward.poll_pass(context));
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Severed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.outward.poll_pass(context));
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.outward.poll_pass(context));
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuts::Cut;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::timeout;

    fn cut(from: u32, to: u32) -> Cut {
        Cut { from: [from].into(), to: [to].into(), both_ways: false }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_connection_stands_still_one_way_and_goes_on_without_a_loss() {
        let cuts = Cuts::default();
        cuts.locate(1, [("n2".into(), 2)].into_iter());
        let (near, mut far) = duplex(64);
        let mut near = Severed::new(near, cuts.clone(), "n2".into());
        let (mut byte, moment) = ([0; 1], Duration::from_millis(100));
        near.write_all(b"a").await.unwrap();
        far.read_exact(&mut byte).await.unwrap();

        cuts.add("out", cut(1, 2), Duration::from_secs(2)).unwrap();
        assert!(timeout(moment, near.write_all(b"b")).await.is_err());
        far.write_all(b"c").await.unwrap();
        near.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"c", "the other way is open");
        near.write_all(b"d").await.unwrap();
        far.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"d", "what was given up was not sent");

        cuts.add("in", cut(2, 1), Duration::from_secs(2)).unwrap();
        far.write_all(b"e").await.unwrap();
        assert!(timeout(moment, near.read_exact(&mut byte)).await.is_err());
        cuts.remove("in");
        near.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"e");
    }
}
