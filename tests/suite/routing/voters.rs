//! Requests to three real voters: what the tests beside this one show on nodes whose membership the test says holds on a
//! cluster that found itself, with each service and each kind of stream.

use arsenal_proto::v1::open_session_request::{Frame, Open};
use arsenal_proto::v1::open_session_response::Frame as Answer;
use arsenal_proto::v1::session_service_client::SessionServiceClient;
use arsenal_proto::v1::{OpenSessionRequest, OpenSessionResponse};
use arsenal_server::config::Config;
use arsenal_tests::{Api, DEADLINE, Sandbox, Transport};
use serde_json::{Value, json};
use tokio_stream::wrappers::ReceiverStream;

/// Three voters, and a client of each.
struct Voters {
    nodes: Vec<Sandbox>,
    apis: Vec<Api>,
}

impl Voters {
    fn api(&self, id: usize) -> &Api {
        &self.apis[id - 1]
    }

    /// Starts a process on a node, by a request to n1.
    async fn start(&self, rpc: &str, mut request: Value, node: &str) -> String {
        request["node"] = json!(node);
        let pid = self.api(1).ok(rpc, request).await["pid"].as_str().unwrap().to_owned();
        assert!(pid.starts_with(&format!("{node}.")), "{pid} is not on {node}");
        pid
    }
}

/// Runs a test on a fresh cluster of three over each transport.
fn among_voters<F: Future<Output = ()>>(test: impl Fn(Voters, Transport) -> F) {
    for transport in [Transport::Grpc, Transport::Rest] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
        runtime.unwrap().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let mut config = Config::default();
            config.node.schedulers = 1;
            // longer than a busy test machine keeps a thread waiting
            (config.cluster.heartbeat_ms, config.cluster.election_ms) = (250, 1_500);
            let nodes = Sandbox::cluster(3, &config, folder.path()).await;
            let mut apis = Vec::new();
            for node in &nodes {
                apis.push(node.api(transport).await);
            }
            let outcome = tokio::time::timeout(DEADLINE * 2, test(Voters { nodes, apis }, transport)).await;
            assert!(outcome.is_ok(), "the test over {transport:?} did not end within {:?}", DEADLINE * 2);
        });
    }
}

#[test]
fn each_service_answers_from_every_node_for_what_one_of_them_has() {
    among_voters(|voters, _| async move {
        let counter = voters.start("StartProcess", json!({"module": "counter", "name": "c"}), "n2").await;
        let children = json!([{"id": "a", "module": "counter"}]);
        let supervisor = voters.start("StartSupervisor", json!({"children": children}), "n2").await;
        let session = voters.api(1).ok("CreateSession", json!({"node": "n2"})).await;
        let reads = [
            ("GetProcessInfo", json!({"process": counter}), "/process/pid"),
            ("GetMessageQueueLength", json!({"process": "c@n2"}), "/length"),
            ("WhichChildren", json!({"supervisor": supervisor}), "/children/0/pid"),
            ("WhereisProcess", json!({"node": "n2", "name": "c"}), "/pid"),
            ("GetSession", json!({"session": session["session"]}), "/pid"),
            ("GetNode", json!({"node": "n2"}), "/node"),
        ];
        for (rpc, request, part) in reads {
            let home = voters.api(2).ok(rpc, request.clone()).await;
            let home = home.pointer(part).unwrap_or_else(|| panic!("no {part} in {home}"));
            for id in [1, 3] {
                assert_eq!(
                    voters.api(id).ok(rpc, request.clone()).await.pointer(part),
                    Some(home),
                    "{rpc} by n{id}"
                );
            }
        }
        for (count, id) in (1..).zip([3, 1, 2]) {
            let added = json!({"process": "c@n2", "message": ["add", 1]});
            assert_eq!(voters.api(id).ok("CallProcess", added).await["reply"], json!(count), "by n{id}");
        }
        voters.api(3).ok("SuspendProcess", json!({"process": counter})).await;
        let holds = voters.api(1).ok("ListHolds", json!({"node": "n2"})).await;
        assert_eq!(holds["holds"][0]["process"], json!(counter));
        voters.api(1).ok("TerminateChild", json!({"supervisor": supervisor, "child": "a"})).await;
        let left = voters.api(3).ok("CountChildren", json!({"supervisor": supervisor})).await;
        assert_eq!(left["active"], json!("0"), "{left}");
        voters.api(3).ok("CloseSession", json!({"session": session["session"]})).await;
        let closed = voters.api(1).err("GetSession", json!({"session": session["session"]})).await;
        assert_eq!(closed.code, "NOT_FOUND");
        voters.api(3).ok("KillProcess", json!({"process": counter})).await;
        let gone = voters.api(1).err("WhereisProcess", json!({"node": "n2", "name": "c"})).await;
        assert_eq!(gone.code, "NOT_FOUND");
    });
}

