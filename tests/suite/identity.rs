//! Who speaks in a cluster whose clients show certificates: what nodes say to each other is said by nodes alone, and who
//! asked travels with a request to the node that answers it.

use crate::tls::authority::{Authority, Issued};
use crate::tls::{Papers, ask, get, post};
use arsenal_membership::Dialer;
use arsenal_proto::internal::v1::chaos_service_client::ChaosServiceClient;
use arsenal_proto::internal::v1::link_service_client::LinkServiceClient;
use arsenal_proto::internal::v1::membership_service_client::MembershipServiceClient;
use arsenal_proto::internal::v1::placement_service_client::PlacementServiceClient;
use arsenal_proto::internal::v1::raft_service_client::RaftServiceClient;
use arsenal_proto::internal::v1::{
    CampaignRequest, DiscoverRequest, FoundRequest, HealRequest, Hello, HoldRequest, JoinRequest,
    RenewRequest, RestoreRequest,
};
use arsenal_server::config::Config;
use arsenal_server::dynamic;
use arsenal_tests::{Api, DEADLINE, Sandbox};
use arsenal_tls::{Client, ClientFiles, H2, IdentityFiles};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// What the certificates of the nodes have, and no client's.
const NODES: &str = "nodes.test";

/// Three nodes that know each other and their clients by certificates.
struct Known {
    nodes: Vec<Sandbox>,
    papers: Papers,
    config: Config,
    folder: TempDir,
}

impl Known {
    async fn start() -> Self {
        let (papers, folder) = (Papers::new(), tempfile::tempdir().unwrap());
        let mut config = Config::default();
        config.node.schedulers = 1;
        // longer than a busy test machine keeps a thread waiting
        (config.cluster.heartbeat_ms, config.cluster.election_ms) = (250, 1_500);
        let node = papers.nodes.issue_to(&papers.path(""), "node", &[NODES, "localhost", "127.0.0.1"]);
        std::fs::write(papers.path("both.crt"), papers.nodes.pem() + &papers.clients.pem()).unwrap();
        config.tls.certificate = node.certificate.to_string_lossy().into_owned();
        config.tls.key = node.key.to_string_lossy().into_owned();
        config.tls.client_ca = papers.text("both.crt");
        config.tls.node_name = NODES.to_owned();
        config.tls.reload_ms = 5;
        let nodes = Sandbox::cluster(3, &config, folder.path()).await;
        Self { nodes, papers, config, folder }
    }

    /// Has the next node join, with these authorities and this certificate.
    async fn join(&mut self, believed: &str, certificate: &Issued) {
        let mut config = self.config.clone();
        let number = self.nodes.len() + 1;
        config.node.data_dir = self.folder.path().join(number.to_string()).to_string_lossy().into_owned();
        config.cluster.name = format!("node-{number}");
        config.cluster.seeds = self.nodes.iter().map(|node| node.grpc().to_string()).collect();
        config.tls.client_ca = self.papers.text(believed);
        config.tls.certificate = certificate.certificate.to_string_lossy().into_owned();
        config.tls.key = certificate.key.to_string_lossy().into_owned();
        self.nodes.push(Sandbox::joining(&config).await);
    }

    /// A connection to a node of somebody with the nodes' own certificate.
    fn as_node(&self, id: usize) -> Channel {
        let identity =
            IdentityFiles { certificate: self.papers.path("node.crt"), key: self.papers.path("node.key") };
        let files = ClientFiles { servers: Some(self.papers.path("nodes.crt")), identity: Some(identity) };
        self.channel(id, Client::load(files, &[H2]).unwrap())
    }

    /// A connection to a node of a client that it knows by this name.
    fn as_client(&self, id: usize, name: &str) -> Channel {
        self.channel(id, self.papers.client(&self.papers.clients, Some(name), &[H2]))
    }

    fn channel(&self, id: usize, client: Client) -> Channel {
        let address = self.nodes[id - 1].grpc().to_string();
        Dialer::new(Some(client)).expecting(NODES).channel(&address).unwrap()
    }

    fn api(&self, id: usize, name: &str) -> Api {
        Api::over(self.as_client(id, name))
    }
}

/// Runs a test on such a cluster.
fn known<F: Future<Output = ()>>(test: impl FnOnce(Known) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
    runtime.unwrap().block_on(async {
        let outcome = tokio::time::timeout(DEADLINE * 2, async { test(Known::start().await).await }).await;
        assert!(outcome.is_ok(), "the test did not end within {:?}", DEADLINE * 2);
    });
}

/// Starts a counter on a node, by whichever is asked.
async fn counter(api: &Api, node: &str, name: &str) -> String {
    let request = json!({"node": node, "module": "counter", "args": {}, "name": name});
    api.ok("StartProcess", request).await["pid"].as_str().unwrap().to_owned()
}

