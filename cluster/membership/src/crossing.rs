//! Requests that other nodes have sent, at the end that takes them: they stand still while this node is cut off from who sent
//! them, as the connections do that it has opened itself. So a cut holds though the other node holds none: one that was out
//! of reach when it was made, or has started since.
//!
//! Each request says which node sends it, in its user agent, and is believed: who says so falsely is cut off for it, and who
//! says nothing is a client. A connection as a whole cannot be held here: the word to hold a cut came by it, and its answer
//! has to leave.

use crate::cuts::{Cuts, Other, Way};
use crate::severed::Gate;
use bytes::Buf;
use http::HeaderMap;
use http::header::USER_AGENT;
use http_body::{Body, Frame, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// How a user agent begins that is a node; its number follows.
const NODE: &str = "arsenal-node/";

/// As whom a node sends requests.
pub(crate) fn name(own: u32) -> String {
    format!("{NODE}{own}")
}

/// The node that says it sends a request. Of several the last: those before it are of whoever asked that one.
fn sender(headers: &HeaderMap) -> Option<u32> {
    let agents = headers.get(USER_AGENT)?.to_str().ok()?;
    agents.rsplit(' ').find_map(|agent| agent.strip_prefix(NODE))?.parse().ok()
}

/// The way of a request and its answer between another node and this one.
#[derive(Clone, Debug)]
pub struct Crossing {
    cuts: Cuts,
    other: u32,
}

impl Crossing {
    /// Of a request with these headers to a node with these cuts; nothing if no node has sent it.
    pub fn of(cuts: &Cuts, headers: &HeaderMap) -> Option<Self> {
        Some(Self { cuts: cuts.clone(), other: sender(headers)? })
    }

    /// The number of the node that has sent it.
    pub fn other(&self) -> u32 {
        self.other
    }

    /// Whether nothing of that node comes here now.
    pub fn is_cut(&self) -> bool {
        self.cuts.until(&Other::Numbered(self.other), &[Way::In], false).is_some()
    }

    /// Returns once something comes here again, and could be answered.
    pub async fn healed(&self) {
        self.cuts.clone().healed(Other::Numbered(self.other), &[Way::In, Way::Out]).await;
    }

    /// What comes with the request.
    pub fn inward<B>(&self, body: B) -> Passing<B> {
        Passing { body, gate: self.gate(&[Way::In]) }
    }

    /// What is answered, once the beginning of it may leave.
    pub async fn outward<B>(&self, body: B) -> Passing<B> {
        let mut gate = self.gate(&[Way::Out]);
        poll_fn(|context| gate.poll_pass(context)).await;
        Passing { body, gate }
    }

    fn gate(&self, ways: &'static [Way]) -> Gate {
        Gate::new(self.cuts.clone(), Other::Numbered(self.other), ways)
    }
}

/// A body of which nothing passes while its way is cut.
pub struct Passing<B> {
    body: B,
    gate: Gate,
}

impl<B> Body for Passing<B>
where
    B: Body + Unpin,
    B::Data: Buf,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        ready!(self.gate.poll_pass(context));
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuts::Cut;
    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use http::HeaderValue;
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::time::Duration;

    fn headers(agent: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(agent))])
    }

    #[test]
    fn a_request_is_of_the_node_that_sent_it_last_or_of_a_client() {
        for (agent, other) in [
            ("arsenal-node/3 tonic/0.14.9", Some(3)),
            ("grpc-node/1.2 arsenal-node/9 x arsenal-node/3 tonic/0.14.9", Some(3)),
            ("grpc-node/1.2 tonic/0.14.9", None),
            ("arsenal-node/", None),
            ("arsenal-node/-1", None),
        ] {
            assert_eq!(sender(&headers(agent)), other, "{agent}");
        }
        assert_eq!(sender(&HeaderMap::new()), None);
        assert_eq!(sender(&headers(Box::leak(name(7).into_boxed_str()))), Some(7));
    }

    struct Pieces(VecDeque<&'static str>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = self.0.pop_front();
            Poll::Ready(piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
        }
    }

    fn next<B: Body + Unpin>(body: &mut B) -> Option<Option<Frame<B::Data>>> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).now_or_never()?;
        Some(frame.and_then(Result::ok))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_a_node_stands_still_while_it_is_cut_and_goes_on_without_a_loss() {
        let cuts = Cuts::default();
        cuts.belong_to(1);
        let crossing = Crossing::of(&cuts, &headers("arsenal-node/2 tonic/1")).unwrap();
        let mut coming = crossing.inward(Pieces(["a", "b"].into()));
        let mut going = crossing.outward(Pieces(["c"].into())).await;
        assert!(next(&mut coming).is_some() && !crossing.is_cut());
        let cut = Cut { from: [2].into(), to: [1].into(), both_ways: false };
        cuts.add("a", cut, Duration::from_secs(5)).unwrap();
        assert!(crossing.is_cut() && next(&mut coming).is_none());
        assert!(next(&mut going).is_some(), "the other way is open");
        assert!(crossing.healed().now_or_never().is_none());
        crossing.healed().await;
        let frame = next(&mut coming).flatten().unwrap();
        assert_eq!(frame.into_data().ok(), Some(Bytes::from_static(b"b")));
        assert!(!crossing.is_cut());
    }
}