#[test]
fn a_watch_follows_a_supervisor_of_another_voter() {
    among_voters(|voters, _| async move {
        let children = json!([{"id": "a", "module": "counter"}]);
        let supervisor = voters.start("StartSupervisor", json!({"children": children}), "n3").await;
        let mut followed = voters.api(1).stream("WatchSupervisor", json!({"supervisor": supervisor})).await;
        let which = voters.api(2).ok("WhichChildren", json!({"supervisor": supervisor})).await;
        voters.api(2).ok("KillProcess", json!({"process": which["children"][0]["pid"]})).await;
        for kind in ["EXITED", "RESTARTED"] {
            let event = followed.next().await.unwrap().unwrap();
            assert_eq!((&event["kind"], &event["child"]), (&json!(kind), &json!("a")), "{event}");
        }
    });
}

#[test]
fn a_session_is_opened_on_another_voter_and_talks_both_ways() {
    among_voters(|voters, transport| async move {
        if transport == Transport::Rest {
            return;
        }
        let address = format!("http://{}", voters.nodes[0].grpc());
        let mut service = SessionServiceClient::connect(address).await.unwrap();
        let (frames, outgoing) = tokio::sync::mpsc::channel(16);
        frames.send(OpenSessionRequest { id: 0, frame: Some(Frame::Open(Open::default())) }).await.unwrap();
        let mut request = tonic::Request::new(ReceiverStream::new(outgoing));
        request.metadata_mut().insert("arsenal-node", "n3".parse().unwrap());
        let mut answers = service.open_session(request).await.unwrap().into_inner();
        async fn next(answers: &mut tonic::Streaming<OpenSessionResponse>) -> Option<Answer> {
            let next = tokio::time::timeout(DEADLINE, answers.message()).await;
            next.unwrap().unwrap().and_then(|answer| answer.frame)
        }
        let Some(Answer::Opened(session)) = next(&mut answers).await else { panic!("not opened") };
        assert!(session.pid.starts_with("n3."), "{session:?}");
        voters.api(2).ok("SendMessage", json!({"process": session.pid, "message": "hello"})).await;
        let Some(Answer::Delivery(delivery)) = next(&mut answers).await else { panic!("no delivery") };
        assert!(format!("{delivery:?}").contains("hello"), "{delivery:?}");
    });
}

#[test]
fn the_deadline_of_a_request_ends_it_on_the_voter_that_answers() {
    among_voters(|voters, transport| async move {
        if transport == Transport::Rest {
            return;
        }
        let pid = voters.start("StartProcess", json!({"module": "counter"}), "n2").await;
        voters.api(1).ok("SuspendProcess", json!({"process": pid})).await;
        let hurried = voters.api(1).with_header("grpc-timeout", "200m");
        let late = hurried.err("CallProcess", json!({"process": pid, "message": "get"})).await;
        // the client's own clock may be first
        assert!(["CANCELLED", "DEADLINE_EXCEEDED"].contains(&&*late.code), "{late:?}");
        let node = voters.nodes[1].node();
        voters.api(1).eventually(|| async { (node.waiting_requests() == 0).then_some(()) }).await;
    });
}

#[test]
fn a_voter_that_is_gone_is_named_wherever_all_are_asked() {
    among_voters(|mut voters, _| async move {
        for id in ["n1", "n2", "n3"] {
            voters.start("StartProcess", json!({"module": "counter", "name": "c"}), id).await;
        }
        voters.apis.remove(2);
        voters.nodes.remove(2).stop().await;
        let api = voters.api(1);
        let down = || async {
            let node = api.ok("GetNode", json!({"node": "n3"})).await;
            (node["state"] == "DOWN").then_some(())
        };
        api.eventually(down).await;
        let filter = "module == 'counter'";
        let listed = api.ok("ListAllProcesses", json!({"node": "-", "filter": filter})).await;
        assert_eq!(listed["unreached"], json!(["n3"]));
        assert_eq!(listed["processes"].as_array().unwrap().len(), 2, "{listed}");
        let found = api.ok("FindProcessOnNodes", json!({"name": "c"})).await;
        assert_eq!(found["unreached"], json!(["n3"]));
        assert_eq!(found["processes"].as_array().unwrap().len(), 2, "{found}");
        let call = json!({"operation": "whereis_process/1", "request": {"name": "c"}});
        let gathered = api.ok("GatherFromAllNodes", json!({"call": call})).await;
        let entries = gathered["entries"].as_array().unwrap();
        let told: Vec<_> =
            entries.iter().map(|entry| (&entry["node"], entry["response"].is_object())).collect();
        assert_eq!(told, [(&json!("n1"), true), (&json!("n2"), true), (&json!("n3"), false)], "{gathered}");
        assert_eq!(entries[2]["error"]["code"], json!(14), "{gathered}");
        let called = api.err("CallProcess", json!({"process": "c@n3", "message": "get"})).await;
        assert_eq!((&*called.code, &*called.reason), ("UNAVAILABLE", "NOCONNECTION"));
    });
}