/// What everything that nodes say to each other is answered with, if it is said over this connection.
async fn said(channel: &Channel) -> Vec<(&'static str, Result<(), Status>)> {
    let hello = Some(Hello { protocol_min: 1, protocol_max: 1, ..Hello::default() });
    let mut membership = MembershipServiceClient::new(channel.clone());
    let mut placement = PlacementServiceClient::new(channel.clone());
    let mut chaos = ChaosServiceClient::new(channel.clone());
    let (mut raft, mut link) =
        (RaftServiceClient::new(channel.clone()), LinkServiceClient::new(channel.clone()));
    let state = vec![0].into();
    let restore =
        RestoreRequest { module: "counter".into(), priority: "normal".into(), state, ..Default::default() };
    let discover = DiscoverRequest { hello: hello.clone(), ..Default::default() };
    vec![
        ("Discover", membership.discover(discover).await.map(drop)),
        (
            "Found",
            membership.found(FoundRequest { hello: hello.clone(), ..Default::default() }).await.map(drop),
        ),
        ("Join", membership.join(JoinRequest { hello: hello.clone(), candidate: None }).await.map(drop)),
        (
            "Renew",
            membership.renew(RenewRequest { hello: hello.clone(), ..Default::default() }).await.map(drop),
        ),
        ("Campaign", membership.campaign(CampaignRequest { hello }).await.map(drop)),
        ("Hold", chaos.hold(HoldRequest::default()).await.map(drop)),
        ("Heal", chaos.heal(HealRequest::default()).await.map(drop)),
        ("Restore", placement.restore(restore).await.map(drop)),
        ("Exchange", raft.exchange(tokio_stream::pending()).await.map(drop)),
        ("Carry", link.carry(tokio_stream::pending()).await.map(drop)),
    ]
}

#[test]
fn what_nodes_say_to_each_other_is_refused_to_a_client_though_its_certificate_is_valid() {
    known(|cluster| async move {
        let before = cluster.nodes[0].node().process_count();
        for (rpc, outcome) in said(&cluster.as_client(1, "client.test")).await {
            let Err(status) = outcome else { panic!("{rpc} was answered") };
            let reason = dynamic::details(&status)[0].1["reason"].clone();
            assert_eq!((status.code(), reason), (Code::PermissionDenied, json!("NOT_A_NODE")), "{rpc}");
            assert!(status.message().contains("client.test"), "{}", status.message());
        }
        assert_eq!(cluster.nodes[0].node().process_count(), before);
        for (rpc, outcome) in said(&cluster.as_node(1)).await {
            let code = outcome.err().map_or(Code::Ok, |status| status.code());
            assert_ne!(code, Code::PermissionDenied, "{rpc} of a node");
        }
    });
}

async fn add(api: &Api, process: &str, amount: u32) -> Value {
    api.ok("CallProcess", json!({"process": process, "message": ["add", amount]})).await["reply"].clone()
}

#[test]
fn what_a_request_says_of_its_way_counts_only_from_a_node() {
    known(|cluster| async move {
        let (client, node) = (cluster.api(1, "client.test"), Api::over(cluster.as_node(1)));
        let there = counter(&client, "n2", "").await;
        let (meant, named) = (counter(&client, "n1", "").await, counter(&client, "n1", "named").await);
        let arrived = |api: &Api| api.with_header("arsenal-hops-left", "0");
        assert_eq!(add(&arrived(&client), &there, 1).await, json!(1), "it goes on to n2 all the same");
        let refused = arrived(&node).err("CallProcess", json!({"process": there, "message": "get"})).await;
        assert_eq!((&*refused.code, &*refused.reason), ("UNAVAILABLE", "NOCONNECTION"), "{refused:?}");
        let resolved = |api: &Api| arrived(api).with_header("arsenal-process", &meant);
        assert_eq!(add(&resolved(&client), "named", 5).await, json!(5));
        assert_eq!(add(&resolved(&node), "named", 7).await, json!(7));
        assert_eq!(
            add(&client, &meant, 0).await,
            json!(7),
            "the node's request was for the process that it meant"
        );
        assert_eq!(add(&client, &named, 0).await, json!(5));
    });
}

/// Who holds something on n2, by what it says itself, each by name.
async fn holders(api: &Api) -> Vec<String> {
    let holds = api.ok("ListHolds", json!({"node": "n2"})).await;
    let holders = holds["holds"].as_array().unwrap().iter();
    let mut holders: Vec<_> = holders.map(|hold| hold["holder"].as_str().unwrap().to_owned()).collect();
    holders.sort();
    holders
}

