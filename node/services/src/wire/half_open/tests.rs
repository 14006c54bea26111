use super::*;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody};
use std::convert::Infallible;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

const IDLE_MAX: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

fn bounds(bytes_per_second_min: u32, bytes_max: usize) -> Bounds {
    Bounds { pace: Pace { idle_max: IDLE_MAX, bytes_per_second_min }, budget: Budget::new(bytes_max) }
}

/// A client that sends what it is told to, and how its request comes.
fn request(
    bounds: &Bounds,
    streams: bool,
) -> (mpsc::UnboundedSender<Vec<u8>>, Bounded<impl Body<Data = Bytes, Error = Infallible> + Unpin + use<>>) {
    let (client, pieces) = mpsc::unbounded_channel::<Vec<u8>>();
    let pieces = UnboundedReceiverStream::new(pieces).map(|piece| Ok(Frame::data(Bytes::from(piece))));
    (client, Bounded::new(StreamBody::new(pieces), bounds, streams))
}

async fn next(body: &mut (impl Body<Data = Bytes, Error = BoxError> + Unpin)) -> Result<Bytes, Code> {
    match body.frame().await.unwrap() {
        Ok(frame) => Ok(frame.into_data().unwrap()),
        Err(error) => Err(error.downcast::<Status>().unwrap().code()),
    }
}

/// How long a client gets by with this before each second of silence.
async fn seconds_of(first: usize, then: usize, rate: u32) -> u32 {
    let (client, mut body) = request(&bounds(rate, usize::MAX), false);
    client.send(vec![0; first]).unwrap();
    let dripping = tokio::spawn(async move {
        loop {
            tokio::time::sleep(SECOND).await;
            if client.send(vec![0; then]).is_err() {
                break;
            }
        }
    });
    let mut pieces = 0;
    let ended = loop {
        match next(&mut body).await {
            Ok(_) if pieces > 1_000 => break None,
            Ok(_) => pieces += 1,
            Err(code) => break Some(code),
        }
    };
    assert_eq!(ended, (pieces <= 1_000).then_some(Code::DeadlineExceeded));
    drop(body);
    dripping.await.unwrap();
    pieces
}

#[tokio::test(start_paused = true)]
async fn what_came_quickly_does_not_pay_for_a_drip_and_a_steady_client_is_never_too_slow() {
    assert!(seconds_of(1, 1, 100).await <= 11);
    assert!(seconds_of(1 << 20, 1, 100).await <= 11);
    assert_eq!(seconds_of(1, 100, 100).await, 1_001);
    assert_eq!(seconds_of(1, 1, 0).await, 1_001);
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_pause_between_two_messages_and_not_within_one() {
    let (client, mut body) = request(&bounds(100, 1 << 10), true);
    client.send(vec![0, 0, 0, 0, 2, 1, 1]).unwrap();
    assert!(next(&mut body).await.is_ok());
    let waited = tokio::time::timeout(100 * IDLE_MAX, body.frame()).await;
    assert!(waited.is_err(), "{waited:?}");
    client.send(vec![0, 0, 0, 0, 2, 1]).unwrap();
    assert!(next(&mut body).await.is_ok());
    assert_eq!(next(&mut body).await, Err(Code::DeadlineExceeded));
}

#[tokio::test]
async fn requests_that_are_not_whole_have_so_many_bytes_together_and_whole_ones_none() {
    let bounds = bounds(0, 1_000);
    let (a, mut of_a) = request(&bounds, false);
    let (b, mut of_b) = request(&bounds, false);
    for (client, body) in [(&a, &mut of_a), (&b, &mut of_b)] {
        client.send(vec![0; 500]).unwrap();
        assert!(next(body).await.is_ok());
    }
    b.send(vec![0; 1]).unwrap();
    assert_eq!(next(&mut of_b).await, Err(Code::ResourceExhausted));
    let mut whole = Bounded::new(Full::new(Bytes::from(vec![0; 900])), &bounds, false);
    assert!(next(&mut whole).await.is_ok());
    drop(of_a);
    a.send(vec![0; 1]).unwrap_err();
    b.send(vec![0; 1]).unwrap();
    assert!(next(&mut of_b).await.is_ok());
}

#[tokio::test]
async fn of_a_stream_the_bytes_of_the_message_count_that_is_not_whole() {
    let bounds = bounds(0, 1_000);
    // who is alone has what he needs
    let mut other = bounds.budget.share();
    assert!(other.resize(1));
    let (client, mut body) = request(&bounds, true);
    let of_two_kib = [0, 0, 0, 8, 0];
    for _ in 0..10 {
        client.send([&of_two_kib[..], &[1; 900]].concat()).unwrap();
        assert!(next(&mut body).await.is_ok());
        client.send(vec![1; 2_048 - 900]).unwrap();
        assert!(next(&mut body).await.is_ok(), "the rest of one is no part of one");
    }
    client.send([&of_two_kib[..], &[1; 1_000]].concat()).unwrap();
    assert_eq!(next(&mut body).await, Err(Code::ResourceExhausted));
}
