use super::*;
use arsenal_proto::v1::{CallProcessRequest, StartProcessRequest};
use proptest::prelude::*;
use prost::Message as _;

const MAX: usize = 10_000;

fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend(message);
    bytes
}

fn request(process: &str) -> Vec<u8> {
    CallProcessRequest { process: process.into(), from: "n1.1.5".into(), ..Default::default() }
        .encode_to_vec()
}

#[test]
fn field_1_is_found_wherever_it_stands_and_is_empty_where_it_is_absent() {
    assert_eq!(field_one(&framed(&request("n2.1.7")), MAX), FieldOne::Text("n2.1.7"));
    assert_eq!(field_one(&framed(&request("")), MAX), FieldOne::Text(""));
    let last = [request(""), request("a")[..3].to_vec()].concat();
    assert_eq!(field_one(&framed(&last), MAX), FieldOne::Text("a"));
    assert_eq!(field_one(&framed(&[]), MAX), FieldOne::Text(""));
}

#[test]
fn a_look_goes_on_behind_the_fields_that_the_last_one_skipped() {
    let fields = request("")[..].repeat(3);
    let mut come = framed(&[fields.clone(), request("a")].concat());
    let whole = come.len();
    let mut search = Search::default();
    let begun = PREFIX + fields.len() + 1;
    assert_eq!(search.look(&come[..begun], MAX), FieldOne::Unknown);
    // groups, which nobody skips who looks at them
    come[PREFIX..PREFIX + fields.len()].fill(0x0b);
    assert_eq!(search.look(&come[..whole], MAX), FieldOne::Text("a"));
}

#[test]
fn what_is_no_message_is_left_to_its_handler() {
    let whole = framed(&request("n2.1.7"));
    assert_eq!(field_one(&[1, 0, 0, 0, 1, 0], MAX), FieldOne::None, "compressed");
    assert_eq!(field_one(&whole, 3), FieldOne::None, "too large");
    assert_eq!(field_one(&framed(&[0x0a, 2, 0xff, 0xff]), MAX), FieldOne::None, "no UTF-8");
    assert_eq!(field_one(&framed(&[0x0a, 9, b'a']), MAX), FieldOne::None, "longer than its message");
    assert_eq!(field_one(&framed(&[0x0b]), MAX), FieldOne::None, "a group");
}

#[test]
fn a_process_that_was_resolved_elsewhere_replaces_the_reference_and_nothing_else() {
    let before = CallProcessRequest::decode(&*request("worker@global")).unwrap();
    let after =
        CallProcessRequest::decode(with_process(&request("worker@global"), Pid::new(2, 1, 7))).unwrap();
    assert_eq!(after, CallProcessRequest { process: "n2.1.7".into(), ..before });
}

#[tokio::test]
async fn a_body_put_back_gives_every_byte_once() {
    use http_body_util::BodyExt as _;
    let ahead = Ahead { head: Bytes::from_static(b"ab"), meant: None };
    let request = ahead.put_back(Request::new(Body::from("cd")));
    assert_eq!(request.body().size_hint().exact(), Some(4));
    assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "abcd");
}

proptest! {
    #[test]
    fn a_part_of_a_message_never_gives_another_text_than_the_whole(module in "[a-z]{0,20}", name in "[a-z]{0,20}") {
        let message = StartProcessRequest { node: module, module: name, ..Default::default() };
        let whole = framed(&message.encode_to_vec());
        let mut search = Search::default();
        for come in 0..whole.len() {
            let seen = field_one(&whole[..come], MAX);
            prop_assert!(seen == FieldOne::Unknown || seen == FieldOne::Text(&message.node), "{:?}", seen);
            prop_assert_eq!(search.look(&whole[..come], MAX), seen);
        }
        prop_assert_eq!(field_one(&whole, MAX), FieldOne::Text(&message.node));
    }

    #[test]
    fn no_bytes_make_it_panic(come in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = field_one(&come, MAX);
    }
}
