use super::*;
use arsenal_proto::v1::StartProcessRequest;
use proptest::prelude::*;

const MAX: usize = 1_000;

fn framed(message: &StartProcessRequest) -> Bytes {
    let mut bytes = BytesMut::new();
    put(message, MAX, &mut bytes).unwrap();
    bytes.freeze()
}

fn request(module: &str) -> StartProcessRequest {
    StartProcessRequest { module: module.into(), ..Default::default() }
}

/// Takes a request that comes in these pieces.
fn receive(pieces: impl IntoIterator<Item = Bytes>) -> Result<Bytes, Status> {
    let mut received = Received::default();
    for piece in pieces {
        received.add(piece);
        received.check(MAX)?;
    }
    received.message(MAX)
}

#[test]
fn a_message_in_one_piece_is_not_copied() {
    let whole = framed(&request("counter"));
    let message = receive([whole.clone()]).unwrap();
    assert_eq!(message.as_ptr(), whole[PREFIX..].as_ptr());
}

#[test]
fn a_length_beyond_the_limit_is_refused_by_the_prefix_alone() {
    let refused = receive([Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])]).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let refused = Follower::default().see(&[0, 0, 0, 4, 0], MAX).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
}

#[test]
fn a_second_message_and_none_are_told_apart_from_a_broken_one() {
    let whole = framed(&request("counter"));
    let code = |pieces: &[&Bytes]| receive(pieces.iter().copied().cloned()).unwrap_err().code();
    assert_eq!(code(&[&whole, &whole]), Code::Unimplemented);
    assert_eq!(code(&[]), Code::Unimplemented);
    assert_eq!(code(&[&whole.slice(..3)]), Code::InvalidArgument);
    assert_eq!(code(&[&whole.slice(..whole.len() - 1)]), Code::InvalidArgument);
}

#[test]
fn an_answer_beyond_the_limit_leaves_nothing_behind() {
    let mut out = BytesMut::new();
    let refused = put(&request(&"x".repeat(MAX)), MAX, &mut out).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(out.is_empty());
}

proptest! {
    #[test]
    fn a_message_comes_out_whole_however_it_is_cut(module in "[a-z]{0,40}", cut in 1usize..20) {
        let whole = framed(&request(&module));
        let pieces: Vec<_> = whole.chunks(cut).map(Bytes::copy_from_slice).collect();
        prop_assert_eq!(receive(pieces).unwrap(), whole.slice(PREFIX..));
    }

    #[test]
    fn a_follower_knows_where_a_message_ends_however_the_stream_is_cut(
        modules in proptest::collection::vec("[a-z]{0,40}", 1..5),
        cut in 1usize..20,
    ) {
        let stream: Vec<u8> = modules.iter().flat_map(|module| framed(&request(module))).collect();
        let mut follower = Follower::default();
        for piece in stream[..stream.len() - 1].chunks(cut) {
            follower.see(piece, MAX).unwrap();
        }
        prop_assert!(!follower.is_between());
        follower.see(&stream[stream.len() - 1..], MAX).unwrap();
        prop_assert!(follower.is_between());
    }

    #[test]
    fn no_bytes_make_it_panic(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9)) {
        let mut follower = Follower::default();
        let _ = pieces.iter().try_for_each(|piece| follower.see(piece, MAX));
        let _ = receive(pieces.into_iter().map(Bytes::from));
    }
}