#[test]
fn who_asked_is_the_same_on_the_node_that_answers_whichever_was_asked() {
    known(|cluster| async move {
        let (first, third) = (cluster.api(1, "orders.test"), cluster.api(3, "orders.test"));
        let pid = counter(&first, "n2", "").await;
        let pause = json!({"process": pid, "lease": "60s"});
        first.ok("PauseProcessScheduling", pause.clone()).await;
        assert_eq!(holders(&third).await, ["orders.test"]);
        let other = cluster.api(2, "billing.test");
        let refused = other.err("ResumeProcessScheduling", json!({"process": pid})).await;
        assert_eq!(refused.code, "FAILED_PRECONDITION", "it has no pause on it");
        third.ok("ResumeProcessScheduling", json!({"process": pid})).await;
        assert!(holders(&first).await.is_empty());
        // over REST: the gateway in n1 asks in its client's name
        let client = cluster.papers.client(&cluster.papers.clients, Some("web.test"), &[H2]);
        let rest = cluster.nodes[0].rest();
        let paused =
            ask(rest, &client, post(&format!("/v1/processes/{pid}:pauseScheduling"), &json!({}))).await;
        assert!(paused.unwrap().status.is_success());
        let holds = ask(rest, &client, get("/v1/holds?node=-")).await.unwrap().json();
        assert_eq!(holds["holds"][0]["holder"], json!("web.test"), "{holds}");
    });
}

#[test]
fn a_session_tells_who_opened_it_whichever_node_was_asked_for_it() {
    known(|cluster| async move {
        let orders = cluster.api(1, "orders.test");
        for node in ["n1", "n2"] {
            let session = orders.ok("CreateSession", json!({"node": node})).await;
            assert_eq!(session["principal"], json!("orders.test"), "{session}");
            let seen = cluster.api(3, "billing.test");
            let seen = seen.ok("GetSession", json!({"session": session["session"]})).await;
            assert_eq!(seen["principal"], json!("orders.test"), "{seen}");
        }
        let billing = cluster.api(2, "billing.test");
        billing.ok("CreateSession", json!({})).await;
        let filter = json!({"node": "-", "filter": "principal == 'billing.test'"});
        let listed = orders.ok("ListSessions", filter).await;
        assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "{listed}");
    });
}

#[test]
fn a_session_is_used_by_nobody_but_its_principal_whichever_nodes_have_part_in_it() {
    known(|cluster| async move {
        let orders = cluster.api(1, "orders.test");
        counter(&orders, "n1", "c").await;
        let session = orders.ok("CreateSession", json!({"node": "n2"})).await["session"].clone();
        let session = session.as_str().unwrap();
        // asked for on the session's node, by one that sends on what is for the process, and by one that does both
        for asked in [2, 1, 3] {
            let send = json!({"process": "c@n1", "message": "x"});
            let by = |principal: &str| cluster.api(asked, principal).with_session(session);
            // after its own use of it, too, as what was said of a session is good for a while
            for _ in 0..2 {
                let refused = by("billing.test").err("SendMessage", send.clone()).await;
                let reason = (refused.code.as_str(), refused.reason.as_str());
                assert_eq!(reason, ("PERMISSION_DENIED", "NOT_OWNER"), "n{asked}");
                by("orders.test").ok("SendMessage", send.clone()).await;
            }
        }
        let closed = cluster.api(3, "billing.test").err("CloseSession", json!({"session": session})).await;
        assert_eq!(closed.reason, "NOT_OWNER");
        orders.ok("CloseSession", json!({"session": session})).await;
    });
}

#[test]
fn nobody_acts_for_the_session_of_another_by_naming_its_process_whichever_nodes_have_part_in_it() {
    known(|cluster| async move {
        let orders = cluster.api(1, "orders.test");
        counter(&orders, "n1", "c").await;
        let session = orders.ok("CreateSession", json!({"node": "n2"})).await["pid"].clone();
        let plain = counter(&orders, "n2", "").await;
        counter(&orders, "n2", "d").await;
        for (asked, receiver) in [(2, "d@n2"), (1, "c@n1"), (3, "c@n1"), (2, "c@n1"), (3, "d@n2")] {
            let send = |from: &Value| json!({"process": receiver, "message": "x", "from": from});
            let by = |principal: &str| cluster.api(asked, principal);
            let refused = by("billing.test").err("SendMessage", send(&session)).await;
            let reason = (refused.code.as_str(), refused.reason.as_str());
            assert_eq!(reason, ("PERMISSION_DENIED", "NOT_OWNER"), "to {receiver} by n{asked}");
            by("orders.test").ok("SendMessage", send(&session)).await;
            by("billing.test").ok("SendMessage", send(&json!(plain))).await;
        }
        let link = json!({"process": "d@n2", "from": session});
        assert_eq!(cluster.api(1, "billing.test").err("LinkProcesses", link).await.reason, "NOT_OWNER");
        let start = json!({"node": "n2", "module": "counter", "parent": session});
        assert_eq!(cluster.api(2, "billing.test").err("StartLinkProcess", start).await.reason, "NOT_OWNER");
    });
}

