//! Streams that come from another node.

use super::{among, counter_on_2};
use arsenal_proto::v1::open_session_request::{Frame, Open};
use arsenal_proto::v1::open_session_response::Frame as Answer;
use arsenal_proto::v1::session_service_client::SessionServiceClient;
use arsenal_proto::v1::{OpenSessionRequest, OpenSessionResponse};
use arsenal_tests::{DEADLINE, Transport};
use serde_json::json;
use tokio_stream::wrappers::ReceiverStream;

#[test]
fn a_supervisor_of_another_node_is_followed_child_by_child() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let children = json!([{"id": "a", "module": "counter", "args": {}}]);
        let supervisor = json!({"node": "n2", "children": children});
        let supervisor = first.ok("StartSupervisor", supervisor).await["pid"].as_str().unwrap().to_owned();
        assert!(supervisor.starts_with("n2."), "{supervisor}");
        let mut followed = first.stream("WatchSupervisor", json!({"supervisor": supervisor})).await;
        let which = first.ok("WhichChildren", json!({"supervisor": supervisor})).await;
        let child = which["children"][0]["pid"].as_str().unwrap().to_owned();
        first.ok("KillProcess", json!({"process": child})).await;
        for kind in ["EXITED", "RESTARTED"] {
            let event = followed.next().await.unwrap().unwrap();
            assert_eq!((&event["kind"], &event["child"]), (&json!(kind), &json!("a")), "{event}");
        }
    });
}

#[test]
fn processes_of_all_nodes_are_watched_on_one_stream() {
    among(3, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let counters = json!({"node": "-", "filter": "module == 'counter'"});
        let mut watched = first.stream("WatchProcesses", counters).await;
        let mut ends = 0;
        while ends < 3 {
            let item = watched.next().await.unwrap().unwrap();
            ends += u32::from(item["kind"] == "SNAPSHOT_END");
        }
        let mut started = Vec::new();
        for node in ["n3", "n1", "n2"] {
            let start = json!({"node": node, "module": "counter", "args": {}});
            started.push(first.ok("StartProcess", start).await["pid"].clone());
            let item = watched.next().await.unwrap().unwrap();
            assert_eq!((&item["kind"], &item["node"]), (&json!("STARTED"), &json!(node)), "{item}");
            assert_eq!(&item["process"]["pid"], started.last().unwrap());
        }
        let resumed = json!({"node": "-", "after": "5"});
        let refused = first.answers("WatchProcesses", &resumed).await.err();
        assert_eq!(refused.map(|failure| failure.code), Some("INVALID_ARGUMENT".to_owned()));
    });
}

#[test]
fn a_session_opened_on_another_node_talks_both_ways_for_as_long_as_its_stream() {
    among(2, |cluster, transport| async move {
        if transport == Transport::Rest {
            return;
        }
        let address = cluster.node(1).grpc();
        let mut service = SessionServiceClient::connect(format!("http://{address}")).await.unwrap();
        let (frames, outgoing) = tokio::sync::mpsc::channel(16);
        let say = |id, frame| frames.send(OpenSessionRequest { id, frame: Some(frame) });
        say(0, Frame::Open(Open::default())).await.unwrap();
        let mut request = tonic::Request::new(ReceiverStream::new(outgoing));
        request.metadata_mut().insert("arsenal-node", "n2".parse().unwrap());
        let mut answers = service.open_session(request).await.unwrap().into_inner();
        async fn next(answers: &mut tonic::Streaming<OpenSessionResponse>) -> Option<Answer> {
            let next = tokio::time::timeout(DEADLINE, answers.message()).await;
            next.unwrap().unwrap().and_then(|answer| answer.frame)
        }
        let Some(Answer::Opened(session)) = next(&mut answers).await else { panic!("not opened") };
        assert!(session.pid.starts_with("n2."), "{session:?}");
        let api = cluster.api(1, transport).await;
        for number in 0..100 {
            api.ok("SendMessage", json!({"process": session.pid, "message": number})).await;
        }
        for number in 0..100 {
            let Some(Answer::Delivery(delivery)) = next(&mut answers).await else { panic!("no delivery") };
            assert!(format!("{delivery:?}").contains(&number.to_string()), "{delivery:?}");
        }
        drop((frames, answers));
        let home = cluster.api(2, transport).await;
        home.eventually(|| async {
            home.call("GetSession", json!({"session": session.session})).await.err()
        })
        .await;
    });
}

#[test]
fn whoever_does_not_read_a_stream_from_afar_holds_back_the_node_that_sends_it() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let session = first.ok("CreateSession", json!({"node": "n2"})).await;
        let mut messages = first.stream("WatchSessionMessages", json!({"session": session["session"]})).await;
        let pid = session["pid"].as_str().unwrap();
        let large = "x".repeat(1_000_000);
        for _ in 0..40 {
            first.ok("CastMessage", json!({"process": pid, "message": large})).await;
        }
        // forty megabytes are more than all buffers between, so that most of them still wait in the mailbox
        let waiting = first.ok("GetMessageQueueLength", json!({"process": pid})).await;
        assert_ne!(waiting["length"], json!(0), "{waiting}");
        for _ in 0..40 {
            assert!(messages.next().await.unwrap().unwrap().to_string().len() > 1_000_000);
        }
        let _ = counter_on_2(&first).await;
    });
}