#[test]
fn nobody_but_a_node_says_for_whom_it_asks() {
    known(|cluster| async move {
        let claimed = BASE64_STANDARD_NO_PAD.encode("admin");
        let pid = counter(&cluster.api(1, "orders.test"), "n2", "").await;
        let pause = |api: Api, header: &'static str| {
            let (claimed, pid) = (claimed.clone(), pid.clone());
            async move {
                let claiming = api.with_header(header, &claimed);
                claiming.ok("PauseProcessScheduling", json!({"process": pid, "lease": "60s"})).await;
            }
        };
        // at the node that has the process, and by way of one that does not
        for id in [2, 1] {
            pause(cluster.api(id, "orders.test"), "arsenal-principal").await;
            pause_in_the_name_of(&cluster.as_client(id, "orders.test"), &pid, "admin").await;
        }
        let mut request = post(&format!("/v1/processes/{pid}:pauseScheduling"), &json!({}));
        for header in ["arsenal-principal-bin", "grpc-metadata-arsenal-principal-bin"] {
            request.headers_mut().insert(header, claimed.parse().unwrap());
        }
        request.headers_mut().insert("grpc-metadata-arsenal-hops-left", "0".parse().unwrap());
        let client = cluster.papers.client(&cluster.papers.clients, Some("orders.test"), &[H2]);
        assert!(ask(cluster.nodes[1].rest(), &client, request).await.unwrap().status.is_success());
        assert_eq!(holders(&cluster.api(1, "orders.test")).await, ["orders.test"]);
        pause_in_the_name_of(&cluster.as_node(2), &pid, "admin").await;
        assert_eq!(holders(&cluster.api(1, "orders.test")).await, ["admin", "orders.test"]);
    });
}

/// Pauses a process, and claims to ask for this principal.
async fn pause_in_the_name_of(channel: &Channel, pid: &str, principal: &str) {
    let operation = arsenal_tests::api::operation("PauseProcessScheduling");
    let message = dynamic::encode(operation, &json!({"process": pid, "lease": "60s"})).unwrap();
    let mut request = tonic::Request::new(tokio_stream::once(message));
    let name = tonic::metadata::BinaryMetadataValue::from_bytes(principal.as_bytes());
    request.metadata_mut().insert_bin("arsenal-principal-bin", name);
    let answers = dynamic::send(channel.clone(), operation, request).await.unwrap();
    let mut answers = std::pin::pin!(answers);
    tokio_stream::StreamExt::next(&mut answers).await.unwrap().unwrap();
}

#[test]
fn nodes_go_over_to_another_authority_one_by_one_and_the_cluster_goes_on() {
    known(|mut cluster| async move {
        let api = cluster.api(1, "orders.test");
        let pid = counter(&api, "n2", "").await;
        let next = Authority::new("the next");
        let renew = |name: &str, pem: String| {
            // whole at once, as who brings certificates does it
            std::fs::write(cluster.papers.path("new"), pem).unwrap();
            std::fs::rename(cluster.papers.path("new"), cluster.papers.path(name)).unwrap();
        };
        // first all believe both, then they are issued anew
        let all = cluster.papers.nodes.pem() + &next.pem() + &cluster.papers.clients.pem();
        renew("both.crt", all);
        renew("nodes.crt", cluster.papers.nodes.pem() + &next.pem());
        renew("later.crt", next.pem() + &cluster.papers.clients.pem());
        let (certificate, key) = next.issue(&[NODES, "localhost", "127.0.0.1"]);
        renew("node.key", key);
        renew("node.crt", certificate);
        // a node that never heard of the first authority gets in only once they show the certificates of the next
        let newcomer = next.issue_to(&cluster.papers.path(""), "newcomer", &[NODES, "127.0.0.1"]);
        cluster.join("later.crt", &newcomer).await;
        let there = counter(&cluster.api(4, "orders.test"), "n4", "").await;
        let third = cluster.api(3, "orders.test");
        third.eventually(|| async { third.call("GetNode", json!({"node": "n4"})).await.ok() }).await;
        // each sees for itself, and when it does, that the files have changed
        let fourth = cluster.api(4, "orders.test");
        for (api, process) in [(&third, &there), (&fourth, &pid)] {
            let get = json!({"process": process, "message": "get"});
            api.eventually(|| async { api.call("CallProcess", get.clone()).await.ok() }).await;
        }
        assert_eq!(add(&third, &there, 2).await, json!(2));
        assert_eq!(add(&fourth, &pid, 3).await, json!(3));
        assert_eq!(add(&api, &pid, 1).await, json!(4), "a connection from before goes on");
    });
}
